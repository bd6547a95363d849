"""job_log_clear: deletes old runs, keeps what the check needs, waits for nobody, and logs itself."""

import psycopg
import pytest

from tests.database import Database, value
from tests.schema.sessions import until

OTHERS = "SELECT array_agg(job_name ORDER BY job_id) FROM jobmon.job_log WHERE job_name <> 'JOB LOG CLEAR'"
STEPS = """
    SELECT d.action, d.status, d.message
      FROM jobmon.job_detail AS d
      JOIN jobmon.job_log AS l USING (job_id)
     WHERE l.job_name = 'JOB LOG CLEAR'
     ORDER BY d.step_id
"""


def a_run(session: psycopg.Connection, name: str, days: float, end: str = "close_job(%s)") -> int:
    """A run of one step that started and ended so many days ago."""
    job = int(value(session, "SELECT jobmon.add_job(%s)", name))
    session.execute("SELECT jobmon.update_step(jobmon.add_step(%s, 'load'), 'OK', 'done')", [job])
    if end:
        session.execute(f"SELECT jobmon.{end}".encode(), [job])
    session.execute(
        "UPDATE jobmon.job_log SET start_time = start_time - make_interval(hours => %(hours)s),"
        " end_time = end_time - make_interval(hours => %(hours)s) WHERE job_id = %(job)s",
        {"hours": round(days * 24), "job": job},
    )
    return job


def configure(session: psycopg.Connection, name: str, warning: str, error: str, active: bool = True) -> None:
    session.execute(
        "INSERT INTO jobmon.job_check_config VALUES (%s, %s, %s, %s, 0, '-infinity')", [name, warning, error, active]
    )


def yearly(session: psycopg.Connection, runs: str) -> None:
    """A job that was due at midnight 100 days ago, and its runs: relative to that, from when to when."""
    session.execute(
        "INSERT INTO jobmon.job_check_config (job_name, warn_threshold, error_threshold, active, since, schedule)"
        " SELECT 'YEARLY', '1 hour', '2 hours', true, now() - interval '3 years',"
        "        to_char(now() - interval '100 days', '\"0 0\" FMDD FMMM \"*\"')"
    )
    session.execute(
        "INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)"
        " SELECT 'me', 'YEARLY', d.due + r.begun::interval, d.due + r.ended::interval, 'OK', 0"
        f"   FROM (SELECT date_trunc('day', now() - interval '100 days')) AS d(due), {runs} AS r(begun, ended)".encode()
    )


def test_what_is_older_goes_with_its_steps_and_the_rest_stays(session: psycopg.Connection) -> None:
    a_run(session, "new", 9)
    a_run(session, "old", 11)
    a_run(session, "old failed", 12, "fail_job(%s)")
    a_run(session, "newer", 1)
    session.execute("SELECT jobmon.job_log_clear('10 days')")
    assert value(session, OTHERS) == ["NEW", "NEWER"]
    assert value(session, "SELECT count(*) FROM jobmon.job_detail WHERE action = 'load'") == 2
    assert session.execute("SELECT job_name, status FROM jobmon.show_job('job log clear')").fetchall() == [
        ("JOB LOG CLEAR", "OK")
    ]
    deleting, keeping = session.execute(STEPS).fetchall()
    assert deleting[0].startswith("delete the runs older than 10 days, from before ")
    assert deleting[1:] == ("OK", "runs deleted: 2")
    assert keeping[1:] == ("OK", "runs kept for the check: 0; runs under way or in use kept: 0")


def test_clearing_hides_no_job_that_is_missing_by_letting_its_thresholds_count_from_since(
    session: psycopg.Connection,
) -> None:
    for name in ("etl", "cube"):
        a_run(session, name, 20)
        configure(session, name.upper(), "10 days", "15 days")
    session.execute("UPDATE jobmon.job_check_config SET since = now() WHERE job_name = 'ETL'")
    assert value(session, "SELECT alert_code FROM jobmon.check_job_status()") == 3
    session.execute("SELECT jobmon.job_log_clear('10 days')")
    assert value(session, OTHERS) == ["ETL"]
    session.execute("DELETE FROM jobmon.job_check_config WHERE job_name = 'CUBE'")
    assert value(session, "SELECT alert_code FROM jobmon.check_job_status()") == 3


def test_the_failures_not_yet_made_good_still_alert(session: psycopg.Connection) -> None:
    configure(session, "ETL", "1 year", "1 year")
    a_run(session, "etl", 12, "fail_job(%s)")
    a_run(session, "etl", 0)
    a_run(session, "etl", 12, "fail_job(%s)")
    session.execute("SELECT jobmon.job_log_clear('10 days')")
    assert value(session, OTHERS) == ["ETL"]
    assert value(session, "SELECT alert_code FROM jobmon.check_job_status()") == 3


def test_the_last_completed_run_is_kept_while_its_jobs_thresholds_reach_back(session: psycopg.Connection) -> None:
    configure(session, "MONTHLY", "31 days", "10 days")
    configure(session, "ENDLESS", "1 day", "1000000 years")
    configure(session, "LATE", "1 day", "2 days")
    configure(session, "OFF", "31 days", "32 days", active=False)
    for name in ("monthly", "monthly", "late", "off", "endless", "unknown"):
        a_run(session, name, 20)
    last = value(session, "SELECT max(job_id) FROM jobmon.job_log WHERE job_name = 'MONTHLY'")
    endless = value(session, "SELECT job_id FROM jobmon.job_log WHERE job_name = 'ENDLESS'")
    session.execute("SELECT jobmon.job_log_clear('7 days')")
    assert value(session, OTHERS) == ["MONTHLY", "ENDLESS"]
    assert value(session, "SELECT min(job_id) FROM jobmon.job_log") == last
    assert session.execute(STEPS).fetchall()[1][2] == (
        f"runs kept for the check: 2, ENDLESS (job {endless}), MONTHLY (job {last}); runs under way or in use kept: 0"
    )


def test_the_last_completed_run_of_a_job_with_a_schedule_is_kept_until_the_next_one(
    session: psycopg.Connection,
) -> None:
    """However short its thresholds are: they count from when it is due, which may be a year later."""
    yearly(session, "(VALUES ('-365 d', '-365 d'), ('1 d', '1 d'))")
    state = "SELECT alert_code FROM jobmon.check_job_status()"
    assert value(session, state) == 1
    session.execute("SELECT jobmon.job_log_clear('90 days')")
    assert value(session, state) == 1
    assert value(session, OTHERS) == ["YEARLY"]


@pytest.mark.parametrize(
    ("pattern", "configured", "end"),
    [("ETL", True, "close_job(%s)"), ("ET*", True, "fail_job(%s)"), ("[DE]T?", False, "fail_job(%s)"), ("*", True, "")],
)
def test_a_silence_that_a_run_has_ended_silences_nothing_again(
    session: psycopg.Connection, pattern: str, configured: bool, end: str
) -> None:
    """The run that has ended it stays: completed, failed or crashed, of a configured job or of one that has only failed."""
    if configured:
        configure(session, "ETL", "5 days", "6 days")
    session.execute(
        "INSERT INTO jobmon.job_silence (pattern, starts, ends, until_next_run, reason, created_by)"
        " VALUES (%s, now() - interval '40 days', now() + interval '1 day', true, 'x', 'me')",
        [pattern],
    )
    failed = a_run(session, "etl", 41, "fail_job(%s)")
    a_run(session, "cube", 30)
    judged = "SELECT alert_code FROM jobmon.check_job_status()"
    if not configured:
        session.execute(
            "INSERT INTO jobmon.job_check_log SELECT %s + n, 'ETL', 3 FROM generate_series(1000, 1010) AS n", [failed]
        )
    assert value(session, judged) == 1
    for days in (30, 20):
        run = a_run(session, "etl", days, end)
    session.execute("UPDATE jobmon.job_log SET pid = 0")
    assert value(session, judged) == 3
    session.execute("SELECT jobmon.job_log_clear('10 days')")
    assert value(session, judged) == 3
    assert value(session, "SELECT array_agg(job_id) FROM jobmon.job_log WHERE job_name <> 'JOB LOG CLEAR'") == [run]
    # one after the interval's beginning ends it, too
    last = a_run(session, "etl", 2, end)
    session.execute("UPDATE jobmon.job_log SET pid = 0")
    session.execute("SELECT jobmon.job_log_clear('10 days')")
    assert value(session, "SELECT array_agg(job_id) FROM jobmon.job_log WHERE job_name <> 'JOB LOG CLEAR'") == [last]


def test_of_overlapping_runs_the_one_that_the_next_is_due_after_is_kept(session: psycopg.Connection) -> None:
    """The last to end began first, so the check counts from the other one."""
    yearly(session, "(VALUES ('-2 hours', '1 hour'), ('0', '10 min'), ('-9 days', '-8 days'))")
    state = "SELECT alert_code FROM jobmon.check_job_status()"
    assert value(session, state) == 1
    session.execute("SELECT jobmon.job_log_clear('90 days')")
    assert value(session, state) == 1
    assert value(session, OTHERS) == ["YEARLY", "YEARLY"]


def test_a_run_under_way_hides_no_crashed_one_that_has_ended_a_silence(session: psycopg.Connection) -> None:
    configure(session, "ETL", "5 days", "6 days")
    session.execute(
        "INSERT INTO jobmon.job_silence (pattern, starts, ends, until_next_run, reason, created_by)"
        " VALUES ('ETL', now() - interval '40 days', now() + interval '1 day', true, 'x', 'me')"
    )
    crashed, elsewhere = a_run(session, "etl", 30, ""), a_run(session, "etl", 20, "")
    session.execute("UPDATE jobmon.job_log SET pid = CASE job_id WHEN %s THEN 0 ELSE -1 END", [crashed])
    state = "SELECT alert_code FROM jobmon.check_job_status()"
    assert value(session, state) == 3
    session.execute("SELECT jobmon.job_log_clear('10 days')")
    assert value(session, state) == 3
    kept = "SELECT array_agg(job_id ORDER BY job_id) FROM jobmon.job_log WHERE job_name = 'ETL'"
    assert value(session, kept) == [crashed, elsewhere]


def test_a_run_under_way_is_kept_and_a_crashed_one_goes(database: Database, session: psycopg.Connection) -> None:
    with database.connect() as gone:
        pid = gone.info.backend_pid
        a_run(gone, "crashed", 20, end="")
    until(session, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %s)", pid)
    job = a_run(session, "long", 20, end="")
    session.execute(
        "UPDATE jobmon.job_log SET start_time = (SELECT backend_start FROM pg_stat_activity"
        " WHERE pid = pg_backend_pid()) WHERE job_id = %s",
        [job],
    )
    # as what was spooled has it
    session.execute("UPDATE jobmon.job_log SET pid = 0 WHERE job_id = %s", [a_run(session, "no pid", 20, end="")])
    session.execute("SELECT jobmon.job_log_clear('0')")
    assert value(session, OTHERS) == ["LONG"]


def test_more_than_a_batch(session: psycopg.Connection) -> None:
    session.execute(
        "INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)"
        " SELECT 'x', 'J' || n %% 7, now() - make_interval(days => n %% 2 * 20), now(), 'OK', 1"
        "   FROM generate_series(1, 5000) AS n",
        [],
    )
    session.execute("SELECT jobmon.job_log_clear('10 days')")
    assert len(value(session, OTHERS)) == 2500
    assert session.execute(STEPS).fetchall()[0][2] == "runs deleted: 2500"


@pytest.mark.parametrize(
    "held",
    [
        "UPDATE jobmon.job_log SET status = 'X' WHERE job_id = %s",
        "UPDATE jobmon.job_detail SET status = 'X' WHERE job_id = %s",
        "INSERT INTO jobmon.job_detail (job_id, action, start_time) VALUES (%s, 'x', now())",
    ],
)
def test_it_does_not_wait_for_who_is_writing(database: Database, session: psycopg.Connection, held: str) -> None:
    busy = a_run(session, "busy", 20)
    a_run(session, "free", 20)
    with database.connect(autocommit=False) as writer:
        writer.execute(held.encode(), [busy])
        session.execute("SET statement_timeout = '10s'")
        session.execute("SELECT jobmon.job_log_clear('10 days')")
        assert value(session, OTHERS) == ["BUSY"]
        assert session.execute(STEPS).fetchall()[1][2].endswith("runs under way or in use kept: 1")
        writer.rollback()
    session.execute("SELECT jobmon.job_log_clear('10 days')")
    assert value(session, OTHERS) is None


def test_what_it_deleted_stays_deleted_and_no_lock_is_left(database: Database, session: psycopg.Connection) -> None:
    a_run(session, "old", 20)
    with database.connect(autocommit=False) as caller:
        caller.execute("SELECT jobmon.job_log_clear('10 days')")
        assert value(session, OTHERS) is None
        assert (
            value(
                session,
                "SELECT count(*) FROM pg_locks WHERE mode IN ('RowExclusiveLock', 'RowShareLock')"
                " AND relation = 'jobmon.job_log'::regclass",
            )
            == 0
        )
        caller.rollback()
    assert value(session, "SELECT status FROM jobmon.job_log WHERE job_name = 'JOB LOG CLEAR'") == "OK"


@pytest.mark.parametrize("style", ["German, DMY", "SQL, DMY", "Postgres, MDY"])
def test_the_callers_way_to_write_dates_and_intervals_does_not_matter(session: psycopg.Connection, style: str) -> None:
    a_run(session, "old", 11)
    a_run(session, "new", 9)
    session.execute(
        f"SET datestyle = '{style}'; SET timezone = 'Asia/Kolkata'; SET intervalstyle = 'sql_standard'".encode()
    )
    session.execute("SELECT jobmon.job_log_clear('10 days')")
    assert value(session, OTHERS) == ["NEW"]


@pytest.mark.parametrize(
    ("interval", "text"), [(None, "NULL"), ("-1 days", "-1 days"), ("1 day -25 hours", "1 day -25:00:00")]
)
def test_a_bad_interval_is_refused_and_nothing_deleted(
    session: psycopg.Connection, interval: str | None, text: str
) -> None:
    a_run(session, "old", 11)
    with pytest.raises(psycopg.Error) as refused:
        session.execute("SELECT jobmon.job_log_clear(%s)", [interval])
    assert refused.value.diag.message_primary == (
        f"job_log_clear() needs an interval that is not negative, and this one is {text}"
    )
    assert value(session, "SELECT array_agg(job_name) FROM jobmon.job_log") == ["OLD"]


def test_an_interval_longer_than_time_deletes_nothing(session: psycopg.Connection) -> None:
    a_run(session, "old", 20)
    session.execute("SELECT jobmon.job_log_clear('100000000 years')")
    assert value(session, OTHERS) == ["OLD"]


def test_runs_that_a_foreign_key_of_the_site_s_refers_to_are_in_use(session: psycopg.Connection) -> None:
    for name in ("free", "run", "deferred", "step", "cascade", "free too"):
        a_run(session, name, 11)
    # where the log is partitioned, a foreign key can refer to a partition
    runs = value(session, "SELECT max(tableoid)::regclass::text FROM jobmon.job_log")
    steps = value(session, "SELECT max(tableoid)::regclass::text FROM jobmon.job_detail")
    session.execute(
        f"""
        CREATE TABLE public.of_run (job_id bigint REFERENCES {runs});
        INSERT INTO public.of_run SELECT job_id FROM jobmon.job_log WHERE job_name = 'RUN';
        CREATE TABLE public.deferred (job_id bigint REFERENCES {runs} DEFERRABLE INITIALLY DEFERRED);
        INSERT INTO public.deferred SELECT job_id FROM jobmon.job_log WHERE job_name = 'DEFERRED';
        CREATE TABLE public.of_step (step_id bigint REFERENCES {steps} ON DELETE RESTRICT);
        INSERT INTO public.of_step
             SELECT d.step_id FROM jobmon.job_detail AS d JOIN jobmon.job_log USING (job_id) WHERE job_name = 'STEP';
        CREATE TABLE public.cascading (job_id bigint REFERENCES {runs} ON DELETE CASCADE);
        INSERT INTO public.cascading SELECT job_id FROM jobmon.job_log WHERE job_name = 'CASCADE';
        """.encode()
    )
    session.execute("SELECT jobmon.job_log_clear('10 days')")
    assert value(session, OTHERS) == ["RUN", "DEFERRED", "STEP"]
    assert value(session, "SELECT count(*) FROM jobmon.job_detail WHERE action = 'load'") == 3
    deleting, keeping = session.execute(STEPS).fetchall()
    assert deleting[1:] == ("OK", "runs deleted: 3")
    assert keeping[1:] == ("OK", "runs kept for the check: 0; runs under way or in use kept: 3")
