"""The plugin as a monitoring server runs it: the exact first line and exit status of each outcome."""

import re
import socket

import psycopg
import pytest

from check_jobmon import __version__
from tests.database import Database, Output, run_module, value

HOURLY = "INSERT INTO jobmon.job_check_config VALUES (%s, '1 hour', '2 hours', true, %s, '-infinity')"


def run_job(session: psycopg.Connection, name: str, failure: str | None = None, level: int = 3) -> int:
    """A run of one step, failed with that message or successful."""
    job = int(value(session, "SELECT jobmon.add_job(%s)", name))
    step = value(session, "SELECT jobmon.add_step(%s, 'load facts')", job)
    session.execute(
        "SELECT jobmon.update_step(%s, %s, %s)", [step, "CRITICAL" if failure else "OK", failure or "42 rows"]
    )
    if failure:
        session.execute("SELECT jobmon.fail_job(%s, %s)", [job, level])
    else:
        session.execute("SELECT jobmon.close_job(%s)", [job])
    return job


def test_nothing_logged_is_ok(database: Database) -> None:
    output = database.check()
    assert output.first_line == "JOBMON OK - All jobs run successfully: none is configured, and none failed"
    assert re.fullmatch(r"critical=0 warning=0 ok=0 query=[0-9.]+s;;;0 unknown=0 silenced=0 waiting=0", output.perfdata)
    assert (output.status, output.stderr) == (0, "")


def test_success_is_ok(database: Database, session: psycopg.Connection) -> None:
    session.execute(HOURLY, ["ETL", 0])
    run_job(session, "etl")
    output = database.check()
    assert output.first_line == "JOBMON OK - 1 ok: all jobs run successfully"
    assert re.fullmatch(
        r"critical=0 warning=0 ok=1 query=[0-9.]+s;;;0 unknown=0 silenced=0 waiting=0"
        r" 'ETL age'=[0-9.]+s;3600;7200;0 'ETL failures'=0;0;;0 'ETL duration'=[0-9.]+s;;;0",
        output.perfdata,
    )
    assert (output.status, output.stdout.count("\n"), output.stderr) == (0, 1, "")


def test_failed_run_beyond_sensitivity_is_critical(database: Database, session: psycopg.Connection) -> None:
    session.execute(HOURLY, ["NIGHTLY ETL", 1])
    session.execute(HOURLY, ["CUBE", 0])
    run_job(session, "cube")
    for _ in range(2):
        run_job(session, "nightly etl", "duplicate key value violates unique constraint")
    output = database.check()
    assert output.first_line == (
        "JOBMON CRITICAL - 1 critical, 1 ok:"
        " NIGHTLY ETL failed 2 times (load facts: duplicate key value violates unique constraint)"
    )
    assert output.stdout.splitlines()[1:] == [
        "CRITICAL NIGHTLY ETL: failed 2 times (load facts: duplicate key value violates unique constraint)"
    ]
    assert output.status == 2


def test_warning_level_failure_is_warning(database: Database, session: psycopg.Connection) -> None:
    session.execute(HOURLY, ["ETL", 0])
    run_job(session, "etl", "3 rows rejected", level=2)
    output = database.check()
    assert output.first_line == "JOBMON WARNING - 1 warning, 0 ok: ETL failed 1 time (load facts: 3 rows rejected)"
    assert output.status == 1


def test_missing_job_says_since_when_and_against_which_limit(database: Database, session: psycopg.Connection) -> None:
    session.execute(HOURLY, ["ETL", 0])
    run_job(session, "etl")
    session.execute("UPDATE jobmon.job_log SET end_time = now() - interval '90 minutes'")
    output = database.check()
    assert output.first_line == "JOBMON WARNING - 1 warning, 0 ok: ETL missing, last run 1h 30m ago (warning 1h)"
    assert output.status == 1
    session.execute("UPDATE jobmon.job_log SET end_time = now() - interval '26 hours'")
    output = database.check()
    assert output.first_line == "JOBMON CRITICAL - 1 critical, 0 ok: ETL missing, last run 26h ago (critical 2h)"
    assert output.status == 2


@pytest.mark.parametrize(("state", "status"), [("ok", 0), ("warning", 1), ("critical", 2)])
def test_crashed_run_counts_as_told(database: Database, session: psycopg.Connection, state: str, status: int) -> None:
    session.execute(HOURLY, ["ETL", 0])
    run_job(session, "etl")
    job = value(
        session,
        "INSERT INTO jobmon.job_log (owner, job_name, start_time, pid) VALUES ('me', 'ETL', now(), 0) RETURNING job_id",
    )
    output = database.check("--crashed", state)
    assert f"run {job}, started " in database.check().first_line
    assert output.status == status


def test_words_come_from_job_status_text_and_the_status_from_the_code(
    database: Database, session: psycopg.Connection
) -> None:
    session.execute("UPDATE jobmon.job_status_text SET alert_text = 'FUBAR' WHERE alert_code = 3")
    run_job(session, "etl")
    session.execute(HOURLY, ["ETL", 0])
    run_job(session, "etl", "boom")
    output = database.check()
    assert output.first_line == "JOBMON FUBAR - 1 fubar, 0 ok: ETL failed 1 time (load facts: boom)"
    assert output.status == 2


def test_unreachable_server_is_critical_or_as_told(database: Database) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        arguments = ["-H", "127.0.0.1", "-p", str(unused.getsockname()[1])]
        output = run_module("check_jobmon", *arguments)
        assert re.fullmatch(
            r"JOBMON CRITICAL - connection to server at \"127.0.0.1\", port \d+ failed: Connection refused .*-H and -p\n",
            output.stdout,
        )
        assert (output.status, output.stderr) == (2, "")
        for status, state in enumerate(("ok", "warning", "critical", "unknown")):
            output = run_module("check_jobmon", *arguments, "--connection-error", state)
            assert output.status == status
            assert output.stdout.startswith(f"JOBMON {state.upper()} - ")


def test_unknown_database_is_a_refused_connection(database: Database) -> None:
    output = database.check("-d", "no such")
    assert output.first_line.startswith('JOBMON CRITICAL - connection to server on socket "')
    assert 'database "no such" does not exist' in output.stdout
    assert (output.status, output.stdout.count("\n"), output.stderr) == (2, 1, "")


def test_no_schema_is_unknown_and_says_how_to_get_one(empty_database: Database) -> None:
    output = empty_database.check()
    assert output.stdout == (
        f'JOBMON UNKNOWN - no jobmon schema in database "{empty_database.name}" (looked for "jobmon"): '
        f'run "jobmonctl bootstrap -d {empty_database.name}", or name it with --schema\n'
    )
    assert (output.status, output.stderr) == (3, "")
    assert empty_database.check("--schema", 'we"ird').status == 3


def test_role_without_rights_is_unknown(database: Database, session: psycopg.Connection) -> None:
    session.execute("CREATE ROLE nobody_much LOGIN")
    try:
        output = database.check("-U", "nobody_much")
    finally:
        session.execute("DROP ROLE nobody_much")
    assert output.first_line == (
        f'JOBMON UNKNOWN - role "nobody_much" may not use schema "jobmon" of database "{database.name}": '
        "GRANT jobmon_monitor TO that role, or name another role with -U"
    )
    assert (output.status, output.stdout.count("\n"), output.stderr) == (3, 1, "")


USAGE_ERRORS = [
    (["--nonsense"], "unrecognized arguments: --nonsense"),
    (["-p", "http"], "argument -p/--port: 'http' is not a port: give a number from 1 to 65535"),
    (["-p", "65536"], "argument -p/--port: '65536' is not a port: give a number from 1 to 65535"),
    (["-H", ""], "argument -H/--host: it is empty: give a value, or leave it out for the default"),
    (["-t", "0"], "argument -t/--timeout: '0' is not a time: give seconds, more than 0 and at most 86400"),
    (["-t", "nan"], "argument -t/--timeout: 'nan' is not a time: give seconds, more than 0 and at most 86400"),
    (["--max-output", "9"], "argument --max-output: '9' is not a size: give a number of bytes, 200 or more"),
    (["extra"], "unrecognized arguments: extra"),
]


@pytest.mark.parametrize(("arguments", "message"), USAGE_ERRORS, ids=[" ".join(a) for a, _ in USAGE_ERRORS])
def test_usage_error_is_unknown_in_one_line(arguments: list[str], message: str) -> None:
    expected = f"JOBMON UNKNOWN - {message} (see check_jobmon --help)\n"
    assert run_module("check_jobmon", *arguments) == Output(3, expected, "")


def test_help_and_version_exit_unknown() -> None:
    assert run_module("check_jobmon", "--version") == Output(3, f"check_jobmon {__version__}\n", "")
    output = run_module("check_jobmon", "-h")
    assert (output.status, output.stderr) == (3, "")
    assert max(len(line) for line in output.stdout.splitlines()) <= 80


def test_verbose_levels_add_table_then_steps_then_connection(database: Database, session: psycopg.Connection) -> None:
    session.execute(HOURLY, ["ETL", 0])
    run_job(session, "etl")
    session.execute(
        "INSERT INTO jobmon.job_check_config VALUES ('RETIRED', '1 hour', '2 hours', false, 0, '-infinity')"
    )
    once = database.check("-v", "--utc").stdout.splitlines()
    assert re.fullmatch(r"STATE  JOB      LAST RUN \(UTC\) {7}AGE  TOOK {1,4} FAILURES  REASON", once[1])
    assert re.fullmatch(r"OK     ETL      20\S+ [\d:]+  \d+s +\d\S*s +0/0", once[2])
    assert re.fullmatch(r"-      RETIRED  never +- +- +0/0       not watched: active is false", once[3])
    twice = database.check("-vv").stdout.splitlines()
    assert re.fullmatch(r"    1\. load facts: OK, \S+s, 42 rows", twice[3])
    thrice = database.check("-vvv").stdout.splitlines()
    assert re.fullmatch(r'connection: "test_\d+" at .* as "postgres", PostgreSQL .*, in [0-9.]+s', thrice[-2])
    assert re.fullmatch(r'query: job_status.sql on schema "jobmon", 2 rows, in [0-9.]+s', thrice[-1])


def test_lock_on_the_log_is_a_connection_error_in_time(database: Database, session: psycopg.Connection) -> None:
    session.execute("BEGIN; LOCK TABLE jobmon.job_log")
    output = database.check("-t", "2")
    assert output.first_line.startswith(
        f'JOBMON CRITICAL - a table of schema "jobmon" in database "{database.name}" is locked'
    )
    assert output.status == 2


def test_silent_server_is_given_up_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        output = run_module("check_jobmon", "-H", "127.0.0.1", "-p", str(silent.getsockname()[1]), "-t", "1")
    text = (
        "JOBMON CRITICAL - no answer within 1s while connecting (host 127.0.0.1): "
        "see that the host is up, its name resolves, no firewall drops the packets, and the server there is not stopped\n"
    )
    assert output == Output(2, text, "")
