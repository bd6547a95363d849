"""The check query and check_job_status(): each row of the table of what alerts, at its edge.

A test writes the log itself, in one transaction with the check: so now() is the same for both, and an edge is exact.
"""

from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest

from check_jobmon.judging.job import Job, Words
from check_jobmon.schema.scripts import job_status
from tests.database import Database, until, value
from tests.schema.conftest import rolled_back

TICK = timedelta(microseconds=1)
DAY = timedelta(days=1)


@pytest.fixture
def log(uncommitted: Database) -> Iterator[psycopg.Connection]:
    """A session whose transaction holds the test's log, and sees one now()."""
    with rolled_back(uncommitted) as session:
        yield session


@pytest.fixture
def own_log(database: Database) -> Iterator[psycopg.Connection]:
    """The same in a database of the test's own, for many rows, and for jobs that are logged there."""
    with database.connect(autocommit=False) as session:
        yield session
        session.rollback()


def configure(
    log: psycopg.Connection,
    name: str = "ETL",
    warn: object = DAY,
    error: object = 2 * DAY,
    active: bool = True,
    sensitivity: int = 0,
    since: object = "-infinity",
) -> None:
    """Configure a job."""
    log.execute(
        "INSERT INTO jobmon.job_check_config VALUES (%s, %s, %s, %s, %s, %s)",
        [name, warn, error, active, sensitivity, since],
    )


def add_run(
    log: psycopg.Connection,
    ended: timedelta | None,
    status: str = "OK",
    name: str = "ETL",
    took: timedelta = timedelta(0),
) -> int:
    """A run that ended so long ago."""
    return int(
        value(
            log,
            "INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)"
            " VALUES ('me', %s, now() - %s - %s, now() - %s, %s, 0) RETURNING job_id",
            name,
            ended,
            took,
            ended,
            status,
        )
    )


def add_open_run(log: psycopg.Connection, started: timedelta, pid: int, name: str = "ETL") -> int:
    """A run that started so long ago and has not ended."""
    return int(
        value(
            log,
            "INSERT INTO jobmon.job_log (owner, job_name, start_time, pid) VALUES ('me', %s, now() - %s, %s) RETURNING job_id",
            name,
            started,
            pid,
        )
    )


def judge(log: psycopg.Connection, name: str = "ETL") -> Job:
    """The check's row of a job."""
    jobs = [Job(*row) for row in log.execute(job_status("jobmon").encode())]
    (job,) = (job for job in jobs if job.name == name)
    return job


def text(log: psycopg.Connection) -> tuple[int, str]:
    """What check_job_status() says."""
    row = log.execute("SELECT alert_code, alert_text FROM jobmon.check_job_status()").fetchone()
    assert row is not None
    return row


@pytest.fixture
def backend(uncommitted: Database, log: psycopg.Connection) -> Iterator[int]:
    """The pid of a session that was there before the test's now(); started before the log's transaction."""
    with uncommitted.connect() as session:
        yield session.info.backend_pid


def test_the_reference_texts_example_query_on_a_fresh_schema(session: psycopg.Connection) -> None:
    query = """
        select t.error_text || c.alert_text as alert_status from jobmon.check_job_status() c
            join jobmon.job_status_text t on c.alert_code = t.error_code;
    """
    cursor = session.execute(query.encode())
    assert cursor.description is not None
    assert cursor.description[0].name == "alert_status"
    assert cursor.fetchall() == [("OK(All jobs run successfully)",)]


@pytest.mark.parametrize("sensitivity", [0, 2])
@pytest.mark.parametrize(("status", "code"), [("CRITICAL", 3), ("WARNING", 2)])
def test_configured_job_alerts_at_one_failure_more_than_its_sensitivity(
    log: psycopg.Connection, sensitivity: int, status: str, code: int
) -> None:
    configure(log, sensitivity=sensitivity)
    add_run(log, timedelta(hours=3))
    for _ in range(sensitivity):
        add_run(log, timedelta(hours=2), status)
    assert judge(log).alert_code == 1
    assert text(log) == (1, "(All jobs run successfully)")
    add_run(log, timedelta(hours=1), status)
    job = judge(log)
    assert (job.alert_code, job.failed_code, job.missing_code, job.failures) == (code, code, 1, sensitivity + 1)
    times = "1 time" if sensitivity == 0 else "3 times"
    assert text(log) == (code, f"(ETL: FAILED_RUN - failed {times})")


def test_criticals_within_and_failures_beyond_sensitivity_warn(log: psycopg.Connection) -> None:
    configure(log, sensitivity=1)
    add_run(log, timedelta(hours=2), "CRITICAL")
    add_run(log, timedelta(hours=1), "WARNING")
    assert judge(log).alert_code == 2


@pytest.mark.parametrize(("status", "code"), [("CRITICAL", 3), ("WARNING", 2)])
def test_job_without_configuration_alerts_at_three_failures(log: psycopg.Connection, status: str, code: int) -> None:
    add_run(log, timedelta(days=400), status)
    add_run(log, timedelta(days=399), status)
    assert judge(log).alert_code == 1
    add_run(log, timedelta(days=398), status)
    assert judge(log).alert_code == code
    assert text(log) == (code, "(ETL: FAILED_RUN - failed 3 times)")


def test_thousands_of_failures_are_counted_as_far_as_they_matter(own_log: psycopg.Connection) -> None:
    configure(own_log, sensitivity=1500)
    add_run(own_log, timedelta(hours=1))
    own_log.execute("INSERT INTO jobmon.job_check_log SELECT n, 'ETL', 2 FROM generate_series(1, 1499) AS n")
    own_log.execute("INSERT INTO jobmon.job_check_log VALUES (1500, 'ETL', 3)")
    assert (judge(own_log).alert_code, judge(own_log).failures) == (1, 1500)
    own_log.execute("INSERT INTO jobmon.job_check_log VALUES (1501, 'ETL', 2)")
    assert (judge(own_log).alert_code, judge(own_log).failures) == (2, 1501)
    assert text(own_log) == (2, "(ETL: FAILED_RUN - failed 1501 times)")
    own_log.execute("INSERT INTO jobmon.job_check_log SELECT n, 'ETL', 2 FROM generate_series(1502, 9000) AS n")
    assert text(own_log) == (2, "(ETL: FAILED_RUN - failed more than 1750 times)")
    assert judge(own_log).reason(Words()) == "failed more than 1750 times"
    own_log.execute("INSERT INTO jobmon.job_check_log SELECT n, 'ETL', 3 FROM generate_series(9001, 10500) AS n")
    assert judge(own_log).alert_code == 3


def test_a_success_between_failures_starts_the_count_anew(log: psycopg.Connection) -> None:
    for status in ("CRITICAL", "CRITICAL", "OK", "CRITICAL", "CRITICAL"):
        add_run(log, timedelta(hours=1), status)
    assert judge(log).alert_code == 1
    assert judge(log).failures == 2


@pytest.mark.parametrize(
    ("age", "code"),
    [(DAY, 1), (DAY + TICK, 2), (2 * DAY, 2), (2 * DAY + TICK, 3)],
    ids=["at warn", "past warn", "at error", "past error"],
)
@pytest.mark.parametrize("status", ["OK", "CRITICAL", "anything"])
def test_configured_job_is_missing_past_its_thresholds(
    log: psycopg.Connection, age: timedelta, code: int, status: str
) -> None:
    configure(log, sensitivity=5)
    add_run(log, age, status, took=timedelta(hours=7))
    job = judge(log)
    assert (job.alert_code, job.missing_code) == (code, code)
    assert job.missing_status == (None if code == 1 else "MISSING")
    limit = {2: "warning after 24:00:00", 3: "error after 48:00:00"}.get(code)
    assert text(log)[1] == (
        f"(ETL: MISSING - not run for {'24' if code == 2 and age < 2 * DAY else '48'}:00:00, {limit})"
        if limit
        else "(All jobs run successfully)"
    )


def test_job_that_never_ran_is_missing(log: psycopg.Connection) -> None:
    configure(log)
    assert judge(log).alert_code == 3
    assert text(log) == (3, "(ETL: MISSING - no run has ever completed)")


@pytest.mark.parametrize(("age", "code"), [(DAY, 1), (DAY + TICK, 2), (2 * DAY, 2), (2 * DAY + TICK, 3)])
def test_thresholds_of_a_job_without_any_run_count_from_since(
    log: psycopg.Connection, age: timedelta, code: int
) -> None:
    configure(log, since=value(log, "SELECT now() - %s::interval", age))
    job = judge(log)
    assert (job.alert_code, job.missing_status) == (code, None if code == 1 else "MISSING")
    assert (job.age, job.warn_after, job.error_after) == (None, 86400, 172800)
    limit = {1: "", 2: "warning 24h", 3: "critical 48h"}[code]
    hours = 48 if age >= 2 * DAY else 24
    if code > 1:
        reason = f"missing, no run has ever completed, expected for {hours}h ({limit})"
        assert job.reason(Words()) == reason
        after = {2: "warning after 24:00:00", 3: "error after 48:00:00"}[code]
        said = f"(ETL: MISSING - no run has ever completed, expected for {hours}:00:00, {after})"
        assert text(log) == (code, said)
    else:
        assert (job.reason(Words()), text(log)) == ("", (1, "(All jobs run successfully)"))


def test_job_that_is_configured_now_is_expected_from_now_on(log: psycopg.Connection) -> None:
    log.execute("INSERT INTO jobmon.job_check_config VALUES ('ETL', '1 hour', '2 hours', true)")
    assert (judge(log).alert_code, judge(log).expected_for) == (1, 0)
    add_run(log, 3 * DAY)  # a job that has run is judged by its runs
    assert (judge(log).alert_code, judge(log).expected_for) == (3, None)


def test_open_run_of_a_job_that_never_completed_counts_if_it_is_later_than_since(
    log: psycopg.Connection, backend: int
) -> None:
    configure(log, since=value(log, "SELECT now() - interval '3 days'"))
    add_open_run(log, timedelta(0), backend)
    assert judge(log).alert_code == 1
    log.execute("UPDATE jobmon.job_check_config SET since = now()")
    log.execute("UPDATE jobmon.job_log SET start_time = now() - interval '3 days', pid = -1")
    assert judge(log).alert_code == 1


@pytest.mark.parametrize("since", ["-infinity", "infinity", "4713-01-01 BC", "294276-12-31"])
@pytest.mark.parametrize("limit", ["1 day", "-178000000 years", "178000000 years"])
def test_odd_since_breaks_no_check(log: psycopg.Connection, since: str, limit: str) -> None:
    configure(log, since=since, warn=limit, error=limit)
    job = judge(log)
    always = since in ("-infinity", "4713-01-01 BC")
    assert job.alert_code == (3 if always else 1)
    assert text(log)[0] == job.alert_code


def test_inactive_job_never_alerts(log: psycopg.Connection) -> None:
    configure(log, active=False)
    for _ in range(9):
        add_run(log, 9 * DAY, "CRITICAL")
    job = judge(log)
    assert (job.alert_code, job.active) == (1, False)
    assert text(log) == (1, "(All jobs run successfully)")


def test_job_without_configuration_is_never_missing(log: psycopg.Connection) -> None:
    add_run(log, 4000 * DAY, "CRITICAL")
    assert judge(log).alert_code == 1


def test_a_month_is_as_long_as_it_is(log: psycopg.Connection) -> None:
    configure(log, warn="1 month", error="1 year")
    log.execute(
        "INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)"
        " VALUES ('me', 'ETL', now(), now() - interval '1 month', 'OK', 0)"
    )
    assert judge(log).alert_code in (1, 2)  # exactly a month: clamped days of a month may make it a day longer
    log.execute("UPDATE jobmon.job_log SET end_time = now() - interval '27 days'")
    assert judge(log).alert_code == 1
    log.execute("UPDATE jobmon.job_log SET end_time = now() - interval '32 days'")
    assert judge(log).alert_code == 2


@pytest.mark.parametrize("threshold", ["0", "-1 hour", "-170000000 years"])
def test_threshold_that_is_not_positive_is_always_past(log: psycopg.Connection, threshold: str) -> None:
    configure(log, warn=threshold, error=threshold)
    add_run(log, timedelta(seconds=1))
    assert judge(log).alert_code == 3


def test_threshold_beyond_all_time_is_never_past(log: psycopg.Connection) -> None:
    configure(log, warn="170000000 years", error="170000000 years")
    add_run(log, 40000 * DAY)
    assert judge(log).alert_code == 1


def test_a_run_that_goes_on_counts_from_its_start(session: psycopg.Connection, own_log: psycopg.Connection) -> None:
    configure(own_log, warn="1 second", error="1 hour")
    add_run(own_log, 9 * DAY)
    own_log.execute("SELECT pg_sleep(0.01)")
    job_id = value(session, "SELECT jobmon.add_job('etl')")
    own_log.rollback()
    configure(own_log, warn="1 hour", error="2 hours")
    add_run(own_log, 9 * DAY)
    job = judge(own_log)
    assert (job.alert_code, job.alive_job_id, job.alive_pid) == (1, job_id, session.info.backend_pid)
    own_log.execute("UPDATE jobmon.job_check_config SET warn_threshold = interval '0'")
    job = judge(own_log)
    assert (job.alert_code, job.missing_status) == (2, "RUNNING")
    assert text(own_log)[1].startswith("(ETL: RUNNING - running since ")


def test_a_run_that_waits_for_a_lock_is_blocked_and_says_by_whom(
    database: Database, session: psycopg.Connection, own_log: psycopg.Connection
) -> None:
    with database.connect(application_name="holder") as holder, database.connect() as waiter:
        holder.execute("CREATE TABLE wanted ()")
        holder.execute("BEGIN; LOCK TABLE wanted")
        value(waiter, "SELECT jobmon.add_job('etl')")
        waiter.pgconn.send_query(b"SELECT FROM wanted")
        waiter.pgconn.flush()
        until(lambda: value(session, "SELECT cardinality(pg_blocking_pids(%s))", waiter.info.backend_pid))
        configure(own_log, warn="0", error="1 hour")
        job = judge(own_log)
        assert (job.alert_code, job.missing_status) == (2, "BLOCKED")
        assert (job.blocker_pid, job.blocker_user, job.blocker_application) == (
            holder.info.backend_pid,
            "postgres",
            "holder",
        )
        assert f"blocked by pid {holder.info.backend_pid} (postgres, holder) since 2" in text(own_log)[1]
        waiter.close()


def test_a_reused_pid_is_not_the_run(backend: int, log: psycopg.Connection) -> None:
    configure(log)
    add_run(log, timedelta(days=9))
    job_id = add_open_run(log, timedelta(days=5), backend)
    job = judge(log)
    assert (job.alert_code, job.missing_status, job.alive_job_id, job.crashed_job_id) == (3, "MISSING", None, job_id)


def test_a_run_without_backend_has_crashed_unless_a_later_one_completed(log: psycopg.Connection) -> None:
    configure(log)
    add_run(log, timedelta(hours=3))
    job_id = add_open_run(log, timedelta(hours=2), 0)
    job = judge(log)
    assert (job.alert_code, job.crashed_job_id, job.crashed) == (1, job_id, True)
    code, said = text(log)
    assert (code, said.startswith(f"(ETL: CRASHED - job {job_id} started ")) == (1, True)
    add_run(log, timedelta(hours=1))
    assert judge(log).crashed_job_id is None


def test_a_job_that_keeps_starting_and_dying_is_missing(log: psycopg.Connection) -> None:
    configure(log)
    add_run(log, 3 * DAY)
    for minutes in (30, 20, 10, 1):
        add_open_run(log, timedelta(minutes=minutes), 0)
    job = judge(log)
    assert (job.alert_code, job.missing_status, job.crashed) == (3, "MISSING", True)
    assert "MISSING - not run for 72:00:00, error after 48:00:00, CRASHED - job " in text(log)[1]


def test_a_crash_of_a_job_without_configuration_is_seen(log: psycopg.Connection) -> None:
    add_open_run(log, timedelta(hours=2), 0)
    assert judge(log).crashed


def test_the_worst_code_wins_and_the_text_names_all(log: psycopg.Connection) -> None:
    configure(log)
    add_run(log, DAY + timedelta(hours=1), "CRITICAL")
    job = judge(log)
    assert (job.alert_code, job.failed_code, job.missing_code) == (3, 3, 2)
    assert text(log) == (
        3,
        "(ETL: FAILED_RUN - failed 1 time, MISSING - not run for 25:00:00, warning after 24:00:00)",
    )


def test_worst_first_then_by_name(log: psycopg.Connection) -> None:
    for name in ("B WARNS", "D FAILS", "A WARNS", "C FAILS"):
        configure(log, name)
        add_run(log, timedelta(0), "CRITICAL" if name.endswith("FAILS") else "WARNING", name)
    assert text(log)[1] == (
        "(C FAILS: FAILED_RUN - failed 1 time; D FAILS: FAILED_RUN - failed 1 time;"
        " A WARNS: FAILED_RUN - failed 1 time; B WARNS: FAILED_RUN - failed 1 time)"
    )


def test_the_failing_step_and_its_message_are_named(log: psycopg.Connection) -> None:
    configure(log)
    job_id = add_run(log, timedelta(0), "CRITICAL")
    for action, status, message in (("extract", "OK", "fine"), ("load", "CRITICAL", "boom"), ("clean up", "OK", "")):
        log.execute(
            "INSERT INTO jobmon.job_detail (job_id, action, start_time, status, message) VALUES (%s, %s, now(), %s, %s)",
            [job_id, action, status, message],
        )
    assert text(log) == (3, "(ETL: FAILED_RUN - failed 1 time (load: boom))")


def test_a_configured_name_in_lower_case_is_explained(log: psycopg.Connection) -> None:
    configure(log, "nightly")
    assert text(log)[1] == (
        "(nightly: MISSING - no run has ever completed, the configured name is not upper case, so no run can match it)"
    )


def test_other_words_for_the_codes(log: psycopg.Connection) -> None:
    log.execute("UPDATE jobmon.job_status_text SET error_text = 'FUBAR' WHERE error_code = 3")
    configure(log)
    add_run(log, timedelta(0), "FUBAR")
    assert judge(log).alert_code == 3


def test_judging_a_configured_job_probes_the_index(own_log: psycopg.Connection) -> None:
    configure(own_log)
    own_log.execute(
        "INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)"
        " SELECT 'me', 'JOB ' || i % 500, now() - i * interval '1 minute', now() - i * interval '1 minute', 'OK', 0"
        "   FROM generate_series(1, 20000) AS i"
    )
    own_log.execute("ANALYZE jobmon.job_log")
    plan = "\n".join(row[0] for row in own_log.execute(f"EXPLAIN {job_status('jobmon')}".encode()))
    # the table, or its partitions
    for (table,) in own_log.execute("SELECT DISTINCT tableoid::regclass::text FROM jobmon.job_log").fetchall():
        name = table.removeprefix("jobmon.")
        done, still_open = (
            ("done", "open") if name == "job_log" else (f"{name[8:]}_job_name_end_time", f"{name[8:]}_job_name")
        )
        assert f"using job_log_{done}_idx on {name}" in plan
        assert f"job_log_{still_open}_idx on {name}" in plan
        assert f"Seq Scan on {name} " not in plan
