"""A run of a job and its steps, as the commands show them: fetched from the reference text's show functions."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from check_jobmon.ctl.table import Row, Table
from check_jobmon.text import duration

if TYPE_CHECKING:
    from check_jobmon.ctl.connection import Session

TIME = """'YYYY-MM-DD"T"HH24:MI:SS.USTZH:TZM'"""
# by way of JSON, because the columns have two names: alert_* here, error_* in older schemas
WORD = """
    SELECT coalesce(t.j ->> 'alert_code', t.j ->> 'error_code')::integer AS alert_code,
           coalesce(t.j ->> 'alert_text', t.j ->> 'error_text') AS alert_text
      FROM (SELECT to_jsonb(s) AS j FROM @schema@.job_status_text AS s) AS t
"""
RUNS = f"""
WITH word AS (
{WORD}
)
SELECT r.job_id, r.job_name, r.owner, r.pid,
       to_char(r.start_time, {TIME}),
       to_char(r.end_time, {TIME}),
       r.status,
       w.alert_code,
       state.state,
       CASE WHEN state.state <> 'crashed'
            THEN extract(epoch FROM coalesce(r.end_time, clock_timestamp()) - r.start_time)::float8
       END,
       concat_ws(': ', step.action, step.message)
  FROM %source% AS r
  LEFT JOIN word AS w ON w.alert_text = r.status
 CROSS JOIN LATERAL (
        SELECT CASE WHEN r.end_time IS NOT NULL THEN 'ended'
                    WHEN pg_is_in_recovery() THEN 'open'
                    WHEN r.job_id IN (SELECT s.job_id FROM @schema@.show_running(NULL) AS s) THEN 'running'
                    ELSE 'crashed'
               END AS state
       ) AS state
  LEFT JOIN LATERAL (
        -- the step that says why: the last one marked as failed, or else the last one
        SELECT d.action, d.message
          FROM @schema@.job_detail AS d
         WHERE d.job_id = r.job_id
         ORDER BY coalesce(d.status IN (SELECT o.alert_text FROM word AS o WHERE o.alert_code IN (2, 3)), false) DESC,
                  d.step_id DESC
         LIMIT 1
       ) AS step ON w.alert_code IN (2, 3) OR r.end_time IS NULL
 ORDER BY r.job_id DESC
"""
STEPS = f"""
WITH word AS (
{WORD}
)
SELECT d.step_id, d.action,
       to_char(d.start_time, {TIME}),
       to_char(d.end_time, {TIME}),
       d.status,
       w.alert_code,
       extract(epoch FROM d.start_time - r.start_time)::float8,
       CASE WHEN d.end_time IS NOT NULL THEN coalesce(d.elapsed_time, extract(epoch FROM d.end_time - d.start_time))::float8
       END,
       d.message
  FROM @schema@.show_detail(%s::bigint) AS d
  JOIN @schema@.job_log AS r ON r.job_id = d.job_id
  LEFT JOIN word AS w ON w.alert_text = d.status
 ORDER BY d.step_id
"""


@dataclass(frozen=True)
class Run:
    """A run. `state` is ended, running, crashed, or open where a standby can't tell; times are in ISO 8601.

    `seconds` it took, or is running for; None where it crashed. `why` is the step that says why it failed or where it is.
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
    """A step of a run. `offset` is its start in seconds after the run's, `seconds` it took; None while it is open."""

    step_id: int
    action: str
    start_time: str
    end_time: str | None
    status: str | None
    alert_code: int | None
    offset: float
    seconds: float | None
    message: str | None


def runs(session: "Session", source: str, *parameters: Any) -> list[Run]:
    """The runs that a source gives: a call of one of the show functions, or a subquery; newest first."""
    return [Run(*row) for row in session.rows(RUNS.replace("%source%", source), *parameters)]


def run_with_id(session: "Session", job_id: int) -> Run:
    """One run. Raises NotDone where there is none."""
    from check_jobmon.ctl.connection import NotDone

    found = runs(session, "(SELECT * FROM @schema@.job_log WHERE job_id = %s)", job_id)
    if not found:
        raise NotDone(f"no run has job_id {job_id}: see jobmonctl show")
    return found[0]


def runs_of(session: "Session", name: str, number: int) -> list[Run]:
    """A job's newest runs. Raises NotDone where no job has the name; a job that never ran has none."""
    found = runs(session, "@schema@.show_job(%s, %s)", name, number)
    if not found and (unknown := session.unknown(name)):
        raise unknown
    return found


def steps(session: "Session", run: Run) -> list[Step]:
    """A run's steps, in their order."""
    return [Step(*row) for row in session.rows(STEPS, run.job_id)]


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
    """A time of ISO 8601 as people read it, to the second.

    >>> moment("2024-02-29T01:02:03.456789+05:30"), moment("2024-02-29T01:02:03.456789+00:00")
    ('2024-02-29 01:02:03 +05:30', '2024-02-29 01:02:03 +00')
    """
    return f"{time[:10]} {time[11:19]} {time[26:].removesuffix(':00')}".rstrip()


def took(seconds: float | None) -> str:
    """Seconds as a short duration; a time that is not known as a dash."""
    return "-" if seconds is None else duration(seconds, fraction=True)
