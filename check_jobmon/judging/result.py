"""The result of a check: its state, first line, long output and perfdata, or why it failed.

Prints nothing and fetches nothing: the caller passes the jobs.
"""

import errno
from typing import TYPE_CHECKING, NamedTuple

from check_jobmon.text import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from check_jobmon.judging.check import MonitoredJobs
    from check_jobmon.judging.job import Job
    from check_jobmon.judging.job_log import Inquiry

CONFIGURING = "reading the configuration file"
CONNECTING = "connecting"
QUERYING = "waiting for the check query"
STAGE_HINTS = {
    CONFIGURING: "see that it is a file, on a disk that answers",
    CONNECTING: (
        "see that the host is up, its name resolves, no firewall drops the packets, and the server there is not stopped"
    ),
    QUERYING: "look at the server's load and locks, or give more time with -t",
}
STATES = ("ok", "warning", "critical", "unknown")
UNKNOWN = 3
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)
"""The errors of a system that has no more files, processes or memory to give."""
SERVER_SHARE = 0.9
"""The part of the deadline that a query may take on the server, so that its own error comes before the alarm."""


class JobResult(NamedTuple):
    """One job as it was judged: its state, and why if it is a problem. One that is not active is OK."""

    job: "Job"
    state: int
    reason: str


class Result(NamedTuple):
    """What the check of one database came to. `word` is what the state is called there, `counts` how many jobs are
    critical, warning and ok; `perfdata` is the summary's, then one text a job, those to keep first.
    """

    state: int
    word: str
    summary: str
    long_output: "Sequence[str]" = ()
    perfdata: "Sequence[str]" = ()
    counts: tuple[int, int, int] | None = None
    jobs: tuple[JobResult, ...] = ()

    @property
    def first_line(self) -> str:
        """The first line of the output, without perfdata."""
        return f"JOBMON {self.word} - {self.summary}"


def failed(state: int, reason: str) -> Result:
    """The result of a check that could not judge, for this reason."""
    return Result(state, STATES[state].upper(), clean(reason))


def unanswered(seconds: float, stage: str, where: str) -> str:
    """Reason text for a check that timed out."""
    reason = f"no answer within {seconds:g}s while {stage or 'starting'} ({where or 'default host and database'})"
    return f"{reason}: {STAGE_HINTS.get(stage, 'look at the load of this machine')}"


def unexpected(error: Exception, verbose: int = 0) -> Result:
    """The result of a check that a bug or a lack of resources ended; with -vvv also the traceback."""
    if isinstance(error, OSError) and error.errno in EXHAUSTED:
        reason = f"{error.strerror}: this machine lets the check have too little, see its limits (ulimit -n, ulimit -u)"
    else:
        from check_jobmon import __version__

        name = type(error).__name__
        reason = f"a bug in check_jobmon {__version__}: {name}: {clean(str(error), 300)} (-vvv shows where)"
    result = failed(UNKNOWN, reason)
    if verbose >= 3:
        import traceback

        lines = "".join(traceback.format_exception(error)).splitlines()
        result = result._replace(long_output=[clean(line) for line in lines])
    return result


def judged(
    log: "Inquiry", jobs: "MonitoredJobs", *, verbose: int, crashed: str, perfdata: str, with_jobs: bool = False
) -> Result:
    """The result of the jobs that the caller has fetched, and with `with_jobs` also of each of them.

    `verbose` is how often -v was given, `crashed` the state of a crashed job, `perfdata` which figures to give.
    """
    import nagiosplugin

    from check_jobmon.judging.check import STATES as JOB_STATES
    from check_jobmon.judging.check import JobContext, JobSummary
    from check_jobmon.judging.perfdata import job_perfdata, summary_perfdata

    summary = JobSummary(jobs, verbose)
    check = nagiosplugin.Check(jobs, JobContext(JOB_STATES[crashed]), summary)
    check()
    # Nothing monitored is fine; nagiosplugin would call no results unknown.
    state = int(check.exitcode) if check.results else 0
    long_output = list(check.verbose_str or [])
    if verbose:
        long_output.extend(f"note: {clean(note)}" for note in log.notes)
    if verbose >= 3:
        long_output.append(f"connection: {clean(log.describe())}, in {log.session.connect_seconds:.3f}s")
        long_output.append(
            f'query: job_status.sql on schema "{clean(log.schema)}", {log.rows} rows, in {log.query_seconds:.3f}s'
        )
    critical, warning, ok = (summary.count(check.results, JOB_STATES[s]) for s in ("critical", "warning", "ok"))
    figures: list[str] = []
    if perfdata != "none":
        figures.append(summary_perfdata(critical, warning, ok, log.query_seconds))
    if perfdata in ("all", "problems"):
        figures.extend(
            job_perfdata(result.metric.value) for result in check.results if perfdata == "all" or int(result.state)
        )
    counts = (critical, warning, ok)
    each: tuple[JobResult, ...] = ()
    if with_jobs:
        each = tuple(JobResult(r.metric.value, int(r.state), r.hint or "") for r in check.results)
        each += tuple(JobResult(job, 0, "") for job in jobs.jobs if not job.active)
    return Result(state, jobs.words.of(state), check.summary_str, long_output, figures, counts, each)
