"""sql_step: runs a statement as a step, as the caller, and undoes what fails."""

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
    assert session.execute(STEP).fetchall() == [("load", "OK", "rows affected: 7", True)]
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
    message = 'duplicate key value violates unique constraint "facts_pkey" [23505]'
    assert session.execute(STEP).fetchall() == [("load", "CRITICAL", message, True)]
    assert value(session, "SELECT end_time FROM jobmon.job_log") is None


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("SELECT 1 / 0", "division by zero [22012]"),
        ("SELEC", 'syntax error at or near "SELEC" [42601]'),
        ("COMMIT", "EXECUTE of transaction commands is not implemented [0A000]"),
        ("DO 'BEGIN ASSERT false; END'", "assertion failed [P0004]"),
        (r"""DO $$BEGIN RAISE EXCEPTION 'it''s \ "so" %%'; END$$""", r"""it's \ "so" % [P0001]"""),
        (None, "query string argument of EXECUTE is null [22004]"),
    ],
)
def test_whatever_fails_is_recorded_with_its_sqlstate(
    session: psycopg.Connection, statement: str | None, message: str
) -> None:
    job = value(session, "SELECT jobmon.add_job('etl')")
    assert value(session, "SELECT jobmon.sql_step(%s, 'x', %s)", job, statement) is False
    assert session.execute(STEP).fetchall() == [("x", "CRITICAL", message, True)]


def test_a_statement_timeout_is_logged_and_still_cancels_the_caller(session: psycopg.Connection) -> None:
    job = value(session, "SELECT jobmon.add_job('etl')")
    session.execute("SET statement_timeout = '500ms'")
    with pytest.raises(errors.QueryCanceled):
        session.execute("SELECT jobmon.sql_step(%s, 'sleep', 'SELECT pg_sleep(60)')", [job])
    session.execute("RESET statement_timeout")
    message = "canceling statement due to statement timeout [57014]"
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
    message = "canceling statement due to lock timeout [55P03]"
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
