"""jobmonctl cancel: asks, cancels, waits until the backend has stopped, and says how it went."""

import psycopg
import pytest

from tests.ctl.prompt import a_run, jobmonctl, on_terminal, refusal
from tests.database import Database, value
from tests.schema.sessions import busy, until

ASLEEP = "SELECT count(*) > 0 FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"
LOADING = "SELECT jobmon.sql_job('etl', 'SELECT pg_sleep(60)')"
STUBBORN = """
DO $$
DECLARE v_job bigint := jobmon.add_job('etl');
BEGIN
    -- the second request to cancel ends it
    FOR v_round IN 1 .. 2 LOOP
        BEGIN
            PERFORM pg_sleep(60);
        EXCEPTION WHEN query_canceled THEN
        END;
    END LOOP;
END $$
"""


def test_it_says_whom_asks_cancels_and_reports(database: Database, session: psycopg.Connection) -> None:
    with busy(database, LOADING, application_name="loader") as run:
        until(session, ASLEEP, run.pid)
        job = value(session, "SELECT job_id FROM jobmon.job_log")
        with on_terminal(database, "cancel", str(job)) as terminal:
            terminal.see("Cancel it? [y/N] ")
            assert f"job {job} (ETL), started 20" in terminal.text
            assert f"owner postgres, pid {run.pid} (loader, active)" in terminal.text
            assert "step 1: Running sql: 'SELECT pg_sleep(60)', since 20" in terminal.text
            assert f"statement: {LOADING}" in terminal.text
            assert value(session, ASLEEP, run.pid)
            terminal.type("y\n")
            assert terminal.end() == 0
            assert f"job {job} (ETL) is over: CRITICAL, after " in terminal.text
            assert "cancelled by postgres; ERROR: canceling statement due to user request [57014]" in terminal.text
            assert f"pid {run.pid} has stopped" in terminal.text
        run.join()
        assert isinstance(run.error, psycopg.errors.QueryCanceled)
    assert value(session, "SELECT status FROM jobmon.job_log") == "CRITICAL"


@pytest.mark.parametrize("answer", ["n\n", "\n", "\x04"])
def test_any_other_answer_cancels_nothing(database: Database, session: psycopg.Connection, answer: str) -> None:
    with busy(database, LOADING) as run:
        until(session, ASLEEP, run.pid)
        with on_terminal(database, "cancel", str(value(session, "SELECT job_id FROM jobmon.job_log"))) as terminal:
            terminal.see("Cancel it? [y/N] ")
            terminal.type(answer)
            assert terminal.end() == 1
            assert terminal.text.splitlines()[-1] == "jobmonctl cancel: not done"
        assert value(session, ASLEEP, run.pid)
        assert value(session, "SELECT end_time FROM jobmon.job_log") is None


def test_ctrl_c_at_the_question_cancels_nothing(database: Database, session: psycopg.Connection) -> None:
    with busy(database, LOADING) as run:
        until(session, ASLEEP, run.pid)
        with on_terminal(database, "cancel", str(value(session, "SELECT job_id FROM jobmon.job_log"))) as terminal:
            terminal.see("Cancel it? [y/N] ")
            terminal.insist("\x03", "jobmonctl: interrupted")
            assert terminal.end() == 1
            assert terminal.text.splitlines()[-1] == "jobmonctl: interrupted"
        assert value(session, ASLEEP, run.pid)


def test_without_a_terminal_it_takes_y(database: Database, session: psycopg.Connection) -> None:
    with busy(database, LOADING) as run:
        until(session, ASLEEP, run.pid)
        job = str(value(session, "SELECT job_id FROM jobmon.job_log"))
        refused = jobmonctl(database, "cancel", job)
        assert refused.status == 1
        assert refused.stderr == "jobmonctl cancel: not done: there is no terminal to ask at, so give -y\n"
        assert value(session, ASLEEP, run.pid)
        assert jobmonctl(database, "cancel", job, "-y").status == 0
        run.join()


def test_a_backend_that_goes_on_is_reported_when_time_is_up(database: Database, session: psycopg.Connection) -> None:
    with busy(database, STUBBORN) as run:
        until(session, ASLEEP, run.pid)
        job = value(session, "SELECT job_id FROM jobmon.job_log")
        output = jobmonctl(database, "cancel", "-y", "--wait", "0.5", str(job))
        assert (output.status, output.stderr.count("\n")) == (1, 1)
        assert f"job {job} (ETL) is over: CRITICAL" in output.stdout
        assert f"pid {run.pid} is still at its statement after 0.50s" in output.stderr
        assert f"pg_terminate_backend({run.pid})" in output.stderr


def test_an_idle_session_is_told_from_one_that_has_stopped(database: Database, session: psycopg.Connection) -> None:
    with database.connect() as runner:
        job = a_run(runner, "etl", end="")
        output = jobmonctl(database, "cancel", "-y", str(job))
        assert output.status == 0
        assert (
            f"its session was idle, so there was no statement to cancel: pid {runner.info.backend_pid}" in output.stdout
        )
    assert value(session, "SELECT status FROM jobmon.job_log") == "CRITICAL"


def test_what_cannot_be_cancelled_is_refused_with_the_reason(database: Database, session: psycopg.Connection) -> None:
    over = a_run(session, "etl")
    with database.connect() as gone:
        pid = gone.info.backend_pid
        crashed = a_run(gone, "cube", end="")
    until(session, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %s)", pid)
    assert f"job {over} (ETL) is already over: it ended at 20" in refusal(
        jobmonctl(database, "cancel", "-y", str(over))
    )
    said = refusal(jobmonctl(database, "cancel", "-y", str(crashed)))
    assert f"job {crashed} (CUBE) has crashed: its backend, pid {pid}, is gone" in said
    assert f"jobmon.fail_job({crashed})" in said
    assert refusal(jobmonctl(database, "cancel", "-y", "4711")) == (
        "jobmonctl cancel: no run has job_id 4711: see jobmonctl show"
    )


def test_anothers_run_is_not_cancelled_without_the_right(database: Database, session: psycopg.Connection) -> None:
    session.execute("DROP ROLE IF EXISTS prompt_caller")
    session.execute("CREATE ROLE prompt_caller LOGIN IN ROLE jobmon_log, jobmon_monitor")
    with busy(database, LOADING) as run:
        until(session, ASLEEP, run.pid)
        job = str(value(session, "SELECT job_id FROM jobmon.job_log"))
        output = jobmonctl(database, "cancel", "-y", job, "-U", "prompt_caller")
        assert (output.status, output.stderr.count("\n")) == (1, 1)
        assert f"job {job} is not yours to cancel" in output.stderr
        assert value(session, ASLEEP, run.pid)
    session.execute("DROP ROLE prompt_caller")
