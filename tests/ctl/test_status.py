"""jobmonctl status: the check's view, worst first, once or again and again."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys

import psycopg
import pytest

from tests.ctl.prompt import a_run, jobmonctl, on_terminal, refusal
from tests.database import Database, until, value


def configure(session: psycopg.Connection, *names: str) -> None:
    for name in names:
        session.execute(
            "INSERT INTO jobmon.job_check_config VALUES (%s, '1 day', '2 days', true, 0, '-infinity')", [name]
        )


def test_the_jobs_are_listed_worst_first_as_check_jobmon_sees_them(
    database: Database, session: psycopg.Connection
) -> None:
    configure(session, "CUBE", "ETL", "NEVER")
    session.execute("INSERT INTO jobmon.job_check_config VALUES ('OFF', '1 day', '2 days', false, 0, '-infinity')")
    a_run(session, "cube")
    a_run(session, "etl", ("load", "WARNING", "3 rows rejected"), end="fail_job(%s, 2)")
    output = jobmonctl(database, "status")
    assert (output.status, output.stderr) == (0, "")
    title, heading, *jobs = output.stdout.splitlines()
    assert title.startswith("1 CRITICAL, 1 WARNING, 1 OK (20")
    assert heading.split() == ["STATE", "JOB", "LAST", "RUN", "AGE", "TOOK", "FAILURES", "REASON"]
    assert [line.split()[:2] for line in jobs] == [
        ["CRITICAL", "NEVER"],
        ["WARNING", "ETL"],
        ["OK", "CUBE"],
        ["-", "OFF"],
    ]
    assert jobs[0].endswith("  0/0  missing, no run has ever completed")
    assert jobs[1].endswith("  1/0  failed 1 time (load: 3 rows rejected)")
    assert jobs[3].endswith("  not watched: active is false")


def test_every_job_can_be_seen_and_the_problems_alone(database: Database, session: psycopg.Connection) -> None:
    """What a new user does: log a job that nobody has configured, and look for it."""
    a_run(session, "first try")
    a_run(session, "second try", end="fail_job(%s)")
    configure(session, "NEVER")
    names = ["NEVER", "FIRST TRY", "SECOND TRY"]
    shown = jobmonctl(database, "status").stdout
    assert all(name in shown for name in names)
    assert [job["name"] for job in json.loads(jobmonctl(database, "status", "--json").stdout)] == names
    for option, expected in (
        (["--problems"], ["NEVER"]),
        (["-j", "* try"], ["FIRST TRY", "SECOND TRY"]),
        (["-j", "second try", "-j", "never"], ["NEVER", "SECOND TRY"]),
        (["-j", "* try", "--problems"], []),
    ):
        assert [job["name"] for job in json.loads(jobmonctl(database, "status", "--json", *option).stdout)] == expected
    title, _, *lines = jobmonctl(database, "status", "--problems").stdout.splitlines()
    assert title.startswith("1 CRITICAL, 0 WARNING, 2 OK (20")
    assert len(lines) == 1
    table = "\n".join(database.check("-v").stdout.splitlines()[1:])
    assert all(name in table for name in names)
    assert "FIRST TRY" not in database.check().stdout
    assert refusal(jobmonctl(database, "status", "-j", "secnd try")) == (
        'jobmonctl status: no job "SECND TRY" was ever logged or configured: did you mean "SECOND TRY"?'
    )


@pytest.mark.parametrize("warn", ["1 day", "1 microsecond"])
def test_running_and_blocked_show_at_once(database: Database, session: psycopg.Connection, warn: str) -> None:
    session.execute("INSERT INTO jobmon.job_check_config VALUES ('LOAD', %s, '2 days', true, 0)", [warn])
    with contextlib.closing(database.connect()) as holder, contextlib.closing(database.connect()) as loader:
        holder.execute("SET application_name = 'psql | <report>'; BEGIN; SELECT pg_advisory_lock(1)")
        a_run(loader, "load", end="")
        a_run(loader, "unconfigured", end="")
        status = 0 if warn == "1 day" else 1
        loader.pgconn.send_query(b"SELECT pg_advisory_lock(1)")
        until(lambda: value(session, "SELECT count(*) FROM pg_locks WHERE NOT granted"))
        pid, who = holder.info.backend_pid, "postgres, psql | <report>"
        blocked = rf"blocked by pid {pid} \({re.escape(who)}\) for \d+s"
        shown = jobmonctl(database, "status").stdout
        assert re.search(rf"UNCONFIGURED .*  running for \d+s, {blocked}\n", shown), shown
        expected = (
            rf"running for \d+s, {blocked}\n"
            if status == 0
            else rf"{blocked}, still running after \d+s \(warning 0s\)\n"
        )
        assert re.search(rf" LOAD .*  {expected}", shown), shown
        output = database.check("-v")
        assert output.status == status
        assert re.search(rf"OK +UNCONFIGURED .*  running for \d+s, {blocked}\n", output.stdout.replace("¦", "|"))
        assert "running for" not in database.check().stdout
    assert "blocked" not in jobmonctl(database, "status").stdout


def test_a_crashed_run_counts_as_check_jobmon_counts_it(database: Database, session: psycopg.Connection) -> None:
    configure(session, "ETL")
    a_run(session, "etl")
    session.execute(
        "INSERT INTO jobmon.job_log (owner, job_name, start_time, pid) VALUES ('x', 'ETL', clock_timestamp(), 1)"
    )
    assert database.check().status == 1
    assert jobmonctl(database, "status").stdout.splitlines()[2].startswith("WARNING")


def test_a_job_that_can_not_be_judged_is_a_problem_even_if_it_waits_for_another(
    database: Database, session: psycopg.Connection
) -> None:
    configure(session, "CUBE", "LOAD")
    a_run(session, "cube")
    session.execute(
        "UPDATE jobmon.job_check_config SET schedule = '0 3 * * *', depends_on = 'LOAD' WHERE job_name = 'CUBE'"
    )
    session.execute("UPDATE jobmon.job_log SET next_due = NULL")
    title, _, *jobs = jobmonctl(database, "status", "--problems").stdout.splitlines()
    assert title.startswith("1 CRITICAL, 0 WARNING, 1 UNKNOWN, 0 OK (20")
    assert [line.split()[:2] for line in jobs] == [["CRITICAL", "LOAD"], ["UNKNOWN", "CUBE"]]
    assert jobs[1].endswith("  waits for LOAD (missing)")
    assert database.check().status == 2


def test_the_words_are_those_of_job_status_text(database: Database, session: psycopg.Connection) -> None:
    configure(session, "ETL")
    session.execute("UPDATE jobmon.job_status_text SET alert_text = 'KAPUTT' WHERE alert_code = 3")
    assert jobmonctl(database, "status").stdout.splitlines()[2].startswith("KAPUTT  ETL")


def test_json_has_the_state_the_reason_and_all_figures(database: Database, session: psycopg.Connection) -> None:
    configure(session, "ETL")
    (job,) = json.loads(jobmonctl(database, "status", "--json").stdout)
    assert (job["state"], job["name"], job["alert_code"]) == ("CRITICAL", "ETL", 3)
    assert job["reason"] == "missing, no run has ever completed"


def test_watch_shows_what_changes_until_ctrl_c(database: Database, session: psycopg.Connection) -> None:
    configure(session, "ETL")
    with on_terminal(database, "status", "--watch", "0.1") as terminal:
        terminal.see("no run has ever completed")
        a_run(session, "etl")
        terminal.see("0 CRITICAL, 0 WARNING, 1 OK")
        terminal.type("\x03")
        assert terminal.end() == 0
        assert "Traceback" not in terminal.text


def test_watch_and_json_together_are_refused(database: Database) -> None:
    output = jobmonctl(database, "status", "--json", "--watch")
    assert (output.status, output.stdout, output.stderr.count("\n")) == (2, "", 1)


def test_watch_goes_on_when_the_server_comes_back(database: Database, session: psycopg.Connection) -> None:
    configure(session, "ETL")
    others = "FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
    with on_terminal(database, "status", "--watch", "0.1") as terminal, database.connect(dbname="postgres") as admin:
        terminal.see("no run has ever completed")
        admin.execute(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS false".encode())
        admin.execute(f"SELECT pg_terminate_backend(pid) {others}".encode(), [database.name])
        terminal.see("trying again, because")
        admin.execute(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS true".encode())
        with database.connect() as back:
            a_run(back, "etl")
        terminal.see("0 CRITICAL, 0 WARNING, 1 OK")
        terminal.type("\x03")
        assert terminal.end() == 0
        assert "Traceback" not in terminal.text


def test_watch_in_a_pipe_goes_on_too(database: Database, session: psycopg.Connection) -> None:
    configure(session, "ETL")
    command = [sys.executable, "-m", "check_jobmon.ctl", "status", *database.options, "--watch", "0.1"]
    environment = {**os.environ, "PGTZ": "Asia/Kolkata", "TZ": "America/New_York"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout
        seen = iter(process.stdout)
        next(line for line in seen if "no run has ever completed" in line)
        with database.connect(dbname="postgres") as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND application_name = 'jobmonctl'",
                [database.name],
            )
        again = next(line for line in seen if "trying again, because" in line)
        # of which the machine's zone would be another than the session's
        assert re.fullmatch(r"last seen \d+s ago: .*; it was 1 CRITICAL.* \(2\S+ \S+ Asia/Kolkata\)\n", again)
        next(line for line in seen if line.startswith("1 CRITICAL"))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")


def test_the_title_has_the_time_zone_of_the_rows(database: Database, session: psycopg.Connection) -> None:
    session.execute("SELECT jobmon.close_job(jobmon.add_job('etl'))")
    lines = database.ctl("status", PGTZ="Asia/Kolkata", TZ="America/New_York").stdout.splitlines()
    assert lines[0].endswith(" Asia/Kolkata)")
    assert "+05" not in "".join(lines)
