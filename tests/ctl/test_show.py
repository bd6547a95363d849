"""jobmonctl show, like, failed, running: which runs they list."""

import json
import re

import psycopg
import pytest

from tests.ctl.prompt import a_run, jobmonctl, refusal
from tests.database import Database, Output


def ids(output: Output) -> list[int]:
    """The job_ids listed."""
    assert (output.status, output.stderr) == (0, "")
    heading, *lines = output.stdout.splitlines()
    assert re.fullmatch(r"JOB_ID +JOB +STARTED \(\S+\) +TOOK +STATUS +OWNER +PID  WHY", heading.rstrip()), heading
    return [int(line.split()[0]) for line in lines]


def test_show_lists_the_runs_of_a_job_or_of_all_newest_first(database: Database, session: psycopg.Connection) -> None:
    etl = [a_run(session, "etl") for _ in range(3)]
    cube = a_run(session, "cube")
    assert ids(jobmonctl(database, "show")) == [cube, *etl[::-1]]
    assert ids(jobmonctl(database, "show", "-n", "2")) == [cube, etl[2]]
    assert ids(jobmonctl(database, "show", "Etl")) == etl[::-1]
    assert ids(jobmonctl(database, "show", "Etl", "-n1")) == etl[:1:-1]


def test_like_lists_the_runs_of_jobs_that_contain_the_text(database: Database, session: psycopg.Connection) -> None:
    nightly, _, other = (a_run(session, name) for name in ("nightly etl", "cube", "etl 7"))
    assert ids(jobmonctl(database, "like", "etl")) == [other, nightly]
    assert ids(jobmonctl(database, "like", r"etl \d")) == [other]
    assert refusal(jobmonctl(database, "like", "cubes")) == (
        'jobmonctl like: no job "CUBES" was ever logged or configured: did you mean "CUBE"?'
    )
    assert "invalid regular expression" in refusal(jobmonctl(database, "like", "("))


def test_failed_lists_both_kinds_of_failure_and_why(database: Database, session: psycopg.Connection) -> None:
    critical = a_run(session, "etl", ("load", "CRITICAL", "boom"), ("tidy up", "OK", ""), end="fail_job(%s)")
    a_run(session, "etl")
    warning = a_run(session, "cube", ("build", "OK", "slow"), end="fail_job(%s, 2)")
    output = jobmonctl(database, "failed")
    assert ids(output) == [warning, critical]
    assert output.stdout.splitlines()[1].endswith("  build: slow")
    assert output.stdout.splitlines()[2].endswith("  load: boom")
    assert ids(jobmonctl(database, "failed", "-n", "1")) == [warning]
    assert ids(jobmonctl(database, "failed", "etl")) == [critical]


def test_failed_knows_changed_words(database: Database, session: psycopg.Connection) -> None:
    session.execute("UPDATE jobmon.job_status_text SET alert_text = 'KAPUTT' WHERE alert_code = 3")
    job = a_run(session, "etl", end="fail_job(%s)")
    assert ids(jobmonctl(database, "failed")) == [job]


def test_running_lists_live_runs_and_show_tells_the_crashed(database: Database, session: psycopg.Connection) -> None:
    crashed = session.execute(
        "INSERT INTO jobmon.job_log (owner, job_name, start_time, pid) VALUES ('x', 'ETL', now(), 1) RETURNING job_id"
    ).fetchone()
    assert crashed
    job = a_run(session, "cube", ("build", "OK", "half"), end="")
    assert ids(jobmonctl(database, "running")) == [job]
    shown = jobmonctl(database, "show").stdout.splitlines()
    assert " running " in shown[1]
    assert shown[1].endswith("  build: half")
    assert " -  crashed " in shown[2]


@pytest.mark.parametrize(
    ("command", "said"),
    [("show", "no run was ever logged"), ("failed", "no run has failed"), ("running", "no job is running")],
)
def test_an_empty_list_is_said_and_is_no_error(database: Database, command: str, said: str) -> None:
    output = jobmonctl(database, command)
    assert (output.status, output.stdout, output.stderr) == (0, f"{said}\n", "")
    assert jobmonctl(database, command, "--json").stdout == "[]\n"


@pytest.mark.parametrize("command", ["show", "failed", "detail", "history", "ack"])
def test_an_unknown_name_is_answered_with_the_nearest(
    database: Database, session: psycopg.Connection, command: str
) -> None:
    a_run(session, "nightly etl")
    assert refusal(jobmonctl(database, command, "nigthly etl")) == (
        f'jobmonctl {command}: no job "NIGTHLY ETL" was ever logged or configured: did you mean "NIGHTLY ETL"?'
    )


@pytest.mark.parametrize("command", ["show", "failed", "detail", "history", "ack"])
def test_a_job_that_is_configured_and_never_ran_is_known(
    database: Database, session: psycopg.Connection, command: str
) -> None:
    session.execute("INSERT INTO jobmon.job_check_config VALUES ('ETL', '1 day', '1 day', true, 0, '-infinity')")
    assert jobmonctl(database, command, "etl").status == 0


def test_json_has_times_with_their_zone_and_texts_as_logged(database: Database, session: psycopg.Connection) -> None:
    a_run(session, "a|b", ("load", "CRITICAL", "x\x1b[31m"), end="fail_job(%s)")
    output = jobmonctl(database, "show", "--json", PGTZ="Asia/Kolkata")
    (run,) = json.loads(output.stdout)
    assert (run["job_name"], run["status"], run["state"], run["why"]) == ("A|B", "CRITICAL", "ended", "load: x\x1b[31m")
    assert run["start_time"].endswith("+05:30")
    assert "\x1b" not in output.stdout


def test_a_name_of_wide_letters_lines_up(database: Database, session: psycopg.Connection) -> None:
    a_run(session, "日次集計")
    a_run(session, "etl")
    first, second = jobmonctl(database, "show").stdout.splitlines()[1:]
    assert first.index("  20") - 5 == second.index("  20") - 1 - len("")


def test_a_name_of_nothing_that_can_be_seen_is_shown_as_such(database: Database, session: psycopg.Connection) -> None:
    a_run(session, "\u200b")
    for command in ("show", "status"):
        assert "  (blank name)  " in jobmonctl(database, command).stdout


def test_an_empty_text_says_that_it_is_and_what_to_do(database: Database) -> None:
    output = jobmonctl(database, "like", "")
    assert (output.status, output.stdout) == (2, "")
    assert output.stderr == (
        "jobmonctl like: argument TEXT: it is empty, and every job's name contains that: show lists the runs of all jobs "
        "(see jobmonctl like --help)\n"
    )
