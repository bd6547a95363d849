"""job_status_text: other words for the codes, and a history that follows."""

import psycopg
import pytest
from psycopg import errors

from tests.database import Database, value

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
