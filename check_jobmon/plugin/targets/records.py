"""One target's result as it passes from the process that checks to the one that tells: a line of JSON each.

A line that was cut short because the process was killed is as good as none.
"""

import dataclasses
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from check_jobmon.judging.perfdata import job_perfdata
from check_jobmon.judging.result import STATES, JobResult, Result
from check_jobmon.plugin.output import compose
from check_jobmon.text import duration, title


@dataclass(frozen=True)
class JobRecord:
    """One job of a target. Times in seconds."""

    name: str
    state: int
    reason: str
    output: str
    perfdata: str
    active: bool
    failures: int
    sensitivity: int
    age: float | None
    warn: float | None
    error: float | None
    duration: float | None


@dataclass(frozen=True)
class Record:
    """What the check of a target came to, and when it was made (seconds since 1970)."""

    target: str
    state: int
    word: str
    summary: str
    began: float
    ended: float
    long_output: list[str] = field(default_factory=list)
    perfdata: list[str] = field(default_factory=list)
    counts: list[int] | None = None
    jobs: list[JobRecord] = field(default_factory=list)

    @property
    def first_line(self) -> str:
        """The first line of the output, as of a single check."""
        return f"JOBMON {self.word} - {self.summary}"

    def output(self, max_bytes: int) -> str:
        """The output, as of a single check."""
        return compose(self.first_line, self.long_output, self.perfdata, max_bytes)


def record(target: str, result: Result, began: float, ended: float) -> Record:
    """A target's result."""
    jobs = [_job(job) for job in result.jobs]
    counts = list(result.counts) if result.counts else None
    texts = (list(result.long_output), list(result.perfdata))
    return Record(target, result.state, result.word, result.summary, began, ended, *texts, counts, jobs)


def _job(result: JobResult) -> JobRecord:
    job = result.job
    if not job.active:
        said = "not watched: active is false"
    elif result.reason:
        said = result.reason
    elif job.age is None:
        said = "no run has completed yet"
    else:
        said = f"last run {duration(max(job.age, 0))} ago"
    return JobRecord(
        job.name,
        result.state,
        result.reason,
        f"JOBMON {STATES[result.state].upper()} - {title(job.name)}: {said}",
        job_perfdata(job),
        job.active,
        job.failures,
        job.sensitivity,
        *(_finite(seconds) for seconds in (job.age, job.warn_after, job.error_after, job.duration)),
    )


def _finite(seconds: float | None) -> float | None:
    return None if seconds is None or not math.isfinite(seconds) else round(seconds, 3)


def write(file: int, what: dict[str, Any]) -> None:
    """Append a line. Raises OSError."""
    data = json.dumps(what).encode() + b"\n"  # ASCII, whatever is in the names
    while data:
        data = data[os.write(file, data) :]


def write_record(file: int, number: int, record: Record) -> None:
    """Append the result of the target with that number. Raises OSError."""
    # not asdict(), which copies all of it
    fields = {name: getattr(record, name) for name in _FIELDS}
    write(file, {"number": number, **fields, "jobs": [vars(job) for job in record.jobs]})


_FIELDS = [f.name for f in dataclasses.fields(Record)]


def read(file: int) -> Iterator[dict[str, Any]]:
    """All lines that are whole."""
    os.lseek(file, 0, os.SEEK_SET)
    with os.fdopen(os.dup(file), "rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                yield json.loads(line)


def parsed(line: dict[str, Any]) -> Record:
    """The record of a line that write_record() wrote."""
    jobs = [JobRecord(**job) for job in line["jobs"]]
    return Record(**{**{name: line[name] for name in _FIELDS}, "jobs": jobs})
