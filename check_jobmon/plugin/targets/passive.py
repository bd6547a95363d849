"""Passive results: what a monitoring server is told of a service that it doesn't check itself. Knows no server."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from check_jobmon.plugin.output import compose
from check_jobmon.plugin.targets.records import Record
from check_jobmon.text import label

CRITICAL, UNKNOWN = 2, 3


class SubmissionImpossible(Exception):
    """Nothing can be submitted. One line: what, where, what to do.

    The state is CRITICAL if the monitoring server doesn't take it, UNKNOWN if something has to be corrected here.
    """

    def __init__(self, reason: str, state: int = CRITICAL) -> None:
        super().__init__(reason)
        self.state = state


@dataclass(frozen=True)
class Passive:
    """One service's result: state 0 to 3, the output in its parts, when it was made (seconds since 1970)."""

    host: str
    service: str
    state: int
    first_line: str
    long_output: list[str]
    perfdata: list[str]
    began: float
    ended: float

    @property
    def name(self) -> str:
        """The service as people and Icinga call it."""
        return f"{self.host}!{self.service}"

    def text(self, max_bytes: int) -> str:
        """The output with its perfdata, in at most so many bytes, without a newline at its end."""
        return compose(self.first_line, self.long_output, self.perfdata, max_bytes).removesuffix("\n")


Told = Callable[[int, str], None]
"""Is told the number of each result, and in a line why it was not taken, empty if it was."""


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


def passive_results(records: Sequence[Record], service: str, per_job: bool) -> Iterator[Passive]:
    """For each target one result, and on demand one for each of its jobs."""
    for record in records:
        times = (record.began, record.ended)
        yield Passive(
            record.target, service, record.state, record.first_line, record.long_output, record.perfdata, *times
        )
        for job in record.jobs if per_job else ():
            name = service_of(service, job.name)
            yield Passive(record.target, name, job.state, job.output, [], [job.perfdata], *times)
