"""Where the report's pictures have what: bars, dots, cells as numbers or SVG's paths, and titles. pictures.svg.j2 draws them.

Where there is too much for a title each, marks that look the same are one path.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from check_jobmon.ctl.report.collecting import Gap, Log, Shown, Slot, Start
from check_jobmon.ctl.run_queries import Run, duration_text
from check_jobmon.text import counted, cut, duration, without_zone

KINDS = ("other", "ok", "warning", "critical")
"""What runs are drawn as, by alert code; 0 is a status that is none of the words."""
WEIGHTIEST = ("critical", "crashed", "missed", "running", "warning", "other", "ok")
"""In this order the kinds get titles, as long as there are no more than TITLED bars."""
TITLED = 2000
NARROWEST, NOW = 0.2, 98.5
"""Per cent of the timeline's width: what a bar has at least, and where the window ends, so that marks there have room."""
WIDE, HIGH = 300, 72
"""The size of the chart of durations."""
COLUMNS = 60
"""Dots in it at most: one for each of so many parts of the window, a third as many without titles."""
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class Bar(NamedTuple):
    """Something on the timeline; `x` and `width` are per cent of it."""

    kind: str
    x: float
    width: float
    title: str


class Path(NamedTuple):
    """Marks of one kind."""

    kind: str
    d: str
    title: str


class Row(NamedTuple):
    """A job's timeline."""

    bars: Sequence[Bar]
    paths: Sequence[Path]
    summary: str


class Chart(NamedTuple):
    """The durations: dots, and lines at limits (kind, y, y of the text, text)."""

    dots: Sequence[Path]
    lines: Sequence[tuple[str, int, int, str]]
    top: str


def rows(log: Log) -> list[Row]:
    """The timelines of the log's jobs."""
    number = Counter(kind for one in log.jobs for kind, _ in _things(one))
    titled, left = set(), TITLED
    for kind in WEIGHTIEST:
        left -= number[kind]
        if left >= 0:
            titled.add(kind)
    drawn = []
    for one in log.jobs:
        why = {run.job_id: run.why for run, _ in one.failed}
        bars: list[Bar] = []
        spans: dict[str, list[tuple[float, float]]] = {}
        for kind, thing in _things(one):
            x, end = (_place(at, log) for at in _span(thing, log))
            if kind in titled:
                bars.append(Bar(kind, round(x, 2), round(max(NARROWEST, end - x), 2), _title(thing, log, why)))
            else:
                spans.setdefault(kind, []).append((x, end))
        drawn.append(Row(bars, [_strokes(kind, found) for kind, found in spans.items()], _summary(one)))
    return drawn


def _things(one: Shown) -> Iterable[tuple[str, Slot | Gap | Run]]:
    yield from (("missed", gap) for gap in one.gaps)
    yield from ((KINDS[slot.alert_code], slot) for slot in one.slots)
    yield from (("crashed" if run.state == "crashed" else "running", run) for run in one.open_runs)


def _span(thing: Slot | Gap | Run, log: Log) -> tuple[float, float]:
    """From when until when, in seconds since the window began."""
    if not isinstance(thing, Run):
        return thing.began, thing.ended
    try:
        began = datetime.fromisoformat(thing.start_time).timestamp() - log.until + log.seconds
    except ValueError:  # a time that no clock shows
        began = 0.0
    return began, began if thing.state == "crashed" else log.seconds


def _place(at: float, log: Log) -> float:
    return min(NOW, max(0.0, NOW * at / log.seconds))


def place(at: float, log: Log) -> float:
    """Where a time of the window is, in per cent of the timeline's width."""
    return round(_place(at, log), 2)


def _title(thing: Slot | Gap | Run, log: Log, why: dict[int, str]) -> str:
    if isinstance(thing, Gap):
        return f"missing{f' since {thing.due}' if thing.due else ''}, until {thing.until or 'now'}"
    if isinstance(thing, Run):
        lasting = f" for {thing.duration_text}" if thing.seconds is not None else ""
        return f"{without_zone(thing.start_time)}: {thing.word}{lasting}{_because(thing.why)}"
    took = (
        ""
        if thing.longest is None
        else f", {'the longest ' if thing.runs > 1 else ''}took {duration_text(thing.longest)}"
    )
    if thing.runs > 1:
        failed = f", {thing.failures} failed" if thing.failures else ""
        return f"{thing.started}: {thing.runs} runs{failed}{took}"
    word = log.words[thing.alert_code - 1] if thing.alert_code else "ended"
    return f"{thing.started}: {word}{took}{_because(why.get(thing.job_id, ''))}"


def _because(why: str) -> str:
    return f": {cut(why, 200)}" if why else ""


def _strokes(kind: str, spans: Sequence[tuple[float, float]]) -> Path:
    """One line for all of them, in thousandths of the width, with its dashes as `d`: those closer than one are one."""
    merged: list[list[int]] = []
    for begins, ends in sorted(spans):
        x, end = round(begins * 10), max(round(begins * 10) + 2, round(ends * 10))
        if merged and x <= merged[-1][1] + 1:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([x, end])
    before = [0, *(end for _, end in merged)]
    dashes = (f"{x - left} {end - x}" for left, (x, end) in zip(before, merged, strict=False))
    return Path(kind, f"0 {' '.join(dashes)} 1000", f"{len(spans)} times {kind}")


def _summary(one: Shown) -> str:
    number = Counter(kind for kind, _ in _things(one))
    failed = f", {one.figures.failures} failed" if one.figures.failures else ""
    more = "".join(f", {number[kind]} {kind}" for kind in ("running", "crashed", "missed") if number[kind])
    return f"{counted(one.figures.runs, 'run')}{failed}{more}"


def nights(log: Log) -> bool:
    """Whether nights are drawn: where they can be told apart, and there is a line for each day."""
    return 86400 < log.seconds <= 45 * 86400


def chart(one: Shown, log: Log, titled: bool) -> Chart | None:
    """The durations of a job's runs: of each part of the window the longest. None if no run has one."""
    columns = COLUMNS if titled else COLUMNS // 3
    longest: dict[int, Slot] = {}
    for slot in one.slots:
        column = min(columns - 1, int(slot.began / log.seconds * columns))
        if slot.longest is not None and (column not in longest or slot.longest >= (longest[column].longest or 0)):
            longest[column] = slot
    if not longest:
        return None
    figures = one.figures
    limits = {
        "median": figures.median,
        "slow": figures.usual_limit,
        "warning": figures.warn_duration,
        "critical": figures.error_duration,
        "at least": figures.min_duration,
    }
    most = max(slot.longest or 0 for slot in longest.values())
    near = {kind: value for kind, value in limits.items() if value is not None and value <= 4 * most}
    top = max([most, *near.values()]) or 1.0
    dots: dict[str, list[str]] = {}
    paths = []
    for slot in longest.values():
        x, y, kind = round(slot.began / log.seconds * WIDE), _height(slot.longest or 0, top), KINDS[slot.alert_code]
        if titled:
            paths.append(Path(kind, f"M{x} {HIGH}V{y}", _title(slot, log, {})))
        dots.setdefault(kind, []).append(f"M{x} {y}h0")
    paths += [Path(f"dots {kind}", "".join(found), "") for kind, found in dots.items()]
    lines, above = [], 0
    for kind, value in sorted(near.items(), key=lambda limit: -limit[1]):
        above = max(above + 10, _height(value, top) + 3)  # no text over another
        lines.append((kind, _height(value, top), above, f"{kind} {duration(value, fraction=True)}"))
    return Chart(paths, lines, duration(most, fraction=True))


def _height(seconds: float, top: float) -> int:
    return round(HIGH - seconds / top * (HIGH - 6))


def heat(starts: Sequence[Start], titled: bool) -> list[Path]:
    """When runs began, as cells of a day and an hour in four shades (l1 to l4), without titles in two, and dots (x) where runs
    failed."""
    most = max((start.runs for start in starts), default=1)
    dots, paths = [], []
    for start in starts:
        if titled:
            failed = f", {start.failures} failed" if start.failures else ""
            title = f"{DAYS[start.day]} {start.hour:02}:00: {counted(start.runs, 'start')}{failed}"
            paths.append(Path(f"l{math.ceil(4 * start.runs / most)}", f"M{start.hour} {start.day}h1", title))
        if start.failures:
            dots.append(f"M{start.hour} {start.day}h0")
    if not titled:
        busy = [start for start in starts if 2 * start.runs > most > 3]
        paths = [Path("l2", _cells(starts), ""), Path("l3", _cells(busy), "")]
    return [path for path in (*paths, Path("x", "".join(dots), "")) if path.d]


def _cells(starts: Iterable[Start]) -> str:
    """Cells as strokes: those side by side are one."""
    strokes: list[list[int]] = []
    for start in starts:
        if strokes and strokes[-1][0] == start.day and strokes[-1][2] == start.hour:
            strokes[-1][2] += 1
        else:
            strokes.append([start.day, start.hour, start.hour + 1])
    return "".join(f"M{begin} {day}h{end - begin}" for day, begin, end in strokes)


def busiest(starts: Sequence[Start]) -> str:
    """The hour in which most runs began, for those who don't see the picture."""
    most = max(starts, key=lambda start: start.runs)
    return f"most of them {DAYS[most.day]} {most.hour:02}:00"
