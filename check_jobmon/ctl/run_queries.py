"""Queries for runs and their steps. They read the tables, and never call a function of the schema."""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from check_jobmon.ctl.connecting import CommandFailed, JobLog
from check_jobmon.ctl.table import NAME, PROSE, Row, Table
from check_jobmon.sql_files import fill, sql_file
from check_jobmon.text import duration, heading, title, without_zone

MOST_STEPS = 1000
"""Steps of a run that are shown, the last ones."""


@dataclass(frozen=True)
class Run:
    """A run. `state` is ended, running, crashed, or open if it can't be seen which of these (standby, no pg_monitor);
    times are in ISO 8601.

    `seconds` is how long it took, or has been running; None if it crashed, or if its times are infinite, BC or after 9999.
    `why` is the step that failed, or that the run is at. `client_host` and `client_pid` are None for a run in a backend.
    """

    job_id: int
    job_name: str
    owner: str
    pid: int
    start_time: str
    end_time: str | None
    status: str | None
    alert_code: int | None
    state: str
    seconds: float | None
    why: str
    client_host: str | None
    client_pid: int | None

    @property
    def place(self) -> str:
        """The process that runs it."""
        on = f"on {self.client_host}, pid {self.client_pid}, backend " if self.client_pid else "pid "
        return f"{on}{self.pid}"

    @property
    def word(self) -> str:
        """How it ended, or that it has not."""
        return self.status or "-" if self.state == "ended" else self.state

    @property
    def code(self) -> int | None:
        """The alert code by which it is coloured: a crash is a warning."""
        return 2 if self.state == "crashed" else self.alert_code

    @property
    def instant(self) -> float:
        """When it started, to sort by."""
        try:
            return datetime.fromisoformat(self.start_time).timestamp()
        except ValueError:
            return math.inf if self.start_time == "infinity" else -math.inf

    @property
    def duration_text(self) -> str:
        """How long it took, or has been running."""
        return duration_text(self.seconds)

    @property
    def label(self) -> str:
        """The run in a sentence."""
        return f"job {self.job_id} ({self.job_name})"


@dataclass(frozen=True)
class Step:
    """A step of a run. `offset` is the seconds from the run's start to its own, 0 if one of them is infinite, BC or after 9999;
    `seconds` is how long it took, None then and while it is open.
    """

    step_id: int
    action: str
    start_time: str
    end_time: str | None
    status: str | None
    alert_code: int | None
    offset: float
    seconds: float | None
    message: str | None


async def runs(log: JobLog, source: str, *parameters: Any) -> list[Run]:
    """The runs whose job_ids a SELECT gives, newest first."""
    query = fill(sql_file("ctl/runs.sql"), {"source": source, "job_id": "n.job_id"})
    rows = await log.asking(query, *parameters)
    return [Run(*row) for row in rows]


def run_with_id(log: JobLog, job_id: int) -> Run:
    """One run. Raises CommandFailed if there is none."""
    found = log.session.ask(runs(log, "SELECT %s::bigint AS job_id", job_id))
    if not found:
        raise CommandFailed(f"no run has job_id {job_id}{log.extent}: see jobmonctl show")
    return found[0]


async def newest_runs(log: JobLog, which: str, name: str | None, number: int) -> list[Run]:
    """The newest runs: `which` is one of the files runs_*.sql. Raises UnknownJob if there is none and no job has the name."""
    source = fill(sql_file(f"ctl/runs_{which}.sql"), {"job_name": "n.job_name", "limit": "asked.number"})
    found = await runs(log, source, name, number)
    if name and not found:
        await log.require_name(name)
    return found


def steps(log: JobLog, run: Run) -> tuple[list[Step], bool]:
    """A run's last steps, in their order, and whether there are earlier ones."""
    found = [Step(*row) for row in log.rows(sql_file("ctl/steps.sql"), MOST_STEPS + 1, run.job_id)]
    return found[-MOST_STEPS:], len(found) > MOST_STEPS


def table(found: list[Run], zone: str) -> Table:
    """Runs as a table. `zone` is the time zone of their times, for the table's head."""
    columns = ("JOB_ID", "JOB", heading("STARTED", zone), "TOOK", "STATUS", "OWNER", "PID", "WHY")
    rows = []
    for r in found:
        what = (without_zone(r.start_time), r.duration_text, r.word, r.owner, str(r.pid), r.why)
        rows.append(Row((str(r.job_id), title(r.job_name, 0), *what), r.code))
    cut = {"JOB": NAME, "WHY": PROSE}
    return Table(columns, rows, (0, 0, 2, 3, 1, 5, 4, 0), cut, right=("JOB_ID", "TOOK", "PID"))


def duration_text(seconds: float | None) -> str:
    """Seconds as a short duration; a time that is not known as a dash."""
    return "-" if seconds is None else duration(seconds, fraction=True)
