"""The whole output of each state at each verbosity, as in the files of golden/.

JOBMON_TEST_WRITE_GOLDEN=1 writes them anew; then read what has changed. Times, ids, pids and versions are normalised.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from check_jobmon.text import columns
from tests.database import Database, until, value
from tests.plugin.output.guidelines import parse

GOLDEN = Path(__file__).parent / "golden"
WRITE = os.environ.get("JOBMON_TEST_WRITE_GOLDEN") == "1"
DUPLICATE = 'duplicate key value violates unique constraint "facts_pkey"'


class Log:
    """Writes the history of a scenario, with a clock of its own."""

    def __init__(self, database: Database, session: psycopg.Connection) -> None:
        self.database = database
        self.session = session
        self.sessions = contextlib.ExitStack()

    def watch(
        self, name: str, warn: str = "24 hours", error: str = "48 hours", active: bool = True, let: int = 0
    ) -> None:
        """Configure a job."""
        self.session.execute(
            "INSERT INTO jobmon.job_check_config VALUES (%s, %s, %s, %s, %s, '-infinity')",
            [name, warn, error, active, let],
        )

    def ran(self, name: str, ended: str | None, status: str = "OK", message: str = "42 rows", pid: int = 0) -> None:
        """A run of two steps and 150 seconds that ended so long ago, or is open since an hour if that is None."""
        job = value(
            self.session,
            "INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)"
            " VALUES ('etl', %s, now() - coalesce(%s::interval + '150 s', '1 hour'), now() - %s::interval, %s, %s)"
            " RETURNING job_id",
            name,
            ended,
            ended,
            status if ended else None,
            pid,
        )
        self.session.execute(
            "INSERT INTO jobmon.job_detail (job_id, action, start_time, end_time, elapsed_time, status, message) VALUES"
            " (%(job)s, 'extract', now(), now(), 30, 'OK', '42 rows'),"
            " (%(job)s, 'load facts', now(), %(end)s, %(took)s, %(status)s, %(message)s)",
            {
                "job": job,
                "end": "now" if ended else None,
                "took": 120 if ended else None,
                "status": status if ended else None,
                "message": message if ended else None,
            },
        )

    def runs(self, name: str, application: str) -> psycopg.Connection:
        """A run that goes on: the session that is its backend."""
        session = self.sessions.enter_context(contextlib.closing(self.database.connect(application_name=application)))
        session.execute(
            "WITH run AS (INSERT INTO jobmon.job_log (owner, job_name, start_time, pid)"
            " VALUES ('etl', %s, clock_timestamp(), pg_backend_pid()) RETURNING job_id)"
            " INSERT INTO jobmon.job_detail (job_id, action, start_time) SELECT job_id, 'load facts', now() FROM run",
            [name],
        )
        return session


def nothing(log: Log) -> None:
    """No job at all."""


def ok(log: Log) -> None:
    log.watch("NIGHTLY ETL")
    log.ran("NIGHTLY ETL", "26 minutes 5 s")
    log.watch("CUBE", let=2)
    log.ran("CUBE", "13 hours 5 min", "CRITICAL", DUPLICATE)


def failed_warning(log: Log) -> None:
    log.watch("NIGHTLY ETL")
    log.ran("NIGHTLY ETL", "26 minutes 5 s", "WARNING", "3 rows rejected")


def failed_critical(log: Log) -> None:
    log.watch("NIGHTLY ETL", let=1)
    for ended in ("22 hours 5 min", "11 hours 5 min", "26 minutes 5 s"):
        log.ran("NIGHTLY ETL", ended, "CRITICAL", DUPLICATE)


def missing_warning(log: Log) -> None:
    log.watch("CUBE")
    log.ran("CUBE", "26 hours 5 min")


def missing_critical(log: Log) -> None:
    log.watch("CUBE")
    log.ran("CUBE", "76 hours 5 min")


def never_run(log: Log) -> None:
    log.watch("CUBE")


def running(log: Log) -> None:
    log.watch("PARTITION UPKEEP", warn="1 microsecond")
    log.runs("PARTITION UPKEEP", "upkeep")


def running_in_time(log: Log) -> None:
    log.watch("PARTITION UPKEEP")
    log.ran("PARTITION UPKEEP", "13 hours 5 min")
    log.runs("PARTITION UPKEEP", "upkeep")


def blocked(log: Log) -> None:
    log.watch("WAREHOUSE LOAD", warn="1 microsecond")
    blocker = log.sessions.enter_context(contextlib.closing(log.database.connect(application_name="monthly report")))
    blocker.execute("BEGIN; SELECT pg_advisory_lock(1)")
    log.runs("WAREHOUSE LOAD", "loader").pgconn.send_query(b"SELECT pg_advisory_lock(1)")
    until(lambda: value(log.session, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))


def crashed(log: Log) -> None:
    log.watch("VACUUM BIG TABLES")
    log.ran("VACUUM BIG TABLES", "13 hours 5 min")
    log.ran("VACUUM BIG TABLES", None)


def crashed_is_ok(log: Log) -> None:
    crashed(log)


def crashed_and_failed(log: Log) -> None:
    log.watch("VACUUM BIG TABLES")
    log.ran("VACUUM BIG TABLES", "13 hours 5 min", "CRITICAL", DUPLICATE)
    log.ran("VACUUM BIG TABLES", None)


def failed_and_missing(log: Log) -> None:
    log.watch("NIGHTLY ETL")
    log.ran("NIGHTLY ETL", "26 hours 5 min", "CRITICAL", DUPLICATE)


def inactive(log: Log) -> None:
    log.watch("RETIRED", active=False)
    log.ran("RETIRED", "76 hours 5 min", "CRITICAL", DUPLICATE)


def unconfigured(log: Log) -> None:
    for ended in ("22 hours 5 min", "11 hours 5 min", "26 minutes 5 s"):
        log.ran("INVENTORY SYNC", ended, "CRITICAL", DUPLICATE)
    log.ran("NOT FAILED OFTEN ENOUGH", "26 minutes 5 s", "CRITICAL", DUPLICATE)
    log.ran("NEVER FAILED", "26 minutes 5 s")


def lower_case_name(log: Log) -> None:
    log.watch("nightly etl")
    log.ran("NIGHTLY ETL", "26 minutes 5 s")


def threshold_not_positive(log: Log) -> None:
    log.watch("CUBE", warn="-1 hour", error="1 hour")
    log.ran("CUBE", "26 minutes 5 s")


def other_words(log: Log) -> None:
    log.session.execute(
        "UPDATE jobmon.job_status_text"
        " SET alert_text = CASE alert_code WHEN 1 THEN 'GOOD' WHEN 2 THEN 'MEH' ELSE 'ON FIRE' END"
    )
    log.watch("CUBE")
    log.ran("CUBE", "26 hours 5 min", "GOOD")
    log.watch("NIGHTLY ETL")
    log.ran("NIGHTLY ETL", "26 minutes 5 s", "ON FIRE", DUPLICATE)
    log.watch("INVENTORY SYNC")
    log.ran("INVENTORY SYNC", "26 minutes 5 s", "GOOD")


def many_problems(log: Log) -> None:
    for number in range(12):
        log.watch(f"NIGHTLY ETL {number:02}")
        log.ran(f"NIGHTLY ETL {number:02}", "26 minutes 5 s", "CRITICAL", DUPLICATE)
    missing_warning(log)


def wide_names(log: Log) -> None:
    for name in ("夜間バッチ", "🚀 LAUNCH", "CAFE\u0301", "CAFÉ", "PLAIN"):
        log.watch(name)
        log.ran(name, "26 minutes 5 s")
    log.watch("밤 작업")
    log.ran("밤 작업", "26 hours 5 min", "CRITICAL", "중복 키 " * 150)


SCENARIOS: list[Callable[[Log], None]] = [
    nothing,
    ok,
    failed_warning,
    failed_critical,
    missing_warning,
    missing_critical,
    never_run,
    running,
    running_in_time,
    blocked,
    crashed,
    crashed_is_ok,
    crashed_and_failed,
    failed_and_missing,
    inactive,
    unconfigured,
    lower_case_name,
    threshold_not_positive,
    other_words,
    many_problems,
    wide_names,
]
OPTIONS = {"crashed_is_ok": ["--crashed", "ok"]}


@pytest.fixture
def log(database: Database, session: psycopg.Connection) -> Iterator[Log]:
    """The test's log; sessions that it has left open end with the test."""
    log = Log(database, session)
    with log.sessions:
        yield log


def normalised(output: str, database: Database) -> str:
    """The output without what differs from run to run; what is in a table keeps its width."""
    for pattern, instead in (
        (re.escape(database.name), "DATABASE"),
        (rf"{re.escape(str(database.server.folder))}:{database.server.port}", "SOCKET"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "YYYY-MM-DD HH:MM:SS"),
        (r"\bpid \d+", "pid PID"),
        (r"\brun \d+\b", "run ID"),
        (r"( age'|query)=[0-9.]+s", r"\1=Ns"),
        (r", in [0-9.]+s", ", in Ns"),
        (r"(?<![\d.])\ds\b", "Ns"),
        (r"PostgreSQL [^,]+", "PostgreSQL VERSION"),
    ):
        output = re.sub(pattern, instead, output)
    return output


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_output_is_as_in_the_golden_file(log: Log, database: Database, scenario: Callable[[Log], None]) -> None:
    scenario(log)
    options = OPTIONS.get(scenario.__name__, [])
    transcript = ""
    for verbosity in ([], ["-v"], ["-vv"], ["-vvv"]):
        output = database.check(*options, *verbosity, "--utc")
        assert output.stderr == ""
        assert "\x1b" not in output.stdout
        parse(output.stdout)
        command = " ".join(["check_jobmon", *options, *verbosity])
        transcript += f"$ {command}\n{normalised(output.stdout, database)}exit status {output.status}\n\n"
    golden = GOLDEN / f"{scenario.__name__}.txt"
    if WRITE:
        golden.write_text(transcript, encoding="utf-8")
    assert transcript == golden.read_text(encoding="utf-8")


def test_no_golden_file_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.glob("*")} == {scenario.__name__ for scenario in SCENARIOS}


def test_the_table_lines_up_for_names_of_any_width(log: Log, database: Database) -> None:
    wide_names(log)
    table = database.check("-v").stdout.splitlines()[1:]
    heading = table[0]
    assert len(table) == 7
    for title in ("JOB", "LAST RUN", "AGE", "TOOK", "FAILURES"):
        start = heading.index(title)
        for line in table[1:]:
            before = next(n for n in range(len(line)) if columns(line[:n]) >= start)
            assert columns(line[:before]) == start, f"{title} does not start in one column"
            assert line[before - 2 : before] == "  ", f"{title} runs into what is before it"
            assert line[before] != " ", f"{title} is out of its column"


@pytest.mark.parametrize("ago", ["59 s", "60 s", "3599 s", "1 hour", "25 hours 59 min", "3 days 4 hours"])
def test_the_age_in_the_first_line_is_the_one_in_the_tables(log: Log, database: Database, ago: str) -> None:
    log.watch("CUBE", warn="1 s", error="1 year")
    log.ran("CUBE", ago)
    for output in (database.check("-v"), database.ctl("status")):
        found = re.search(r"missing, last run (.+?) ago \(warning 1s\)", output.stdout)
        assert found
        assert re.search(rf"  {found[1]} +2m 30s ", output.stdout.splitlines()[2])
