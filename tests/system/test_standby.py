"""A hot standby: judged as on the primary, and nothing claimed that a standby can't know."""

import contextlib
import re
import time
from collections.abc import Iterator

import psycopg
import pytest

from check_jobmon.demo.server import Server
from tests.database import Database, value
from tests.schema.test_partitions import PAST, old_run
from tests.system.conftest import FourStates, log_run


class Standby(Server):
    """A hot standby that streams from `primary`."""

    primary: Server

    def create(self) -> None:
        """pg_basebackup."""
        source = f"host={self.primary.folder} port={self.primary.port} user=postgres"
        self._run("pg_basebackup", "-D", str(self.data), "-d", source, "-R", "-X", "stream", "-c", "fast", "--no-sync")

    def of(self, database: Database) -> Database:
        """The same database on the standby, as soon as it has all that the primary has by now."""
        with database.connect() as session:
            written = value(session, "SELECT pg_current_wal_lsn()")
        standby = Database(self, database.name)
        end = time.monotonic() + 60
        while True:
            with contextlib.suppress(psycopg.OperationalError), standby.connect() as session:
                if value(session, "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", written):
                    return standby
            assert time.monotonic() < end, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.05)


@pytest.fixture(scope="module")
def standby(server: Server) -> Iterator[Standby]:
    """A standby of the tests' server."""
    standby = Standby(server.binaries, server.settings)
    standby.primary = server
    try:
        standby.create()
        standby.start()
        yield standby
    finally:
        standby.remove()


def test_the_four_states_are_those_of_the_primary(standby: Standby, four_states: FourStates) -> None:
    """Each state plainly, and with -v or -vv in turn."""
    for state, database in enumerate(four_states):
        copy = standby.of(database)
        for verbosity in ([], ["-v"] if state % 2 else ["-vv"]):
            there, here = copy.check(*verbosity), database.check(*verbosity)
            assert there.status == here.status == state, verbosity
            assert there.first_line == here.first_line, verbosity
            assert there.stderr == ""


def _configure(session: psycopg.Connection, job_name: str, warn: str, error: str) -> None:
    session.execute(
        "INSERT INTO jobmon.job_check_config (job_name, warn_threshold, error_threshold, active, since)"
        " VALUES (%s, %s, %s, true, '-infinity')",
        [job_name, warn, error],
    )


def _until(session: psycopg.Connection, query: str, pid: int) -> None:
    """Wait until the query on that backend gives true."""
    end = time.monotonic() + 60
    while not value(session, query, pid):
        assert time.monotonic() < end, query
        time.sleep(0.05)


LONG_AGO = (
    "UPDATE jobmon.job_log SET start_time = start_time - interval '26 hours', end_time = end_time - interval '26 hours'"
)


def test_a_late_run_is_not_called_running_where_that_can_not_be_seen(
    standby: Standby, database: Database, session: psycopg.Connection
) -> None:
    _configure(session, "CUBE", "0 seconds", "2 days")
    with database.connect() as running:
        running.execute("SELECT jobmon.add_job('cube')")
        here, there = database.check("-vv"), standby.of(database).check("-vv")
    assert here.status == there.status == 1
    assert "still running after" in here.first_line
    assert "CUBE missing, or running for" in there.first_line
    assert "which a standby or a role outside pg_monitor can't tell" in there.first_line
    for claim in ("still running", "blocked", "crashed"):
        assert claim not in there.stdout.lower()


def test_a_blocked_run_is_not_called_blocked(standby: Standby, database: Database, session: psycopg.Connection) -> None:
    session.execute("CREATE TABLE facts ()")
    _configure(session, "LOAD", "0 seconds", "2 days")
    with database.connect() as blocked, database.connect(autocommit=False) as blocker:
        blocker.execute("LOCK TABLE facts")
        blocked.execute("SELECT jobmon.add_job('load')")
        blocked.pgconn.send_query(b"TRUNCATE facts")
        _until(session, "SELECT cardinality(pg_blocking_pids(%s)) > 0", blocked.info.backend_pid)
        here, there = database.check("-v"), standby.of(database).check("-v")
        blocker.rollback()
        blocked.pgconn.get_result()
        blocked.pgconn.get_result()
    assert here.status == there.status == 1
    assert "LOAD blocked by pid " in here.first_line
    assert "LOAD missing, or running for" in there.first_line
    assert "blocked" not in there.stdout.lower()


def test_a_crashed_run_is_not_called_crashed(standby: Standby, database: Database, session: psycopg.Connection) -> None:
    log_run(session, "vacuum")
    with database.connect() as crashing:
        crashing.execute("SELECT jobmon.add_job('vacuum')")
        pid = crashing.info.backend_pid
    _until(session, "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = %s", pid)
    here, there = database.check("-v"), standby.of(database).check("-v")
    assert (here.status, there.status) == (1, 0)
    assert "crashed" in here.first_line
    assert "crashed" not in there.stdout.lower()


def test_missing_and_failed_jobs_are_named_alike(
    standby: Standby, database: Database, session: psycopg.Connection
) -> None:
    _configure(session, "CUBE", "1 day", "2 days")
    _configure(session, "NIGHTLY ETL", "1 day", "2 days")
    _configure(session, "NEVER", "1 day", "2 days")
    log_run(session, "cube")
    session.execute(LONG_AGO)
    log_run(session, "nightly etl", "duplicate key")
    here, there = database.check(), standby.of(database).check()
    assert here.status == there.status == 2
    assert (
        there.first_line
        == here.first_line
        == (
            "JOBMON CRITICAL - 2 critical, 1 warning, 0 ok: NEVER missing, no run has ever completed, "
            "NIGHTLY ETL failed 1 time (load facts: duplicate key), CUBE missing, last run 26h ago (warning 24h)"
        )
    )


def test_a_partitioned_log_is_judged_alike(standby: Standby, empty_database: Database) -> None:
    assert empty_database.ctl("bootstrap", "--partition", "month").status == 0
    with empty_database.connect() as session:
        for months_ago in (2, 1):
            session.execute(PAST, {"n": months_ago})
        _configure(session, "YEARLY", "400 days", "500 days")
        _configure(session, "CUBE", "1 day", "2 days")
        old_run(session, "YEARLY", 2)
        old_run(session, "CUBE", 1)
        log_run(session, "nightly etl", "duplicate key")
    there = standby.of(empty_database)
    for arguments in ([], ["-vv"], ["-j", "YEARLY"], ["-x", "CUBE"]):
        assert there.check(*arguments).first_line == empty_database.check(*arguments).first_line
    assert there.check().first_line.startswith("JOBMON CRITICAL - 1 critical, 2 ok: CUBE missing, last run ")
    assert there.ctl("show", "yearly").stdout == empty_database.ctl("show", "yearly").stdout != ""


def test_check_job_status_gives_the_same_row(standby: Standby, four_states: FourStates) -> None:
    query = "SELECT alert_code, alert_text FROM jobmon.check_job_status()"
    for code, database in enumerate((four_states.ok, four_states.warning, four_states.critical), 1):
        with database.connect() as here, standby.of(database).connect() as there:
            (found, text), (expected, original) = (
                (row[0], re.sub(r"not run for [\d:]+", "not run for TIME", row[1]))
                for row in (*there.execute(query).fetchall(), *here.execute(query).fetchall())
            )
            assert (found, text) == (expected, original)
            assert found == code


def test_logging_on_a_standby_is_refused_with_a_clear_error(standby: Standby, database: Database) -> None:
    with standby.of(database).connect() as session, pytest.raises(psycopg.Error) as refused:
        session.execute("SELECT jobmon.add_job('etl')")
    assert refused.value.diag.message_primary == "this server is a standby, and no job can be logged on it"
    assert "on the primary" in (refused.value.diag.message_hint or "")


def test_bootstrap_on_a_standby_is_refused_with_a_clear_error(standby: Standby, database: Database) -> None:
    output = standby.of(database).ctl("bootstrap")
    assert output.status == 1
    assert output.stderr == (
        "jobmonctl bootstrap: the server is a standby: bootstrap the primary, and the schema will be replicated\n"
    )


def test_a_run_that_a_standby_logs_on_its_primary_is_not_called_crashed(
    standby: Standby, database: Database, session: psycopg.Connection
) -> None:
    _configure(session, "CUBE", "1 day", "2 days")
    assert database.ctl("bootstrap").status == 0
    primary = database.server
    session.execute(
        "INSERT INTO jobmon.dblink_mapping (host, port) VALUES (%s, %s)", [str(primary.folder), str(primary.port)]
    )
    with standby.of(database).connect() as running:
        job = value(running, "SELECT jobmon.add_job('cube')")
        assert value(running, "SELECT jobmon.lock_job(%s)", job) is None
        assert value(session, "SELECT pid FROM jobmon.job_log WHERE job_id = %s", job) == -running.info.backend_pid
        output = database.check("-v")
        assert (output.status, "crash" in output.stdout.lower()) == (0, False), output
        assert " open " in database.ctl("show").stdout.splitlines()[1]
        session.execute("UPDATE jobmon.job_log SET start_time = start_time - interval '25 hours'")
        assert (
            "CUBE missing, or running for 25h, which another server or scheduler than the run's can't tell"
            in database.check().stdout
        )
        assert "(not verifiable on this server)" in value(session, "SELECT alert_text FROM jobmon.check_job_status()")
        # it may be under way: it is neither deleted, nor run a second time, nor can it be cancelled from here
        assert "of these stay 1 under way" in database.ctl("clear", "-y", "1 hour").stdout
        assert value(session, "SELECT count(*) FROM jobmon.job_log WHERE job_id = %s", job) == 1
        assert f"job {job} (pid -" in value(session, "SELECT jobmon.sql_job('cube', 'SELECT')")
        refused = database.ctl("cancel", "-y", str(job))
        assert (refused.status, "is run by another server" in refused.stderr) == (1, True)
        with pytest.raises(psycopg.Error, match="is run by another server"):
            session.execute("SELECT jobmon.cancel_job(%s)", [job])
        running.execute("SELECT jobmon.close_job(%s)", [job])
    assert value(session, "SELECT status FROM jobmon.job_log WHERE job_id = %s", job) == "OK"
