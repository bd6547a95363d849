"""Performance data: which figures, under which labels. Their syntax comes from nagiosplugin's Performance."""

import math
from collections.abc import Sequence

from nagiosplugin import Performance

from check_jobmon.judging.job import Job
from check_jobmon.text import label


def job_perfdata(job: Job) -> str:
    """A job's figures, blank between: age (s, with its limits), failures in a row, duration of the last run (s). With a schedule,
    the limits belong to one more figure, late (s): how long ago its next run was due.

    Figures that a job lacks, because it has never run, are left out: Icinga 2 rejects the guidelines' `U` for unknown values.
    """
    name = label(job.name)
    figures = []
    limits = (job.warn_after, job.error_after)
    if job.age is not None and math.isfinite(job.age):
        figures.append(_seconds(f"{name} age", job.age, *((None, None) if job.schedule else limits)))
    if job.late is not None and math.isfinite(job.late):
        figures.append(_seconds(f"{name} late", job.late, *limits))
    figures.append(Performance(f"{name} failures", job.failures, "", _limit(job.sensitivity), "", 0))
    if job.duration is not None and math.isfinite(job.duration):
        figures.append(_seconds(f"{name} duration", job.duration))
    return " ".join(str(figure) for figure in figures)


def summary_perfdata(counts: Sequence[int], quiet: Sequence[int], query_seconds: float) -> str:
    """The counts by state, how long the query took (s), and how many of the jobs that are OK are silenced or wait."""
    critical, warning, unknown, ok = counts
    silenced, waiting = quiet
    figures = [
        Performance("critical", critical),
        Performance("warning", warning),
        Performance("ok", ok),
        _seconds("query", query_seconds),
        Performance("unknown", unknown),
        Performance("silenced", silenced),
        Performance("waiting", waiting),
    ]
    return " ".join(str(figure) for figure in figures)


def _seconds(name: str, value: float, warn: float | None = None, crit: float | None = None) -> Performance:
    return Performance(name, _number(max(value, 0)), "s", _limit(warn), _limit(crit), 0)


def _limit(value: float | None) -> str:
    """An upper limit as a Nagios range. A bare number means `0:number`, so a negative limit is written `~:number`."""
    if value is None or math.isinf(value):
        return ""
    return _number(value) if value >= 0 else f"~:{_number(value)}"


def _number(value: float) -> str:
    """A decimal number without an exponent: milliseconds are enough."""
    return f"{round(value, 3) + 0:.3f}".rstrip("0").rstrip(".")  # + 0 makes 0 of -0
