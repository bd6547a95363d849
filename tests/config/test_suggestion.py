"""jobmonctl config suggest: what it makes of labelled logs, and that none of them gives it a wrong schedule."""

import random
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from check_jobmon.config.suggestion import Run, suggest

UTC, BERLIN = ZoneInfo("UTC"), ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 26, 12, 7, tzinfo=UTC)
WORKDAYS = range(5)
EVERY_DAY = range(7)


class Log:
    """Makes runs, the same at each call."""

    def __init__(self, seed: int = 1) -> None:
        self.random = random.Random(seed)

    def at(self, time: datetime, jitter: float = 0.05, took: float = 600, good: bool = True) -> Run:
        """A run that begins up to `jitter` minutes after the time."""
        start = time + timedelta(minutes=self.random.uniform(0, jitter), seconds=1)
        return Run(start, took * self.random.uniform(0.8, 1.2), good)

    def days(
        self,
        clock: str,
        number: int = 60,
        on: "Callable[[date], bool] | range" = EVERY_DAY,
        end: datetime = NOW,
        cron: ZoneInfo = UTC,
        **options: Any,
    ) -> list[Run]:
        """Runs at times of the day, as a clock in the zone `cron` shows them, in the days before the end."""
        found = []
        for past in range(number, -1, -1):
            day = end.astimezone(cron).date() - timedelta(days=past)
            if day.weekday() in on if isinstance(on, range) else on(day):
                for text in clock.split():
                    hour, minute = map(int, text.split(":"))
                    time = datetime(day.year, day.month, day.day, hour, minute, tzinfo=cron).astimezone(UTC)
                    if time < end:
                        found.append(self.at(time, **options))
        return found

    def every(
        self, minutes: float, days: float = 21, end: datetime = NOW, offset: int = 0, **options: Any
    ) -> list[Run]:
        """Runs every so many minutes, from midnight UTC on."""
        start = (end - timedelta(days=days)).replace(hour=0, minute=0) + timedelta(minutes=offset)
        number = int((end - start).total_seconds() / 60 / minutes)
        return [self.at(start + timedelta(minutes=minutes * place), **options) for place in range(number + 1)]


def between(runs: list[Run], first: str, last: str) -> list[Run]:
    """The runs from the first day to the day before the last."""
    low, high = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (first, last))
    return [run for run in runs if low <= run.start < high]


def without(runs: list[Run], first: str, last: str) -> list[Run]:
    """The runs but for a gap."""
    gap = {run.start for run in between(runs, first, last)}
    return [run for run in runs if run.start not in gap]


def last_day(day: date) -> bool:
    return (day + timedelta(days=1)).day == 1


def last_working_day(day: date) -> bool:
    next_one = day + timedelta(days=3 if day.weekday() == 4 else 1)
    return day.weekday() < 5 and next_one.month != day.month


def shown_by(runs: list[Run], zone: ZoneInfo) -> list[Run]:
    return [run._replace(start=run.start.astimezone(zone)) for run in runs]


def by_hand(day: str, **options: bool) -> Run:
    return Run(datetime.fromisoformat(day).replace(tzinfo=UTC), 500, **options)


def with_retries() -> Iterator[Run]:
    log = Log()
    for place, run in enumerate(log.days("02:30")):
        fails = place % 4 == 0
        yield run._replace(good=not fails)
        if fails:
            yield Run(run.start + timedelta(minutes=15), 600, good=False)
            yield Run(run.start + timedelta(minutes=30), 600)


def drifting(minutes: float, number: int, seconds: float) -> list[Run]:
    """A loop that sleeps between runs that take some seconds."""
    log = Log()
    start = NOW - timedelta(minutes=minutes * number)
    found = []
    for _ in range(number):
        found.append(Run(start, seconds))
        start += timedelta(minutes=minutes, seconds=seconds * log.random.uniform(0.8, 1.2))
    return [run for run in found if run.start < NOW]


def by_a_person() -> list[Run]:
    """Somebody starts it about nine in the morning, when there is something to do."""
    log = Log()
    return [run for run in log.days("08:40", on=WORKDAYS, jitter=80) if log.random.random() < 0.75]


def poisson(per_day: float, days: int) -> list[Run]:
    log = Log(3)
    found, start = [], NOW - timedelta(days=days)
    while (start := start + timedelta(days=log.random.expovariate(per_day))) < NOW:
        found.append(Run(start, 100))
    return found


def monday_is_a_holiday() -> list[Run]:
    """Two weeks of a job of weekdays, with both Mondays off."""
    return [run for run in Log().days("02:30", 14, WORKDAYS) if run.start.weekday() != 0]


REGULAR = Log().days("02:30")
LOGS: dict[str, tuple[Callable[[], list[Run]], str | None]] = {
    "every night": (lambda: REGULAR, "30 2 * * *"),
    "every night at another minute": (lambda: Log().days("03:32"), "32 3 * * *"),
    "in the middle of the month and at its end": (
        lambda: Log().days("23:00", 365, lambda day: day.day == 15 or last_day(day)),
        "0 23 15,L * *",
    ),
    "hourly from ten in the morning": (lambda: [run for run in Log().every(60) if run.start.hour > 9], "0 10-23 * * *"),
    "at midnight, a second early by turns": (
        lambda: [run._replace(start=run.start - timedelta(seconds=i % 2 * 3)) for i, run in enumerate(Log().days("00:00"))],
        "0 0 * * *",
    ),
    "jitter of ten minutes": (lambda: Log().days("02:30", jitter=10), "30 2 * * *"),
    "jitter of 40 minutes": (lambda: Log().days("22:45", jitter=40), "45 22 * * *"),
    "jitter over midnight": (lambda: Log().days("23:55", jitter=12), "55 23 * * *"),
    "on weekdays": (lambda: Log().days("06:15", on=WORKDAYS), "15 6 * * mon-fri"),
    "on weekends": (lambda: Log().days("20:00", on=range(5, 7)), "0 20 * * sun,sat"),
    "from Tuesday to Sunday": (lambda: Log().days("06:15", on=range(1, 7)), "15 6 * * sun,tue-sat"),
    "on Mondays": (lambda: Log().days("07:00", 90, range(1)), "0 7 * * mon"),
    "on Mondays, Wednesdays and Fridays": (lambda: Log().days("07:00", 60, range(0, 6, 2)), "0 7 * * mon,wed,fri"),
    "on the first of the month": (lambda: Log().days("04:00", 365, lambda day: day.day == 1), "0 4 1 * *"),
    "on the first and the 15th": (lambda: Log().days("04:00", 365, lambda day: day.day in (1, 15)), "0 4 1,15 * *"),
    "at the end of the month": (lambda: Log().days("23:00", 365, last_day), "0 23 L * *"),
    "at the end of the month, for half a year": (lambda: Log().days("23:00", 180, last_day), "0 23 L * *"),
    "on the 30th": (lambda: Log().days("23:00", 365, lambda day: day.day == 30), "0 23 30 * *"),
    "every minute": (lambda: Log().every(1, 10), "* * * * *"),
    "every five minutes": (lambda: Log().every(5), "*/5 * * * *"),
    "every five minutes, with outages": (
        lambda: without(without(Log().every(5), "2026-11-10T03:10", "2026-11-10T09:00"), "2026-11-17T03:10", "2026-11-17T04:00"),
        "*/5 * * * *",
    ),
    "every five minutes in business hours": (
        lambda: [run for run in Log().every(5) if 8 <= run.start.hour < 18 and run.start.weekday() < 5],
        "*/5 8-17 * * mon-fri",
    ),
    "every ten minutes, from three past": (lambda: Log().every(10, offset=3), "3-59/10 * * * *"),
    "every quarter of an hour, with jitter": (lambda: Log().every(15, jitter=3), "*/15 * * * *"),
    "hourly": (lambda: Log().every(60, offset=17), "17 * * * *"),
    "hourly on weekdays": (
        lambda: [run for run in Log().every(60, 30) if run.start.weekday() < 5],
        "0 * * * mon-fri",
    ),
    "every six hours": (lambda: Log().every(360, 30, offset=20), "20 0,6,12,18 * * *"),
    "two runs a day": (lambda: Log().days("02:30 14:30"), "30 2,14 * * *"),
    "a changed schedule": (
        lambda: [*between(REGULAR, "2026-01-01", "2026-11-01"), *between(Log().days("04:10"), "2026-11-01", "2027-01-01")],
        "10 4 * * *",
    ),
    "hourly, and then every night": (
        lambda: [*Log().every(60, end=NOW - timedelta(days=30)), *Log().days("02:30", 28)],
        "30 2 * * *",
    ),
    "a holiday gap of twelve days": (lambda: without(REGULAR, "2026-10-20", "2026-11-01"), "30 2 * * *"),
    "holidays on weekdays": (
        lambda: [run for run in Log().days("06:15", 200, WORKDAYS) if f"{run.start:%m-%d}" not in ("10-01", "10-26", "11-11")],
        "15 6 * * mon-fri",
    ),
    "two changes of the clock": (lambda: shown_by(Log().days("02:30", 380, cron=BERLIN), BERLIN), "30 2 * * *"),
    "hourly, over two changes of the clock": (lambda: shown_by(Log().every(60, 300), BERLIN), "0 * * * *"),
    "manual reruns": (
        lambda: [*REGULAR, *(by_hand(f"2026-11-{day:02}T{day % 9 + 9:02}:12") for day in range(2, 25, 3))],
        "30 2 * * *",
    ),
    "started by hand once": (lambda: [*Log().days("07:00", 90, range(1)), by_hand("2026-11-12T15:20")], "0 7 * * mon"),
    "started by hand just before": (lambda: [*REGULAR, by_hand("2026-11-12T02:05")], "30 2 * * *"),
    "retries after failures": (lambda: list(with_retries()), "30 2 * * *"),
    "each second night fails": (
        lambda: [run._replace(good=i % 2 == 0) for i, run in enumerate(REGULAR)],
        "30 2 * * *",
    ),
    "one night was late": (
        lambda: [run if i != 30 else run._replace(start=run.start + timedelta(hours=5)) for i, run in enumerate(REGULAR)],
        "30 2 * * *",
    ),
    # and those that have no schedule, or none that can be certain
    "no run": (lambda: [], None),
    "one run": (lambda: REGULAR[:1], None),
    "too few": (lambda: Log().days("02:30", 6), None),
    "too few Mondays": (lambda: Log().days("07:00", 21, range(1)), None),
    "two ends of a month": (lambda: Log().days("23:00", 60, last_day), None),
    "two hours of every minute": (lambda: Log().every(1, 0)[-120:], None),
    "two weeks of weekdays without their Mondays": (lambda: monday_is_a_holiday(), None),
    "a stopped job": (lambda: between(REGULAR, "2026-01-01", "2026-11-18"), None),
    "a stopped job of weekdays": (lambda: between(Log().days("06:15", on=WORKDAYS), "2026-01-01", "2026-11-24"), None),
    "not run last night": (lambda: REGULAR[:-1], None),
    "changed last night": (lambda: [*REGULAR[:-1], *Log().days("04:10", 0)], None),
    "changed the day before yesterday": (
        lambda: [*between(REGULAR, "2026-01-01", "2026-11-25"), *Log().days("04:10", 1)],
        None,
    ),
    "changed four days ago": (
        lambda: [*between(REGULAR, "2026-01-01", "2026-11-23"), *Log().days("04:10", 3)],
        None,
    ),
    "by the clock of Berlin, shown in UTC": (lambda: Log().days("02:30", 380, cron=BERLIN), None),
    "two runs a day by the clock of Berlin, shown in UTC": (lambda: Log().days("02:30 14:30", 90, cron=BERLIN), None),
    "by UTC, shown in Berlin": (lambda: shown_by(Log().days("02:30", 90), BERLIN), None),
    "now and then": (lambda: poisson(3, 60), None),
    "often, but at random": (lambda: poisson(200, 21), None),
    "by a person": (lambda: by_a_person(), None),
    "every other day": (lambda: Log().days("02:30", 60, lambda day: day.toordinal() % 2 == 0), None),
    "on the first Monday of the month": (lambda: Log().days("04:00", 365, lambda day: day.weekday() == 0 and day.day < 8), None),
    "on the last working day of the month": (
        lambda: Log().days("04:00", 365, last_working_day),
        None,
    ),
    "at two times that no expression has": (lambda: Log().days("02:30 14:45"), None),
    "at another time on Sundays": (
        lambda: sorted([*Log().days("02:30", on=range(6)), *Log().days("04:30", on=range(6, 7))]),
        "30 2 * * mon-sat",
    ),
    "every seven minutes of a loop": (lambda: drifting(7, 4000, 10), None),
    "every five minutes of a loop": (lambda: drifting(5, 6000, 3), None),
    "every five minutes of a loop that hardly takes time": (lambda: drifting(5, 6000, 0.1), None),
    "a loop of a day and two minutes": (lambda: drifting(1440, 60, 120), None),
    "a loop of a day but a minute": (lambda: drifting(1439, 60, 0), None),
    "three times in an hour, unevenly": (
        lambda: [run for run in Log().every(20) if run.start.minute < 40],
        None,
    ),
    "some nights": (lambda: [run for i, run in enumerate(REGULAR) if i * i % 11 in (0, 1, 3, 4)], None),
}  # fmt: skip


@pytest.mark.parametrize("log", LOGS)
def test_the_schedule_of_a_log_is_found_or_none_is_proposed(log: str) -> None:
    make, schedule = LOGS[log]
    runs = make()
    now = NOW.astimezone(runs[0].start.tzinfo) if runs else NOW
    found = suggest(runs, now)
    assert found.values.get("schedule") == schedule, found
    assert found.why


def test_runs_that_began_at_the_same_time_are_looked_at() -> None:
    """One of them may be under way, so that it is not known how long it takes."""
    start = datetime(2026, 11, 1, 2, 30, tzinfo=ZoneInfo("UTC"))
    runs = [Run(start, None), Run(start, 5.0), Run(start, None)]
    suggest(runs, start + timedelta(days=1))
