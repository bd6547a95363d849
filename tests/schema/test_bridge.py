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


@pytest.mark.parametrize("early", ["-0.05 s", "0.05 s", "59.9 s"])
def test_a_run_at_a_minutes_end_is_the_one_of_the_time_that_it_was_due(bridged: psycopg.Connection, early: str) -> None:
    # this session began before the database had another zone
    bridged.execute("SELECT cron.schedule('edge', '0 3 * * *', ''), jobmon.bridge_run('pg_cron')")
    bridged.execute(
        """
        INSERT INTO cron.job_run_details (jobid, status, database, username, start_time, end_time)
        SELECT j.jobid, 'succeeded', j.database, j.username, d.due - %s::interval, d.due + interval '1 minute'
          FROM cron.job AS j
         CROSS JOIN LATERAL jobmon.next_run('0 3 * * *', 'UTC', now()) AS d(due)
         WHERE j.jobname = 'edge'
        """,
        [early],
    )
    assert value(bridged, "SELECT jobmon.bridge_run('pg_cron')") == 1
    assert value(
        bridged,
        """
        SELECT l.next_due = jobmon.next_run('0 3 * * *', 'UTC', jobmon.next_run('0 3 * * *', 'UTC', now()))
          FROM jobmon.job_log AS l
         WHERE l.job_name = 'EDGE'
        """,
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


def names(session: psycopg.Connection) -> list[str]:
    """Copy; the names of the jobs in the log, by their numbers there."""
    session.execute("SELECT jobmon.bridge_run(b.name) FROM jobmon.bridge AS b ORDER BY b.name")
    query = "SELECT job_name FROM jobmon.bridge_job WHERE gone IS NULL ORDER BY bridge DESC, job_key"
    return [str(row[0]) for row in session.execute(query.encode()).fetchall()]


def test_no_job_gets_the_name_of_another_whatever_its_owner_calls_it(
    database: Database, bridged: psycopg.Connection
) -> None:
    bridged.execute(
        """
        CREATE FUNCTION cron.add(job_name text, owner text) RETURNS bigint LANGUAGE sql AS
            $$INSERT INTO cron.job (jobname, schedule, command, username)
              VALUES (job_name, '0 3 * * *', '', owner) RETURNING jobid$$
        """
    )
    own = value(bridged, "SELECT own_key FROM jobmon.bridge")
    here = database.name.upper()
    # two of a name, and those that somebody else has called as these two, or as that which results of it, are called in the log
    first = int(value(bridged, "SELECT cron.add('load', 'alice')"))
    hostile = [
        "Load",
        f"{here}: load",
        f"{here}: load ({first})",
        f"{here}: load ({first}) ({first + 3})",
        "pg_cron job 1",
    ]
    hostile += ["nightly (1)", "nightly (1) (8)", "jobmon bridge pg_cron", "jobmon bridge pgagent", f"load ({first})"]
    for number, name in enumerate(hostile, start=1):
        assert value(bridged, "SELECT cron.add(%s, 'mallory')", name) == first + number
        found = names(bridged)
        assert len(set(found)) == len(found) == number + 3
        assert not {"JOBMON BRIDGE PG_CRON", "JOBMON BRIDGE PGAGENT"} & set(found)
    assert own == first - 1
    ran(bridged, "load", "failed", "3 minutes")
    for name in hostile[1:]:
        ran(bridged, name, "succeeded", "2 minutes")
    bridged.execute("SELECT jobmon.bridge_run('pg_cron')")
    name = value(bridged, "SELECT job_name FROM jobmon.bridge_job WHERE job_key = %s", first)
    assert f"{name} failed 1 time" in database.check().first_line


def test_jobs_that_swap_their_names_take_their_failures_along(database: Database, bridged: psycopg.Connection) -> None:
    ran(bridged, "nightly", "failed", "2 minutes")
    ran(bridged, "ticks", "succeeded", "2 minutes")
    bridged.execute("SELECT jobmon.bridge_run('pg_cron')")
    bridged.execute(
        "UPDATE cron.job SET jobname = CASE jobname WHEN 'nightly' THEN 'ticks' ELSE 'nightly' END"
        " WHERE jobname IN ('nightly', 'ticks')"
    )
    for _ in range(2):
        bridged.execute("SELECT jobmon.bridge_run('pg_cron')")
        names = "SELECT array_agg(job_name) FROM jobmon."
        assert value(bridged, f"{names}job_check_log") == value(bridged, f"{names}bridge_job WHERE job_key = 1")
    schedules = (
        "SELECT array_agg(schedule) FROM jobmon.job_check_config AS c JOIN jobmon.bridge_job AS j USING (job_name)"
    )
    assert value(bridged, f"{schedules} WHERE j.job_key = 1") == ["30 2 L * *"]


@pytest.mark.parametrize("purge", ["DELETE FROM cron.job_run_details", "TRUNCATE cron.job_run_details"])
def test_a_purge_that_collides_with_the_bridge_deletes_nothing_that_is_not_logged(
    database: Database, bridged: psycopg.Connection, purge: str
) -> None:
    ran(bridged, "nightly", "failed", "2 minutes")
    with database.connect() as purger:
        purger.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        assert value(purger, "SELECT count(*) FROM cron.job_run_details") == 1
        bridged.execute("UPDATE jobmon.bridge SET looked = looked")  # as a copy does
        with pytest.raises(psycopg.errors.SerializationFailure):
            purger.execute(purge.encode())
    assert value(bridged, "SELECT count(*) FROM cron.job_run_details") == 1
    assert value(bridged, "SELECT jobmon.bridge_run('pg_cron')") == 1


def test_no_run_keeps_others_from_being_logged(bridged: psycopg.Connection) -> None:
    last = "currval('cron.job_run_details_runid_seq')"
    update = f"UPDATE cron.job_run_details SET start_time = %s, end_time = %s WHERE runid = {last}"
    times = ["infinity", "-infinity", "9999-12-31", "0001-01-01 BC", None]
    pairs = [(start, end) for start in times for end in times]
    for pair in pairs:
        for status in ("succeeded", "failed", "running", "made up"):
            ran(bridged, "nightly", status, "1 minute")
            bridged.execute(update.encode(), pair)
    # jsonb takes 256 MB
    ran(bridged, "ticks", "failed", "1 minute")
    bridged.execute("UPDATE cron.job_run_details SET return_message = repeat('é', 140000000) || 'end' WHERE jobid = 2")
    bridged.execute("SELECT jobmon.bridge_run('pg_cron')")
    logged = "SELECT count(*) FROM jobmon.job_log WHERE job_name = 'NIGHTLY' AND end_time IS NOT NULL"
    assert int(value(bridged, logged)) >= 2 * len(pairs)
    message = str(
        value(
            bridged,
            "SELECT message FROM jobmon.job_detail WHERE job_id = (SELECT job_id FROM jobmon.job_log"
            " WHERE job_name = 'TICKS')",
        )
    )
    assert len(message.encode()) < 66000


def test_a_run_is_logged_once_if_the_bridge_is_removed_and_made_again_meanwhile(
    database: Database, bridged: psycopg.Connection
) -> None:
    ran(bridged, "nightly", "running", "10 minutes")
    bridged.execute("SELECT jobmon.bridge_run('pg_cron')")
    runs = "SELECT count(*), count(end_time) FROM jobmon.job_log WHERE job_name = 'NIGHTLY'"
    assert bridged.execute(runs.encode()).fetchone() == (1, 0)
    ran(bridged, "ticks", "failed", "1 minute")  # not copied yet
    for arguments in (("--remove",), ()):
        assert database.ctl("bridge", "pg_cron", *arguments).status == 0
    bridged.execute("UPDATE cron.job_run_details SET status = 'succeeded', end_time = now() WHERE status = 'running'")
    for _ in range(2):
        bridged.execute("SELECT jobmon.bridge_run('pg_cron')")
    assert bridged.execute(runs.encode()).fetchone() == (1, 1)
    assert value(bridged, "SELECT count(*) FROM jobmon.job_log WHERE job_name = 'TICKS'") == 1


def test_a_run_that_has_not_started_is_no_sign_of_another_count(bridged: psycopg.Connection) -> None:
    ran(bridged, "nightly", "starting", "1 minute")
    bridged.execute("UPDATE cron.job_run_details SET start_time = NULL, end_time = NULL")
    ran(bridged, "ticks", "succeeded", "1 minute")
    bridged.execute("SELECT jobmon.bridge_run('pg_cron')")
    bridged.execute("DELETE FROM cron.job_run_details WHERE end_time IS NOT NULL")
    bridged.execute("SELECT jobmon.bridge_run('pg_cron')")
    bridged.execute("UPDATE cron.job_run_details SET status = 'succeeded', start_time = now(), end_time = now()")
    bridged.execute("SELECT jobmon.bridge_run('pg_cron')")
    runs = "SELECT job_name, status FROM jobmon.job_log WHERE job_name IN ('NIGHTLY', 'TICKS') ORDER BY job_name"
    assert bridged.execute(runs.encode()).fetchall() == [("NIGHTLY", "OK"), ("TICKS", "OK")]


def test_what_a_stopped_server_left_without_an_end_has_failed(bridged: psycopg.Connection) -> None:
    states = ("connecting", "sending", "starting", "running")
    for status in states:
        ran(bridged, "nightly", status, "0 s", "")
    bridged.execute("UPDATE cron.job_run_details SET start_time = NULL, end_time = NULL WHERE status <> 'running'")
    assert value(bridged, "SELECT jobmon.bridge_run('pg_cron')") == 0
    bridged.execute(
        "UPDATE cron.job_run_details SET start_time = pg_postmaster_start_time() - interval '1 day' WHERE status = 'running'"
    )
    bridged.execute("SELECT jobmon.bridge_run('pg_cron')")
    ended = "SELECT array_agg(l.status || ': ' || d.message) FROM jobmon.job_log AS l JOIN jobmon.job_detail AS d USING (job_id)"
    assert value(bridged, ended) == [
        f'CRITICAL: the server was stopped while pg_cron was at "{status}"' for status in states[:2]
    ]
    # pg_cron itself ends these when it starts
    logged = "SELECT count(*) FROM jobmon.job_log WHERE job_name = 'NIGHTLY' AND end_time IS NULL"
    assert value(bridged, logged) == 1


def test_a_bridge_makes_good_what_calls_it_in_a_copy_of_the_server(
    database: Database, bridged: psycopg.Connection
) -> None:
    own = "SELECT array_agg(nodename || ' ' || nodeport || ' ' || username) FROM cron.job WHERE command LIKE '%%bridge_run%%'"
    right = value(bridged, own)
    for change in ("nodeport = 1", "database = 'old'", "username = 'earlier_owner'"):
        bridged.execute(f"UPDATE cron.job SET {change} WHERE command LIKE '%bridge_run%'".encode())
        assert database.ctl("bridge", "pg_cron").status == 0
        assert value(bridged, own) == right, change
