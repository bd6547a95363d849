"""check_jobs(): a row for each job, the same as the plugin's query gives."""

import psycopg
from psycopg import sql

from check_jobmon.judging.job import Job
from check_jobmon.schema.scripts import job_status
from tests.database import Database, value

COLUMNS = ["job_name", *Job._fields[1:]]
CONFIG = """
    INSERT INTO jobmon.job_check_config
           (job_name, warn_threshold, error_threshold, active, sensitivity, since, schedule, timezone, min_duration, depends_on)
    VALUES ('LOAD', '30m', '2h', true, 0, now() - interval '3 days', '@daily', 'Europe/Berlin', NULL, NULL),
           ('REPORT', '30m', '2h', true, 0, now() - interval '3 days', NULL, 'UTC', '1h', 'LOAD'),
           ('it''s "odd"', '1 month', '1 year', true, 0, '-infinity', NULL, 'UTC', NULL, 'nothing'),
           ('OFF', '1h', '2h', false, 0, '-infinity', NULL, 'UTC', NULL, NULL)
"""


def arrange(database: Database, session: psycopg.Connection) -> psycopg.Connection:
    """Jobs in several states; returns the session of one that is under way."""
    session.execute(CONFIG)
    session.execute("SELECT jobmon.sql_job('report', 'SELECT'), jobmon.sql_job('etl', 'SELECT 1 / 0')")
    running = database.connect()
    running.execute("SELECT jobmon.add_job('under way')")
    crashed = database.connect()
    crashed.execute("SELECT jobmon.add_job('crashed')")
    crashed.close()
    return running


def test_rows_and_columns_are_those_of_the_plugin(database: Database, session: psycopg.Connection) -> None:
    with arrange(database, session), session.transaction():
        session.execute("SET LOCAL datestyle = 'German'; SET LOCAL timezone = 'Asia/Kolkata'")
        ours = session.execute("SELECT * FROM jobmon.check_jobs()")
        assert [column.name for column in ours.description or ()] == COLUMNS
        found = ours.fetchall()
        session.execute("SET LOCAL search_path = pg_catalog; SET LOCAL datestyle = 'ISO, YMD'")
        plugin = session.execute(job_status("jobmon").encode()).fetchall()
        assert found == sorted(plugin, key=lambda row: (-row[3], row[0]))
        jobs = {job.name: job for job in map(Job._make, found)}
    assert sorted(jobs) == ["CRASHED", "ETL", "LOAD", "OFF", "REPORT", "UNDER WAY", 'it\'s "odd"']
    assert (jobs["LOAD"].alert_code, jobs["LOAD"].missing_status) == (3, "MISSING")
    assert (jobs["REPORT"].alert_code, jobs["REPORT"].duration_status) == (2, "FAST")
    assert jobs['it\'s "odd"'].depends_wrongly == "unknown"
    assert jobs["CRASHED"].crashed_job_id is not None


def test_its_comment_explains_each_column(session: psycopg.Connection) -> None:
    comment = value(session, "SELECT obj_description('jobmon.check_jobs()'::regprocedure)").splitlines()
    explained = [line.split(":")[0] for line in comment]
    assert explained[-len(COLUMNS) :] == COLUMNS
    assert "@" not in "".join(comment)


def test_dashboards_may_use_it_and_those_who_log_may_not(database: Database, session: psycopg.Connection) -> None:
    with arrange(database, session):
        total = value(session, "SELECT count(*) FROM jobmon.check_jobs()")
        for role, may in (("read", True), ("monitor", True), ("admin", True), ("log", False)):
            with session.transaction(force_rollback=True):
                session.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(f"jobmon_{role}")))
                try:
                    assert value(session, "SELECT count(*) FROM jobmon.check_jobs()") == total
                except psycopg.errors.InsufficientPrivilege:
                    assert not may
                else:
                    assert may
