"""next_run() and check_schedule(): when schedules are due, by all clocks there are; which schedules and zones are refused.

The oracle is cronsim. It differs from cron(5) or from the rules of docs/calendar.rst, which are followed, only in this:

* It accepts 5/15 for 5-59/15 (and for 5-5/15), W and #, and weekdays such as 5L; cron(5) has steps only after a range or "*".
* If a clock has just been set back, it may return a fixed time of the hour that came twice although that has passed. The next one
  that it returns is right.
* For a schedule with "*" in minute or hour, it is wrong near a change by half an hour, at one minute past the hour, or over
  midnight: it returns times that the clock doesn't show, leaves some out, or searches for ever. There, the minutes that the clock
  shows are compared.
"""

import functools
import random
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import psycopg
import pytest
from cronsim import CronSim
from psycopg import errors

from tests.database import Database, value

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


@pytest.fixture
def session(uncommitted: Database) -> Iterator[psycopg.Connection]:
    """A session that only asks."""
    with uncommitted.connect() as session:
        yield session


@functools.cache
def changes(name: str) -> list[datetime]:
    """When the clocks of a zone change, which none does twice in five days."""
    zone = ZoneInfo(name)
    found, low, offset = [], BEGIN, BEGIN.astimezone(zone).utcoffset()
    while low < END:
        high = later = low + timedelta(days=5)
        changed = later.astimezone(zone).utcoffset()
        if changed != offset:
            while high - low > timedelta(seconds=1):
                middle = low + (high - low) // 2
                middle = middle.replace(microsecond=0)
                if middle.astimezone(zone).utcoffset() == offset:
                    low = middle
                else:
                    high = middle
            found.append(high)
        low, offset = later, changed
    return found


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
        if changes(name) and chance.random() < 0.7:
            hours = chance.choice((1, 3, 30, 300))
            after = chance.choice(changes(name)) + timedelta(hours=hours) * chance.uniform(-1, 1)
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
    """Whether the clock of a schedule with "*" in minute or hour changes by half an hour, not on the hour, or over midnight."""
    minutes, hours, *_ = schedule.split()
    if not (minutes.startswith("*") or hours.startswith("*")):
        return False
    for change in changes(zone.key):
        if not after - timedelta(hours=1) < change <= until:
            continue
        before, shown = ((change - timedelta(seconds=late)).astimezone(zone).replace(tzinfo=None) for late in (1, 0))
        shift = shown - before - timedelta(seconds=1)
        if shift % timedelta(hours=1) or shown.minute or before.day != shown.day:
            return True
    return False


def by_the_clock(schedule: str, zone: ZoneInfo, after: datetime, until: datetime) -> datetime:
    """The first minute after `after` that matches as the clock shows it, or `until`."""
    sim = CronSim(schedule, after)
    moment = after.replace(second=0, microsecond=0) + MINUTE
    date = None
    while moment < until:
        shown = moment.astimezone(zone)
        if matches(sim, shown):
            return moment
        full_hour = moment + timedelta(minutes=60 - shown.minute)
        if shown.hour not in sim.hours and full_hour.astimezone(zone).utcoffset() == shown.utcoffset():
            # the clock shows no other hour until then, because it doesn't change
            moment = full_hour
        else:
            moment += MINUTE
        if shown.date() == date:
            continue
        date = shown.date()
        # the clock may be set back to the day before
        day = date - timedelta(days=1)
        while not (day.month in sim.months and sim.match_day(day)):
            day += timedelta(days=1)
        if day > date:
            # no clock is further ahead of UTC
            moment = max(moment, datetime(day.year, day.month, day.day, tzinfo=timezone.utc) - timedelta(hours=15))
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
            if cronsim_is_wrong(schedule, zone, after, answer):
                expected = by_the_clock(schedule, zone, after, answer + MINUTE)
            else:
                expected = by_cronsim(schedule, zone, after)
            if answer != expected:
                wrong.append(
                    f"{schedule!r}, {name!r}, '{after}': {answer.astimezone(zone)} != {expected.astimezone(zone)}"
                )
    return wrong


def test_1000_schedules_are_due_when_cronsim_says(session: psycopg.Connection) -> None:
    assert differences(session, 1000, 1) == []


def test_20000_schedules_are_due_when_cronsim_says(session: psycopg.Connection) -> None:
    assert differences(session, 20_000, 2) == []


BERLIN = (
    ("30 2 * * *", "2026-03-29 01:59+01", ["2026-03-29 03:00:00+02", "2026-03-30 02:30:00+02"]),
    ("*/30 2 * * *", "2026-03-29 01:59+01", ["2026-03-30 02:00:00+02"]),
    ("0 * * * *", "2026-03-29 01:59+01", ["2026-03-29 03:00:00+02"]),
    ("30 2 * * *", "2026-10-25 01:59+02", ["2026-10-25 02:30:00+02", "2026-10-26 02:30:00+01"]),
    (
        "*/30 2 * * *",
        "2026-10-25 01:59+02",
        [
            *(f"2026-10-25 02:{minute}:00+0{zone}" for zone in (2, 1) for minute in ("00", "30")),
            "2026-10-26 02:00:00+01",
        ],
    ),
    (
        "0 * * * *",
        "2026-10-25 01:59+02",
        ["2026-10-25 02:00:00+02", "2026-10-25 02:00:00+01", "2026-10-25 03:00:00+01"],
    ),
)
"""The examples of docs/calendar.rst."""


@pytest.mark.parametrize(("schedule", "after", "due"), BERLIN)
def test_the_two_days_of_berlin(session: psycopg.Connection, schedule: str, after: str, due: list[str]) -> None:
    session.execute("SET timezone = 'Europe/Berlin'")
    for expected in due:
        after = value(session, "SELECT jobmon.next_run(%s, 'Europe/Berlin', %s)::text", schedule, after)
        assert after == expected


@pytest.mark.parametrize("after", ["infinity", "-infinity", "294276-01-01 00:00+00", "4713-01-01 00:00+00 BC", None])
def test_no_time_is_later_than_one_out_of_all_years(session: psycopg.Connection, after: str | None) -> None:
    for schedule in ("@daily", "* * * * *", "0 0 29 2 *"):
        assert value(session, "SELECT jobmon.next_run(%s, 'Europe/Berlin', %s)", schedule, after) is None


REFUSED = {
    "0 24 * * *": 'hour "24" is above 23',
    "* * 0 * *": 'day of month "0" is below 1',
    "5/15 * * * *": 'minute "5/15" has a step, but no range: write "5-59/15"',
    "0 22-4 * * *": 'hour "22-4" ends before it begins: write "22-23,0-4"',
    "0 0 * * sat-sun": 'day of week "sat-sun" ends before it begins: write "sat-7"',
    "*/0 * * * *": 'minute "*/0" has a step of 0',
    "0 0 ? * 1": 'day of month "?" isn\'t known to cron: write "*"',
    "0 0 15W * *": 'day of month "15w" has a "W" (the nearest working day), which cron doesn\'t know',
    "0 0 * * mon#2": 'day of week "mon#2" has a "#" (the nth weekday of a month), which cron doesn\'t know',
    "30 2 31 2 *": '"30 2 31 2 *" never comes: no month of it has a day 31',
    "@reboot": '"@reboot" is when a server starts, which nobody can know in advance',
    "0 0 0 * * *": '"0 0 0 * * *" has 6 of the five fields',
    "": 'the schedule "" is empty',
}


def test_nonsense_is_refused_with_the_field_that_is_wrong(session: psycopg.Connection) -> None:
    for schedule, sentence in REFUSED.items():
        said = value(session, "SELECT jobmon.check_schedule(%s, 'UTC')", schedule)
        assert sentence in said
        with pytest.raises(errors.InvalidParameterValue) as refused:
            session.execute("SELECT jobmon.next_run(%s, 'UTC', now())", [schedule])
        assert refused.value.diag.message_primary == said
    assert value(session, "SELECT jobmon.check_schedule('@daily', 'Europe/Berlin')") is None
    assert value(session, "SELECT jobmon.check_schedule(NULL, NULL)") is None


def test_only_names_of_zones_are_zones(session: psycopg.Connection) -> None:
    for wrong, nearest in (
        ("Europe/Berln", "Europe/Berlin"),
        ("New York", "America/New_York"),
        ("Tokio", "Asia/Tokyo"),
    ):
        assert value(session, "SELECT jobmon.check_schedule('@daily', %s)", wrong) == (
            f'time zone "{wrong}" is not in pg_timezone_names; the nearest one there is "{nearest}"'
        )
    for wrong in ("CET", "EST", "foo+3", "Europe/Berlin1", "", "Europe/Berln", "Etc/GMT+15"):
        with pytest.raises(errors.InvalidParameterValue):
            session.execute("SELECT jobmon.next_run('@daily', %s, now())", [wrong])


def test_the_work_does_not_grow_with_how_rarely_a_schedule_comes(session: psycopg.Connection) -> None:
    """Counts the laps of all loops in a copy of the function."""
    session.execute("BEGIN")
    text = value(session, "SELECT pg_get_functiondef('jobmon.next_run'::regproc)")
    counted = re.sub(r"(?<!END )LOOP\n", "LOOP PERFORM nextval('public.laps');\n", text)
    assert counted.count("laps") > 4
    session.execute("CREATE SEQUENCE public.laps")
    session.execute(counted.replace("jobmon.next_run", "public.next_run").replace(" STABLE ", " VOLATILE ").encode())
    for schedule, limit in (("* * * * *", 10), ("0 0 29 2 *", 20), ("*/5 0 29 2 *", 30), ("0 0 29 2 */7", 60)):
        for after in ("0001-02-01", "1896-03-01", "2026-01-01", "2072-03-01", "9998-01-01"):
            for zone in ("UTC", "Europe/Berlin"):
                session.execute("ALTER SEQUENCE public.laps RESTART")
                session.execute("SELECT public.next_run(%s, %s, %s)", [schedule, zone, f"{after} 00:00+00"])
                assert value(session, "SELECT last_value FROM public.laps") <= limit, (schedule, after, zone)
    session.execute("ROLLBACK")
