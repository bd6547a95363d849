"""The bridge with the tables of pg_cron 1.6, which Debian 12 doesn't have, on any PostgreSQL.

tests/system/test_bridge.py has the real schedulers.
"""

from pathlib import Path

import psycopg
import pytest

from tests.database import Database, value

PG_CRON = """
    CREATE SCHEMA cron;
    CREATE TABLE cron.job (
        jobid bigserial PRIMARY KEY, schedule text, command text, nodename text, nodeport integer,
        database text DEFAULT current_database(), username text DEFAULT current_user, active boolean DEFAULT true, jobname text
    );
    CREATE TABLE cron.job_run_details (
        jobid bigint, runid bigserial PRIMARY KEY, job_pid integer, database text, username text, command text, status text,
        return_message text, start_time timestamptz, end_time timestamptz
    );
    CREATE FUNCTION cron.schedule(job_name text, schedule text, command text) RETURNS bigint LANGUAGE sql AS
        'INSERT INTO cron.job (jobname, schedule, command) VALUES (job_name, schedule, command) RETURNING jobid';
    CREATE FUNCTION cron.unschedule(job_id bigint) RETURNS boolean LANGUAGE sql AS
        'DELETE FROM cron.job WHERE jobid = job_id RETURNING true'
"""


RUN = """
    INSERT INTO cron.job_run_details (jobid, job_pid, database, username, status, return_message, start_time, end_time)
    SELECT j.jobid, 4711, j.database, j.username, %s, %s, now() - %s::interval,
           CASE WHEN %s <> 'running' THEN now() - %s::interval + interval '1 second' END
      FROM cron.job AS j
     WHERE j.jobname = %s
"""


def ran(session: psycopg.Connection, name: str, status: str, ago: str, message: str = "1 row") -> None:
    """What pg_cron writes of a run that began so long ago."""
    assert session.execute(RUN.encode(), [status, message, ago, status, ago, name]).rowcount == 1


@pytest.fixture
def bridged(database: Database, session: psycopg.Connection) -> psycopg.Connection:
    """A session in a database with such tables and jobs, bridged."""
    session.execute(PG_CRON.encode())
    session.execute(f"ALTER DATABASE {database.name} SET cron.database_name = '{database.name}'".encode())
    session.execute(f"ALTER DATABASE {database.name} SET cron.timezone = 'Europe/Berlin'".encode())
    session.execute("SELECT cron.schedule('nightly', '30 2 $ * *', ''), cron.schedule('ticks', '30 seconds', '')")
    done = database.ctl("bridge", "pg_cron")
    assert (done.status, done.stderr) == (0, "")
    return session


def test_the_time_zone_is_that_of_pg_cron(database: Database, bridged: psycopg.Connection) -> None:
    columns = "SELECT job_name, schedule, timezone FROM jobmon.job_check_config WHERE depends_on IS NOT NULL ORDER BY 1"
    assert bridged.execute(columns.encode()).fetchall() == [
        ("NIGHTLY", "30 2 L * *", "Europe/Berlin"),
        ("TICKS", None, "UTC"),
    ]
    bridged.execute(f"ALTER DATABASE {database.name} SET cron.timezone = 'Mars/Olympus'".encode())
    done = database.ctl("bridge", "pg_cron")
    assert (
        'job "NIGHTLY" has changed: it is logged, but never missing: time zone "Mars/Olympus" is not in' in done.stdout
    )
    bridged.execute(f"ALTER DATABASE {database.name} SET cron.log_run = off".encode())
    with database.connect() as another, pytest.raises(psycopg.Error, match=r"cron\.log_run is off"):
        another.execute("SELECT jobmon.bridge_run('pg_cron')")
    bridged.execute(f"ALTER DATABASE {database.name} SET cron.database_name = 'elsewhere'".encode())
    done = database.ctl("bridge", "pg_cron")
    assert (
        'pg_cron doesn\'t run the jobs of this database: cron.database_name is "elsewhere", and this is' in done.stderr
    )
    assert done.stderr.count("\n") == done.status == 1


def test_columns_that_the_bridge_does_not_write_are_kept(
    database: Database, bridged: psycopg.Connection, tmp_path: Path
) -> None:
    columns = "SELECT owner, runbook, schedule FROM jobmon.job_check_config WHERE job_name = 'NIGHTLY'"
    for text, owner in (("owner: ops", "ops"), ("sensitivity: 1", None)):
        (tmp_path / "jobs.yml").write_text(f"defaults: {{warn: 1h, error: 2h, {text}}}\n")
        assert database.ctl("bridge", "pg_cron", "--defaults", str(tmp_path / "jobs.yml")).status == 0
        bridged.execute("UPDATE jobmon.job_check_config SET runbook = 'https://wiki.example.com/etl'")
        bridged.execute("UPDATE cron.job SET schedule = '40 2 * * *' WHERE jobname = 'nightly'")
        bridged.execute("SELECT jobmon.bridge_run('pg_cron')")
        assert bridged.execute(columns.encode()).fetchall() == [(owner, "https://wiki.example.com/etl", "40 2 * * *")]


def test_runs_are_copied_followed_and_kept_over_a_bootstrap(database: Database, bridged: psycopg.Connection) -> None:
    for status in ("succeeded", "failed", "running"):
        bridged.execute(
            "INSERT INTO cron.job_run_details (jobid, job_pid, database, username, status, return_message, start_time, end_time)"
            " SELECT jobid, 1, database, username, %s, 'why', clock_timestamp(), clock_timestamp()"
            "   FROM cron.job WHERE jobname = 'nightly'",
            [status],
        )
    assert [value(bridged, "SELECT jobmon.bridge_run('pg_cron')") for _ in range(3)] == [2, 1, 0]
    assert database.ctl("bootstrap").status == 0
    assert "nothing changed" in database.ctl("bootstrap").stdout
    bridged.execute("TRUNCATE cron.job_run_details")
    assert value(bridged, "SELECT jobmon.bridge_run('pg_cron')") == 0
    runs = "SELECT array_agg(status ORDER BY job_id) FROM jobmon.job_log WHERE job_name = 'NIGHTLY'"
    assert value(bridged, runs) == ["OK", "CRITICAL", "WARNING"]
    done = database.ctl("bridge", "pg_cron", "--remove")
    assert done.stdout == "pg_cron is no longer bridged: removed its configuration of 2 jobs; the logged runs stay\n"
    assert value(bridged, "SELECT array_agg(jobname) FROM cron.job") == ["nightly", "ticks"]
    assert value(bridged, runs) == ["OK", "CRITICAL", "WARNING"]


ANOTHER = """
    CREATE SCHEMA toy;
    CREATE TABLE toy.job (id bigint PRIMARY KEY, title text, at text);
    CREATE TABLE toy.run (id bigserial PRIMARY KEY, job bigint, started timestamptz DEFAULT now(), went text);
    CREATE FUNCTION jobmon.bridge_toy_jobs()
    RETURNS TABLE (job_key bigint, job_name text, database text, schedule text, timezone text, active boolean, since timestamptz,
                   due_unknown boolean, note text)
    LANGUAGE sql AS
        'SELECT id, title, NULL::text, at, ''UTC'', true, NULL::timestamptz, false, NULL::text FROM toy.job';
    CREATE FUNCTION jobmon.bridge_toy_runs(p_after bigint, p_keys bigint[])
    RETURNS TABLE (run_key bigint, job_key bigint, owner text, pid integer, started timestamptz, ended timestamptz, code integer,
                   steps jsonb)
    LANGUAGE sql AS
        'SELECT id, job, ''me'', 1, started, now(), CASE went WHEN ''well'' THEN 1 ELSE 3 END,
                jsonb_build_array(jsonb_build_object(''action'', ''play'', ''started'', started, ''code'', 1, ''message'', went))
           FROM toy.run WHERE id > p_after OR id = ANY (p_keys)';
    CREATE FUNCTION jobmon.bridge_toy_job(p_wanted boolean) RETURNS bigint LANGUAGE sql AS 'SELECT 99::bigint';
"""
ROW = """, ('toy', 'toy.run', 'id', 'started', ARRAY['toy.run'], 'GRANT ...',
          '{"toy.job": ["id", "title", "at"], "toy.run": ["id", "job", "started", "went"]}')
$function$"""


def test_a_third_scheduler_takes_a_row_and_three_functions(database: Database, session: psycopg.Connection) -> None:
    known = value(session, "SELECT pg_get_functiondef('jobmon.bridge_known()'::regprocedure)")
    session.execute((ANOTHER + known.replace("\n$function$", ROW)).encode())
    session.execute("INSERT INTO toy.job VALUES (1, 'cube', '0 3 * * *')")
    assert database.ctl("bridge", "toy").stdout.splitlines()[:1] == [
        'job "CUBE" is watched by its schedule: 0 3 * * * (UTC)'
    ]
    session.execute("INSERT INTO toy.run (job, went) VALUES (1, 'well'), (1, 'badly')")
    assert [value(session, "SELECT jobmon.bridge_run('toy')") for _ in range(2)] == [2, 0]
    assert database.check().first_line.startswith("JOBMON CRITICAL - 1 critical, 1 ok: CUBE failed 1 time")
    session.execute("INSERT INTO toy.run (job, went) VALUES (1, 'well')")
    assert value(session, "SELECT jobmon.bridge_run('toy')") == 1
    assert database.check().status == 0
    assert database.ctl("bridge", "toy", "--remove").stdout == (
        "toy is no longer bridged: removed its configuration of 1 job; the logged runs stay\n"
    )


@pytest.mark.parametrize(
    "read",
    ["SELECT jobmon.bridge_run('pg_cron')", "DELETE FROM cron.job_run_details", "TRUNCATE cron.job_run_details"],
)
def test_a_run_alerts_and_makes_good_whoever_logs_it(
    database: Database, bridged: psycopg.Connection, read: str
) -> None:
    for start, status, state in (("3 minutes", "failed", 2), ("2 minutes", "succeeded", 0), ("1 minute", "failed", 2)):
        ran(bridged, "nightly", status, start)
        bridged.execute(read.encode())
        assert database.check("-j", "nightly").status == state
    # one that is under way when the first rows are deleted, and ends later
    ran(bridged, "nightly", "running", "2 seconds")
    bridged.execute("DELETE FROM cron.job_run_details WHERE status <> 'running'")
    bridged.execute("UPDATE cron.job_run_details SET status = 'succeeded', end_time = now() WHERE status = 'running'")
    bridged.execute(read.encode())
    assert database.check("-j", "nightly").status == 0
