"""A sequence that lags behind the rows: no id is given twice, no run is lost or written over, and the call succeeds."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg import errors

from tests.database import Database, bootstrap, until, value
from tests.schema.conftest import NewServer
from tests.schema.test_dump import copy, harmless

LAG = "SELECT setval('jobmon.job_log_job_id_seq', 3, false), setval('jobmon.job_detail_step_id_seq', 5, false)"
KEY = "'00000000-0000-4000-8000-000000000001'"
CALLS = {
    "add_job": "SELECT jobmon.add_job('new')",
    "sql_job": "SELECT jobmon.sql_job('new', 'SELECT 1')",
    "job_log_clear": "SELECT jobmon.job_log_clear('1 year')",
    "add_past_run": f"SELECT jobmon.add_past_run({KEY}, 'new', now() - interval '1 minute', now(), 3, 'all', 'late')",
}
"""One call of each kind that adds a run; sql_job() and job_log_clear() call add_step(), add_past_run() adds a step itself."""

Rows = list[tuple[Any, ...]]


def logged(session: psycopg.Connection) -> tuple[Rows, Rows]:
    """All runs and all steps."""
    runs = session.execute("TABLE jobmon.job_log ORDER BY job_id").fetchall()
    return runs, session.execute("TABLE jobmon.job_detail ORDER BY step_id").fetchall()


@pytest.fixture
def old(session: psycopg.Connection) -> tuple[Rows, Rows]:
    """Twenty runs of one step."""
    for _ in range(20):
        session.execute("SELECT jobmon.sql_job('old', 'SELECT 1')")
    return logged(session)


def is_whole(session: psycopg.Connection, old: tuple[Rows, Rows]) -> None:
    """The old runs and steps are as they were, and a sequence that was used is past the largest id."""
    now = logged(session)
    for n, (table, column) in enumerate((("job_log", "job_id"), ("job_detail", "step_id"))):
        assert now[n][: len(old[n])] == old[n]
        if len(now[n]) > len(old[n]):
            largest = value(session, f"SELECT max({column}) FROM jobmon.{table}")
            assert value(session, f"SELECT last_value FROM jobmon.{table}_{column}_seq") == largest


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("mode", ["", "SET default_transaction_read_only = on"])
def test_an_id_that_is_in_use_is_never_given(
    database: Database,
    session: psycopg.Connection,
    old: tuple[Rows, Rows],
    call: str,
    mode: str,
) -> None:
    session.execute(LAG)
    with database.connect() as caller:
        caller.execute(mode.encode())
        caller.execute(call.encode())
    runs, steps = logged(session)
    assert len(runs) == 21
    assert len(steps) >= 20
    is_whole(session, old)


def test_a_job_is_logged_as_its_own_where_both_sequences_lag(
    session: psycopg.Connection, old: tuple[Rows, Rows]
) -> None:
    session.execute(LAG)
    for expected in (21, 22):
        job = value(session, "SELECT jobmon.add_job('new')")
        step = value(session, "SELECT jobmon.add_step(%s, 'a step')", job)
        session.execute("SELECT jobmon.update_step(%s, 'CRITICAL', 'no'), jobmon.fail_job(%s)", [step, job])
        assert (job, step) == (expected, expected)
    runs, steps = logged(session)
    assert [(row[2], row[5]) for row in runs[20:]] == [("NEW", "CRITICAL")] * 2
    assert [(row[0], row[6]) for row in steps[20:]] == [(21, "CRITICAL"), (22, "CRITICAL")]
    is_whole(session, old)


def test_a_run_that_is_cancelled_gets_a_step_of_its_own(
    database: Database, session: psycopg.Connection, old: tuple[Rows, Rows]
) -> None:
    session.execute(LAG)
    with database.connect() as other:
        job = value(other, "SELECT jobmon.add_job('new')")
        session.execute("SELECT jobmon.cancel_job(%s)", [job])
    assert value(session, "SELECT action FROM jobmon.job_detail WHERE job_id = %s", job) == "cancel_job"
    is_whole(session, old)


def test_twenty_sessions_at_once_get_an_id_each(
    database: Database, session: psycopg.Connection, old: tuple[Rows, Rows]
) -> None:
    session.execute(LAG)

    def jobs(number: int) -> list[int]:
        with database.connect() as caller:
            ids = []
            for _ in range(3):
                job = value(caller, "SELECT jobmon.add_job(%s)", f"job {number}")
                step = value(caller, "SELECT jobmon.add_step(%s, 'a step')", job)
                caller.execute("SELECT jobmon.update_step(%s, 'OK', ''), jobmon.close_job(%s)", [step, job])
                ids.append(job)
            return ids

    with ThreadPoolExecutor(20) as pool:
        ids = sorted(id for found in pool.map(jobs, range(20)) for id in found)
    assert len(set(ids)) == 60
    assert ids[0] > 20
    runs, steps = logged(session)
    assert [row[0] for row in runs[20:]] == ids
    assert all(row[5] == "OK" for row in runs[20:])
    assert sorted(row[0] for row in steps[20:]) == ids
    is_whole(session, old)


def test_a_restore_of_the_data_alone(database: Database, session: psycopg.Connection, target: Database) -> None:
    for _ in range(3):
        session.execute("SELECT jobmon.sql_job('old', 'SELECT 1/0')")
    old = logged(session)
    tables = [f"--table=jobmon.{name}" for name in ("job_log*", "job_detail*", "job_check_config")]
    options = ("--data-only", "--load-via-partition-root", "--exclude-table=jobmon.*_seq", *tables)
    assert harmless(copy(database, target, *options)) == []
    with target.connect() as restored:
        assert logged(restored) == old
        restored.execute("SELECT jobmon.sql_job('new', 'SELECT 1/0')")
        is_whole(restored, old)
    assert "OLD failed 3 times" in target.check().stdout


def test_a_promoted_logical_subscriber(new_server: NewServer) -> None:
    primary = Database(new_server(wal_level="logical"), "postgres")
    subscriber = Database(new_server(wal_level="logical"), "postgres")
    with primary.connect() as session, subscriber.connect() as replica:
        for one in (session, replica):
            bootstrap(one, "jobmon")
        session.execute("CREATE PUBLICATION log FOR TABLE jobmon.job_log, jobmon.job_detail")
        where = f"host={primary.server.folder} port={primary.server.port} dbname=postgres user=postgres"
        replica.execute(f"CREATE SUBSCRIPTION log CONNECTION '{where}' PUBLICATION log".encode())
        for _ in range(3):
            session.execute("SELECT jobmon.sql_job('old', 'SELECT 1')")
        until(lambda: logged(replica) == logged(session))
        replica.execute("ALTER SUBSCRIPTION log DISABLE")
        old = logged(replica)
        assert value(replica, "SELECT jobmon.sql_job('new', 'SELECT 1')") == "job 4 (NEW) was successful"
        is_whole(replica, old)
        replica.execute("ALTER SUBSCRIPTION log SET (slot_name = NONE); DROP SUBSCRIPTION log")


@pytest.mark.parametrize(
    ("table", "column", "row", "call"),
    [
        ("job_log", "job_id", "(%s, 'x', 'LAST', now(), now(), 'OK', 1)", "SELECT jobmon.add_job('new')"),
        ("job_detail", "step_id", "(1, %s, 'last', now())", "SELECT jobmon.add_step(1, 'a step')"),
    ],
)
def test_the_end_of_the_ids_is_a_clear_error(
    session: psycopg.Connection, table: str, column: str, row: str, call: str
) -> None:
    for _ in range(3):
        session.execute("SELECT jobmon.add_step(jobmon.add_job('old'), 'old')")
    session.execute(f"INSERT INTO jobmon.{table} VALUES {row}".encode(), [2**63 - 1])
    session.execute(f"SELECT setval('jobmon.{table}_{column}_seq', 1, false)".encode())
    with pytest.raises(errors.SequenceGeneratorLimitExceeded) as refused:
        session.execute(call.encode())
    assert refused.value.diag.message_primary == (
        f"a row of jobmon.{table} has the largest possible {column}, so the next row can't have a larger one"
    )
    assert refused.value.diag.message_hint == (
        f"Delete that row, or give it a smaller {column}: the logging functions count on from the largest."
    )


def test_a_sequence_that_counts_down_is_said_and_not_tried_for_ever(
    session: psycopg.Connection, old: tuple[Rows, Rows]
) -> None:
    session.execute("ALTER SEQUENCE jobmon.job_log_job_id_seq INCREMENT BY -1; SET statement_timeout = '20s'")
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="gives only numbers that are already used"):
        session.execute("SELECT jobmon.add_job('new')")
    assert logged(session) == old
