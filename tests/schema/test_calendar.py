"""Schedules, limits on how long a run takes, and what a job depends on, as the check judges by them.

As in test_job_status.py, a test writes the log itself, in one transaction with the check. All schedules are daily.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

import psycopg
import pytest

from check_jobmon.judging.job import Words
from tests.database import Database, value
from tests.schema.conftest import rolled_back
from tests.schema.test_job_status import TICK, add_open_run, add_run, judge, text

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


@pytest.fixture
def log(uncommitted: Database) -> Iterator[psycopg.Connection]:
    """A session whose transaction holds the test's log, and sees one now()."""
    with rolled_back(uncommitted) as session:
        session.execute("SET timezone = 'UTC'")
        yield session


def configure(log: psycopg.Connection, name: str = "ETL", /, **columns: object) -> None:
    """Configure a job, with thresholds of 30 minutes and 2 hours unless they are given."""
    values = {
        "warn_threshold": 30 * MINUTE,
        "error_threshold": 2 * HOUR,
        "active": True,
        "since": "-infinity",
        **columns,
    }
    names = ", ".join(values)
    marks = ", ".join(["%s"] * len(values))
    log.execute(
        f"INSERT INTO jobmon.job_check_config (job_name, {names}) VALUES (%s, {marks})".encode(),
        [name, *values.values()],
    )


def daily(log: psycopg.Connection, ago: timedelta) -> tuple[str, timedelta]:
    """A schedule that was due so long ago, in whole minutes; and how long ago that is exactly."""
    due: datetime = value(log, "SELECT date_trunc('minute', now() - %s)", ago)
    return f"{due.minute} {due.hour} * * *", value(log, "SELECT now() - %s", due)


def own_backend(log: psycopg.Connection) -> int:
    """The session's pid. Its backend began before the transaction, so a run that begins later can be its own."""
    return log.info.backend_pid


def reason(log: psycopg.Connection, name: str = "ETL") -> str:
    return judge(log, name).reason(Words())


def test_a_run_that_is_late_is_missing_from_the_threshold_on(log: psycopg.Connection) -> None:
    """The thresholds count from when the run was due, not from the last run."""
    schedule, late = daily(log, HOUR)
    add_run(log, late + DAY - MINUTE)
    for threshold, code in ((late, 1), (late - TICK, 2)):
        log.execute("DELETE FROM jobmon.job_check_config")
        configure(log, schedule=schedule, warn_threshold=threshold)
        assert judge(log).missing_code == code
    configure(log, "NEVER RUN", schedule=schedule, error_threshold=late - TICK)
    assert judge(log, "NEVER RUN").missing_code == 3


def test_the_text_says_when_the_run_was_due(log: psycopg.Connection) -> None:
    schedule, late = daily(log, HOUR)
    add_run(log, late + DAY - MINUTE)
    configure(log, schedule=schedule)
    due = value(log, "SELECT to_char(now() - %s, 'HH24:MI')", late)
    assert reason(log) == f"missing, was due {due} UTC, 1h ago (warning 30m)"
    assert f"ETL: MISSING - was due {value(log, 'SELECT current_date::text')[:4]}" in text(log)[1]


def test_a_weekly_job_is_not_missing_before_its_time(log: psycopg.Connection) -> None:
    """Without a schedule, a threshold shorter than a week would alert."""
    schedule, late = daily(log, -HOUR)
    add_run(log, late + DAY)
    configure(log, schedule=schedule)
    job = judge(log)
    assert (job.alert_code, job.missing_code) == (1, 1)
    assert job.late is not None
    assert -3700 < job.late < -3500


@pytest.mark.parametrize(("early", "serves"), [(MINUTE - TICK, True), (MINUTE, True), (MINUTE + TICK, False)])
def test_a_run_that_starts_up_to_a_minute_early_serves_its_time(
    log: psycopg.Connection, early: timedelta, serves: bool
) -> None:
    schedule, late = daily(log, HOUR)
    configure(log, schedule=schedule)
    add_run(log, late + early)
    # the start itself is the time: "later than one minute after the start"
    assert (judge(log).missing_code == 1) == serves


def test_a_run_that_is_alive_serves_the_time_at_which_it_began(log: psycopg.Connection) -> None:
    schedule, late = daily(log, HOUR)
    configure(log, schedule=schedule)
    add_run(log, late + DAY)
    run = add_open_run(log, late - TICK, own_backend(log))
    log.execute("UPDATE jobmon.job_log SET pid = -1 WHERE job_id = %s", [run])  # of another server: counts as alive
    assert judge(log).missing_code == 1
    log.execute("UPDATE jobmon.job_log SET start_time = start_time - interval '1 day' WHERE job_id = %s", [run])
    job = judge(log)
    assert (job.missing_code, job.alive_job_id) == (2, run)


def test_a_failed_run_serves_its_time_and_a_crashed_one_does_not(log: psycopg.Connection) -> None:
    schedule, late = daily(log, HOUR)
    configure(log, schedule=schedule, sensitivity=5)
    add_open_run(log, late - MINUTE, 0)
    assert judge(log).missing_code == 3  # never completed
    add_run(log, late - 2 * MINUTE, "CRITICAL")
    assert judge(log).missing_code == 1


def test_a_job_that_never_ran_is_expected_from_since_on(log: psycopg.Connection) -> None:
    schedule, late = daily(log, HOUR)
    now = value(log, "SELECT now()")
    configure(log, "BEFORE", schedule=schedule, since=now - late - TICK)
    configure(log, "AFTER", schedule=schedule, since=now - late)
    configure(log, "LONG AGO", schedule=schedule)
    assert [judge(log, name).missing_code for name in ("BEFORE", "AFTER", "LONG AGO")] == [2, 1, 3]
    log.execute("UPDATE jobmon.job_check_config SET since = 'infinity'")
    assert judge(log, "BEFORE").missing_code == 1


def next_due(log: psycopg.Connection, job_id: int) -> object:
    return value(log, "SELECT next_due FROM jobmon.job_log WHERE job_id = %s", job_id)


def test_whatever_writes_a_run_or_a_schedule_writes_when_the_next_is_due(log: psycopg.Connection) -> None:
    schedule, late = daily(log, HOUR)
    due = value(log, "SELECT now() - %s", late)
    before = add_run(log, late + MINUTE + TICK)
    older = add_run(log, late + DAY)
    still_open = add_open_run(log, late + 2 * DAY, 0)
    configure(log, schedule=schedule)
    assert [next_due(log, run) for run in (before, still_open)] == [due, due - DAY]
    after = add_run(log, late)
    assert next_due(log, after) == due + DAY
    # counted from is the last that completed; older ones need nothing
    assert next_due(log, older) is None
    log.execute("UPDATE jobmon.job_check_config SET timezone = 'Asia/Kolkata'")
    assert next_due(log, after) == due - timedelta(hours=5, minutes=30) + DAY
    assert next_due(log, still_open) == due - timedelta(hours=5, minutes=30) - DAY
    log.execute("UPDATE jobmon.job_log SET start_time = start_time - interval '1 day' WHERE job_id = %s", [after])
    assert next_due(log, after) == due - timedelta(hours=5, minutes=30)
    log.execute("UPDATE jobmon.job_check_config SET schedule = NULL")
    assert [next_due(log, run) for run in (after, still_open)] == [None, None]


def test_what_is_logged_over_the_link_gets_its_time_too(database: Database) -> None:
    with database.connect() as session:
        configure(session, schedule="30 2 * * *")
        configure(session, "PAST", schedule="30 2 * * *")
        session.execute("SELECT jobmon.close_job(jobmon.add_job('etl'))")
        session.execute(
            "SELECT jobmon.add_past_run(gen_random_uuid(), 'past', now() - interval '1 hour', now(), 1, 's', 'm')"
        )
        times = session.execute(
            "SELECT job_name, next_due = jobmon.next_run('30 2 * * *', 'UTC', start_time + interval '1 minute')"
            "  FROM jobmon.job_log"
        ).fetchall()
    assert sorted(times) == [("ETL", True), ("PAST", True)]


def test_a_time_zone_that_the_server_has_lost_makes_that_job_unknown(log: psycopg.Connection) -> None:
    """A server's list of zones can change with an upgrade. Nothing that is logged fails because of that."""
    schedule, late = daily(log, HOUR)
    add_run(log, late, name="GOOD")
    configure(log, "GOOD", schedule=schedule)
    configure(log, schedule=schedule)
    log.execute("ALTER TABLE jobmon.job_check_config DISABLE TRIGGER USER")
    log.execute("UPDATE jobmon.job_check_config SET timezone = 'Mars/Olympus' WHERE job_name = 'ETL'")
    log.execute("ALTER TABLE jobmon.job_check_config ENABLE TRIGGER USER")
    add_run(log, late)
    log.execute("UPDATE jobmon.job_check_config SET sensitivity = 3")
    job = judge(log)
    assert (job.undue, job.alert_code, judge(log, "GOOD").alert_code) == (True, 2, 1)
    assert 'in zone "Mars/Olympus"; jobmonctl bootstrap works it out' in job.reason(Words())
    assert "UNKNOWN - when it is due: the server can't read the schedule \"" in text(log)[1]
    wrong = log.execute("SELECT * FROM jobmon.write_all_due()").fetchall()
    assert [row[0] for row in wrong] == ["ETL"]
    assert "Mars/Olympus" in wrong[0][1]


@pytest.mark.parametrize(
    ("limits", "took", "code", "said"),
    [
        ({"warn_duration": HOUR}, HOUR, 1, None),
        ({"warn_duration": HOUR}, HOUR + 10 * MINUTE, 2, "slow, took 1h 10m (warning 1h)"),
        ({"warn_duration": HOUR, "error_duration": 2 * HOUR}, 130 * MINUTE, 3, "slow, took 2h 10m (critical 2h)"),
        ({"error_duration": HOUR}, 59 * MINUTE, 1, None),
        ({"min_duration": MINUTE}, timedelta(seconds=2), 2, "fast, took 2s (at least 1m)"),
        ({"min_duration": MINUTE}, MINUTE, 1, None),
    ],
)
def test_a_run_that_takes_too_long_or_too_little(
    log: psycopg.Connection, limits: dict[str, timedelta], took: timedelta, code: int, said: str | None
) -> None:
    configure(log, **limits)
    add_run(log, TICK, took=took)
    job = judge(log)
    assert (job.duration_code, job.alert_code) == (code, code)
    assert (job.reason(Words()) or None) == said


def test_a_run_that_is_alive_can_be_slow(log: psycopg.Connection) -> None:
    configure(log, warn_threshold=DAY, error_threshold=DAY, warn_duration=HOUR)
    add_run(log, 2 * HOUR, took=2 * HOUR)
    add_open_run(log, 65 * MINUTE, -1)
    assert reason(log) == "slow, took 2h (warning 1h)"
    add_run(log, 70 * MINUTE, took=MINUTE)
    assert reason(log) == "slow, running for 1h 5m (warning 1h)"


def test_a_failed_run_is_not_fast(log: psycopg.Connection) -> None:
    configure(log, min_duration=MINUTE, sensitivity=1)
    add_run(log, TICK, "CRITICAL")
    assert judge(log).duration_code == 1


def test_slow_is_what_takes_several_times_as_long_as_usual(log: psycopg.Connection) -> None:
    configure(log, slow_factor=3, warn_threshold=DAY, error_threshold=DAY)
    for number in range(5, 1, -1):
        add_run(log, number * HOUR, took=20 * MINUTE)
    add_run(log, HOUR, took=61 * MINUTE)
    assert reason(log) == "slow, took 1h 1m (usually 20m)"
    log.execute("UPDATE jobmon.job_check_config SET warn_duration = '55 minutes'")
    assert reason(log) == "slow, took 1h 1m (warning 55m)"
    log.execute("UPDATE jobmon.job_check_config SET warn_duration = NULL, error_duration = '1 hour'")
    assert reason(log) == "slow, took 1h 1m (critical 1h)"
    # four good runs say too little
    log.execute("DELETE FROM jobmon.job_log WHERE end_time = (SELECT min(end_time) FROM jobmon.job_log)")
    log.execute("UPDATE jobmon.job_check_config SET error_duration = NULL")
    assert judge(log).duration_code == 1


@pytest.mark.parametrize("limit", [{"warn_duration": DAY}, {"error_duration": DAY}, {"slow_factor": 3}])
def test_a_run_that_took_days_is_slow_whatever_else_has_run_meanwhile(
    log: psycopg.Connection, limit: dict[str, object]
) -> None:
    configure(log, warn_threshold=10 * DAY, error_threshold=10 * DAY, **limit)
    for number in range(8, 1, -1):
        add_run(log, number * HOUR, took=20 * MINUTE)
    assert judge(log).duration_code == 1
    add_run(log, HOUR, took=4 * DAY)
    for number in range(10):  # so that the log's newest runs are other jobs'
        add_run(log, number * MINUTE, name=f"OTHER {number}")
    assert judge(log).duration_code > 1


def test_nothing_is_slow_that_takes_less_than_a_minute(log: psycopg.Connection) -> None:
    configure(log, slow_factor=2, warn_threshold=DAY, error_threshold=DAY)
    for number in range(6, 0, -1):
        add_run(log, number * HOUR, took=timedelta(seconds=1))
    run = add_run(log, TICK, took=MINUTE)
    assert judge(log).duration_code == 1
    log.execute("UPDATE jobmon.job_log SET start_time = start_time - interval '1 second' WHERE job_id = %s", [run])
    assert reason(log) == "slow, took 1m 1s (usually 1s)"


def depends(log: psycopg.Connection, *names: str, **columns: object) -> None:
    """Missing jobs, each of which depends on the next one."""
    for name, other in zip(names, (*names[1:], None), strict=True):
        configure(log, name, depends_on=other, **columns)


def test_a_missing_job_waits_for_the_one_that_it_depends_on(log: psycopg.Connection) -> None:
    depends(log, "CUBE", "LOAD", "FETCH")
    assert [judge(log, name).alert_code for name in ("CUBE", "LOAD", "FETCH")] == [1, 1, 3]
    # of a chain, the first cause
    assert [judge(log, name).cause for name in ("CUBE", "LOAD", "FETCH")] == ["FETCH", "FETCH", None]
    add_run(log, 3 * HOUR, name="FETCH")
    since = value(log, "SELECT to_char(now() - interval '3 hours', 'YYYY-MM-DD HH24:MI TZ')")
    assert reason(log, "CUBE") == f"waits for FETCH (missing since {since})"
    assert "CUBE" not in text(log)[1]
    add_run(log, MINUTE, name="FETCH")
    assert [judge(log, name).alert_code for name in ("CUBE", "LOAD", "FETCH")] == [1, 3, 1]
    assert judge(log, "CUBE").cause == "LOAD"


def test_a_job_waits_for_one_that_has_failed_or_is_running(log: psycopg.Connection) -> None:
    depends(log, "CUBE", "LOAD", sensitivity=1)
    add_run(log, TICK, "CRITICAL", name="LOAD")
    assert judge(log, "CUBE").alert_code == 3  # one failure is tolerated
    log.execute("UPDATE jobmon.job_check_config SET sensitivity = 0")
    job = judge(log, "CUBE")
    assert (job.alert_code, job.cause_status) == (1, "failed")
    add_run(log, TICK, name="LOAD")
    assert judge(log, "CUBE").alert_code == 3
    add_open_run(log, TICK, -1, name="LOAD")
    job = judge(log, "CUBE")
    assert (job.alert_code, job.cause_status) == (1, "running")
    log.execute("UPDATE jobmon.job_check_config SET active = false WHERE job_name = 'LOAD'")
    assert judge(log, "CUBE").alert_code == 3


def test_a_jobs_own_failures_alert_as_ever(log: psycopg.Connection) -> None:
    depends(log, "CUBE", "LOAD")
    add_run(log, 3 * HOUR, "CRITICAL", name="CUBE")
    job = judge(log, "CUBE")
    assert (job.alert_code, job.failed_code, job.cause) == (3, 3, "LOAD")


def test_in_a_circle_or_behind_one_no_job_waits(log: psycopg.Connection) -> None:
    depends(log, "A", "B", "C")
    log.execute("UPDATE jobmon.job_check_config SET depends_on = 'A' WHERE job_name = 'C'")
    configure(log, "BEHIND", depends_on="A")
    configure(log, "SELF", depends_on="SELF")
    assert [judge(log, name).alert_code for name in ("A", "B", "C", "SELF", "BEHIND")] == [3, 3, 3, 3, 3]
    assert reason(log, "A").endswith("it depends on B, which depends on it, or on too many")


def test_a_job_that_depends_on_one_that_is_not_configured_alerts(log: psycopg.Connection) -> None:
    configure(log, depends_on="NIGTHLY")
    job = judge(log)
    assert job.alert_code == 3
    assert job.reason(Words()).endswith("it depends on NIGTHLY, which is not configured")


def test_a_chain_of_more_than_a_hundred_counts_as_a_circle(log: psycopg.Connection) -> None:
    """The check must end, and nobody must be silent: whatever the size of a circle, its jobs alert."""
    depends(log, *(f"JOB {number:03}" for number in range(105)))
    assert judge(log, "JOB 104").alert_code == 3
    assert (judge(log, "JOB 010").alert_code, judge(log, "JOB 010").cause) == (1, "JOB 104")
    assert judge(log, "JOB 000").alert_code == 3
    log.execute("UPDATE jobmon.job_check_config SET depends_on = 'JOB 000' WHERE job_name = 'JOB 104'")
    assert {judge(log, f"JOB {number:03}").alert_code for number in (0, 50, 104)} == {3}


def test_the_run_that_began_last_counts_even_if_an_earlier_one_ended_after_it(log: psycopg.Connection) -> None:
    schedule, late = daily(log, HOUR)
    configure(log, schedule=schedule)
    add_run(log, late - 50 * MINUTE, took=DAY)
    assert judge(log).missing_code == 2
    add_run(log, late - 10 * MINUTE, took=10 * MINUTE)
    assert judge(log).missing_code == 1


def test_a_silence_until_the_next_run_ends_with_it_for_good(log: psycopg.Connection) -> None:
    """Also if a run that began before the silence ends later."""
    configure(log)
    silence = "SELECT jobmon.silence('etl', NULL, 'repaired', now() - interval '1 hour', true)"
    add_run(log, 2 * HOUR, "CRITICAL")
    log.execute(silence.encode())
    assert judge(log).alert_code == 1
    add_run(log, 40 * MINUTE, "CRITICAL", took=10 * MINUTE)
    assert judge(log).alert_code == 3
    add_run(log, 30 * MINUTE, "CRITICAL", took=90 * MINUTE)
    assert judge(log).alert_code == 3


def test_so_many_failures_in_a_row_are_critical(log: psycopg.Connection) -> None:
    configure(log, escalate=3)
    for _ in range(2):
        add_run(log, TICK, "WARNING")
    assert judge(log).alert_code == 2
    add_run(log, TICK, "WARNING")
    assert judge(log).alert_code == 3
    log.execute("UPDATE jobmon.job_check_config SET escalate = 300")
    assert judge(log).alert_code == 2
    for _ in range(297):
        add_run(log, TICK, "WARNING")
    assert judge(log).alert_code == 3
