"""The places of all that is in the report's pictures, in per cent or as SVG's dashes. pictures.svg.j2 draws it, with titles."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from check_jobmon.ctl.report.collecting import Gap, Log, Shown, Slot
from check_jobmon.ctl.run_queries import Run

KINDS = ("other", "ok", "warning", "critical")
"""What runs are drawn as, by alert code; 0 is a status that is none of the words."""
WEIGHTIEST = ("critical", "crashed", "missed", "running", "warning", "other", "ok")
"""In this order the kinds get a title for each bar, as long as there are no more than TITLED bars."""
TITLED = 2000
NARROWEST, NOW = 0.2, 98.5
"""Per cent of the timeline's width: what a bar has at least, and where the window ends, so that marks there have room."""
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class Row(NamedTuple):
    """A job's timeline: bars (kind, x, width, what it shows), and the dashes of those without titles (kind, dashes, how many)."""

    bars: Sequence[tuple[str, float, float, Slot | Gap | Run]]
    dashes: Sequence[tuple[str, str, int]]
    number: Counter[str]


def rows(log: Log, logs: int) -> list[Row]:
    """The timelines of the log's jobs. `logs`: how many share the page."""
    number = Counter(kind for one in log.jobs for kind, _ in _things(one))
    titled, left = set(), TITLED // logs
    for kind in WEIGHTIEST:
        left -= number[kind]
        if left >= 0:
            titled.add(kind)
    drawn = []
    for one in log.jobs:
        bars = []
        spans: dict[str, list[tuple[float, float]]] = {}
        for kind, thing in _things(one):
            x, end = (place(at, log) for at in _span(thing, log))
            if kind in titled:
                bars.append((kind, x, round(max(NARROWEST, end - x), 2), thing))
            else:
                spans.setdefault(kind, []).append((x, end))
        dashes = [(kind, _dashes(found), len(found)) for kind, found in spans.items()]
        drawn.append(Row(bars, dashes, Counter(kind for kind, _ in _things(one))))
    return drawn


def _things(one: Shown) -> Iterable[tuple[str, Slot | Gap | Run]]:
    yield from (("missed", gap) for gap in one.gaps)
    yield from ((KINDS[slot.alert_code], slot) for slot in one.slots)
    yield from (("crashed" if run.state == "crashed" else "running", run) for run in one.open_runs)


def _span(thing: Slot | Gap | Run, log: Log) -> tuple[float, float]:
    """From when until when, in seconds since the window began."""
    if not isinstance(thing, Run):
        return thing.began, thing.ended
    # a time that no clock shows is at the window's beginning
    began = thing.instant - log.until + log.seconds if math.isfinite(thing.instant) else 0.0
    return began, began if thing.state == "crashed" else log.seconds


def place(at: float, log: Log) -> float:
    """Where a time of the window is, in per cent of the timeline's width."""
    return round(min(NOW, max(0.0, NOW * at / log.seconds)), 2)


def _dashes(spans: Sequence[tuple[float, float]]) -> str:
    """A line's dashes, in thousandths of the width. Those that are no more than one apart are joined."""
    merged: list[list[int]] = []
    for begins, ends in sorted(spans):
        x, end = round(begins * 10), max(round(begins * 10) + 2, round(ends * 10))
        if merged and x <= merged[-1][1] + 1:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([x, end])
    before = [0, *(end for _, end in merged)]
    return f"0 {' '.join(f'{x - left} {end - x}' for left, (x, end) in zip(before, merged, strict=False))} 1000"


def longest(one: Shown, log: Log, columns: int) -> list[Slot]:
    """Of each of so many parts of the window, the run that took longest."""
    found: dict[int, Slot] = {}
    for slot in one.slots:
        column = min(columns - 1, int(slot.began / log.seconds * columns))
        if slot.longest is not None and (column not in found or slot.longest >= found[column].longest):
            found[column] = slot
    return [*found.values()]
