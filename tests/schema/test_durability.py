"""What has been logged stays logged, whatever becomes of the caller; and the caller survives whatever the log meets."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg
import pytest
from psycopg import errors

from check_jobmon.demo.server import wheel_binaries
from tests.database import Database, bootstrap, until, value
from tests.schema.conftest import NewServer


@dataclass
class Logger:
    """A session in one long transaction that logs steps as fast as it can, and notes each call that has returned."""

    database: Database
    pid: int = 0
    job: int = 0
    started: list[int] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    failure: psycopg.Error | None = None

    def run(self) -> None:
        """Log until the session is no more."""
        try:
            with self.database.connect(autocommit=False) as caller:
                self.pid = caller.info.backend_pid
                self.job = value(caller, "SELECT jobmon.add_job('etl')")
                while True:
                    self.started.append(value(caller, "SELECT jobmon.add_step(%s, 'load')", self.job))
                    caller.execute("SELECT jobmon.update_step(%s, 'OK', 'done')", [self.started[-1]])
                    self.ended.append(self.started[-1])
        except psycopg.Error as error:
            self.failure = error


@contextlib.contextmanager
def at_work(database: Database) -> Iterator[Logger]:
    """A logger in the middle of its work; it must have lost its session at the end."""
    logger = Logger(database)
    thread = threading.Thread(target=logger.run)
    thread.start()
    try:
        until(lambda: len(logger.ended) >= 50 or logger.failure)
        assert logger.failure is None
        yield logger
    finally:
        thread.join(60)
    assert not thread.is_alive()
    assert logger.failure is not None


def nothing_is_lost(session: psycopg.Connection, logger: Logger) -> None:
    """Each call that had returned is in the log, once, and at most the one that had not returned besides."""
    assert value(session, "SELECT array_agg(job_id) FROM jobmon.job_log") == [logger.job]
    steps = session.execute("SELECT step_id, status FROM jobmon.job_detail").fetchall()
    assert {step for step, _ in steps} >= set(logger.started)
    assert {step for step, status in steps if status == "OK"} >= set(logger.ended)
    assert len(logger.started) <= len(steps) <= len(logger.started) + 1


def ended(session: psycopg.Connection) -> bool:
    """Whether the server has ended the session."""
    with contextlib.suppress(psycopg.OperationalError):
        session.execute("SELECT")
        return False
    return True


def reconnect(database: Database) -> psycopg.Connection:
    """A session, as soon as the server has recovered."""
    found: list[psycopg.Connection] = []

    def connects() -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            found.append(database.connect())
        return bool(found)

    until(connects)
    return found[0]


@pytest.fixture
def crashing_database(own_database: Database) -> Database:
    """A database with the schema, of a server that may crash."""
    with own_database.connect() as session:
        bootstrap(session, "jobmon")
    return own_database


def test_nothing_is_lost_by_a_rollback(database: Database, session: psycopg.Connection) -> None:
    with database.connect(autocommit=False) as caller:
        job = value(caller, "SELECT jobmon.add_job('etl')")
        steps = [value(caller, "SELECT jobmon.add_step(%s, 'load')", job) for _ in range(50)]
        for step in steps:
            caller.execute("SELECT jobmon.update_step(%s, 'OK', 'done')", [step])
        caller.rollback()
    assert [
        row[0] for row in session.execute("SELECT step_id FROM jobmon.job_detail WHERE status = 'OK' ORDER BY 1")
    ] == (steps)


def test_nothing_is_lost_by_an_error_nor_by_a_savepoint_rolled_back(
    database: Database, session: psycopg.Connection
) -> None:
    with database.connect(autocommit=False) as caller:
        job = value(caller, "SELECT jobmon.add_job('etl')")
        caller.execute("SAVEPOINT before")
        value(caller, "SELECT jobmon.add_step(%s, 'undone')", job)
        caller.execute("ROLLBACK TO SAVEPOINT before")
        value(caller, "SELECT jobmon.add_step(%s, 'aborted')", job)
        with pytest.raises(errors.DivisionByZero):
            caller.execute("SELECT 1 / 0")
        caller.rollback()
    assert value(session, "SELECT array_agg(action ORDER BY step_id) FROM jobmon.job_detail") == ["undone", "aborted"]


def test_nothing_is_lost_when_the_backend_is_terminated(database: Database, session: psycopg.Connection) -> None:
    with at_work(database) as logger:
        assert value(session, "SELECT pg_terminate_backend(%s)", logger.pid)
    until(lambda: not links(session))
    nothing_is_lost(session, logger)


def test_nothing_is_lost_when_the_backend_is_killed(crashing_database: Database) -> None:
    witness = crashing_database.connect()
    with at_work(crashing_database) as logger:
        os.kill(logger.pid, signal.SIGKILL)
        # the server ends all sessions when it has noticed; one that is made before that would end too
        until(lambda: ended(witness))
    with reconnect(crashing_database) as session:
        nothing_is_lost(session, logger)
        session.execute("SELECT jobmon.close_job(jobmon.add_job('next'))")
        assert value(session, "SELECT status FROM jobmon.job_log WHERE job_name = 'NEXT'") == "OK"


def test_nothing_is_lost_when_the_server_is_stopped_immediately(crashing_database: Database) -> None:
    with at_work(crashing_database) as logger:
        crashing_database.server.stop("immediate")
    crashing_database.server.start()
    with reconnect(crashing_database) as session:
        nothing_is_lost(session, logger)
        session.execute("SELECT jobmon.close_job(jobmon.add_job('next'))")
        assert value(session, "SELECT status FROM jobmon.job_log WHERE job_name = 'NEXT'") == "OK"


def links(session: psycopg.Connection) -> int:
    """How many links there are to this database."""
    return int(
        value(
            session,
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE %s",
            "jobmon link of %",
        )
    )


TIMEOUTS = ["statement_timeout", "lock_timeout"]


@pytest.mark.parametrize("timeout", TIMEOUTS)
@pytest.mark.parametrize("link", ["opened by the call", "open before"])
def test_a_timeout_of_the_caller_bounds_the_wait_for_the_log_and_the_next_call_works(
    database: Database, session: psycopg.Connection, timeout: str, link: str
) -> None:
    caller = database.connect()
    with caller, database.connect(autocommit=False) as holder:
        job = value(caller, "SELECT jobmon.add_job('etl')")
        if link == "opened by the call":
            caller.execute("SELECT jobmon.link_close(NULL)")
        caller.execute(f"SET {timeout} = '300ms'".encode())
        holder.execute("LOCK TABLE jobmon.job_detail")
        # though the lock is not the caller's own but its link's: it is never let go while this waits
        with pytest.raises((errors.QueryCanceled, errors.LockNotAvailable)):
            caller.execute("SELECT jobmon.add_step(%s, 'blocked')", [job])
        holder.rollback()
        step = value(caller, "SELECT jobmon.add_step(%s, 'next')", job)
        caller.execute("SELECT jobmon.update_step(%s, 'OK', 'fine')", [step])
        caller.execute("SELECT jobmon.close_job(%s)", [job])
    until(lambda: not links(session))
    # the call that failed may have been on its way already, as with any COMMIT that gets no answer
    steps = session.execute("SELECT action, status, message FROM jobmon.job_detail ORDER BY step_id").fetchall()
    assert steps in (
        [("next", "OK", "fine")],
        [("blocked", None, None), ("next", "OK", "fine")],
    )
    assert value(session, "SELECT status FROM jobmon.job_log") == "OK"


@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_a_timeout_in_the_callers_own_session_leaves_the_link_usable(
    database: Database, session: psycopg.Connection, timeout: str
) -> None:
    with database.connect() as caller, database.connect(autocommit=False) as holder:
        caller.execute("SET jobmon.keep_link = off; SELECT jobmon.close_job(jobmon.add_job('etl'))")
        caller.execute(f"SET {timeout} = '300ms'".encode())
        holder.execute("LOCK TABLE jobmon.link")  # which add_job() reads to open the link
        with pytest.raises((errors.QueryCanceled, errors.LockNotAvailable)):
            caller.execute("SELECT jobmon.add_job('blocked')")
        holder.rollback()
        caller.execute("SELECT jobmon.close_job(jobmon.add_job('next'))")
    assert session.execute("SELECT job_name, status FROM jobmon.job_log ORDER BY job_id").fetchall() == [
        ("ETL", "OK"),
        ("NEXT", "OK"),
    ]


def test_a_timeout_at_any_moment_leaves_the_link_usable(database: Database, session: psycopg.Connection) -> None:
    with database.connect() as caller:
        returned: list[int] = []
        for milliseconds in range(1, 25):
            caller.execute(f"SET statement_timeout = {milliseconds}".encode())
            with contextlib.suppress(errors.QueryCanceled, errors.LockNotAvailable):
                job = value(caller, "SELECT jobmon.add_job('etl')")
                returned.append(job)
                caller.execute("SELECT jobmon.close_job(%s)", [job])
            caller.execute("SET statement_timeout = 0")
            returned.append(value(caller, "SELECT jobmon.add_job('next')"))
            if milliseconds % 2:
                caller.execute("SELECT jobmon.close_job(%s)", [returned[-1]])
    logged = [row[0] for row in session.execute("SELECT job_id FROM jobmon.job_log")]
    assert len(logged) == len(set(logged))
    assert set(returned) <= set(logged)


def test_a_cancelled_call_leaves_the_link_usable(database: Database, session: psycopg.Connection) -> None:
    with database.connect() as caller, database.connect(autocommit=False) as holder:
        job = value(caller, "SELECT jobmon.add_job('etl')")
        holder.execute("LOCK TABLE jobmon.job_detail")
        failures: list[psycopg.Error] = []

        def blocked() -> None:
            try:
                caller.execute("SELECT jobmon.add_step(%s, 'blocked')", [job])
            except psycopg.Error as error:
                failures.append(error)

        thread = threading.Thread(target=blocked)
        thread.start()
        until(
            lambda: value(
                session,
                # not by its wait event, which PostgreSQL 13 does not report of a role with track_activities off
                "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)"
                " WHERE application_name = %s AND NOT granted",
                f"jobmon link of {caller.info.backend_pid}",
            )
        )
        assert value(session, "SELECT pg_cancel_backend(%s)", caller.info.backend_pid)
        holder.rollback()
        thread.join(60)
        assert [type(failure) for failure in failures] == [errors.QueryCanceled]
        step = value(caller, "SELECT jobmon.add_step(%s, 'next')", job)
        caller.execute("SELECT jobmon.update_step(%s, 'OK', 'fine')", [step])
        caller.execute("SELECT jobmon.close_job(%s)", [job])
    assert value(session, "SELECT status FROM jobmon.job_log") == "OK"
    assert value(session, "SELECT count(*) FROM jobmon.job_detail WHERE status = 'OK'") == 1


SESSIONS, JOBS = 200, 2

LOAD = """
\\set n :n + 1
SELECT jobmon.add_job('load :client_id :n') AS job_id \\gset
SELECT jobmon.add_step(:job_id, 'first') AS step_id \\gset
SELECT jobmon.update_step(:step_id, 'OK', ':client_id :n');
SELECT jobmon.add_step(:job_id, 'second') AS step_id \\gset
SELECT jobmon.update_step(:step_id, 'OK', ':client_id :n');
SELECT jobmon.close_job(:job_id);
"""


def test_200_sessions_log_at_once_and_nothing_is_lost_or_doubled(new_server: NewServer) -> None:
    database = Database(new_server(max_connections=str(2 * SESSIONS + 20)), "postgres")
    script = database.server.folder / "load.sql"
    script.write_text(LOAD)
    with database.connect() as session:
        bootstrap(session, "jobmon")
        done = subprocess.run(
            [
                *(str(wheel_binaries() / "pgbench"), "--no-vacuum", "--client", str(SESSIONS)),
                *("--transactions", str(JOBS), "--define", "n=0", "--file", str(script)),
                *("-h", str(database.server.folder), "-p", str(database.server.port), "-U", "postgres", "postgres"),
            ],
            capture_output=True,
            text=True,
            env={"PATH": os.environ.get("PATH", os.defpath)},
            check=False,
        )
        assert done.returncode == 0, done.stderr
        until(lambda: not links(session))
        assert session.execute(
            "SELECT count(*), count(DISTINCT job_name), count(*) FILTER (WHERE status = 'OK') FROM jobmon.job_log"
        ).fetchone() == (SESSIONS * JOBS, SESSIONS * JOBS, SESSIONS * JOBS)
        assert (
            session.execute(
                "SELECT count(*), count(DISTINCT (d.job_id, d.action)),"
                " count(*) FILTER (WHERE d.status = 'OK' AND r.job_name = 'LOAD ' || d.message)"
                " FROM jobmon.job_detail AS d JOIN jobmon.job_log AS r USING (job_id)"
            ).fetchone()
            == (2 * SESSIONS * JOBS,) * 3
        )


def test_without_a_free_connection_slot_the_caller_gets_one_clear_error_and_keeps_its_work(
    new_server: NewServer,
) -> None:
    database = Database(new_server(max_connections="8", superuser_reserved_connections="3"), "postgres")
    with database.connect() as session, contextlib.ExitStack() as others:
        bootstrap(session, "jobmon")
        session.execute("CREATE TABLE work (what text)")
        caller = others.enter_context(database.connect(autocommit=False))
        # the superuser's sessions first: once there are no more than the reserved slots, the link gets none
        others.enter_context(database.connect())
        session.execute("CREATE ROLE somebody LOGIN")
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                others.enter_context(database.connect(user="somebody"))

        caller.execute("INSERT INTO work VALUES ('before')")
        with pytest.raises(psycopg.OperationalError) as refused, caller.transaction():
            caller.execute("SELECT jobmon.add_job('etl')")
        message = refused.value.diag.message_primary or ""
        assert message.startswith("the job log's link can't connect: ")
        assert "slots" in message
        assert refused.value.diag.sqlstate == "08001"
        assert "\n" not in message
        caller.execute(
            """
            DO $$
            BEGIN
                INSERT INTO work VALUES ('inside');
                BEGIN
                    PERFORM jobmon.add_job('etl');
                EXCEPTION WHEN sqlclient_unable_to_establish_sqlconnection THEN
                    INSERT INTO work VALUES ('handled');
                END;
            END
            $$
            """
        )
        caller.commit()
        assert value(session, "SELECT array_agg(what) FROM work") == ["before", "inside", "handled"]
        assert value(session, "SELECT count(*) FROM jobmon.job_log") == 0

        others.close()
        until(lambda: value(session, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'somebody'") == 0)
        session.execute("SELECT jobmon.close_job(jobmon.add_job('etl'))")
        assert value(session, "SELECT status FROM jobmon.job_log") == "OK"
