"""show_job, show_job_like, show_job_status, show_detail and show_running: what they list, and from an index."""

from collections.abc import Iterator

import psycopg
import pytest

from check_jobmon.demo.server import Server
from tests.database import Database, value
from tests.schema.sessions import until


def a_run(session: psycopg.Connection, name: str, end: str = "close_job(%s)") -> int:
    job = int(value(session, "SELECT jobmon.add_job(%s)", name))
    for action in ("first", "second"):
        session.execute("SELECT jobmon.add_step(%s, %s)", [job, action])
    if end:
        session.execute(f"SELECT jobmon.{end}".encode(), [job])
    return job


def ids(session: psycopg.Connection, call: str) -> list[int]:
    """The job_ids that a function lists, in its order."""
    return [row[0] for row in session.execute(f"SELECT job_id FROM jobmon.{call}".encode()).fetchall()]


def test_show_job_lists_the_latest_runs_of_all_statuses_newest_first(session: psycopg.Connection) -> None:
    runs = [a_run(session, "etl", end) for end in ("close_job(%s)", "fail_job(%s)", "fail_job(%s, 2)", "") * 3]
    a_run(session, "etl 2")
    assert ids(session, "show_job('Etl')") == runs[:-11:-1]
    assert ids(session, "show_job('etl', 3)") == runs[:-4:-1]
    assert ids(session, "show_job('etl', 100)") == runs[::-1]
    assert ids(session, "show_job('none')") == []
    assert value(session, "SELECT pg_typeof(s)::text FROM jobmon.show_job('etl', 1) AS s") == "jobmon.job_log"


def test_show_job_lists_a_run_that_somebody_ended_by_hand(session: psycopg.Connection) -> None:
    job = a_run(session, "etl", "")
    session.execute("UPDATE jobmon.job_log SET end_time = now()")
    assert ids(session, "show_job('etl')") == [job]
    assert ids(session, "show_job_like('etl')") == [job]


def test_show_job_like_matches_a_part_of_the_name(session: psycopg.Connection) -> None:
    nightly = a_run(session, "nightly etl")
    monthly = a_run(session, "monthly etl 7", "fail_job(%s)")
    a_run(session, "purge")
    running = a_run(session, "etl", "")
    assert ids(session, "show_job_like('etl')") == [running, monthly, nightly]
    assert ids(session, "show_job_like('Etl', 2)") == [running, monthly]
    assert ids(session, r"show_job_like('ETL \d')") == [monthly]
    assert ids(session, "show_job_like('^etl$')") == [running]
    assert ids(session, "show_job_like('x')") == []


def test_show_job_status_lists_all_jobs_or_one(session: psycopg.Connection) -> None:
    good = a_run(session, "etl")
    bad = a_run(session, "etl", "fail_job(%s)")
    other = a_run(session, "purge", "fail_job(%s)")
    a_run(session, "etl", "")
    assert ids(session, "show_job_status('CRITICAL')") == [other, bad]
    assert ids(session, "show_job_status('CRITICAL', 1)") == [other]
    assert ids(session, "show_job_status('etl', 'CRITICAL')") == [bad]
    assert ids(session, "show_job_status('etl', 'OK', 5)") == [good]
    assert ids(session, "show_job_status('WARNING')") == []


def test_show_detail_lists_the_steps_of_a_run_or_of_the_latest_runs(session: psycopg.Connection) -> None:
    first, second = a_run(session, "etl"), a_run(session, "etl", "fail_job(%s)")
    steps = "SELECT job_id, action FROM jobmon."
    assert session.execute(f"{steps}show_detail({first})".encode()).fetchall() == [(first, "first"), (first, "second")]
    assert session.execute(f"{steps}show_detail('etl')".encode()).fetchall() == [
        (second, "first"),
        (second, "second"),
    ]
    assert session.execute(f"{steps}show_detail('Etl', 2)".encode()).fetchall() == [
        (second, "first"),
        (second, "second"),
        (first, "first"),
        (first, "second"),
    ]
    assert (
        value(session, "SELECT pg_typeof(s)::text FROM jobmon.show_detail('etl') AS s LIMIT 1") == "jobmon.job_detail"
    )


def test_show_running_lists_only_runs_whose_backend_is_truly_theirs(
    database: Database, session: psycopg.Connection
) -> None:
    with database.connect() as gone:
        a_run(gone, "crashed", "")
        pid = gone.info.backend_pid
    a_run(session, "done")
    running = [a_run(session, "etl", ""), a_run(session, "etl", "")]
    session.execute(
        "INSERT INTO jobmon.job_log (owner, job_name, start_time, pid)"
        " VALUES ('x', 'REUSED', now() - interval '1 day', pg_backend_pid())"
    )
    until(session, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %s)", pid)
    assert ids(session, "show_running()") == running[::-1]
    assert ids(session, "show_running(1)") == running[-1:]


CALLS = [
    "show_job('job 7')",
    "show_job('never')",
    "show_job_like('job 1')",
    "show_job_like('never')",
    "show_job_status('OK')",
    "show_job_status('CRITICAL')",
    "show_job_status('NEVER')",
    "show_job_status('job 7', 'OK')",
    "show_job_status('job 7', 'CRITICAL')",
    "show_job_status('job 7', 'NEVER')",
    "show_detail(30000)",
    "show_detail('job 7')",
    "show_detail('job 7', 10)",
    "show_running()",
    "check_job_status()",
]


@pytest.fixture(scope="module")
def long_log(server: Server, template: str) -> Iterator[Database]:
    """A log of 40,000 runs of 40 jobs, two steps each, one in 1,000 failed, with what autovacuum does to it."""
    with Database(server, "postgres").connect() as session:
        session.execute(f"CREATE DATABASE long_log TEMPLATE {template}".encode())
    database = Database(server, "long_log")
    with database.connect() as session:
        session.execute(
            """
            ALTER TABLE jobmon.job_log DISABLE TRIGGER job_log_added;
            INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)
            SELECT 'etl', 'JOB ' || n % 40, now() - interval '1 minute' * (40000 - n),
                   now() - interval '1 minute' * (40000 - n), CASE n % 1001 WHEN 0 THEN 'CRITICAL' ELSE 'OK' END, 1
              FROM generate_series(1, 40000) AS n;
            INSERT INTO jobmon.job_log (owner, job_name, start_time, pid)
            SELECT 'etl', 'JOB ' || n, now(), 1 FROM generate_series(1, 20) AS n;
            INSERT INTO jobmon.job_detail (job_id, action, start_time, end_time, status, message)
            SELECT job_id, 'step', start_time, end_time, 'OK', 'rows affected: 1'
              FROM jobmon.job_log, generate_series(1, 2);
            """
        )
        session.execute("VACUUM ANALYZE jobmon.job_log, jobmon.job_detail")
    yield database
    with Database(server, "postgres").connect() as session:
        session.execute("DROP DATABASE long_log WITH (FORCE)")


@pytest.mark.parametrize("call", CALLS)
def test_each_answers_from_an_index(long_log: Database, call: str) -> None:
    """Counted by the transaction's own statistics: no sequential scan, and few rows read through the indexes.

    Of an empty partition a scan is the cheapest.
    """
    counters = """
        SELECT coalesce(sum(s.seq_scan) FILTER (WHERE NOT c.relispartition OR s.seq_tup_read > 0), 0),
               sum(coalesce(s.seq_tup_read, 0) + coalesce(s.idx_tup_fetch, 0))
          FROM unnest(ARRAY['jobmon.job_log', 'jobmon.job_detail']::regclass[]) AS t (name)
         CROSS JOIN LATERAL (SELECT t.name UNION SELECT p.relid FROM pg_partition_tree(t.name) AS p) AS p (relid)
          JOIN pg_class AS c ON c.oid = p.relid
          JOIN pg_stat_xact_user_tables AS s ON s.relid = p.relid
    """
    with long_log.connect(autocommit=False) as session:
        session.execute(f"SELECT * FROM jobmon.{call}".encode()).fetchall()
        row = session.execute(counters.encode()).fetchone()
        assert row is not None
        assert row[0] == 0
        assert row[1] < 2000
