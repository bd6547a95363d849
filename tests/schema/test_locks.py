"""Locks: the caller and its own link never wait for each other, and for others no longer than the caller's timeouts say."""

import contextlib
from collections.abc import Callable, Iterable, Iterator

import psycopg
import pytest
from psycopg import errors, sql

from tests.database import Database, value
from tests.schema.sessions import Busy, busy, until

MODES = (
    "ACCESS EXCLUSIVE",
    "EXCLUSIVE",
    "SHARE ROW EXCLUSIVE",
    "SHARE",
    "SHARE UPDATE EXCLUSIVE",
    "ROW EXCLUSIVE",
    "ROW SHARE",
    "ACCESS SHARE",
)
HELD = {
    "ACCESS EXCLUSIVE": "ACCESS SHARE",
    "EXCLUSIVE": "ROW SHARE",
    "SHARE ROW EXCLUSIVE": "ROW EXCLUSIVE",
    "SHARE": "ROW EXCLUSIVE",
    "SHARE UPDATE EXCLUSIVE": "SHARE UPDATE EXCLUSIVE",
}
"""By the mode that somebody queues for, the weakest that keeps him waiting. Where he queues for another one, only a lock that
the caller's own keeps out would wait for his: that is the case of the caller that holds it."""
TABLES = "SELECT relname FROM pg_class WHERE relnamespace = 'jobmon'::regnamespace AND relkind IN ('r', 'p') ORDER BY 1"
CALLS = """
    SELECT p.oid::regproc::text, p.proargnames[:p.pronargs]
      FROM pg_proc AS p
     WHERE p.pronamespace = 'jobmon'::regnamespace
       AND (has_function_privilege('jobmon_log', p.oid, 'EXECUTE') OR p.proname = 'job_log_clear')
     ORDER BY 1
"""
WAITING = "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = %s AND NOT granted)"
LINK_WAITING = """
    SELECT EXISTS (SELECT FROM pg_stat_activity JOIN pg_locks USING (pid)
                    WHERE application_name = 'jobmon link of ' || %s AND NOT granted)
"""


VALUES: dict[str, object] = {
    "p_job_name": "new",
    "p_action": "load",
    "p_status": "OK",
    "p_message": "done",
    "p_fail_level": 3,
    "p_alert_code": 1,
    "p_sql": "SELECT 1",
    "p_whole_job": True,
    "p_interval": "1 year",
    "p_start_time": "2026-01-01 00:00+00",
    "p_end_time": "2026-01-01 01:00+00",
    "p_pid": 1,
    "p_raise": False,
    "p_schedule": "@daily",
    "p_timezone": "UTC",
    "p_after": "2026-01-01 00:00+00",
    "p_client_host": "db7",
    "p_client_pid": 1,
}


@pytest.fixture
def caller(database: Database) -> Iterator[psycopg.Connection]:
    """A session that keeps its link, and whose link loses its patience soon; it must come to an end in any case."""
    with database.connect(autocommit=False) as caller:
        for routine in ("link_serve", "link_answer"):
            settings = value(caller, f"SELECT proconfig FROM pg_proc WHERE proname = '{routine}'")
            assert "lock_timeout=300ms" in settings
            caller.execute(f"ALTER ROUTINE jobmon.{routine} SET lock_timeout = '60ms'".encode())
        caller.execute("SET jobmon.keep_link = on; SET statement_timeout = '20s'")
        caller.commit()
        yield caller


class Calls:
    """All the calls that log, each with a run and a step of its own."""

    def __init__(self, session: psycopg.Connection, caller: psycopg.Connection, other: psycopg.Connection) -> None:
        self._caller, self._other = caller, other
        self._arguments = {name: arguments or [] for name, arguments in session.execute(CALLS).fetchall()}
        self.names = set(self._arguments)

    def prepared(self, names: Iterable[str]) -> dict[str, list[object]]:
        """What to call these with, so that it goes well if there is no lock."""
        found = {name: [self._value(name, argument) for argument in self._arguments[name]] for name in names}
        self._caller.commit()
        return found

    def _value(self, name: str, argument: str) -> object:
        if argument in ("p_job_id", "v_job_id"):
            if "past" in name:
                return None
            return value(self._other if "cancel" in name else self._caller, "SELECT jobmon.add_job('etl')")
        if argument == "p_step_id":
            job = value(self._caller, "SELECT jobmon.add_job('etl')")
            return value(self._caller, "SELECT jobmon.add_step(%s, 'load')", job)
        if argument == "p_key":
            return value(self._caller, "SELECT gen_random_uuid()")
        return VALUES[argument]


def call(caller: psycopg.Connection, name: str, arguments: list[object]) -> psycopg.Error | None:
    """Call a function in a subtransaction; the error that it ends with, if with one."""
    statement = sql.SQL("SELECT {}({})").format(
        sql.SQL(name),
        sql.SQL(", ").join(map(sql.Literal, arguments)),
    )
    try:
        with caller.transaction():
            caller.execute(statement)
    except psycopg.Error as error:
        return error
    return None


def held_by_the_caller(database: Database, caller: psycopg.Connection, lock: str) -> Iterator[type[psycopg.Error]]:
    caller.execute(lock.encode())
    yield errors.DeadlockDetected


def held_by_another(database: Database, caller: psycopg.Connection, lock: str) -> Iterator[type[psycopg.Error]]:
    with database.connect(autocommit=False) as holder:
        holder.execute(lock.encode())
        caller.execute("SET LOCAL lock_timeout = '30ms'")
        yield errors.LockNotAvailable


def queued_between(database: Database, caller: psycopg.Connection, lock: str) -> Iterator[type[psycopg.Error]]:
    mode = lock.partition(" IN ")[2].removesuffix(" MODE")
    caller.execute(lock.replace(mode, HELD[mode]).encode())
    with database.connect() as session, busy(database, f"BEGIN; {lock}") as waiting:
        until(session, WAITING, waiting.pid)
        yield errors.DeadlockDetected


@pytest.mark.parametrize("holding", [held_by_the_caller, held_by_another, queued_between])
def test_no_lock_on_any_table_makes_any_call_wait_for_ever(
    database: Database,
    session: psycopg.Connection,
    caller: psycopg.Connection,
    holding: Callable[[Database, psycopg.Connection, str], Iterator[type[psycopg.Error]]],
) -> None:
    """Each call on each table with the strongest mode, and those that it refuses with one of the weaker ones.

    Which one, is in a fixed rotation: the bound is one for all calls, and the strongest mode shows which of them meet it.
    """
    refused = set()
    strongest, *weaker = HELD if holding is queued_between else MODES
    with database.connect() as other:
        other.execute("SET jobmon.keep_link = on")
        calls = Calls(session, caller, other)
        for name, arguments in calls.prepared(calls.names).items():
            assert call(caller, name, arguments) is None
        caller.commit()
        for turn, (table,) in enumerate(session.execute(TABLES).fetchall()):
            waits: set[str] = set()
            for number, mode in enumerate((strongest, *weaker)):
                names = sorted(waits)[(number + turn) % len(weaker) :: len(weaker)] if number else sorted(calls.names)
                prepared = calls.prepared(names)
                with contextlib.contextmanager(holding)(
                    database, caller, f"LOCK TABLE jobmon.{table} IN {mode} MODE"
                ) as expected:
                    for name in names:
                        error = call(caller, name, prepared[name])
                        if error is not None:
                            assert isinstance(error, expected), (name, table, mode, error)
                            waits.add(name)
                    caller.rollback()
            refused |= waits
    # each of them writes something, so that one that is never refused wasn't tried
    assert refused >= calls.names - {"jobmon.status_text", "jobmon.check_schedule", "jobmon.next_run"}


RUNS = "SELECT job_name, status FROM jobmon.job_log ORDER BY job_id"


@pytest.mark.parametrize(
    "statement",
    [
        "REINDEX TABLE jobmon.job_log",
        "CREATE INDEX ON jobmon.job_log (owner)",
        "TRUNCATE jobmon.job_check_log",
        "DELETE FROM jobmon.job_check_log",
    ],
)
def test_a_job_whose_statement_locks_the_log_fails_and_says_why(session: psycopg.Connection, statement: str) -> None:
    session.execute("SELECT jobmon.fail_job(jobmon.add_job('etl'))")
    session.execute("SET statement_timeout = '20s'")
    try:
        text = value(session, "SELECT jobmon.sql_job('etl', %s)", statement)
    except errors.DeadlockDetected as error:
        text = f"{error} failed"
    assert text.endswith("failed")
    assert session.execute(RUNS).fetchall() == [("ETL", "CRITICAL")] * 2
    assert value(session, "SELECT count(*) FROM jobmon.job_check_log") == 2
    session.execute("SELECT jobmon.sql_job('etl', 'SELECT 1')")
    assert session.execute("SELECT alert_text FROM jobmon.check_job_status()").fetchall() == [
        ("(All jobs run successfully)",)
    ]


def test_two_sessions_whose_links_wait_for_the_other_one_do_not_wait_for_ever(
    database: Database, session: psycopg.Connection
) -> None:
    jobs = [value(session, "SELECT jobmon.add_job(%s)", name) for name in "ab"]
    for job in jobs:
        session.execute("SELECT jobmon.fail_job(%s)", [job])
    with contextlib.ExitStack() as stack:
        sessions = [stack.enter_context(database.connect(autocommit=False)) for _ in jobs]
        for one, job in zip(sessions, jobs, strict=True):
            one.execute("DELETE FROM jobmon.job_check_log WHERE job_id = %s", [job])
        work = []
        for one, name in zip(sessions, "ba", strict=True):
            one.execute("SET LOCAL statement_timeout = '20s'")
            work.append(Busy(one, f"SELECT jobmon.close_job(jobmon.add_job('{name}'))"))
        for session_at_work in work:
            session_at_work.join()
        ends = {type(session_at_work.error) for session_at_work in work}
        assert {errors.DeadlockDetected} <= ends <= {errors.DeadlockDetected, type(None)}


def test_a_past_run_and_a_delete_by_hand_keep_no_job_from_ending(
    database: Database, session: psycopg.Connection
) -> None:
    session.execute("SELECT jobmon.fail_job(jobmon.add_job('etl'))")
    past = """
        SELECT jobmon.add_past_run(gen_random_uuid(), '{}', now() - interval '2 h', now() - interval '1 h', 3, 'x', 'y')
    """
    with database.connect(autocommit=False) as admin:
        admin.execute("DELETE FROM jobmon.job_check_log WHERE job_name = 'ETL'")
        with busy(database, past.format("etl")) as work:
            session.execute("SET statement_timeout = '20s'")
            session.execute("SELECT jobmon.fail_job(jobmon.add_job('another'))")
            session.execute(past.format("a third").encode())
            # while the admin's transaction is open yet
            work.join()
            assert work.error is None
    assert value(session, "SELECT array_agg(job_name ORDER BY job_name) FROM jobmon.job_check_log") == [
        "A THIRD",
        "ANOTHER",
        "ETL",
    ]


def test_what_a_cancelled_caller_had_its_link_do_does_not_happen(
    database: Database, session: psycopg.Connection
) -> None:
    with database.connect(autocommit=False) as holder:
        holder.execute("LOCK TABLE jobmon.job_log IN SHARE MODE")
        with busy(database, "SELECT jobmon.add_job('abandoned')") as caller:
            until(session, LINK_WAITING, caller.pid)
            session.execute("SELECT pg_cancel_backend(%s)", [caller.pid])
            # at once, and not when the lock is let go
            caller.join()
            assert isinstance(caller.error, errors.QueryCanceled)
            until(
                session, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'jobmon link%%')"
            )
        holder.rollback()
    assert session.execute(RUNS).fetchall() == []


HELD_BATCH = """
    CREATE FUNCTION public.hold() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN NULL; END';
    CREATE TRIGGER hold BEFORE DELETE ON jobmon.job_log FOR EACH STATEMENT EXECUTE FUNCTION public.hold();
    INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)
         SELECT 'x', 'OLD', now() - interval '1 year', now(), 'OK', 1 FROM generate_series(1, 2500)
"""
LEFT = "SELECT count(*) FROM jobmon.job_log WHERE job_name = 'OLD'"


def test_clearing_does_not_deadlock_with_a_vacuum_of_all_tables(
    database: Database, session: psycopg.Connection
) -> None:
    session.execute(HELD_BATCH.encode())
    tables = [table for (table,) in session.execute(TABLES).fetchall()]
    with database.connect() as holder, contextlib.ExitStack() as stack:
        holder.execute("SELECT pg_advisory_lock(4711)")
        clearing = stack.enter_context(busy(database, "SELECT jobmon.job_log_clear('1 day')"))
        # a deleting batch waits for nothing else
        until(session, LINK_WAITING, clearing.pid)
        vacuums = [stack.enter_context(busy(database, f"VACUUM FULL jobmon.{table}")) for table in tables]
        until(session, "SELECT count(*) > 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted")
        holder.execute("SELECT pg_advisory_unlock(4711)")
        for work in (clearing, *vacuums):
            work.join()
            assert work.error is None
    assert value(session, LEFT) == 0


def test_a_cancelled_clearing_logs_what_it_has_deleted(database: Database, session: psycopg.Connection) -> None:
    session.execute(HELD_BATCH.encode())
    session.execute(
        f"""
        CREATE OR REPLACE FUNCTION public.hold() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF ({LEFT}) < 2500 THEN
                PERFORM pg_advisory_xact_lock_shared(4711);
            END IF;
            RETURN NULL;
        END
        $$
        """.encode()
    )
    with database.connect() as holder:
        holder.execute("SELECT pg_advisory_lock(4711)")
        with busy(database, "SELECT jobmon.job_log_clear('1 day')") as clearing:
            until(session, LINK_WAITING, clearing.pid)
            session.execute("SELECT pg_cancel_backend(%s)", [clearing.pid])
            # the batch that was given up goes on neither before nor after the lock is let go
            clearing.join()
            assert isinstance(clearing.error, errors.QueryCanceled)
            holder.execute("SELECT pg_advisory_unlock(4711)")
            until(
                session, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'jobmon link%%')"
            )
    assert value(session, LEFT) == 1500
    message = value(session, "SELECT message FROM jobmon.job_detail ORDER BY step_id DESC LIMIT 1")
    assert message == "runs deleted: 1000, then: canceling statement due to user request [57014]"


def test_an_inner_job_leaves_the_link_to_the_outer_one_which_closes_it(
    database: Database, session: psycopg.Connection
) -> None:
    link = "SELECT pid FROM pg_stat_activity WHERE application_name = 'jobmon link of ' || %s"
    with database.connect() as caller:
        caller.execute(
            """
            CREATE TABLE links (pid integer);
            CREATE FUNCTION seen() RETURNS void LANGUAGE sql AS $$
                SELECT pg_stat_clear_snapshot();
                INSERT INTO links SELECT pid FROM pg_stat_activity
                                   WHERE application_name = 'jobmon link of ' || pg_backend_pid()
            $$
            """
        )
        inner = "SELECT seen(); SELECT jobmon.sql_job('inner', 'SELECT 1'); SELECT seen()"
        assert value(caller, "SELECT jobmon.sql_job('outer', %s)", inner).endswith("was successful")
        assert value(session, "SELECT array_agg(n) FROM (SELECT count(*) AS n FROM links GROUP BY pid) AS l") == [2]
        until(session, f"SELECT NOT EXISTS ({link})", caller.info.backend_pid)
        # nor is it left open by a job that is given up
        with caller.transaction():
            caller.execute("SELECT jobmon.add_job('given up')")
        caller.execute("SELECT jobmon.sql_job('next', 'SELECT 1')")
        until(session, f"SELECT NOT EXISTS ({link})", caller.info.backend_pid)
