"""sql_step: runs a statement as a step, as the caller, and undoes what fails."""

from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from tests.database import Database, value

STEP = "SELECT action, status, message, end_time IS NOT NULL FROM jobmon.job_detail"


def test_a_step_that_goes_well_logs_the_rows_affected_and_leaves_the_job_open(session: psycopg.Connection) -> None:
    session.execute("CREATE TABLE facts (id integer)")
    job = value(session, "SELECT jobmon.add_job('etl')")
    statement = "INSERT INTO facts SELECT generate_series(1, 7)"
    assert value(session, "SELECT jobmon.sql_step(%s, 'load', %s)", job, statement) is True
    assert session.execute(STEP).fetchall() == [("load", "OK", "Rows affected: 7", True)]
    assert value(session, "SELECT count(*) FROM facts") == 7
    assert value(session, "SELECT end_time FROM jobmon.job_log") is None


def test_a_failing_step_is_undone_and_the_transaction_goes_on(database: Database, session: psycopg.Connection) -> None:
    session.execute("CREATE TABLE facts (id integer PRIMARY KEY)")
    with database.connect(autocommit=False) as caller:
        caller.execute("INSERT INTO facts VALUES (1)")
        job = value(caller, "SELECT jobmon.add_job('etl')")
        statement = "INSERT INTO facts VALUES (2); INSERT INTO facts VALUES (1)"
        assert value(caller, "SELECT jobmon.sql_step(%s, 'load', %s)", job, statement) is False
        caller.execute("INSERT INTO facts VALUES (3)")
        caller.commit()
    assert value(session, "SELECT array_agg(id ORDER BY id) FROM facts") == [1, 3]
    message = 'ERROR: duplicate key value violates unique constraint "facts_pkey" DETAIL: Key (id)=(1) already exists. [23505]'
    assert session.execute(STEP).fetchall() == [("load", "CRITICAL", message, True)]
    assert value(session, "SELECT end_time FROM jobmon.job_log") is None


FAILING: dict[str | None, str] = {
    "SELECT 1 / 0": "ERROR: division by zero [22012]",
    "SELEC": 'ERROR: syntax error at or near "SELEC" [42601]',
    "COMMIT": "ERROR: EXECUTE of transaction commands is not implemented [0A000]",
    "DO 'BEGIN ASSERT false; END'": "ERROR: assertion failed [P0004]",
    r"""DO $$BEGIN RAISE EXCEPTION 'it''s \ "so" %%'; END$$""": r"""ERROR: it's \ "so" % [P0001]""",
    "DO $$BEGIN RAISE 'no rates' USING DETAIL = 'none for EUR', HINT = 'load them first'; END$$": (
        "ERROR: no rates DETAIL: none for EUR HINT: load them first [P0001]"
    ),
    None: "ERROR: query string argument of EXECUTE is null [22004]",
}


def test_whatever_fails_is_recorded_with_its_sqlstate(session: psycopg.Connection) -> None:
    for statement, message in FAILING.items():
        job = value(session, "SELECT jobmon.add_job('etl')")
        assert value(session, "SELECT jobmon.sql_step(%s, 'x', %s)", job, statement) is False, statement
        assert session.execute(STEP).fetchall() == [("x", "CRITICAL", message, True)]
        session.execute("DELETE FROM jobmon.job_log")


def test_a_statement_timeout_is_logged_and_still_cancels_the_caller(session: psycopg.Connection) -> None:
    job = value(session, "SELECT jobmon.add_job('etl')")
    session.execute("SET statement_timeout = '500ms'")
    with pytest.raises(errors.QueryCanceled):
        session.execute("SELECT jobmon.sql_step(%s, 'sleep', 'SELECT pg_sleep(60)')", [job])
    session.execute("RESET statement_timeout")
    message = "ERROR: canceling statement due to statement timeout [57014]"
    assert session.execute(STEP).fetchall() == [("sleep", "CRITICAL", message, True)]
    session.execute("SELECT jobmon.fail_job(%s)", [job])
    assert value(session, "SELECT status FROM jobmon.job_log") == "CRITICAL"


def test_a_lock_timeout_is_a_failure_like_others(database: Database, session: psycopg.Connection) -> None:
    session.execute("CREATE TABLE facts ()")
    with database.connect(autocommit=False) as other:
        other.execute("LOCK TABLE facts")
        job = value(session, "SELECT jobmon.add_job('etl')")
        session.execute("SET lock_timeout = '50ms'")
        assert value(session, "SELECT jobmon.sql_step(%s, 'drop', 'DROP TABLE facts')", job) is False
    message = "ERROR: canceling statement due to lock timeout [55P03]"
    assert session.execute(STEP).fetchall() == [("drop", "CRITICAL", message, True)]


def test_the_statement_sees_the_callers_search_path_and_role(session: psycopg.Connection) -> None:
    session.execute("CREATE SCHEMA etl; CREATE TABLE etl.facts (who text); SET search_path = etl")
    job = value(session, "SELECT jobmon.add_job('etl')")
    statement = "INSERT INTO facts VALUES (current_user)"
    assert value(session, "SELECT jobmon.sql_step(%s, 'load', %s)", job, statement) is True
    assert value(session, "SELECT who FROM etl.facts") == "postgres"


def test_the_words_are_those_of_job_status_text(session: psycopg.Connection) -> None:
    session.execute("UPDATE jobmon.job_status_text SET alert_text = 'FUBAR' WHERE alert_code = 3")
    job = value(session, "SELECT jobmon.add_job('etl')")
    session.execute("SELECT jobmon.sql_step(%s, 'x', 'SELECT 1 / 0')", [job])
    assert value(session, "SELECT status FROM jobmon.job_detail") == "FUBAR"


def test_an_unknown_job_is_refused_and_nothing_run(session: psycopg.Connection) -> None:
    session.execute("CREATE TABLE facts ()")
    with pytest.raises(errors.NoDataFound, match="no job with job_id 4711"):
        session.execute("SELECT jobmon.sql_step(4711, 'x', 'DROP TABLE facts')")
    assert value(session, "SELECT to_regclass('facts') IS NOT NULL")


@pytest.mark.parametrize(
    ("statement", "rows"),
    [
        ("SELECT generate_series(1, 120)", 120),
        ("SELECT WHERE false", 0),
        ("INSERT INTO facts SELECT generate_series(1, 7)", 7),
        ("INSERT INTO facts SELECT generate_series(1, 7) RETURNING id", 7),
        ("WITH new AS (INSERT INTO facts SELECT generate_series(1, 7) RETURNING id) SELECT FROM new WHERE id < 3", 2),
        ("UPDATE facts SET id = id WHERE false RETURNING id", 0),
        ("SELECT add_facts(3)", 1),
        ("CREATE TABLE more AS SELECT generate_series(1, 5)", 5),
        ("CREATE TABLE more (id integer); INSERT INTO more VALUES (1), (2); INSERT INTO facts TABLE more", 2),
        ("SELECT 1; SELECT generate_series(1, 4);", 4),
        ("CREATE TABLE more ()", 0),
        ("SHOW work_mem", 1),
        ("EXPLAIN (COSTS off) SELECT 1", 1),
        ("CALL add_facts_and_tell(3, NULL)", 1),
        ("DO 'BEGIN PERFORM add_facts(3); END'", 0),
        ("", 0),
    ],
)
def test_any_kind_of_statement_is_run_once_and_its_rows_are_counted(
    session: psycopg.Connection, statement: str, rows: int
) -> None:
    session.execute(
        """
        CREATE TABLE facts (id integer);
        CREATE FUNCTION add_facts(n integer) RETURNS void LANGUAGE sql AS 'INSERT INTO facts SELECT generate_series(1, n)';
        CREATE PROCEDURE add_facts_and_tell(n integer, INOUT told text) LANGUAGE plpgsql
            AS 'BEGIN PERFORM add_facts(n); told := n; END';
        SET cursor_tuple_fraction = 0.5
        """
    )
    job = value(session, "SELECT jobmon.add_job('etl')")
    assert value(session, "SELECT jobmon.sql_step(%s, 'x', %s)", job, statement) is True
    assert session.execute(STEP).fetchall() == [("x", "OK", f"Rows affected: {rows}", True)]
    added = 3 if "add_facts" in statement else 2 if "TABLE more;" in statement or "INTO facts TABLE" in statement else 0
    added = 7 if "INTO facts SELECT" in statement else added
    assert value(session, "SELECT count(*) FROM facts") == added
    assert value(session, "SELECT current_setting('cursor_tuple_fraction')") == "0.5"
    assert value(session, "SELECT count(*) FROM pg_cursors") == 0


def test_the_rows_that_a_statement_returns_are_not_kept_in_memory(session: psycopg.Connection) -> None:
    def peak() -> int:
        status = Path(f"/proc/{session.info.backend_pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0])

    job = value(session, "SELECT jobmon.add_job('etl')")
    step = "SELECT jobmon.sql_step(%s, 'read', %s)"
    value(session, step, job, "SELECT repeat('x', 200), generate_series(1, 1000)")
    before = peak()
    value(session, step, job, "SELECT repeat('x', 200), generate_series(1, 300000)")
    # in kB; kept, they would be 80 MB
    assert peak() - before < 10_000
    assert value(session, "SELECT message FROM jobmon.job_detail ORDER BY step_id DESC") == "Rows affected: 300000"


@pytest.mark.parametrize("statement", ["SET LOCAL ROLE sql_step_other", "RESET ROLE", "SELECT"])
def test_a_role_that_was_set_for_the_transaction_does_not_outlive_it(
    session: psycopg.Connection, statement: str
) -> None:
    session.execute("CREATE ROLE sql_step_role; CREATE ROLE sql_step_other; GRANT jobmon_log TO sql_step_role")
    try:
        with session.transaction():
            session.execute("SET LOCAL ROLE sql_step_role")
            job = value(session, "SELECT jobmon.add_job('etl')")
            assert value(session, "SELECT jobmon.sql_step(%s, 'x', %s)", job, statement) is True
            assert value(session, "SELECT current_user::text") == "sql_step_role"
        assert value(session, "SELECT current_user::text") == "postgres"
    finally:
        session.execute("RESET ROLE; DROP ROLE sql_step_other; DROP OWNED BY sql_step_role; DROP ROLE sql_step_role")


def test_a_step_may_leave_to_a_later_one_what_a_deferred_constraint_wants(
    database: Database, session: psycopg.Connection
) -> None:
    session.execute("CREATE TABLE a (id integer PRIMARY KEY)")
    session.execute("CREATE TABLE b (id integer REFERENCES a DEFERRABLE INITIALLY DEFERRED)")
    with database.connect(autocommit=False) as caller:
        job = value(caller, "SELECT jobmon.add_job('etl')")
        assert value(caller, "SELECT jobmon.sql_step(%s, 'x', 'INSERT INTO b VALUES (1)')", job) is True
        assert value(caller, "SELECT jobmon.sql_step(%s, 'x', 'INSERT INTO a VALUES (1)')", job) is True
        caller.commit()
