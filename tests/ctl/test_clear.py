"""jobmonctl clear: previews, deletes, shows how far it is, and can be stopped at any moment."""

import argparse
import contextlib
import signal
import subprocess
from collections.abc import Iterator

import psycopg
import pytest

from tests.ctl.prompt import SCRIPT, a_run, jobmonctl, on_terminal, refusal
from tests.database import Database, value
from tests.parsers import leaves_of
from tests.schema.sessions import until

OLD = "SELECT count(*) FROM jobmon.job_log WHERE job_name = 'OLD'"
LOGGED = """
    SELECT l.status, d.message
      FROM jobmon.show_job('JOB LOG CLEAR', 1) AS l
      JOIN jobmon.job_detail AS d USING (job_id)
     ORDER BY d.step_id
"""


def old_runs(session: psycopg.Connection, number: int) -> None:
    """Runs of 100 days ago with a step each."""
    session.execute(
        "WITH run AS (INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)"
        " SELECT 'x', 'OLD', now() - interval '100 days', now() - interval '100 days', 'OK', 1"
        " FROM generate_series(1, %s) RETURNING job_id)"
        " INSERT INTO jobmon.job_detail (job_id, action, start_time) SELECT job_id, 'x', now() FROM run",
        [number],
    )


@contextlib.contextmanager
def held_at(database: Database, session: psycopg.Connection, left: int) -> Iterator[psycopg.Connection]:
    """Let the batch that starts with so many runs left wait until this session lets it go: SELECT pg_advisory_unlock(1)."""
    session.execute(
        "CREATE FUNCTION public.hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF ({OLD}) <= {left} THEN PERFORM pg_advisory_xact_lock_shared(1); END IF; RETURN NULL; END $$;"
        " CREATE TRIGGER hold BEFORE DELETE ON jobmon.job_log EXECUTE FUNCTION public.hold()".encode()
    )
    with database.connect() as holder:
        holder.execute("SELECT pg_advisory_lock(1)")
        yield holder


WAITING = "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


def test_it_previews_asks_deletes_with_a_bar_and_logs_itself(database: Database, session: psycopg.Connection) -> None:
    old_runs(session, 5000)
    kept = a_run(session, "etl")
    with held_at(database, session, 3000) as holder, on_terminal(database, "clear", "90 days") as terminal:
        terminal.see("Delete them? [y/N] ")
        assert "5000 runs started before 20" in terminal.text
        assert ", 90 days ago" in terminal.text
        assert value(session, OLD) == 5000
        terminal.type("y\n")
        terminal.see("2000 of 5000 deleted")
        holder.execute("SELECT pg_advisory_unlock(1)")
        assert terminal.end() == 0
        assert "5000 of 5000 deleted" in terminal.text
        assert "runs deleted: 5000" in terminal.text
    assert value(session, "SELECT array_agg(job_id) FROM jobmon.job_log WHERE job_name <> 'JOB LOG CLEAR'") == [kept]
    assert session.execute(LOGGED.encode()).fetchall()[0] == ("OK", "runs deleted: 5000")


def test_ctrl_c_stops_it_without_loss_and_the_next_one_goes_on(database: Database, session: psycopg.Connection) -> None:
    old_runs(session, 5000)
    with held_at(database, session, 3000) as holder, on_terminal(database, "clear", "-y", "90 days") as terminal:
        until(session, WAITING)
        terminal.type("\x03")
        terminal.see("stopping after this batch")
        holder.execute("SELECT pg_advisory_unlock(1)")
        assert terminal.end() == 1
        left = value(session, OLD)
        assert 0 < left < 5000
        assert (
            f"jobmonctl clear: stopped: {5000 - left} runs deleted, {left} still there; run it again to go on"
            in terminal.text
        )
        assert "Traceback" not in terminal.text
    assert value(session, "SELECT count(*) FROM jobmon.job_detail WHERE action = 'x'") == left
    status, message = session.execute(LOGGED.encode()).fetchall()[0]
    assert status == "CRITICAL"
    assert "canceling statement due to user request" in message
    output = jobmonctl(database, "clear", "-y", "90 days")
    assert (output.status, output.stderr) == (0, "")
    assert f"runs deleted: {left}" in output.stdout
    assert value(session, OLD) == 0


def test_sigterm_stops_it_too(database: Database, session: psycopg.Connection) -> None:
    old_runs(session, 3000)
    with held_at(database, session, 2000) as holder:
        process = subprocess.Popen(
            [SCRIPT, "clear", *database.options, "-y", "90 days"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        until(session, WAITING)
        process.send_signal(signal.SIGTERM)
        while "stopping" not in (line := process.stdout.readline()):
            assert line
        holder.execute("SELECT pg_advisory_unlock(1)")
        assert process.communicate(timeout=30)[1].startswith("jobmonctl clear: stopped: ")
        assert process.returncode == 1
    assert 0 < value(session, OLD) < 3000


def test_the_preview_says_what_stays(database: Database, session: psycopg.Connection) -> None:
    old_runs(session, 2)
    session.execute("INSERT INTO jobmon.job_check_config VALUES ('OLD', '1 year', '2 years', true, 0)")
    output = jobmonctl(database, "clear", "-y", "90 days")
    assert output.status == 0
    assert output.stdout.splitlines()[0].endswith(", 90 days ago; of these stay 1 last run that the check needs (OLD)")
    assert value(session, OLD) == 1


def test_saying_no_deletes_nothing(database: Database, session: psycopg.Connection) -> None:
    old_runs(session, 2)
    with on_terminal(database, "clear", "90 days") as terminal:
        terminal.see("[y/N] ")
        terminal.type("n\n")
        assert terminal.end() == 1
    output = jobmonctl(database, "clear", "90 days")
    assert output.status == 1
    assert output.stderr == "jobmonctl clear: not done: there is no terminal to ask at, so give -y\n"
    assert value(session, "SELECT count(*) FROM jobmon.job_log") == 2


def test_quiet_says_nothing_and_logs_all_the_same(database: Database, session: psycopg.Connection) -> None:
    for _ in range(2):
        output = jobmonctl(database, "clear", "-q", "-y", "90 days")
        assert (output.status, output.stdout, output.stderr) == (0, "", "")
    assert value(session, "SELECT count(*) FROM jobmon.job_log WHERE job_name = 'JOB LOG CLEAR' AND status = 'OK'") == 2


def test_a_bad_interval_is_one_line_and_deletes_nothing(database: Database, session: psycopg.Connection) -> None:
    old_runs(session, 2)
    output = jobmonctl(database, "clear", "-y", "soon")
    said = "argument INTERVAL: 'soon' is not a duration: write, for example, 90m, 25h, 1d 12h or PT90M"
    assert output.stderr == f"jobmonctl clear: {said} (see jobmonctl clear --help)\n"
    assert (output.status, output.stdout) == (2, "")
    assert "the interval is negative" in refusal(jobmonctl(database, "clear", "-y", "-1 days"))
    assert value(session, "SELECT count(*) FROM jobmon.job_log") == 2


@pytest.mark.parametrize("number", ["90", "1 day 90", "0.5", "+90 "])
def test_a_number_without_its_unit_is_refused(database: Database, session: psycopg.Connection, number: str) -> None:
    old_runs(session, 2)
    output = jobmonctl(database, "clear", "-y", number)
    assert f"argument INTERVAL: '{number}' has no unit: write " in output.stderr
    assert (output.status, output.stdout, output.stderr.count("\n")) == (2, "", 1)
    assert value(session, "SELECT count(*) FROM jobmon.job_log") == 2


def test_no_program_takes_a_time_without_its_unit_unless_its_help_calls_it_seconds() -> None:
    parsers = [*leaves_of("jobmonctl").items(), *leaves_of("check_jobmon").items()]
    times = [(path, action) for path, parser in parsers for action in parser._actions if _takes_a_time(action)]
    assert {action.metavar for _, action in times} == {"INTERVAL", "SECONDS"}
    for path, action in times:
        if action.metavar == "INTERVAL":
            assert callable(action.type)
            with pytest.raises(argparse.ArgumentTypeError, match="'90' has no unit"):
                action.type("90")
        else:
            assert isinstance(_value(action, "1.5"), float), path


def _takes_a_time(action: argparse.Action) -> bool:
    """Whether a text that is no time is refused, and one that is a time is not."""
    return _value(action, "x") is None and any(_value(action, time) is not None for time in ("1.5", "90 days"))


def _value(action: argparse.Action, text: str) -> object:
    try:
        return action.type(text) if callable(action.type) else None
    except argparse.ArgumentTypeError:
        return None


def test_who_may_not_clear_is_told_before_being_asked(database: Database, session: psycopg.Connection) -> None:
    old_runs(session, 2)
    session.execute("DROP ROLE IF EXISTS prompt_reader; CREATE ROLE prompt_reader LOGIN IN ROLE jobmon_monitor")
    said = refusal(jobmonctl(database, "clear", "-y", "90 days", "-U", "prompt_reader"))
    assert "GRANT jobmon_admin TO that role" in said
    session.execute("GRANT EXECUTE ON FUNCTION jobmon.job_log_clear(interval) TO prompt_reader")
    output = jobmonctl(database, "clear", "-y", "90 days", "-U", "prompt_reader")
    assert (output.status, output.stderr) == (0, "")
    assert "of these stay those that the check needs" in output.stdout
    assert value(session, OLD) == 0
    session.execute("DROP OWNED BY prompt_reader; DROP ROLE prompt_reader")
