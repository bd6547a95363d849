"""job_status_text: other words for the codes, and a history that follows."""

import psycopg
import pytest
from psycopg import errors

from tests.database import Database, value
from tests.schema.sessions import busy, until

WORDS = "SELECT array_agg(alert_text ORDER BY alert_code) FROM jobmon.job_status_text"


def a_run(session: psycopg.Connection, name: str, end: str) -> int:
    job = int(value(session, "SELECT jobmon.add_job(%s)", name))
    session.execute("SELECT jobmon.sql_step(%s, 'load', %s)", [job, "SELECT" if "close" in end else "SELECT 1 / 0"])
    session.execute(f"SELECT jobmon.{end}".encode(), [job])
    return job


def statuses(session: psycopg.Connection) -> tuple[list[str], list[str]]:
    """Of the runs and of their steps, in the order of job_id."""
    return (
        value(session, "SELECT array_agg(status ORDER BY job_id) FROM jobmon.job_log"),
        value(session, "SELECT array_agg(status ORDER BY job_id) FROM jobmon.job_detail"),
    )


def test_the_history_follows_and_no_failure_is_counted_anew(session: psycopg.Connection) -> None:
    bad = a_run(session, "etl", "fail_job(%s)")
    good = a_run(session, "purge", "close_job(%s)")
    before = session.execute("SELECT ctid, * FROM jobmon.job_check_log").fetchall()
    session.execute("UPDATE jobmon.job_status_text SET error_text = 'FUBAR' WHERE error_code = 3")
    session.execute("UPDATE jobmon.job_status_text SET alert_text = 'FINE' WHERE alert_code = 1")
    assert statuses(session) == (["FUBAR", "FINE"], ["FUBAR", "FINE"])
    assert session.execute("SELECT ctid, * FROM jobmon.job_check_log").fetchall() == before
    assert value(session, "SELECT job_id FROM jobmon.show_job_status('FUBAR')") == bad
    assert value(session, "SELECT job_id FROM jobmon.show_job_status('purge', 'FINE')") == good
    assert (
        value(
            session,
            "SELECT t.error_text || c.alert_text FROM jobmon.check_job_status() AS c"
            " JOIN jobmon.job_status_text AS t ON c.alert_code = t.error_code",
        )
        == "FINE(All jobs run successfully)"
    )


def test_new_runs_are_judged_by_the_new_words(database: Database, session: psycopg.Connection) -> None:
    session.execute("UPDATE jobmon.job_status_text SET alert_text = 'FUBAR' WHERE alert_code = 3")
    for _ in range(3):
        a_run(session, "etl", "fail_job(%s)")
    assert statuses(session)[0] == ["FUBAR"] * 3
    assert value(session, "SELECT alert_code FROM jobmon.check_job_status()") == 3
    assert database.check().first_line.startswith("JOBMON FUBAR - ")
    a_run(session, "etl", "close_job(%s)")
    assert value(session, "SELECT alert_code FROM jobmon.check_job_status()") == 1


def test_a_status_written_by_hand_counts_by_the_words_of_the_moment(session: psycopg.Connection) -> None:
    job = value(session, "SELECT jobmon.add_job('etl')")
    session.execute("UPDATE jobmon.job_log SET status = 'FUBAR', end_time = now()")
    assert value(session, "SELECT count(*) FROM jobmon.job_check_log") == 0
    session.execute("UPDATE jobmon.job_status_text SET alert_text = 'FUBAR' WHERE alert_code = 3")
    session.execute("UPDATE jobmon.job_log SET status = 'FUBAR'")
    assert session.execute("TABLE jobmon.job_check_log").fetchall() == [(job, "ETL", 3)]


def test_two_words_can_be_swapped(session: psycopg.Connection) -> None:
    a_run(session, "etl", "fail_job(%s)")
    a_run(session, "etl", "fail_job(%s, 2)")
    session.execute(
        "UPDATE jobmon.job_status_text SET alert_text = CASE alert_code WHEN 2 THEN 'CRITICAL' ELSE 'WARNING' END"
        " WHERE alert_code IN (2, 3)"
    )
    assert value(session, WORDS) == ["OK", "CRITICAL", "WARNING"]
    assert statuses(session)[0] == ["WARNING", "CRITICAL"]
    assert value(session, "SELECT array_agg(alert_code ORDER BY job_id) FROM jobmon.job_check_log") == [3, 2]


@pytest.mark.parametrize("last", ["jobmon.close_job(%s)", "jobmon.fail_job(%s)"])
def test_runs_that_end_while_words_are_swapped_have_the_new_ones(
    database: Database, session: psycopg.Connection, last: str
) -> None:
    a_run(session, "etl", "fail_job(%s)")
    a_run(session, "etl", "fail_job(%s, 2)")
    ending = value(session, "SELECT jobmon.add_job('etl')")
    swapping = """
        UPDATE jobmon.job_status_text
           SET alert_text = (ARRAY['WARNING', 'CRITICAL', 'OK'])[alert_code]
    """
    waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = %s AND NOT granted)"
    with database.connect(autocommit=False) as writer:
        # by hand, and so with the word that it has before the change
        writer.execute(
            "INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)"
            " VALUES ('x', 'LATE', now(), now(), 'CRITICAL', 1)"
        )
        with busy(database, swapping) as admin:
            until(session, waits, admin.pid)
            with busy(database, f"SELECT {last % ending}") as run:
                link = "SELECT pid FROM pg_stat_activity WHERE application_name = 'jobmon link of ' || %s"
                until(session, f"SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid IN ({link}))", run.pid)
                writer.commit()
                admin.join()
                run.join()
                assert (admin.error, run.error) == (None, None)
    end = "WARNING" if "close" in last else "OK"
    assert statuses(session)[0] == ["OK", "CRITICAL", end, "OK"]
    failing = value(
        session, "SELECT array_agg(job_id ORDER BY job_id) FROM jobmon.job_check_log WHERE job_name = 'ETL'"
    )
    assert failing == (None if "close" in last else [1, 2, 3])


def test_a_change_that_is_rolled_back_changes_no_history(database: Database, session: psycopg.Connection) -> None:
    a_run(session, "etl", "fail_job(%s)")
    with database.connect(autocommit=False) as admin:
        admin.execute("UPDATE jobmon.job_status_text SET alert_text = 'FUBAR' WHERE alert_code = 3")
        admin.rollback()
    assert statuses(session) == (["CRITICAL"], ["CRITICAL"])


def test_one_word_for_two_codes_is_refused(session: psycopg.Connection) -> None:
    with pytest.raises(errors.UniqueViolation):
        session.execute("UPDATE jobmon.job_status_text SET alert_text = 'OK' WHERE alert_code = 3")
    assert value(session, WORDS) == ["OK", "WARNING", "CRITICAL"]
