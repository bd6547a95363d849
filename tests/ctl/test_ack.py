"""jobmonctl ack: removes what was seen from job_check_log, and never what failed meanwhile."""

import psycopg

from tests.ctl.prompt import a_run, jobmonctl, on_terminal, refusal
from tests.database import Database, value
from tests.schema.sessions import until

ALERTING = "SELECT array_agg(job_id ORDER BY job_id) FROM jobmon.job_check_log"


def failed(session: psycopg.Connection, name: str) -> int:
    return a_run(session, name, ("load", "CRITICAL", "boom"), end="fail_job(%s)")


def test_a_jobs_failures_are_removed_and_no_others(database: Database, session: psycopg.Connection) -> None:
    first, other, second = (failed(session, name) for name in ("etl", "cube", "etl"))
    with on_terminal(database, "ack", "Etl") as terminal:
        terminal.see("Take them out of job_check_log? [y/N] ")
        assert "2 failures of ETL that would no longer alert:" in terminal.text
        assert "load: boom" in terminal.text
        terminal.type("y\n")
        assert terminal.end() == 0
        assert f"removed by postgres: 2 failures of ETL (job {first}, {second})" in terminal.text
    assert value(session, ALERTING) == [other]
    assert value(session, "SELECT count(*) FROM jobmon.job_log") == 3


def test_a_run_is_removed_by_its_number(database: Database, session: psycopg.Connection) -> None:
    first, second = failed(session, "etl"), failed(session, "etl")
    output = jobmonctl(database, "ack", "-y", str(first))
    assert (output.status, output.stderr) == (0, "")
    assert output.stdout.splitlines()[-1] == f"removed by postgres: 1 failure of ETL (job {first})"
    assert value(session, ALERTING) == [second]


def test_what_failed_meanwhile_still_alerts(database: Database, session: psycopg.Connection) -> None:
    """One that began before those seen and failed after them, one that began later, one that failed again and worse."""
    early = a_run(session, "etl", end="")
    seen = failed(session, "etl")
    worse = a_run(session, "etl", end="fail_job(%s, 2)")
    with on_terminal(database, "ack", "etl") as terminal:
        terminal.see("[y/N] ")
        session.execute("SELECT jobmon.fail_job(%s)", [early])
        session.execute("SELECT jobmon.fail_job(%s)", [worse])
        late = failed(session, "etl")
        terminal.type("y\n")
        assert terminal.end() == 0
        assert f"removed by postgres: 1 failure of ETL (job {seen})" in terminal.text
    assert value(session, ALERTING) == [early, worse, late]


def test_failures_that_a_success_has_removed_meanwhile(database: Database, session: psycopg.Connection) -> None:
    failed(session, "etl")
    with on_terminal(database, "ack", "etl") as terminal:
        terminal.see("[y/N] ")
        a_run(session, "etl")
        terminal.type("y\n")
        assert terminal.end() == 0
        assert "gone by themselves meanwhile: 1 failure" in terminal.text


def test_saying_no_and_having_no_terminal_remove_nothing(database: Database, session: psycopg.Connection) -> None:
    job = failed(session, "etl")
    with on_terminal(database, "ack", "etl") as terminal:
        terminal.see("[y/N] ")
        terminal.type("n\n")
        assert terminal.end() == 1
    output = jobmonctl(database, "ack", "etl")
    assert output.status == 1
    assert output.stderr == "jobmonctl ack: not done: there is no terminal to ask at, so give -y\n"
    assert value(session, ALERTING) == [job]


def test_a_job_whose_runs_have_all_been_cleared_can_be_acknowledged(
    database: Database, session: psycopg.Connection
) -> None:
    failed(session, "old import")
    session.execute("DELETE FROM jobmon.job_log")
    output = jobmonctl(database, "ack", "-y", "old import")
    assert output.status == 0
    assert "1 run of them no longer in the log" in output.stdout
    assert value(session, ALERTING) is None


def crashed(database: Database, session: psycopg.Connection, name: str, *steps: tuple[str, str, str]) -> int:
    """A run whose backend is gone, and that has a last step that is open."""
    with database.connect() as gone:
        job = a_run(gone, name, *steps, end="")
        pid = gone.info.backend_pid
    until(session, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %s)", pid)
    return job


def test_a_crashed_run_is_ended_and_no_longer_alerts(database: Database, session: psycopg.Connection) -> None:
    a_run(session, "etl")
    job = crashed(database, session, "etl", ("load", "OK", "42 rows"))
    other = crashed(database, session, "cube")
    assert database.check("-j", "ETL").first_line.startswith("JOBMON WARNING - 1 warning, 0 ok: ETL crashed")
    output = jobmonctl(database, "ack", "-y", "etl")
    assert (output.status, output.stderr) == (0, "")
    lines = output.stdout.splitlines()
    assert lines[0] == (
        "1 failure of ETL that would no longer alert; of these, 1 crashed run would be ended as failed:"
    )
    assert lines[-1] == f"removed by postgres: 1 failure of ETL (job {job})"
    assert database.check("-j", "ETL").status == 0
    # it was at work until its last step at least, and nobody knows for how much longer
    assert session.execute(
        "SELECT l.status, l.end_time = d.end_time, d.status, d.message"
        " FROM jobmon.job_log AS l JOIN jobmon.job_detail AS d USING (job_id) WHERE job_id = %s",
        [job],
    ).fetchall() == [("CRITICAL", True, "CRITICAL", "crashed, acknowledged by postgres; 42 rows")]
    assert value(session, "SELECT end_time FROM jobmon.job_log WHERE job_id = %s", other) is None
    assert jobmonctl(database, "ack", "-y", str(other)).status == 0
    assert session.execute(
        "SELECT l.status, l.end_time = l.start_time, d.message"
        " FROM jobmon.job_log AS l JOIN jobmon.job_detail AS d USING (job_id) WHERE job_id = %s",
        [other],
    ).fetchall() == [("CRITICAL", True, "crashed, acknowledged by postgres")]
    assert value(session, ALERTING) is None


def test_a_run_that_is_at_work_is_not_acknowledged(database: Database, session: psycopg.Connection) -> None:
    job = a_run(session, "etl", end="")
    assert jobmonctl(database, "ack", "-y", str(job)).stdout.startswith("nothing to acknowledge")
    assert value(session, "SELECT jobmon.ack_crash(%s)", job) is False
    assert value(session, "SELECT jobmon.ack_crash(4711)") is False
    session.execute("UPDATE jobmon.job_log SET pid = -pid")  # another server's
    assert value(session, "SELECT jobmon.ack_crash(%s)", job) is False
    assert value(session, "SELECT end_time FROM jobmon.job_log") is None


def test_a_run_that_another_session_has_claimed_is_at_work(database: Database, session: psycopg.Connection) -> None:
    job = crashed(database, session, "etl")
    with database.connect() as later:
        later.execute("SELECT jobmon.claim_job(%s)", [job])
        assert database.check().status == 0
        assert jobmonctl(database, "ack", "-y", "etl").status == 0
        assert value(session, "SELECT jobmon.ack_crash(%s)", job) is False
    assert value(session, "SELECT end_time FROM jobmon.job_log") is None


def test_a_crash_counts_as_a_failure_of_its_time(database: Database, session: psycopg.Connection) -> None:
    """So a job that is missing because its runs crash is missing afterwards, too."""
    job = crashed(database, session, "etl")
    session.execute("UPDATE jobmon.job_log SET start_time = start_time - interval '25 hours'")
    session.execute("INSERT INTO jobmon.job_check_config VALUES ('ETL', '1 day', '2 days', true, 0, '-infinity')")
    assert jobmonctl(database, "ack", "-y", str(job)).status == 0
    assert database.check().first_line.startswith("JOBMON WARNING - 1 warning, 0 ok: ETL missing, last run 25h ago")


def test_nothing_to_acknowledge_is_no_error_and_an_unknown_run_is(
    database: Database, session: psycopg.Connection
) -> None:
    job = a_run(session, "etl")
    for which in ("etl", str(job)):
        assert jobmonctl(database, "ack", "-y", which).stdout.startswith("nothing to acknowledge")
    assert (
        refusal(jobmonctl(database, "ack", "-y", "4711")) == "jobmonctl ack: no run has job_id 4711: see jobmonctl show"
    )


def test_who_may_not_is_told_before_being_asked(database: Database, session: psycopg.Connection) -> None:
    job = failed(session, "etl")
    session.execute("DROP ROLE IF EXISTS prompt_reader")
    session.execute("CREATE ROLE prompt_reader LOGIN IN ROLE jobmon_monitor")
    said = refusal(jobmonctl(database, "ack", "-y", "etl", "-U", "prompt_reader"))
    assert "GRANT jobmon_admin TO that role" in said
    assert value(session, ALERTING) == [job]
    session.execute("DROP ROLE prompt_reader")


def test_of_many_failures_only_some_are_listed(database: Database, session: psycopg.Connection) -> None:
    session.execute("INSERT INTO jobmon.job_check_log SELECT i, 'ETL', 3 FROM generate_series(1, 20000) AS i")
    output = jobmonctl(database, "ack", "-y", "etl")
    assert output.stdout.splitlines()[-1].endswith(
        "20000 failures of ETL (job " + ", ".join(map(str, range(1, 21))) + ", …)"
    )
    assert value(session, ALERTING) is None
