"""The results of targets and of their jobs, each for a service that the monitoring server doesn't check itself.

The same for all monitoring servers. Each of those has a module with a function submit(), which submits all results until a
deadline (of time.monotonic()), and calls `on_submitted` with the number of each result and, if it was refused, one line why
(else an empty text). It raises SubmissionImpossible.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from check_jobmon.config.services import service_of
from check_jobmon.judging.perfdata import job_perfdata
from check_jobmon.judging.result import CRITICAL, UNKNOWN, JobResult, Result, failed
from check_jobmon.plugin.output import compose
from check_jobmon.text import duration, title


class PassiveResult(NamedTuple):
    """The result of one service, which is a target's own or that of one of its jobs: `host` is the target's name.

    `began` and `ended` say when the target was checked (seconds since 1970).
    """

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
        return compose(self.result, max_bytes).removesuffix("\n")


class SubmissionImpossible(Exception):
    """The monitoring server takes no results. One line: what, where, what to do."""

    state = CRITICAL


class SubmissionMisconfigured(SubmissionImpossible):
    """Something has to be corrected on this side before results can be submitted. One line as above."""

    state = UNKNOWN


def with_jobs(targets: Sequence[PassiveResult]) -> Iterator[PassiveResult]:
    """The results of targets, each with those of its jobs after it."""
    for target in targets:
        yield target
        for job in target.result.jobs:
            name = job.job.name
            yield target._replace(service=service_of(target.service, name), result=_job_result(job), job=name)


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
    if judged.state and job.runbook_url:
        summary += f", runbook: {job.runbook_url}"
    result = failed(judged.state, f"{title(job.name)}: {summary}")
    return result._replace(long_output=job.about, perfdata=[job_perfdata(job)])
