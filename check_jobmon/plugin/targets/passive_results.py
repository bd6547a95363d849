"""The result of a target, and the passive results made from it, for services that the monitoring server doesn't check itself.

The same for all monitoring servers.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from check_jobmon.judging.perfdata import job_perfdata
from check_jobmon.judging.result import JobResult, Result, failed
from check_jobmon.plugin.output import compose
from check_jobmon.text import duration, label, title

CRITICAL, UNKNOWN = 2, 3


class TargetResult(NamedTuple):
    """The result of checking a target, and when the check began and ended (seconds since 1970)."""

    target: str
    result: Result
    began: float
    ended: float


class PassiveResult(NamedTuple):
    """The result of one service, which is a target's own or that of one of its jobs. Times as in TargetResult."""

    host: str
    service: str
    result: Result
    began: float
    ended: float
    job: str | None = None

    @property
    def name(self) -> str:
        """The service as people and Icinga call it."""
        return f"{self.host}!{self.service}"

    def text(self, max_bytes: int) -> str:
        """The output with its perfdata, in at most so many bytes, without a newline at its end."""
        result = self.result
        return compose(result.first_line, result.long_output, result.perfdata, max_bytes).removesuffix("\n")


class SubmissionImpossible(Exception):
    """The monitoring server takes no results. One line: what, where, what to do."""

    state = CRITICAL


class SubmissionMisconfigured(SubmissionImpossible):
    """Something has to be corrected on this side before results can be submitted. One line as above."""

    state = UNKNOWN


OnSubmitted = Callable[[int, str], None]
"""Called with the number of each passive result and one line why it was refused, empty if it was taken."""


def passive_results(results: Sequence[TargetResult], service: str, per_job: bool) -> Iterator[PassiveResult]:
    """One passive result for each target, and with `per_job` one for each of its jobs."""
    for target, result, began, ended in results:
        yield PassiveResult(target, service, result, began, ended)
        for job in result.jobs if per_job else ():
            name = job.job.name
            yield PassiveResult(target, service_of(service, name), _job_result(job), began, ended, name)


def service_of(service: str, job: str) -> str:
    """The name of a job's service. Legal in Nagios and Icinga, the same every time, and no other job's.

    >>> service_of("JOBMON", "NIGHTLY ETL")
    'JOBMON NIGHTLY ETL'
    >>> service_of("JOBMON", "A=B")
    'JOBMON A_B#52b82c13'
    >>> service_of("JOBMON", "A_B#52b82c13")
    'JOBMON A_B#52b82c13_#87a3ebad'
    """
    # label() marks its hash with `~`, which Nagios forbids; a name that looks as if it had one with `#` gets one more
    name = label(f"{job}~" if re.search("#[0-9a-f]{8}$", job) else job)
    return f"{service} {name.replace('~', '#')}"


def _job_result(judged: JobResult) -> Result:
    job = judged.job
    if not job.active:
        summary = "not watched: active is false"
    elif judged.reason:
        summary = judged.reason
    elif job.age is None:
        summary = "no run has completed yet"
    else:
        summary = f"last run {duration(max(job.age, 0))} ago"
    return failed(judged.state, f"{title(job.name)}: {summary}")._replace(perfdata=[job_perfdata(job)])
