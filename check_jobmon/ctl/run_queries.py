"""A run of a job and its steps, as the commands show them: read from the tables, never through a function of the schema."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from check_jobmon.ctl.table import Row, Table
from check_jobmon.schema.scripts import job_runs
from check_jobmon.sql_files import sql_file
from check_jobmon.text import duration

if TYPE_CHECKING:
    from check_jobmon.ctl.runner import JobLog

RUNS, STEPS = sql_file("ctl/runs.sql"), sql_file("ctl/steps.sql")
MOST_STEPS = 1000
"""Steps of a run that are shown, the last ones."""


@dataclass(frozen=True)
class Run:
    """A run. `state` is ended, running, crashed, or open where a standby can't tell; times are in ISO 8601.

    `seconds` it took, or is running for; None where it crashed, or where its times are none that a clock shows. `why` is the
    step that says why it failed or where it is.
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

    @property
    def word(self) -> str:
        """How it ended, or that it has not."""
        return self.status or "-" if self.state == "ended" else self.state

    @property
    def code(self) -> int | None:
        """The alert code by which it is coloured: a crash is a warning."""
        return 2 if self.state == "crashed" else self.alert_code

    @property
    def took(self) -> str:
        """How long it took, or is running for."""
        return took(self.seconds)

    @property
    def named(self) -> str:
        """The run in a sentence."""
        return f"job {self.job_id} ({self.job_name})"


@dataclass(frozen=True)
class Step:
    """A step of a run. `offset` is its start in seconds after the run's, 0 where the times are none that a clock shows;
    `seconds` it took, None there and while it is open.
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


def runs(log: "JobLog", source: str, *parameters: Any) -> list[Run]:
    """The runs whose job_ids a SELECT gives, newest first."""
    return [Run(*row) for row in log.rows(RUNS.replace("@source@", source), *parameters)]


def run_with_id(log: "JobLog", job_id: int) -> Run:
    """One run. Raises NotDone where there is none."""
    from check_jobmon.ctl.runner import NotDone

    found = runs(log, "SELECT %s::bigint AS job_id", job_id)
    if not found:
        raise NotDone(f"no run has job_id {job_id}: see jobmonctl show")
    return found[0]


def runs_of(log: "JobLog", name: str, number: int) -> list[Run]:
    """A job's newest runs. Raises NotDone where no job has the name; a job that never ran has none."""
    # the name and the number are said once, and job_runs.sql needs them several times
    source = f"""
        SELECT r.job_id
          FROM (SELECT upper(%s) AS name, %s AS number) AS asked
         CROSS JOIN LATERAL ({job_runs("asked.name", "asked.number")}) AS r
    """
    found = runs(log, source, name, number)
    if not found and (unknown := log.unknown(name)):
        raise unknown
    return found


def steps(log: "JobLog", run: Run) -> tuple[list[Step], bool]:
    """A run's last steps, in their order, and whether there are earlier ones."""
    found = [Step(*row) for row in log.rows(STEPS, MOST_STEPS + 1, run.job_id)]
    return found[-MOST_STEPS:], len(found) > MOST_STEPS


def table(found: list[Run]) -> Table:
    """Runs as a table."""
    return Table(
        ("JOB_ID", "JOB", "STARTED", "TOOK", "STATUS", "OWNER", "PID", "WHY"),
        tuple(
            Row((str(r.job_id), r.job_name, moment(r.start_time), r.took, r.word, r.owner, str(r.pid), r.why), r.code)
            for r in found
        ),
        right=frozenset({"JOB_ID", "TOOK", "PID"}),
    )


def json_object(run: Run) -> dict[str, Any]:
    """The run for JSON."""
    return asdict(run)


def moment(time: str) -> str:
    """A time of ISO 8601 as people read it, to the second; any other as it is.

    >>> moment("2024-02-29T01:02:03.456789+05:30"), moment("2024-02-29T01:02:03.456789+00:00")
    ('2024-02-29 01:02:03 +05:30', '2024-02-29 01:02:03 +00')
    """
    if time[10:11] != "T":
        return time  # infinity, or a year before 2 or after 9998
    return f"{time[:10]} {time[11:19]} {time[26:].removesuffix(':00')}".rstrip()


def took(seconds: float | None) -> str:
    """Seconds as a short duration; a time that is not known as a dash."""
    return "-" if seconds is None else duration(seconds, fraction=True)
