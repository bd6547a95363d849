"""Locks: the caller and its own link never wait for each other, and for others no longer than the caller's timeouts say."""

import contextlib
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import errors, sql

from tests.database import Database, value
from tests.schema.sessions import busy, until

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
}


@pytest.fixture
def caller(database: Database) -> Iterator[psycopg.Connection]:
    """A session that keeps its link, and whose link loses its patience soon; it must come to an end in any case."""
    with database.connect(autocommit=False) as caller:
        definition = str(value(caller, "SELECT pg_get_functiondef('jobmon.link_call'::regproc)"))
        assert "'300ms'" in definition
        caller.execute(definition.replace("'300ms'", "'60ms'").encode())
        caller.execute("SET jobmon.keep_link = on; SET statement_timeout = '20s'")
        caller.commit()
        yield caller


class Calls:
    """All the calls that log, each with a run and a step of its own."""

    def __init__(self, session: psycopg.Connection, caller: psycopg.Connection, other: psycopg.Connection) -> None:
        self._caller, self._other = caller, other
        self._arguments = {name: arguments or [] for name, arguments in session.execute(CALLS).fetchall()}
        self.names = set(self._arguments)

    def prepared(self) -> dict[str, list[object]]:
        """What to call with what, so that it goes well if there is no lock."""
        found = {name: [self._value(name, argument) for argument in self._arguments[name]] for name in self.names}
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
    caller.execute(lock.replace(lock.partition(" IN ")[2], "ACCESS SHARE MODE").encode())
    with database.connect() as session, busy(database, f"BEGIN; {lock}") as waiting:
        if "ACCESS EXCLUSIVE" in lock:
            until(session, WAITING, waiting.pid)
        yield errors.DeadlockDetected


@pytest.mark.parametrize("holding", [held_by_the_caller, held_by_another, queued_between])
def test_no_lock_on_any_table_makes_any_call_wait_for_ever(
    database: Database,
    session: psycopg.Connection,
    caller: psycopg.Connection,
    holding: Callable[[Database, psycopg.Connection, str], Iterator[type[psycopg.Error]]],
) -> None:
    refused = set()
    with database.connect() as other:
        other.execute("SET jobmon.keep_link = on")
        calls = Calls(session, caller, other)
        for name, arguments in calls.prepared().items():
            assert call(caller, name, arguments) is None
        caller.commit()
        for (table,) in session.execute(TABLES).fetchall():
            left = set(calls.names)
            for mode in MODES:
                if not left or (holding is queued_between and mode != MODES[0]):
                    break
                prepared = calls.prepared()
                with contextlib.contextmanager(holding)(
                    database, caller, f"LOCK TABLE jobmon.{table} IN {mode} MODE"
                ) as expected:
                    for name in sorted(left):
                        error = call(caller, name, prepared[name])
                        if error is None:
                            # nor does it wait for any weaker mode
                            left.remove(name)
                        else:
                            assert isinstance(error, expected), (name, table, mode, error)
                            refused.add(name)
                    caller.rollback()
    # each of them writes something, so that one that is never refused wasn't tried
    assert refused >= calls.names - {"jobmon.status_text"}
