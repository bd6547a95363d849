"""cancel_job: cancels the backend of the run and no other, and says why it doesn't."""

from contextlib import ExitStack

import psycopg
import pytest
from psycopg import errors

from tests.database import Database, value
from tests.schema.sessions import busy, until

ASLEEP = "SELECT count(*) > 0 FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"


def test_it_cancels_a_sql_job_and_notes_who_did(database: Database, session: psycopg.Connection) -> None:
    with busy(database, "SELECT jobmon.sql_job('etl', 'SELECT pg_sleep(60)')") as run:
        until(session, ASLEEP, run.pid)
        job = value(session, "SELECT job_id FROM jobmon.job_log")
        assert value(session, "SELECT jobmon.cancel_job(%s)", job) is True
        run.join()
        assert isinstance(run.error, errors.QueryCanceled)
        # what the cancelled session had to say comes before the note or after it, and never instead of it
        assert session.execute("SELECT status, message FROM jobmon.job_detail").fetchall() == [
            ("CRITICAL", "cancelled by postgres; ERROR: canceling statement due to user request [57014]")
        ]
        assert value(session, "SELECT status FROM jobmon.job_log") == "CRITICAL"
        assert value(session, "SELECT alert_code FROM jobmon.job_check_log") == 3
        assert value(run.session, "SELECT 1") == 1


def test_a_cancelled_run_stays_failed_though_its_session_closes_it(
    database: Database, session: psycopg.Connection
) -> None:
    """An idle session can't be cancelled: it goes on after cancel_job(), and knows nothing of it."""
    with database.connect(autocommit=False) as runner:
        job = value(runner, "SELECT jobmon.add_job('etl')")
        step = value(runner, "SELECT jobmon.add_step(%s, 'load')", job)
        with database.connect(autocommit=False) as canceller:
            assert value(canceller, "SELECT jobmon.cancel_job(%s)", job) is True
            canceller.rollback()
        runner.execute("SELECT jobmon.update_step(%s, 'OK', 'done')", [step])
        runner.execute("SELECT jobmon.close_job(%s)", [job])
    assert session.execute("SELECT status, message FROM jobmon.job_detail").fetchall() == [
        ("CRITICAL", "cancelled by postgres; done")
    ]
    assert value(session, "SELECT status FROM jobmon.job_log") == "CRITICAL"
    assert value(session, "SELECT count(*) FROM jobmon.job_check_log") == 1


def test_a_run_without_a_step_gets_one_for_the_note(database: Database, session: psycopg.Connection) -> None:
    with database.connect() as runner:
        job = value(runner, "SELECT jobmon.add_job('etl')")
        session.execute("SELECT jobmon.cancel_job(%s)", [job])
    assert session.execute("SELECT action, status, message, end_time IS NULL FROM jobmon.job_detail").fetchall() == [
        ("cancel_job", "CRITICAL", "cancelled by postgres", False)
    ]


def refusal(session: psycopg.Connection, job: int | None) -> tuple[str, str]:
    """The message and the hint with which cancel_job() refuses."""
    with pytest.raises(psycopg.Error) as refused:
        session.execute("SELECT jobmon.cancel_job(%s)", [job])
    diagnosis = refused.value.diag
    return diagnosis.message_primary or "", diagnosis.message_hint or ""


def test_a_run_that_there_is_none_of(session: psycopg.Connection) -> None:
    assert refusal(session, 4711) == ("no job with job_id 4711", "show_running() lists the runs under way.")
    assert refusal(session, None)[0] == "cancel_job() needs a job_id, and this one is NULL"


def test_a_run_that_is_over(database: Database, session: psycopg.Connection) -> None:
    with database.connect() as runner:
        job = value(runner, "SELECT jobmon.add_job('etl')")
        runner.execute("SELECT jobmon.close_job(%s)", [job])
        message, _ = refusal(session, job)
    assert message.startswith(f"job {job} (ETL) is already over: it ended at ")
    assert value(session, "SELECT status FROM jobmon.job_log") == "OK"


def test_a_run_of_ones_own(session: psycopg.Connection) -> None:
    job = value(session, "SELECT jobmon.add_job('etl')")
    message, hint = refusal(session, job)
    assert message == f"job {job} (ETL) is run by this very session"
    assert f"fail_job({job})" in hint


def test_a_run_whose_backend_is_gone(database: Database, session: psycopg.Connection) -> None:
    with database.connect() as runner:
        job = value(runner, "SELECT jobmon.add_job('etl')")
        pid = runner.info.backend_pid
    until(session, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %s)", pid)
    message, hint = refusal(session, job)
    assert message == f"job {job} (ETL) has crashed: its backend, pid {pid}, is gone"
    assert f"fail_job({job})" in hint
    session.execute("SELECT jobmon.fail_job(%s)", [job])
    assert value(session, "SELECT status FROM jobmon.job_log") == "CRITICAL"


def test_a_pid_that_is_somebody_elses_by_now_is_left_alone(database: Database, session: psycopg.Connection) -> None:
    with busy(database, "SELECT pg_sleep(60)") as innocent:
        until(session, ASLEEP, innocent.pid)
        job = value(
            session,
            "INSERT INTO jobmon.job_log (owner, job_name, start_time, pid)"
            " VALUES ('postgres', 'ETL', now() - interval '1 day', %s) RETURNING job_id",
            innocent.pid,
        )
        assert "has crashed" in refusal(session, job)[0]
        assert value(session, ASLEEP, innocent.pid)
        assert innocent.error is None


def test_a_pid_in_another_database_is_left_alone(database: Database, session: psycopg.Connection) -> None:
    with busy(Database(database.server, "postgres"), "SELECT pg_sleep(60)") as innocent:
        until(session, ASLEEP, innocent.pid)
        job = value(
            session,
            "INSERT INTO jobmon.job_log (owner, job_name, start_time, pid)"
            " VALUES ('postgres', 'ETL', clock_timestamp(), %s) RETURNING job_id",
            innocent.pid,
        )
        assert "has crashed" in refusal(session, job)[0]
        assert innocent.error is None


@pytest.mark.parametrize("role", ["postgres", "cancel_admin"])
def test_a_session_that_has_gone_on_to_something_else_meanwhile_is_left_alone(
    database: Database, session: psycopg.Connection, role: str
) -> None:
    session.execute(
        "CREATE ROLE cancel_admin LOGIN IN ROLE jobmon_admin; CREATE ROLE cancel_own LOGIN IN ROLE jobmon_log"
    )
    with database.connect(user="cancel_own") as runner, database.connect() as locker, ExitStack() as stack:
        runner.execute("SET jobmon.keep_link = on")
        job = value(runner, "SELECT jobmon.add_job('etl')")
        with locker.transaction():
            locker.execute("LOCK TABLE jobmon.link")  # so that the canceller's link can't connect yet
            caller = stack.enter_context(busy(database, f"SELECT jobmon.cancel_job({job})", user=role))
            until(session, "SELECT wait_event_type = 'Lock' FROM pg_stat_get_activity(%s)", caller.pid)
            runner.execute("SELECT jobmon.close_job(%s)", [job])
        caller.join()
    assert f"job {job} ended before it could be cancelled" in str(caller.error)
    session.execute("DROP ROLE cancel_admin, cancel_own")


def test_a_run_that_is_not_the_callers_to_cancel(database: Database, session: psycopg.Connection) -> None:
    session.execute("CREATE ROLE cancel_any LOGIN IN ROLE jobmon_log; CREATE ROLE cancel_own LOGIN IN ROLE jobmon_log")
    with (
        busy(database, "SELECT jobmon.sql_job('etl', 'SELECT pg_sleep(60)')", user="cancel_own") as run,
        database.connect(user="cancel_any") as caller,
    ):
        until(session, ASLEEP, run.pid)
        job = value(session, "SELECT job_id FROM jobmon.job_log")
        message, hint = refusal(caller, job)
        assert message.startswith(f"job {job} is not yours to cancel: ")
        assert "pg_signal_backend" in hint
        assert value(session, "SELECT end_time FROM jobmon.job_log") is None
        assert value(session, ASLEEP, run.pid)
        session.execute("GRANT pg_signal_backend TO cancel_any")
        assert value(caller, "SELECT jobmon.cancel_job(%s)", job) is True
        run.join()
    assert value(session, "SELECT message FROM jobmon.job_detail").startswith("cancelled by cancel_any; ")
    session.execute("DROP ROLE cancel_any, cancel_own")


def test_an_administrator_is_told_what_the_logs_owner_lacks(database: Database, session: psycopg.Connection) -> None:
    session.execute(
        """
        CREATE ROLE cancel_owner IN ROLE pg_read_all_stats;
        CREATE ROLE cancel_admin LOGIN IN ROLE jobmon_admin;
        CREATE ROLE cancel_own LOGIN IN ROLE jobmon_log;
        GRANT ALL ON SCHEMA jobmon TO cancel_owner;
        GRANT SELECT ON ALL TABLES IN SCHEMA jobmon TO cancel_owner;
        GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA jobmon TO cancel_owner;
        ALTER FUNCTION jobmon.cancel_job_as_owner(bigint) OWNER TO cancel_owner;
        """
    )
    with (
        database.connect(user="cancel_admin") as admin,
        busy(database, "SELECT jobmon.sql_job('etl', 'SELECT pg_sleep(60)')", user="cancel_own") as run,
    ):
        until(session, ASLEEP, run.pid)
        job = value(session, "SELECT job_id FROM jobmon.job_log")
        message, hint = refusal(admin, job)
        assert message.startswith(f'job {job} can\'t be cancelled by role "cancel_owner", the owner of the job log: ')
        assert hint == "GRANT pg_signal_backend TO cancel_owner."
        session.execute("GRANT pg_signal_backend TO cancel_owner")
        assert value(admin, "SELECT jobmon.cancel_job(%s)", job) is True
        run.join()
    session.execute("DROP OWNED BY cancel_owner; DROP ROLE cancel_owner, cancel_admin, cancel_own")
