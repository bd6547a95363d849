"""jobmonctl detail and history: the timeline of a run, and the chart of a job's runs."""

import json
import re

import psycopg

from tests.ctl.prompt import a_run, jobmonctl, on_terminal, refusal
from tests.database import Database


def place(session: psycopg.Connection, job: int, seconds: float, *steps: tuple[float, float | None]) -> None:
    """Let a run have taken so many seconds, and its steps have begun after so many and taken so many."""
    session.execute(
        "UPDATE jobmon.job_log SET start_time = '2024-03-01 02:00:00+00', end_time = end_time - end_time"
        " + '2024-03-01 02:00:00+00'::timestamptz + make_interval(secs => %s) WHERE job_id = %s",
        [seconds, job],
    )
    ids = session.execute("SELECT step_id FROM jobmon.job_detail WHERE job_id = %s ORDER BY 1", [job]).fetchall()
    for (step,), (offset, elapsed) in zip(ids, steps, strict=True):
        session.execute(
            "UPDATE jobmon.job_detail SET elapsed_time = %(elapsed)s,"
            " start_time = '2024-03-01 02:00:00+00'::timestamptz + make_interval(secs => %(offset)s),"
            " end_time = '2024-03-01 02:00:00+00'::timestamptz + make_interval(secs => %(offset)s + %(elapsed)s)"
            " WHERE step_id = %(step)s",
            {"offset": offset, "elapsed": elapsed, "step": step},
        )


def test_the_steps_are_a_timeline_and_the_failing_one_is_marked(
    database: Database, session: psycopg.Connection
) -> None:
    steps = [("extract", "OK", "42 rows"), ("load", "CRITICAL", "boom"), ("tidy up", "OK", "")]
    job = a_run(session, "etl", *steps, end="fail_job(%s)")
    place(session, job, 100, (0, 50), (50, 40), (90, 10))
    output = jobmonctl(database, "detail", str(job), PGTZ="UTC")
    assert (output.status, output.stderr) == (0, "")
    assert output.stdout == (
        f"job {job} (ETL): CRITICAL, took 1m 40s\n"
        f"started 2024-03-01 02:00:00, ended 2024-03-01 02:01:40 (UTC), by postgres, pid {session.info.backend_pid}\n"
        "    STEP       AT  TOOK  TIMELINE              STATUS    ACTION   MESSAGE\n"
        "       1      +0s   50s  ##########..........  OK        extract  42 rows\n"
        "!!     2     +50s   40s  ..........########..  CRITICAL  load     boom\n"
        "       3  +1m 30s   10s  ..................##  OK        tidy up\n"
    )
    with on_terminal(database, "detail", str(job), PGTZ="UTC") as terminal:
        assert terminal.end() == 0
        assert re.search(r"\x1b\[1;31m[^\n\x1b]*boom", terminal.raw)
        assert not re.search(r"\x1b\[1;31m[^\n\x1b]*42 rows", terminal.raw)


def test_a_failed_run_without_a_failed_step_has_its_last_step_marked(
    database: Database, session: psycopg.Connection
) -> None:
    job = a_run(session, "etl", ("extract", "OK", ""), ("load", "OK", ""), end="fail_job(%s)")
    lines = jobmonctl(database, "detail", str(job)).stdout.splitlines()
    assert [line[:2] for line in lines[3:]] == ["  ", "!!"]


def test_a_name_means_its_newest_run_or_as_many_as_told(database: Database, session: psycopg.Connection) -> None:
    first, second, third = (a_run(session, "etl", ("load", "OK", "")) for _ in range(3))
    heads = [
        line.split(":")[0]
        for line in jobmonctl(database, "detail", "Etl", "-n", "2").stdout.splitlines()
        if line.startswith("job ")
    ]
    assert heads == [f"job {third} (ETL)", f"job {second} (ETL)"]
    assert jobmonctl(database, "detail", "etl").stdout == jobmonctl(database, "detail", str(third)).stdout
    assert [run["job_id"] for run in json.loads(jobmonctl(database, "detail", "etl", "--json", "-n3").stdout)] == [
        third,
        second,
        first,
    ]


def test_a_step_under_way_lasts_until_now_and_that_of_a_crashed_run_nobody_knows_how_long(
    database: Database, session: psycopg.Connection
) -> None:
    with database.connect() as gone:
        crashed = a_run(gone, "etl", end="")
        gone.execute("SELECT jobmon.add_step(%s, 'load')", [crashed])
    running = a_run(session, "cube", end="")
    session.execute("SELECT jobmon.add_step(%s, 'build')", [running])
    under_way = jobmonctl(database, "detail", str(running)).stdout
    assert f"job {running} (CUBE): running for " in under_way
    assert under_way.splitlines()[3].split()[4:] == ["running", "build"]
    lines = jobmonctl(database, "detail", str(crashed)).stdout.splitlines()
    assert lines[0] == f"job {crashed} (ETL): crashed"
    mark, _, _, took, _, status, action = lines[3].split()
    assert (mark, took, status, action) == ("!!", "-", "crashed", "load")


def test_a_run_without_steps_and_one_that_there_is_not(database: Database, session: psycopg.Connection) -> None:
    job = a_run(session, "etl")
    assert jobmonctl(database, "detail", str(job)).stdout.splitlines()[2:] == ["no steps were logged"]
    assert refusal(jobmonctl(database, "detail", "4711")) == (
        "jobmonctl detail: no run has job_id 4711: see jobmonctl show"
    )


def test_history_draws_durations_and_states(database: Database, session: psycopg.Connection) -> None:
    good, bad = a_run(session, "etl"), a_run(session, "etl", end="fail_job(%s)")
    place(session, good, 100)
    place(session, bad, 25)
    assert jobmonctl(database, "history", "etl", PGTZ="UTC").stdout == (
        "ETL: 1 CRITICAL, 1 OK; median 1m 2s, longest 1m 40s\n"
        "JOB_ID  STARTED (UTC)        STATUS      TOOK  DURATION\n"
        f"{bad:6}  2024-03-01 02:00:00  CRITICAL     25s  xxxxxxxx\n"
        f"{good:6}  2024-03-01 02:00:00  OK        1m 40s  ##############################\n"
    )
    assert jobmonctl(database, "history", "etl", "-n", "1").stdout.count("\n") == 3
    assert len(json.loads(jobmonctl(database, "history", "etl", "--json").stdout)) == 2


def test_history_shows_a_run_under_way_and_a_crashed_one(database: Database, session: psycopg.Connection) -> None:
    with database.connect() as gone:
        a_run(gone, "etl", end="")
    a_run(session, "etl", end="")
    title, _, running, crashed = jobmonctl(database, "history", "etl").stdout.splitlines()
    assert title == "ETL: 1 running, 1 crashed"
    assert running.endswith("  " + "+" * 30)
    assert crashed.split()[-2:] == ["crashed", "-"]
