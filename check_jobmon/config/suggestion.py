"""Proposes a job's schedule and limits for the configuration file from the runs that it had. Uses no database."""

import calendar
import functools
import itertools
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

from check_jobmon.config.durations import Duration
from check_jobmon.config.job_fields import Slow
from check_jobmon.text import counted, duration

PERIODS = (1440, 60, 30, 20, 15, 12, 10, 6, 5, 4, 3, 2, 1)
"""The intervals that are tried: minutes from one run to the next. There may be hours and days without runs in between."""
_NICE = (1, 2, 3, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 360, 480, 720, 1080, *range(1440, 72000, 1440))
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_HOURS = tuple(map(str, range(24)))
_LAST = 32
_DAYS = (*map(str, range(_LAST)), "L")


class Run(NamedTuple):
    """A run: when it started, in the schedule's time zone; how long it took, if known; how long after its start it was logged."""

    start: datetime
    seconds: float | None
    good: bool = True
    logged_after: float = 0

    @property
    def wall(self) -> float:
        """What the clock showed, in minutes."""
        return self.start.toordinal() * 1440 + self.start.hour * 60 + self.start.minute + self.start.second / 60


class Suggestion(NamedTuple):
    """The fields of the job's JobConfig, none if nothing is certain, and comments that say why."""

    values: Mapping[str, Any]
    why: tuple[str, ...]


@dataclass(frozen=True)
class _Times:
    """When a job is due: every `period` minutes from `phase` on, in these hours of these days (keys as _day_keys() has them)."""

    period: int
    phase: int
    hours: frozenset[int] = frozenset()
    kind: str = "weekday"
    days: frozenset[int] = frozenset()

    def slot(self, wall: float) -> int:
        """The number of the time that a run serves; it may start up to a minute before it."""
        return int((wall - self.phase + 1) // self.period)

    def due(self, slot: int) -> int:
        return slot * self.period + self.phase

    def includes(self, slot: int) -> bool:
        day, minute = divmod(self.due(slot), 1440)
        return minute // 60 in self.hours and _day_keys(day)[self.kind] in self.days

    def __str__(self) -> str:
        """As crontab(5) has it."""
        every = f"{self.phase}-59" if self.phase else "*"
        minute = str(self.phase % 60) if self.period >= 60 else "*" if self.period == 1 else f"{every}/{self.period}"
        days = f"* * {_field(self.days, _WEEKDAYS)}" if self.kind == "weekday" else f"{_field(self.days, _DAYS)} * *"
        return f"{minute} {_field(self.hours, _HOURS)} {days}"


def suggest(runs: Sequence[Run], now: datetime) -> Suggestion:
    """What the runs, in any order, say of the job. `now` is in their time zone."""
    runs = sorted(runs, key=lambda run: run.start)
    size = len(runs)
    while size >= 4:
        for period in PERIODS:
            if found := _suggestion(runs[-size:], period, now, runs[-2 * size : -size]):
                return found
        size = size * 7 // 10  # the schedule may have changed
    apart = [(after.start - before.start).total_seconds() for before, after in itertools.pairwise(runs)]
    days = " to ".join(dict.fromkeys(f"{run.start:%Y-%m-%d}" for run in (*runs[:1], *runs[-1:])))
    between = f"{duration(min(apart))} to {duration(max(apart))} apart" if apart else ""
    seen = ", ".join(filter(None, (counted(len(runs), "run"), days, between)))
    return Suggestion({}, (f"no schedule found: {seen}",))


def _suggestion(runs: Sequence[Run], period: int, now: datetime, before: Sequence[Run]) -> Suggestion | None:
    """What the runs say if they follow times of this period beyond doubt. `before` are as many runs before them."""
    placed = _phase([run.wall % period for run in runs], period)
    if placed is None or Run(now, None).wall - runs[0].wall > 40 * period * len(runs):
        return None
    any_time, tolerance = _Times(period, placed[0]), placed[1]
    first: dict[int, Run] = {}
    for run in runs:
        first.setdefault(any_time.slot(run.wall), run)
    punctual = [slot for slot, run in first.items() if run.wall - any_time.due(slot) <= tolerance]
    if not punctual or not (times := _with_days(any_time, punctual)):
        return None
    last = times.slot(Run(now, None).wall - tolerance - 5)
    due = [slot for slot in range(punctual[0], max(last, punctual[-1]) + 1) if times.includes(slot)]
    served = [slot for slot in due if slot in first]
    gaps = sum(before in first and after not in first for before, after in itertools.pairwise(due))
    needed = 4 if times.kind != "weekday" else 5 if len(times.days) == 1 and period == 1440 else 10
    recent = [slot in punctual for slot in due[-5:]]
    if len(served) < needed or gaps > 1 + len(due) / 25 or not recent[-1] or sum(recent) < 4:
        return None
    regular = {first[slot].start for slot in served}
    by_hand = sum(run.start not in regular and before.good for before, run in itertools.pairwise(runs))
    # after a change of the clock or a time without a run, it says nothing of how late runs usually are
    usual = [
        slot
        for earlier, slot in itertools.pairwise([None, *due])
        if slot in first and earlier in first and first[slot].start.utcoffset() == first[earlier].start.utcoffset()
    ]
    late = [first[slot].wall - times.due(slot) for slot in usual]
    if by_hand > 1 + len(runs) / 5 or len(late) < 3 or not _steady(times, usual, late):
        return None
    if _moved(times, before, 0) < 0.5 <= max(_moved(times, before, 60), _moved(times, before, -60)):
        return Suggestion({}, ("no schedule found: the times were moved by an hour; see --timezone",))
    late = [minutes + first[slot].logged_after / 60 for slot, minutes in zip(usual, late, strict=True)]
    return _limits(times, runs, late, f"{len(set(punctual) & set(due))} of {len(runs)} runs")


def _phase(offsets: list[float], period: int) -> tuple[int, float] | None:
    """The minute from which most offsets in a period count, and how much later than it they may be; None if they are anywhere."""
    offsets.sort()
    ring = offsets + [offset + period for offset in offsets]
    most = -(-len(offsets) * 7 // 10)
    width, start = min((end - start, start) for start, end in zip(offsets, ring[most - 1 :], strict=False))
    early = 0.0
    for apart in sorted(((offset - start + period / 2) % period - period / 2 for offset in offsets), reverse=True):
        if early - max(0.5, width / 2) < apart < early:
            early = apart
    width -= early
    # where runs vary, an earlier one is to be expected, the more so the fewer there are
    step = 1 if width <= 2 or period <= 10 else 5 if width <= 15 and len(offsets) >= 20 else 15
    phase = int((start + early + 5 / 60) // step * step)
    return None if width > min(0.45 * period, 50) else (phase % period, start + early + 2 * max(1.0, width) - phase)


def _with_days(times: _Times, slots: Sequence[int]) -> _Times | None:
    """The times with the hours and days that have slots; None if that is in doubt."""
    by_hour = Counter(times.due(slot) % 1440 // 60 for slot in slots)
    hours = _regular(by_hour, dict.fromkeys(by_hour, max(by_hour.values())), 0)
    by_day = Counter(times.due(slot) // 1440 for slot in slots)
    edge = 1 if times.period < 1440 else 0  # the log has only a part of its first and last day
    days = range(min(by_day) + edge, max(by_day) + 1 - edge)
    for kind in ("weekday", "day", "last") if hours else ():
        number = max(1, 60 / times.period * len(hours or ()))
        total = Counter(_day_keys(day)[kind] for day in days)
        ran = Counter(_day_keys(day)[kind] for day in days if by_day[day] >= number / 2)
        chosen = _regular(ran, total, 3 if kind == "weekday" else 1)
        if chosen and (len(total) == 7 if kind == "weekday" else all(total[key] >= 4 for key in chosen)):
            return _Times(times.period, times.phase, hours or chosen, kind, chosen)
    return None


def _regular(ran: Counter[int], total: Mapping[int, int], often: int) -> frozenset[int]:
    """The keys at which a job runs nearly always, if there were others `often` and it hardly ever ran at these; else none."""
    chosen = frozenset(key for key in total if ran[key] >= 0.7 * total[key])
    sure = all(ran[key] <= 0.15 * total[key] and total[key] >= often for key in total.keys() - chosen)
    return chosen if sure else frozenset()


def _steady(times: _Times, slots: Sequence[int], late: Sequence[float]) -> bool:
    """Whether the runs were not later and later, nor late in a part of the log, in some hours, or on some days."""
    spread = _most(late) - sorted(late)[len(late) // 20]
    groups: dict[tuple[str, int], list[float]] = defaultdict(list)
    for place, (slot, minutes) in enumerate(zip(slots, late, strict=True)):
        groups["half", 2 * place // len(late)].append(minutes)
        groups["end", place + 5 >= len(late)].append(minutes)
        groups["weekday", times.due(slot) // 1440 % 7].append(minutes)
        groups["hour", times.due(slot) % 1440].append(minutes)
    middle, limit = statistics.median_low(late), max(0.5, 0.6 * spread)
    if any(len(group) > 2 and abs(statistics.median_low(group) - middle) > limit for group in groups.values()):
        return False
    return spread <= 0.5 or abs(statistics.correlation(range(len(late)), late)) < 0.8


def _moved(times: _Times, runs: Sequence[Run], minutes: int) -> float:
    """The share of the runs that would be on time if they had begun so many minutes later."""
    slots = [(run.wall + minutes, times.slot(run.wall + minutes)) for run in runs]
    return sum(times.includes(slot) and wall - times.due(slot) < 30 for wall, slot in slots) / max(1, len(runs))


def _limits(times: _Times, runs: Sequence[Run], late: Sequence[float], share: str) -> Suggestion:
    most, least = _most(late), max(5, min(15, times.period))
    values = {"schedule": str(times), "warn": _limit(max(least, 2 * most)), "error": _limit(max(least, most) * 4)}
    days = _field(times.days, _WEEKDAYS) if times.kind == "weekday" else f"{_field(times.days, _DAYS)} of the month"
    on = {"*": "every day", "mon-fri": "on weekdays", "L of the month": "on the last day of the month"}
    ends = [
        f"{int(times.phase + minutes) // 60 % 24:02}:{int(times.phase + minutes) % 60:02}"
        for minutes in (min(late), most)
    ]
    began = (
        f"{' to '.join(dict.fromkeys(ends))}" if times.period == 1440 else f"up to {duration(max(1, most * 60))} late"
    )
    why = [f"{share} since {runs[0].start:%Y-%m-%d} began {began} {on.get(days, f'on {days}')}"]
    seconds = [run.seconds for run in runs if run.good and run.seconds is not None]
    if len(seconds) >= 5:
        usual, longest = statistics.median(seconds), _most(seconds)
        why.append(f"half took at most {duration(usual)}, 95% at most {duration(longest)}")
        if longest <= 5 * max(usual, 12):
            values["slow"] = Slow(_limit(max(1, longest / 30)))
    return Suggestion(values, tuple(why))


def _most(numbers: Sequence[float]) -> float:
    """What 95% of them don't exceed."""
    return sorted(numbers)[int(0.95 * len(numbers))]


def _limit(minutes: float) -> Duration:
    """The next longer time that people would choose."""
    return Duration(microseconds=60_000_000 * next((limit for limit in _NICE if limit >= minutes), _NICE[-1]))


def _field(numbers: frozenset[int], names: Sequence[str]) -> str:
    """Numbers as a list and ranges of crontab(5)."""
    if len(numbers) == len(names):
        return "*"
    words = []
    for _, group in itertools.groupby(enumerate(sorted(numbers)), lambda pair: pair[1] - pair[0]):
        part = [names[number] for _, number in group]
        words.append(f"{part[0]}-{part[-1]}" if len(part) > 2 else ",".join(part))
    return ",".join(words)


@functools.lru_cache(maxsize=1000)
def _day_keys(day: int) -> Mapping[str, int]:
    """The keys of a day, by their kind: the day of the week, from Sunday, the day of the month, and this with _LAST."""
    found = date.fromordinal(day)
    last = found.day == calendar.monthrange(found.year, found.month)[1]
    return {"weekday": found.isoweekday() % 7, "day": found.day, "last": _LAST if last else found.day}
