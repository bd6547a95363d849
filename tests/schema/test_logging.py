"""add_job, add_step, update_step, close_job and fail_job: what they write, and that it survives."""

import psycopg
import pytest
from psycopg import errors

from tests.database import Database, until, value


def test_a_run_is_logged_with_its_steps(session: psycopg.Connection) -> None:
    job = value(session, "SELECT jobmon.add_job('nightly etl')")
    step = value(session, "SELECT jobmon.add_step(%s, 'load')", job)
    session.execute("SELECT jobmon.update_step(%s, 'OK', '42 rows')", [step])
    session.execute("SELECT jobmon.close_job(%s)", [job])
    run = session.execute(
        "SELECT job_id, owner, job_name, status, pid, end_time >= start_time FROM jobmon.job_log"
    ).fetchall()
    assert run == [(job, "postgres", "NIGHTLY ETL", "OK", session.info.backend_pid, True)]
    steps = session.execute(
        "SELECT job_id, step_id, action, status, message, elapsed_time >= 0, end_time >= start_time FROM jobmon.job_detail"
    ).fetchall()
    assert steps == [(job, step, "load", "OK", "42 rows", True, True)]


def test_the_log_survives_a_rollback_and_is_seen_at_once(database: Database, session: psycopg.Connection) -> None:
    with database.connect(autocommit=False) as caller:
        job = value(caller, "SELECT jobmon.add_job('etl')")
        step = value(caller, "SELECT jobmon.add_step(%s, 'load')", job)
        assert value(session, "SELECT count(*) FROM jobmon.job_log WHERE end_time IS NULL") == 1
        caller.execute("SELECT jobmon.update_step(%s, 'CRITICAL', 'boom')", [step])
        assert value(session, "SELECT message FROM jobmon.job_detail") == "boom"
        caller.execute("SELECT jobmon.fail_job(%s)", [job])
        caller.rollback()
    assert value(session, "SELECT status FROM jobmon.job_log") == "CRITICAL"
    assert value(session, "SELECT message FROM jobmon.job_detail") == "boom"


def test_the_log_survives_an_aborted_transaction(database: Database, session: psycopg.Connection) -> None:
    with database.connect(autocommit=False) as caller:
        value(caller, "SELECT jobmon.add_job('etl')")
        with pytest.raises(errors.DivisionByZero):
            caller.execute("SELECT 1 / 0")
        caller.rollback()
    assert value(session, "SELECT count(*) FROM jobmon.job_log") == 1


def test_a_read_only_transaction_can_log(database: Database, session: psycopg.Connection) -> None:
    with database.connect(autocommit=False) as caller:
        caller.execute("SET TRANSACTION READ ONLY")
        job = value(caller, "SELECT jobmon.add_job('report')")
        caller.execute("SELECT jobmon.add_step(%s, 'read')", [job])
    assert value(session, "SELECT count(*) FROM jobmon.job_detail") == 1


@pytest.mark.parametrize(("level", "status"), [(2, "WARNING"), (3, "CRITICAL")])
def test_a_failure_is_counted_until_the_next_success(session: psycopg.Connection, level: int, status: str) -> None:
    job = value(session, "SELECT jobmon.add_job('etl')")
    session.execute("SELECT jobmon.fail_job(%s, %s)", [job, level])
    assert value(session, "SELECT status FROM jobmon.job_log") == status
    assert session.execute("TABLE jobmon.job_check_log").fetchall() == [(job, "ETL", level)]
    other = value(session, "SELECT jobmon.add_job('other')")
    session.execute("SELECT jobmon.close_job(%s)", [other])
    assert value(session, "SELECT count(*) FROM jobmon.job_check_log") == 1
    again = value(session, "SELECT jobmon.add_job('etl')")
    session.execute("SELECT jobmon.close_job(%s)", [again])
    assert value(session, "SELECT count(*) FROM jobmon.job_check_log") == 0


def test_a_run_that_is_failed_twice_counts_once(session: psycopg.Connection) -> None:
    job = value(session, "SELECT jobmon.add_job('etl')")
    session.execute("SELECT jobmon.fail_job(%s, 2)", [job])
    session.execute("SELECT jobmon.fail_job(%s)", [job])
    assert session.execute("TABLE jobmon.job_check_log").fetchall() == [(job, "ETL", 3)]


def test_the_owner_is_the_role_that_was_set(session: psycopg.Connection) -> None:
    session.execute("CREATE ROLE etl_owner")
    try:
        session.execute("GRANT USAGE ON SCHEMA jobmon TO etl_owner")
        session.execute("GRANT EXECUTE ON FUNCTION jobmon.add_job(text) TO etl_owner")
        session.execute("SET ROLE etl_owner")
        session.execute("SELECT jobmon.add_job('etl')")
        session.execute("RESET ROLE")
        assert value(session, "SELECT owner FROM jobmon.job_log") == "etl_owner"
    finally:
        session.execute("RESET ROLE; DROP OWNED BY etl_owner; DROP ROLE etl_owner")


def _links(session: psycopg.Connection) -> int:
    return int(
        value(
            session,
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE %s",
            "jobmon link of %",
        )
    )


def test_the_link_is_closed_with_the_job(session: psycopg.Connection) -> None:
    job = value(session, "SELECT jobmon.add_job('etl')")
    assert _links(session) == 1
    session.execute("SELECT jobmon.close_job(%s)", [job])
    until(lambda: not _links(session))  # a backend takes a moment to leave


def test_keep_link_keeps_the_link(session: psycopg.Connection) -> None:
    session.execute("SET jobmon.keep_link = on")
    for _ in range(2):
        session.execute("SELECT jobmon.close_job(jobmon.add_job('etl'))")
        assert _links(session) == 1


def test_a_link_that_was_terminated_is_opened_anew(session: psycopg.Connection) -> None:
    job = value(session, "SELECT jobmon.add_job('etl')")
    session.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
        [f"jobmon link of {session.info.backend_pid}"],
    )
    session.execute("SELECT jobmon.close_job(%s)", [job])
    assert value(session, "SELECT status FROM jobmon.job_log") == "OK"


BAD_CALLS = [
    ("SELECT jobmon.add_job(NULL)", "a job needs a name, and this one is NULL", "Call add_job"),
    ("SELECT jobmon.add_job(' ')", "a job needs a name, and this one is empty", "Call add_job"),
    (
        "SELECT jobmon.add_job(repeat('x', 10000))",
        "a job's name has at most 500 characters, and this one has 10000",
        "Choose a shorter name",
    ),
    ("SELECT jobmon.add_step(4711, 'x')", "no job with job_id 4711", "add_job()"),
    ("SELECT jobmon.add_step(NULL, 'x')", "add_step() needs a job_id and an action", "add_job()"),
    ("SELECT jobmon.update_step(4711, 'OK', 'x')", "no step with step_id 4711", "add_step()"),
    ("SELECT jobmon.update_step(NULL, 'OK', 'x')", "update_step() needs a step_id", "add_step()"),
    ("SELECT jobmon.close_job(4711)", "no job with job_id 4711", "add_job()"),
    ("SELECT jobmon.close_job(NULL)", "close_job() needs a job_id", "add_job()"),
    ("SELECT jobmon.fail_job(4711)", "no job with job_id 4711", "add_job()"),
    ("SELECT jobmon.fail_job(NULL)", "fail_job() needs a job_id", "add_job()"),
    ("SELECT jobmon.fail_job(1, 4)", "no alert level 4 in jobmon.job_status_text", "1 (OK), 2 (WARNING), 3 (CRITICAL)"),
    ("SELECT jobmon.fail_job(1, 1)", "a job can't fail with level 1", "close_job()"),
    ("SELECT jobmon.fail_job(1, NULL)", "a job can't fail with level NULL", "Use 2"),
]


def test_bad_input_is_refused_with_a_hint_and_nothing_written(database: Database, session: psycopg.Connection) -> None:
    with database.connect(autocommit=False) as caller:
        for call, message, hint in BAD_CALLS:
            with pytest.raises(psycopg.Error) as refused:
                caller.execute(call.encode())
            assert message in (refused.value.diag.message_primary or ""), call
            assert hint in (refused.value.diag.message_hint or ""), call
            # as after any error in a statement: the transaction is aborted, and the session goes on after a rollback
            assert caller.info.transaction_status == psycopg.pq.TransactionStatus.INERROR, call
            caller.rollback()
            value(caller, "SELECT jobmon.add_job('next')")
            caller.rollback()
            names = value(
                session, "WITH d AS (DELETE FROM jobmon.job_log RETURNING job_name) SELECT array_agg(job_name) FROM d"
            )
            assert names == ["NEXT"], call
            assert value(session, "SELECT count(*) FROM jobmon.job_detail") == 0, call


def test_both_pairs_of_names_of_job_status_text_can_be_read_and_written(session: psycopg.Connection) -> None:
    session.execute("UPDATE jobmon.job_status_text SET error_text = 'FUBAR' WHERE error_code = 3")
    assert value(session, "SELECT alert_text FROM jobmon.job_status_text WHERE alert_code = 3") == "FUBAR"
    session.execute("UPDATE jobmon.job_status_text SET alert_text = 'MEH' WHERE alert_code = 2")
    assert value(session, "SELECT error_text FROM jobmon.job_status_text WHERE error_code = 2") == "MEH"
    with pytest.raises(errors.CheckViolation):
        session.execute("UPDATE jobmon.job_status_text SET alert_text = 'A', error_text = 'B' WHERE alert_code = 2")
    job = value(session, "SELECT jobmon.add_job('etl')")
    session.execute("SELECT jobmon.fail_job(%s)", [job])
    assert value(session, "SELECT status FROM jobmon.job_log") == "FUBAR"
    assert value(session, "SELECT alert_code FROM jobmon.job_check_log") == 3
