"""next_run() and check_schedule(): when schedules are due, by all clocks there are; which schedules and zones are refused.

The oracle is cronsim. It differs from cron(5) or from the rules of docs/calendar.rst, which are followed, only in this:

* It accepts 5/15 for 5-59/15 (and for 5-5/15), W and #, and weekdays such as 5L; cron(5) has steps only after a range or "*".
* Without a leap in time it never returns a time before the one it began with, but when a clock has just been set back, it may return
  a fixed time of the hour that came twice, although that has passed. The next one that it returns is right.
* For a schedule with "*" in minute or hour, it returns midnight, or leaves out the hour after it, if the clock jumps over midnight; and
  it leaves out the hour after a change by half an hour. There, the minutes that the clock shows are compared one by one.
"""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import psycopg
from cronsim import CronSim

ZONES = (
    *("UTC", "Europe/Berlin", "Europe/London", "America/New_York", "America/St_Johns", "Asia/Kolkata", "Etc/GMT+5"),
    # changes by half an hour, by two and by three hours
    *("Australia/Lord_Howe", "Antarctica/Troll", "Antarctica/Casey", "America/Caracas", "Asia/Pyongyang"),
    # four changes a year, for Ramadan
    *("Africa/Casablanca", "Africa/Cairo"),
    # a day that never was
    *("Pacific/Apia", "Pacific/Fakaofo"),
    # changes at midnight
    *("America/Santiago", "Asia/Beirut", "America/Havana", "Asia/Amman", "America/Sao_Paulo", "Atlantic/Azores"),
)
BEGIN, END = datetime(2000, 1, 1, tzinfo=timezone.utc), datetime(2025, 1, 1, tzinfo=timezone.utc)
MINUTE = timedelta(minutes=1)
NAMES = {
    3: ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    4: ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
}
RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def changes(zone: ZoneInfo) -> list[datetime]:
    """When the clocks of a zone change."""
    found, day = [], BEGIN
    while day < END:
        low, high = day, day + timedelta(days=1)
        if low.astimezone(zone).utcoffset() != high.astimezone(zone).utcoffset():
            while high - low > timedelta(seconds=1):
                middle = low + (high - low) // 2
                middle = middle.replace(microsecond=0)
                if middle.astimezone(zone).utcoffset() == low.astimezone(zone).utcoffset():
                    low = middle
                else:
                    high = middle
            found.append(high)
        day += timedelta(days=1)
    return found


CHANGES = {name: changes(ZoneInfo(name)) for name in ZONES}


def a_field(chance: random.Random, field: int) -> str:
    """A field as people write it, and as they don't."""
    low, high = RANGES[field]

    def one(number: int) -> str:
        names = NAMES.get(field, [])
        if names and number - low < len(names) and chance.random() < 0.3:
            return chance.choice((str.lower, str.upper, str.title))(names[number - low])
        return f"{number:02}" if chance.random() < 0.1 else str(number)

    def item() -> str:
        first, last = sorted(chance.sample(range(low, high + 1), 2))
        form = chance.random()
        if form < 0.6:
            return one(first)
        return f"{one(first)}-{one(last)}" + (f"/{chance.randint(1, 9)}" if form < 0.8 else "")

    form = chance.random()
    if form < (0.25, 0.25, 0.5, 0.6, 0.5)[field]:
        return "*"
    if form < 0.45:
        return f"*/{chance.choice((1, 2, 3, 5, 7, 15, 20, 30, 90))}"
    if field == 2 and form < 0.6:
        return "L"
    if form < 0.8:
        return item()
    items = [item() for _ in range(chance.randint(2, 4))]
    return ",".join([*items, *chance.choices(("*", "*/9", "L" if field == 2 else "*/4"), k=chance.random() < 0.2)])


def examples(count: int, seed: int) -> Iterator[tuple[str, str, datetime]]:
    """Schedules that come, zones, and times: half of them near a change of the clock."""
    chance = random.Random(seed)
    while count:
        schedule = " ".join(a_field(chance, field) for field in range(5))
        name = chance.choice(ZONES)
        after = BEGIN + (END - BEGIN) * chance.random()
        if CHANGES[name] and chance.random() < 0.7:
            hours = chance.choice((1, 3, 30, 300))
            after = chance.choice(CHANGES[name]) + timedelta(hours=hours) * chance.uniform(-1, 1)
            if chance.random() < 0.3:
                # the hours that come twice or never
                minutes, hour, *days = schedule.split()
                hour = str(after.astimezone(ZoneInfo(name)).hour)
                schedule = " ".join((minutes, hour, *chance.choice((days, ["*", "*", "*"]))))
        try:
            CronSim(schedule, after)
        except Exception:  # never comes
            continue
        yield schedule, name, after.replace(microsecond=0) if chance.random() < 0.5 else after
        count -= 1


def matches(sim: CronSim, shown: datetime) -> bool:
    return (
        shown.minute in sim.minutes
        and shown.hour in sim.hours
        and shown.month in sim.months
        and sim.match_day(shown.date())
    )


def by_cronsim(schedule: str, zone: ZoneInfo, after: datetime) -> datetime:
    sim = CronSim(schedule, after.astimezone(zone))
    found = next(sim)
    while found.astimezone(timezone.utc) <= after:
        found = next(sim)
    return found.astimezone(timezone.utc)


def cronsim_is_wrong(schedule: str, zone: ZoneInfo, after: datetime, until: datetime) -> bool:
    """Whether the clock of a schedule with "*" in minute or hour is changed by half an hour, or over midnight."""
    minutes, hours, *_ = schedule.split()
    if not (minutes.startswith("*") or hours.startswith("*")):
        return False
    for change in CHANGES[zone.key]:
        before, shown = ((change - timedelta(seconds=late)).astimezone(zone).replace(tzinfo=None) for late in (1, 0))
        shift = shown - before - timedelta(seconds=1)
        if after < change <= until and (
            shift % timedelta(hours=1) or (shift > timedelta(0) and before.day != shown.day)
        ):
            return True
    return False


def by_the_clock(schedule: str, zone: ZoneInfo, after: datetime, until: datetime) -> datetime:
    """The first minute after `after` that matches as the clock shows it, or `until`."""
    sim = CronSim(schedule, after)
    moment = after.replace(second=0, microsecond=0)
    while (moment := moment + MINUTE) < until:
        shown = moment.astimezone(zone)
        if not (shown.month in sim.months and (sim.match_day(shown.date()))):
            # to the last hours of the day
            moment += timedelta(hours=max(0, 20 - shown.hour))
        elif matches(sim, shown):
            return moment
    return until


def differences(session: psycopg.Connection, count: int, seed: int) -> list[str]:
    wrong = []
    asked = list(examples(count, seed))
    for start in range(0, count, 5000):
        part = asked[start : start + 5000]
        query = """
            SELECT jobmon.next_run(e.schedule, e.zone, e.after), e.after AT TIME ZONE e.zone
              FROM unnest(%s::text[], %s::text[], %s::timestamptz[]) WITH ORDINALITY AS e(schedule, zone, after, number)
             ORDER BY e.number
        """
        answers = session.execute(query, [list(column) for column in zip(*part, strict=True)]).fetchall()
        for (schedule, name, after), (answer, shown) in zip(part, answers, strict=True):
            zone = ZoneInfo(name)
            assert shown == after.astimezone(zone).replace(tzinfo=None), f"{name} at {after}: other time zone data"
            expected = by_cronsim(schedule, zone, after)
            if answer != expected and cronsim_is_wrong(schedule, zone, after, max(answer, expected)):
                # up to the answer, or if that is too late, up to the time that would have been right
                expected = by_the_clock(schedule, zone, after, answer)
            if answer != expected:
                wrong.append(
                    f"{schedule!r}, {name!r}, '{after}': {answer.astimezone(zone)} != {expected.astimezone(zone)}"
                )
    return wrong


def test_1000_schedules_are_due_when_cronsim_says(session: psycopg.Connection) -> None:
    assert differences(session, 1000, 1) == []


def test_20000_schedules_are_due_when_cronsim_says(session: psycopg.Connection) -> None:
    assert differences(session, 20_000, 2) == []
