"""The result of a check: its state, first line, long output and perfdata, or why it failed. Imports no library."""

import errno
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from check_jobmon.text import clean

if TYPE_CHECKING:
    from check_jobmon.judging.job import Job

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
CRITICAL, UNKNOWN = 2, 3
WORST_FIRST = (2, 1, 3, 0)
"""Exit statuses, the worst first: what can't be judged hides no other's alert."""
HEADLINE = 400
"""Characters that the first line spends on naming problems; the rest are counted."""
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)
"""The errors of a system that has no more files, processes or memory to give."""
SERVER_SHARE = 0.9
"""The part of the deadline that a query may take on the server, so that its own error comes before the alarm."""


class JobResult(NamedTuple):
    """One job as it was judged: its state, and why if it is a problem. One that is not active is OK.

    When it succeeded last, in seconds since 1970, and its number of open runs are known only if they were asked for.
    """

    job: "Job"
    state: int
    reason: str
    last_success: float | None = None
    open_runs: int = 0


class Result(NamedTuple):
    """What the check of one database came to. `word` is what the state is called there, `counts` how many jobs are
    critical, warning, unknown and ok; `perfdata` is the summary's, then one text a job, those to keep first.
    """

    state: int
    word: str
    summary: str
    long_output: Sequence[str] = ()
    perfdata: Sequence[str] = ()
    counts: tuple[int, ...] | None = None
    jobs: tuple[JobResult, ...] = ()
    query_seconds: float | None = None

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
