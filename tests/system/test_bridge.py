"""jobmonctl bridge: Debian's pg_cron and pgAgent run jobs, and every run of theirs is in the log, once."""

import concurrent.futures
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from check_jobmon.demo.server import Server
from tests.database import Database, Output, bootstrap, run_module, until, value
from tests.servers import create
from tests.system.daemons import Place, program

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
OWN = "JOBMON BRIDGE PG_CRON"
TEMPLATE = "contrib_regression"
"""The one name of a database that pg_cron can be created in besides that which cron.database_name says."""
ONCE_A_YEAR = "0 3 1 1 *"
REAL = {
    "good": "SELECT 1",
    "bad": "SELECT 1 / 0",
    "raising": "SELECT jobmon.sql_job('inner', 'SELECT 1 / 0', p_raise => true)",
    "killed": "SELECT 'killed', pg_sleep(600)",
    "interrupted": "SELECT 'interrupted', pg_sleep(600)",
}
"""The commands of jobs that pg_cron runs."""
RUN = """
    INSERT INTO cron.job_run_details
           (jobid, runid, job_pid, database, username, command, status, return_message, start_time, end_time)
    SELECT j.jobid, nextval('cron.runid_seq'), 4711, j.database, j.username, j.command, %s, %s, clock_timestamp(),
           CASE WHEN %s <> 'running' THEN clock_timestamp() END
      FROM cron.job AS j
     WHERE j.jobname = %s
 RETURNING runid
"""


def server_with_pg_cron() -> Iterator[Server]:
    """Debian's PostgreSQL with pg_cron, whose jobs can't log in: tests call bridge_run() themselves, not at a minute's end."""
    if not (PROGRAMS.parent / "lib" / "pg_cron.so").exists():
        pytest.skip("pg_cron is not installed: apt-get install postgresql-15-cron, or run .ci/daemons")
    server = Server(PROGRAMS, {"fsync": "off", "shared_preload_libraries": "pg_cron", "log_timezone": "UTC"})
    server.settings["cron.host"] = str(server.folder / "nowhere")
    try:
        create(server)
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="module")
def cron_server() -> Iterator[Server]:
    """A server with pg_cron, and with a database to copy that has pg_cron and an empty job log."""
    for server in server_with_pg_cron():
        with Database(server, "template1").connect() as session:
            session.execute(f"CREATE DATABASE {TEMPLATE}".encode())
        with Database(server, TEMPLATE).connect() as session:
            session.execute("CREATE EXTENSION pg_cron")
            bootstrap(session, "jobmon")
        yield server


@pytest.fixture
def running(cron_server: Server, database: Database) -> Iterator[Server]:
    """The server, for one test with jobs that log in, over the socket. pg_cron begins with a database that stays from then on."""
    for folder in (cron_server.folder, cron_server.folder / "nowhere"):
        cron_server.stop()
        cron_server.settings["cron.host"] = str(folder)
        cron_server.start()
        if folder == cron_server.folder:
            yield cron_server


@pytest.fixture
def database(cron_server: Server) -> Database:
    """The database of pg_cron, with an empty job log and without a job."""
    return new_postgres(cron_server, TEMPLATE)


def new_postgres(server: Server, template: str) -> Database:
    """The database of that name, which pg_cron looks at, anew. pg_cron's own session there ends with it."""
    with Database(server, "template1").connect() as session:
        session.execute("DROP DATABASE postgres WITH (FORCE)")
        session.execute(f"CREATE DATABASE postgres TEMPLATE {template} STRATEGY file_copy".encode())
    return Database(server, "postgres")


@pytest.fixture
def session(database: Database) -> Iterator[psycopg.Connection]:
    """A superuser's session there."""
    with database.connect() as session:
        yield session


def schedule(session: psycopg.Connection, name: str, times: str = "0 3 * * *", command: str = "SELECT 1") -> int:
    return int(value(session, "SELECT cron.schedule(%s, %s, %s)", name, times, command))


def ran(session: psycopg.Connection, name: str, status: str = "succeeded", message: str = "1 row") -> int:
    """What pg_cron writes of a run; returns its number."""
    return int(value(session, RUN, status, message, status, name))


def copy(session: psycopg.Connection, name: str = "pg_cron") -> int:
    """What the scheduler does each minute; returns the number of new runs."""
    return int(value(session, "SELECT jobmon.bridge_run(%s)", name))


def runs(session: psycopg.Connection, columns: str = "job_name, status") -> list[tuple[Any, ...]]:
    """The logged runs without the bridge's own, in the order in which they were logged."""
    query = f"SELECT {columns} FROM jobmon.job_log WHERE job_name NOT LIKE 'JOBMON BRIDGE%' ORDER BY job_id"
    return session.execute(query.encode()).fetchall()


def states(session: psycopg.Connection) -> dict[str, Any]:
    """The status of each job's last run."""
    return {row[0]: row[1] for row in runs(session)}


def configured(session: psycopg.Connection) -> dict[str, tuple[object, ...]]:
    """Schedule, zone and whether it is active, by the name of the job, without the bridge's own."""
    query = "SELECT job_name, schedule, timezone, active FROM jobmon.job_check_config WHERE job_name NOT LIKE 'JOBMON BRIDGE%'"
    return {row[0]: row[1:] for row in session.execute(query.encode()).fetchall()}


def bridge(database: Database, *arguments: str) -> list[str]:
    done = database.ctl("bridge", "pg_cron", *arguments)
    assert (done.status, done.stderr) == (0, "")
    return done.stdout.splitlines()


def refused(done: Output, said_before: str = "") -> str:
    assert (done.status, done.stderr.count("\n")) == (1, 1), done
    assert done.stdout.startswith(said_before) if said_before else not done.stdout, done
    return done.stderr


def test_real_runs_good_failed_killed_and_interrupted_by_a_restart_are_logged(
    database: Database, running: Server
) -> None:
    with database.connect() as session:
        for name, command in REAL.items():
            schedule(session, name, ONCE_A_YEAR, command)
        bridge(database)
        # all of them begin in the same minute, and only in that
        if value(session, "SELECT extract(second FROM clock_timestamp()) > 40"):
            session.execute("SELECT pg_sleep_until(date_trunc('minute', clock_timestamp()) + interval '1 minute')")
        change = "UPDATE cron.job SET schedule = %s WHERE jobname <> 'jobmon bridge'"
        session.execute(change, ["* * * * *"])
        begun = "SELECT count(DISTINCT jobid) FROM cron.job_run_details JOIN cron.job USING (jobid) WHERE jobname = ANY (%s)"

        def all_have_begun() -> bool:
            """That may take a minute, so this asks less often than until() does."""
            session.execute("SELECT pg_sleep(0.5)")
            return bool(value(session, begun, [*REAL]) == len(REAL))

        until(all_have_begun, 90)
        session.execute(change, [ONCE_A_YEAR])
        kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT ''killed''%'"

        until(lambda: session.execute(kill.encode()).fetchall() == [(True,)])
        # the bridge's own job has run, too, in that minute or in the next one
        until(lambda: value(session, "SELECT count(*) FROM jobmon.job_log WHERE job_name = %s", OWN) > 0, 90)
        ended = """
            SELECT count(DISTINCT jobid) FROM cron.job_run_details JOIN cron.job USING (jobid)
             WHERE status IN ('succeeded', 'failed') AND jobname <> 'jobmon bridge'
        """
        until(lambda: value(session, ended) == 4)
        under_way = """
            SELECT count(*) FROM cron.job_run_details JOIN cron.job USING (jobid)
             WHERE status = 'running' AND jobname = 'interrupted'
        """
        until(lambda: value(session, under_way) == 1)
        session.execute("UPDATE jobmon.bridge SET last_read = now()")
        copy(session)
        assert states(session) == {
            "GOOD": "OK",
            **dict.fromkeys(("BAD", "RAISING", "INNER", "KILLED"), "CRITICAL"),
            "INTERRUPTED": None,
        }
        assert database.check("-j", "interrupted", "-v").status == 0
        session.execute("SELECT cron.unschedule(jobid) FROM cron.job WHERE jobname <> 'jobmon bridge'")
    running.stop("immediate")
    running.start()
    with database.connect() as session:
        until(lambda: value(session, "SELECT count(*) FROM cron.job_run_details WHERE status = 'running'") == 0)
        copy(session)
        copy(session)
        assert states(session)["INTERRUPTED"] == "CRITICAL"
        assert len(runs(session)) == 6
        messages = "SELECT job_name, owner, message FROM jobmon.job_log JOIN jobmon.job_detail USING (job_id)"
        found = {name: (owner, message) for name, owner, message in session.execute(messages.encode()).fetchall()}
        assert {owner for owner, _ in found.values()} == {"postgres"}
        assert "division by zero" in found["BAD"][1]
        # pg_cron may have seen that the job is gone before the server stopped
        assert found["INTERRUPTED"][1] in ("server restarted", "job canceled")
        action = "SELECT action FROM jobmon.job_detail JOIN jobmon.job_log USING (job_id) WHERE job_name = 'BAD'"
        assert value(session, action).endswith('in database "postgres"')
        took = "SELECT bool_and(end_time BETWEEN start_time AND clock_timestamp()) FROM jobmon.job_log"
        assert value(session, took) is True


def test_each_job_has_its_schedule_and_is_followed(database: Database, session: psycopg.Connection) -> None:
    one = schedule(session, "One", "0 3 * * *")
    two = int(value(session, "SELECT cron.schedule('15 4 * * 1', 'VACUUM')"))
    session.execute("UPDATE cron.job SET schedule = '0 5 $ * *' WHERE jobid = %s", [two])  # as since pg_cron 1.5
    seconds = schedule(session, "ticks")
    session.execute("UPDATE cron.job SET schedule = '30 seconds' WHERE jobid = %s", [seconds])
    schedule(session, "boot", "@reboot")
    lines = bridge(database)
    assert lines[0] == 'job "ONE" is watched by its schedule: 0 3 * * * (UTC)'
    assert 'job "TICKS" is watched from run to run: its schedule, "30 seconds", is no cron expression' in lines
    assert any(
        line.startswith('job "BOOT" is logged, but never missing: the schedule "@reboot" is when a server starts')
        for line in lines
    )
    assert lines[-1].startswith("pg_cron is bridged now: 4 jobs, 4 of them configured by the bridge; ")
    name = f"PG_CRON JOB {two}"
    assert configured(session) == {
        "ONE": ("0 3 * * *", "UTC", True),
        name: ("0 5 L * *", "UTC", True),
        "TICKS": (None, "UTC", True),
        "BOOT": (None, "UTC", True),
    }
    assert len(bridge(database)) == 1
    ran(session, "One", "failed", "no such table")
    copy(session)
    assert "ONE failed" in database.check().first_line
    session.execute("UPDATE cron.job SET jobname = 'first' WHERE jobid = %s", [one])
    session.execute("SELECT cron.alter_job(%s, schedule := '5 3 * * *')", [one])
    copy(session)
    assert "FIRST failed" in database.check().first_line
    assert configured(session)["FIRST"] == ("5 3 * * *", "UTC", True)
    assert "ONE" not in configured(session)
    session.execute("SELECT cron.alter_job(%s, active := false)", [one])
    copy(session)
    assert configured(session)["FIRST"][2] is False
    assert database.check().status == 0
    session.execute("SELECT cron.alter_job(%s, active := true)", [one])
    session.execute("UPDATE jobmon.job_log SET next_due = now() - interval '1 year' WHERE job_name = 'ONE'")
    copy(session)
    assert configured(session)["FIRST"][2] is True
    # the last run of a job is dropped with it, and still known by its name
    ran(session, "first")
    session.execute("SELECT cron.unschedule(%s::bigint)", [one])
    copy(session)
    assert runs(session) == [("ONE", "CRITICAL"), ("FIRST", "OK")]
    assert set(configured(session)) == {name, "TICKS", "BOOT"}
    assert database.check().status == 0


def test_a_row_of_the_configuration_file_wins(database: Database, session: psycopg.Connection, tmp_path: Path) -> None:
    schedule(session, "before")
    one = schedule(session, "after")
    file = tmp_path / "jobs.yml"

    def apply(text: str, *options: str) -> None:
        file.write_text(text)
        done = run_module("check_jobmon.ctl", "config", "apply", *database.options, *options, str(file))
        assert done.status == 0, done

    apply("jobs:\n  before: {warn: 1d, error: 2d}\n")
    assert 'job "BEFORE" keeps the configuration that it has, which is not the bridge\'s' in bridge(database)
    assert configured(session) == {"BEFORE": (None, "UTC", True), "AFTER": ("0 3 * * *", "UTC", True)}
    apply("jobs:\n  before: {warn: 1d, error: 2d}\n  after: {warn: 3d, error: 4d}\n")
    session.execute("SELECT cron.alter_job(%s, schedule := '5 3 * * *')", [one])
    for _ in range(2):
        copy(session)
        assert configured(session) == {"BEFORE": (None, "UTC", True), "AFTER": (None, "UTC", True)}
    apply("jobs: {}\n", "--prune")
    bridge(database)
    assert configured(session) == {"BEFORE": ("0 3 * * *", "UTC", True), "AFTER": ("5 3 * * *", "UTC", True)}
    assert bridge(database, "--remove") == [
        "pg_cron is no longer bridged: removed its configuration of 2 jobs; the logged runs stay"
    ]
    assert value(session, "SELECT count(*) FROM jobmon.job_check_config") == 0
    assert bridge(database, "--remove") == ["pg_cron is not bridged"]


def test_the_thresholds_are_those_of_the_files_defaults(
    database: Database, session: psycopg.Connection, tmp_path: Path
) -> None:
    file = tmp_path / "jobs.yml"
    file.write_text("defaults: {warn: 25m, error: 2h, sensitivity: 2, slow: 30m or 3x, owner: ops}\njobs: {}\n")
    schedule(session, "etl")
    bridge(database)
    bridge(database, "--defaults", str(file))
    for _ in range(2):
        row = session.execute(
            "SELECT warn_threshold::text, error_threshold::text, sensitivity, warn_duration::text, slow_factor, owner, depends_on"
            "  FROM jobmon.job_check_config WHERE job_name = 'ETL'"
        ).fetchone()
        assert row == ("00:25:00", "02:00:00", 2, "00:30:00", 3.0, "ops", OWN)
        copy(session)
    file.write_text("defaults: {warn: 1m, error: 2h}\n")
    assert "5 minutes late" in refused(database.ctl("bridge", "pg_cron", "--defaults", str(file)))
    assert "can't be read: No such file" in refused(database.ctl("bridge", "pg_cron", "--defaults", f"{file}.none"))
    file.write_text("defaults: {warn: 1h}\n")
    assert "has no error" in refused(database.ctl("bridge", "pg_cron", "--defaults", str(file)))
    file.write_text("defaults: {wran: 1h}\n")
    assert f'{file}:1:12: unknown key "wran"' in refused(database.ctl("bridge", "pg_cron", "--defaults", str(file)))


def test_each_run_is_logged_once_whoever_purges(database: Database, session: psycopg.Connection) -> None:
    schedule(session, "etl")
    ran(session, "etl")
    bridge(database)
    assert copy(session) == 0, "runs before the bridge are not logged"
    purges = (
        "DELETE FROM cron.job_run_details",
        "TRUNCATE cron.job_run_details",
        "DELETE FROM cron.job_run_details WHERE false",
    )
    for number, purge in enumerate(purges):
        ran(session, "etl", message=f"run {number}")
        session.execute(purge.encode())
        copy(session)
        assert len(runs(session)) == number + 1
    # a purge that is rolled back, and one by another role, which sees its own rows alone
    ran(session, "etl")
    with session.transaction(force_rollback=True):
        session.execute("DELETE FROM cron.job_run_details")
    assert copy(session) == 1
    session.execute("CREATE ROLE purger LOGIN; GRANT USAGE ON SCHEMA cron TO purger")
    try:
        ran(session, "etl")
        with database.connect(user="purger") as purger:
            assert purger.execute("DELETE FROM cron.job_run_details").rowcount == 0
        assert (len(runs(session)), copy(session)) == (5, 0)
    finally:
        session.execute("REVOKE ALL ON SCHEMA cron FROM purger; DROP ROLE purger")
    # a row that goes while the run is under way
    ran(session, "etl", "running", "")
    session.execute("DELETE FROM cron.job_run_details")
    copy(session)
    assert runs(session)[-1] == ("ETL", "WARNING")
    assert "was deleted from cron.job_run_details while it was under way" in database.check("-j", "etl", "-v").stdout
    # pg_cron is installed again, and counts anew
    session.execute("DROP EXTENSION pg_cron")
    with pytest.raises(psycopg.Error, match=r"lacks the extension pg_cron: there is no table cron\.job"):
        copy(session)
    session.execute("CREATE EXTENSION pg_cron")
    schedule(session, "etl")
    bridge(database)
    ran(session, "etl")
    assert (copy(session), copy(session)) == (1, 0)
    assert len(runs(session)) == 7


def test_runs_that_end_in_another_order_and_statuses_not_known(database: Database, session: psycopg.Connection) -> None:
    for name in ("slow", "quick"):
        schedule(session, name)
    bridge(database)
    session.execute("UPDATE jobmon.bridge SET last_read = now() - interval '1 minute'")
    slow = ran(session, "slow", "running", "")
    ran(session, "quick")
    ran(session, "quick", "exploded", "boom")
    assert copy(session) == 2
    assert copy(session) == 1, "under way for longer than a minute"
    assert runs(session) == [("QUICK", "OK"), ("QUICK", "WARNING"), ("SLOW", None)]
    assert (
        value(session, "SELECT max(message) FROM jobmon.job_detail")
        == 'pg_cron says "exploded", which the bridge doesn\'t know: boom'
    )
    assert value(session, "SELECT pid FROM jobmon.job_log WHERE end_time IS NULL") == -4711
    # long after all later ones
    session.execute("UPDATE jobmon.bridge_logged SET seen = seen - interval '1 hour'")
    copy(session)
    assert value(session, "SELECT mark FROM jobmon.bridge") > slow
    session.execute("UPDATE cron.job_run_details SET status = 'succeeded', end_time = now() WHERE runid = %s", [slow])
    copy(session)
    assert runs(session)[-1] == ("SLOW", "OK")
    assert len(runs(session)) == 3
    # somebody deletes a run that is under way from the log
    ran(session, "slow", "running", "")
    session.execute("UPDATE jobmon.bridge SET last_read = now() + interval '1 hour'")
    assert copy(session) == 1
    session.execute("DELETE FROM jobmon.job_log WHERE end_time IS NULL")
    session.execute("UPDATE cron.job_run_details SET status = 'failed', end_time = now() WHERE status = 'running'")
    assert copy(session) == 0


def test_5000_runs_in_a_minute_copied_by_four_sessions_at_once(database: Database, session: psycopg.Connection) -> None:
    for name in ("one", "two"):
        schedule(session, name, "* * * * *")
    bridge(database)
    session.execute(
        "INSERT INTO cron.job_run_details"
        " (jobid, runid, job_pid, database, username, status, return_message, start_time, end_time)"
        " SELECT j.jobid, nextval('cron.runid_seq'), g, j.database, j.username, 'succeeded', 'run ' || g, now(), now()"
        "   FROM cron.job AS j CROSS JOIN generate_series(1, 2500) AS g WHERE j.jobname IN ('one', 'two')"
    )

    def copied(_: int) -> int:
        with database.connect() as another:
            return copy(another)

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(copied, range(4))) == [0, 0, 0, 5000]
    assert (
        value(
            session,
            "SELECT count(DISTINCT (job_name, message)) FROM jobmon.job_log JOIN jobmon.job_detail USING (job_id)",
        )
        == 5000
    )
    assert value(session, "SELECT count(*) FROM jobmon.job_detail") == 5000


def test_names_of_any_length_twice_and_hostile(database: Database, session: psycopg.Connection) -> None:
    session.execute("CREATE DATABASE other_db")
    # as since pg_cron 1.6
    session.execute("ALTER TABLE cron.job ALTER COLUMN jobname TYPE text")
    try:
        hostile = "it's \"quoted\"'); DROP TABLE jobmon.job_log; --\n%s %% | $HOME <b>ünï"
        for name in ("x" * 600, "x" * 599 + "y", hostile, "twice", OWN.lower()):
            session.execute(
                "INSERT INTO cron.job (schedule, command, nodename, nodeport, database, username, jobname)"
                " VALUES ('0 3 * * *', 'SELECT 1', '', 0, 'postgres', 'postgres', %s)",
                [name],
            )
        session.execute(
            "INSERT INTO cron.job (schedule, command, nodename, nodeport, database, username, jobname)"
            " VALUES ('0 3 * * *', 'SELECT 1', '', 0, 'other_db', 'someone', 'Twice')"
        )
        bridge(database)
        names, upper = set(configured(session)), value(session, "SELECT upper(%s)", hostile)
        long = sorted(name for name in names if name.startswith("XXX"))
        assert len(long) == 2
        assert all(len(name) < 500 for name in long)
        assert {"POSTGRES: TWICE", "OTHER_DB: TWICE", upper} < names
        assert value(session, "SELECT count(*) FROM jobmon.job_check_config WHERE job_name LIKE %s", f"{OWN} (%)") == 1
        assert ran(session, hostile, "failed", hostile) > 0
        assert copy(session) == 1
        assert runs(session) == [(upper, "CRITICAL")]
        assert value(session, "SELECT message FROM jobmon.job_detail") == hostile
    finally:
        session.execute("DROP DATABASE other_db")


def test_if_pg_cron_dies_that_is_one_alert(database: Database, session: psycopg.Connection) -> None:
    for number in range(40):
        schedule(session, f"job {number}", "* * * * *")
    bridge(database)
    copy(session)
    session.execute("UPDATE jobmon.job_log SET start_time = now() - interval '2 h', end_time = now() - interval '2 h'")
    session.execute("UPDATE jobmon.job_check_config SET since = now() - interval '2 hours'")
    found = database.check()
    assert found.status == 2
    assert found.first_line.startswith(f"JOBMON CRITICAL - 1 critical, 40 ok, 40 waiting: {OWN} missing, was due ")


def test_who_may_not_see_all_is_told_and_nothing_is_half_bridged(
    database: Database, session: psycopg.Connection
) -> None:
    schedule(session, "etl")
    session.execute("CREATE ROLE site LOGIN CREATEROLE; GRANT CREATE ON DATABASE postgres TO site")
    options = ("-U", "site", "--schema", "site_jobs")
    try:
        needed = database.ctl("bootstrap", *options, "--no-roles", "--print-superuser-sql").stdout
        session.execute(needed.encode())
        # a superuser's bridge of another schema is in nobody's way; nor is a link that this server's pg_hba.conf refuses
        assert "the schema is installed" in database.ctl("bootstrap", *options, "--no-roles").stderr
        counts = "SELECT (SELECT count(*) FROM cron.job) + (SELECT count(*) FROM site_jobs.job_check_config)"
        counts += " + (SELECT count(*) FROM site_jobs.bridge)"
        for grant, missing in (
            ("SELECT 1", "permission denied for schema cron"),
            ("GRANT USAGE ON SCHEMA cron TO site", "row-level security policy for table"),
            ("ALTER ROLE site BYPASSRLS; REVOKE pg_read_all_settings FROM site", "of pg_read_all_settings to examine"),
        ):
            session.execute(grant.encode())
            said = refused(database.ctl("bridge", *options, "pg_cron"))
            assert 'role "site" may not use all of pg_cron' in said
            assert missing in said
            assert "nothing was bridged" in said
            assert value(session, counts) == 1
        # what it says to run is enough
        for name in ("pg_cron", "pgagent"):
            session.execute(f"CREATE EXTENSION IF NOT EXISTS {name}".encode())
            grants = refused(database.ctl("bridge", *options, name)).partition("have a superuser run ")[2]
            session.execute(grants.encode())
            done = database.ctl("bridge", *options, name)
            assert done.status == 0, done
        done = database.ctl("bridge", *options, "pg_cron")
        trigger = re.search(
            "if all who delete there trust that role, have a superuser run (CREATE TRIGGER .*)", done.stdout
        )
        assert trigger, done
        assert value(session, "SELECT username FROM cron.job WHERE jobname = 'site_jobs bridge'") == "site"
        session.execute("ALTER ROLE site NOBYPASSRLS")
        session.execute("DELETE FROM cron.job_run_details")
        with database.connect(user="site") as site, pytest.raises(psycopg.Error, match="row-level security"):
            site.execute("SELECT site_jobs.bridge_run('pg_cron')")
        session.execute(f"{trigger[1]}; ALTER ROLE site BYPASSRLS".encode())
        assert "TRIGGER" not in database.ctl("bridge", *options, "pg_cron").stdout
        # an ordinary role can't drop a trigger of another's table: without that, nothing is uninstalled
        everything = (
            "SELECT (SELECT array_agg(jobname ORDER BY jobid) FROM cron.job), (SELECT count(*) FROM site_jobs.bridge)"
        )
        before = session.execute(everything.encode()).fetchall()
        said = refused(database.ctl("uninstall", *options, "-y"), "would remove schema")
        assert said.startswith(
            "jobmonctl uninstall: nothing was removed, because this role may not drop the triggers of a bridge: run "
            '"jobmonctl bridge SCHEDULER --remove", have a superuser run DROP TRIGGER site_jobs_bridge ON cron.job_run_details, '
            "then run this again\n"
        )
        assert session.execute(everything.encode()).fetchall() == before
        superuser = ""
        for name in ("pg_cron", "pgagent"):
            done = database.ctl("bridge", *options, name, "--remove")
            assert done.status == 0, done
            assert ("trigger of the bridge is still there, and does nothing" in done.stdout) == (name == "pg_cron")
            superuser += (
                "; ".join(line.partition("have a superuser run ")[2] for line in done.stdout.splitlines()[:-1]) + ";"
            )
        assert value(session, "SELECT count(*) FROM site_jobs.job_check_config") == 0
        assert value(session, "SELECT array_agg(jobname::text) FROM cron.job") == ["etl"]
        assert value(session, "SELECT count(*) FROM pgagent.pga_job") == 0
        session.execute("DELETE FROM cron.job_run_details")
        session.execute(superuser.encode())
        # a job that can't be dropped any more is named
        assert database.ctl("bridge", *options, "pg_cron").status == 0
        session.execute("REVOKE USAGE ON SCHEMA cron FROM site")
        done = database.ctl("uninstall", *options, "-y")
        assert done.stderr == ""
        assert done.stdout.splitlines()[-1].startswith(
            'the job "site_jobs bridge" of pg_cron is still there, and fails from now on: permission denied for schema cron: '
        )
    finally:
        session.execute("DROP SCHEMA IF EXISTS site_jobs CASCADE; DROP OWNED BY site CASCADE")
        session.execute(
            "DO $$ DECLARE r text; BEGIN FOR r IN SELECT rolname FROM pg_roles WHERE rolname ~ '^site' LOOP"
            " EXECUTE format('DROP OWNED BY %I CASCADE', r); EXECUTE format('DROP ROLE %I', r); END LOOP; END $$"
        )


def test_what_is_no_pg_cron_that_is_known_is_named(database: Database, session: psycopg.Connection) -> None:
    assert 'there is no bridge "crond", only pg_cron, pgagent' in refused(database.ctl("bridge", "crond"))
    assert 'database "postgres" lacks the extension pgagent: there is no table pgagent.pga_exception' in refused(
        database.ctl("bridge", "pgagent")
    )
    session.execute("ALTER TABLE cron.job RENAME COLUMN jobname TO title")
    upgrade = "Upgrade the older of the two: pg_cron (ALTER EXTENSION pg_cron UPDATE) or check_jobmon.\n"
    assert refused(database.ctl("bridge", "pg_cron")) == (
        "jobmonctl bridge: table cron.job is of a version that the bridge doesn't know (extension pg_cron 1.4-1): it lacks "
        f"jobname, and has jobid, schedule, command, nodename, nodeport, database, username, active, title; {upgrade}"
    )
    session.execute("ALTER TABLE cron.job RENAME COLUMN title TO jobname")
    session.execute("ALTER FUNCTION cron.schedule(text, text, text) RENAME TO plan")
    said = refused(database.ctl("bridge", "pg_cron"))
    assert said.startswith(
        "jobmonctl bridge: pg_cron is of a version that the bridge doesn't know: function cron.schedule("
    )
    assert said.endswith(f" does not exist; nothing was bridged; {upgrade}")
    assert value(session, "SELECT (SELECT count(*) FROM cron.job) + (SELECT count(*) FROM jobmon.bridge)") == 0
    session.execute("DROP EXTENSION pg_cron; CREATE ROLE mallory")
    try:
        session.execute(
            "CREATE SCHEMA cron AUTHORIZATION mallory; SET ROLE mallory; CREATE TABLE cron.job (jobid bigint)"
        )
        session.execute("CREATE TABLE cron.job_run_details (runid bigint); RESET ROLE")
        assert 'is not a table of a superuser\'s: it belongs to role "mallory"' in refused(
            database.ctl("bridge", "pg_cron")
        )
    finally:
        session.execute("DROP OWNED BY mallory CASCADE; DROP ROLE mallory")


def test_each_table_and_column_that_is_read_is_named_where_it_is_missing(session: psycopg.Connection) -> None:
    session.execute("CREATE EXTENSION pgagent")
    needs = session.execute("SELECT name, needs FROM jobmon.bridge_known()").fetchall()
    for name, table, columns in [(name, *item) for name, tables in needs for item in tables.items()]:
        for missing in (None, *columns):
            with session.transaction(force_rollback=True):
                session.execute(
                    f"ALTER TABLE {table} RENAME {f'COLUMN {missing}' if missing else ''} TO renamed".encode()
                )
                said = f"it lacks {missing}, and has " if missing else f"incomplete .*: there is no table {table}"
                with pytest.raises(psycopg.Error, match=said), session.transaction():
                    session.execute("SELECT jobmon.bridge_check(%s, false)", [name])


@pytest.fixture(scope="module")
def second_server() -> Iterator[Server]:
    """Another one, for what is restored."""
    yield from server_with_pg_cron()


def dumped(database: Database, server: Server, program: str, *options: str, dump: bytes = b"") -> bytes:
    """What pg_dump or a program that restores says, without what is said of roles that aren't there."""
    where = ("-h", str(server.folder), "-p", str(server.port), "-U", "postgres", *options)
    done = subprocess.run([PROGRAMS / program, *where], input=dump, capture_output=True, check=False)
    errors = [line for line in done.stderr.decode().splitlines() if "error: " in line or "ERROR: " in line]
    assert [line for line in errors if 'role "jobmon_' not in line and "already exists" not in line] == []
    return done.stdout


@pytest.mark.parametrize("custom", [False, True])
def test_a_restored_bridge_goes_on(
    database: Database, session: psycopg.Connection, second_server: Server, custom: bool
) -> None:
    for name in ("one", "two"):
        schedule(session, name)
    bridge(database)
    session.execute("UPDATE jobmon.bridge SET last_read = now() + interval '1 hour'")
    ran(session, "one", "failed", "no such table")
    ran(session, "two", "running", "")
    assert copy(session) == 2
    ran(session, "one")
    dump = dumped(database, database.server, "pg_dump", *(["-Fc"] if custom else []), "postgres")
    other = new_postgres(second_server, "template0")
    with other.connect() as copied:
        program = ["pg_restore", "-d", "postgres"] if custom else ["psql", "-d", "postgres"]
        dumped(other, second_server, *program, dump=dump)
        assert other.ctl("bootstrap").status == 0
        # pg_cron would have the bridge's job executed where it was made
        here = "SELECT count(*) FROM cron.job WHERE jobname = 'jobmon bridge' AND nodename = %s AND nodeport = %s"
        place = (second_server.settings["cron.host"], second_server.port)
        assert value(copied, here, *place) == 0
        assert [line.partition(": ")[0] for line in bridge(other)] == ["pg_cron is bridged"]
        assert value(copied, here, *place) == 1
        before = runs(copied)
        assert before == runs(session)
        assert (copy(copied), copy(copied)) == (1, 0)
        assert runs(copied) == [*before, ("ONE", "OK")]
        copied.execute("UPDATE cron.job_run_details SET status = 'failed' WHERE status = 'running'")
        copied.execute("DELETE FROM cron.job_run_details")
        copy(copied)
        assert runs(copied) == [("ONE", "CRITICAL"), ("TWO", "CRITICAL"), ("ONE", "OK")]
        # without its primary key, the log is yet to be restored
        with copied.transaction(force_rollback=True):
            copied.execute("ALTER TABLE jobmon.job_log DROP CONSTRAINT job_log_pkey CASCADE")
            with pytest.raises(psycopg.Error, match="it is being restored"):
                copy(copied)


def test_a_copy_in_a_database_without_pg_cron_is_one_alert_and_says_what_to_do(
    database: Database, session: psycopg.Connection
) -> None:
    schedule(session, "etl")
    bridge(database)
    dump = dumped(database, database.server, "pg_dump", "-n", "jobmon*", "-e", "dblink", "postgres")
    session.execute("CREATE DATABASE other")
    try:
        other = Database(database.server, "other")
        dumped(other, database.server, "psql", "-d", "other", dump=dump)
        assert other.ctl("bootstrap").status == 0
        with other.connect() as copied:
            copied.execute("UPDATE jobmon.job_check_config SET since = now() - interval '2 days'")
        assert other.check().first_line.startswith(
            f"JOBMON CRITICAL - 1 critical, 1 ok, 1 waiting: {OWN} missing, was due "
        )
        assert refused(other.ctl("bridge", "pg_cron")) == (
            'jobmonctl bridge: database "other" lacks the extension pg_cron: there is no table cron.job; '
            "Name the database that has pg_cron with -d, or have a superuser run CREATE EXTENSION pg_cron.\n"
        )
        assert bridge(other, "--remove") == [
            "pg_cron is no longer bridged: removed its configuration of 1 job; the logged runs stay"
        ]
        assert other.check().status == 0
    finally:
        session.execute("DROP DATABASE other WITH (FORCE)")


def test_an_earlier_job_of_the_bridges_own_is_no_job(database: Database, session: psycopg.Connection) -> None:
    bridge(database)
    ran(session, "jobmon bridge")
    session.execute("SELECT cron.alter_job(jobid, active := false) FROM cron.job")
    bridge(database)
    ran(session, "jobmon bridge")
    assert copy(session) == 0
    assert runs(session) == []


@pytest.mark.parametrize("table", ["cron.job", "cron.job_run_details"])
def test_a_bridge_that_is_locked_is_removed_whole_or_not_at_all(
    database: Database, session: psycopg.Connection, table: str
) -> None:
    schedule(session, "etl")
    bridge(database)
    with database.connect(autocommit=False) as other:
        other.execute(f"LOCK TABLE {table}".encode())
        for command in (["bridge", "pg_cron", "--remove"], ["uninstall", "-y"]):
            done = database.ctl(*command, "--timeout", "1")
            assert (done.status, done.stderr.count("\n")) == (1, 1)
            assert "timeout" in done.stderr
    assert len(bridge(database)) == 1
    assert value(session, "SELECT count(*) FROM pg_trigger WHERE tgname = 'jobmon_bridge'") == 1


def test_uninstall_takes_the_bridge_along(database: Database, session: psycopg.Connection) -> None:
    schedule(session, "etl")
    bridge(database)
    assert database.ctl("bridge").stdout.startswith("pg_cron has been bridged since ")
    done = database.ctl("uninstall", "-y")
    assert (done.status, done.stderr) == (0, "")
    assert value(session, "SELECT array_agg(jobname::text) FROM cron.job") == ["etl"]
    assert value(session, "SELECT count(*) FROM pg_trigger WHERE tgname = 'jobmon_bridge'") == 0


def test_pgagents_jobs_steps_and_schedules(database: Database, session: psycopg.Connection, place: Place) -> None:
    pgagent = program("pgagent", "pgagent")
    session.execute("CREATE EXTENSION pgagent")
    done = database.ctl("bridge", "pgagent")
    assert (done.status, done.stderr) == (0, "")

    def job(name: str, *codes: str) -> int:
        key = value(session, "INSERT INTO pgagent.pga_job (jobjclid, jobname) VALUES (1, %s) RETURNING jobid", name)
        for number, code in enumerate(codes):
            session.execute(
                "INSERT INTO pgagent.pga_jobstep (jstjobid, jstname, jstkind, jstcode, jstdbname, jstonerror)"
                " VALUES (%s, %s, 's', %s, 'postgres', %s)",
                [key, f"{number}: {code}", code, "i" if "ignored" in code else "f"],
            )
        return int(key)

    def times(key: int, **fields: list[int]) -> None:
        lowest = {"minutes": (0, 60), "hours": (0, 24), "weekdays": (0, 7), "monthdays": (1, 32), "months": (1, 12)}
        arrays = {
            f"jsc{name}": [n + lowest[name][0] in fields.get(name, []) for n in range(lowest[name][1])]
            for name in lowest
        }
        session.execute(
            f"INSERT INTO pgagent.pga_schedule (jscjobid, jscname, {', '.join(arrays)})"
            " VALUES (%s, 's', %s, %s, %s, %s, %s)".encode(),
            [key, *arrays.values()],
        )

    times(good := job("good", "SELECT 1", "SELECT 2"), minutes=[0, 30], hours=[2], weekdays=[1, 2])
    times(good, minutes=[5], hours=[1])
    times(
        bad := job("bad", "SELECT 'ignored', 1 / 0", "SELECT 1 / 0", "SELECT 3"),
        minutes=[59],
        monthdays=[1, 32],
        months=[12],
    )
    times(job("odd", "SELECT 4"), minutes=[0], monthdays=[1], weekdays=[0])
    times(holidays := job("holidays", "SELECT 5"), minutes=[0])
    session.execute(
        "INSERT INTO pgagent.pga_exception (jexscid, jexdate)"
        " SELECT jscid, '2030-01-01' FROM pgagent.pga_schedule WHERE jscjobid = %s",
        [holidays],
    )
    job("by hand", "SELECT 6")
    copy(session, "pgagent")
    zone = value(session, "SELECT reset_val FROM pg_settings WHERE name = 'TimeZone'").replace("Etc/UTC", "UTC")
    assert configured(session) == {
        "GOOD": ("5 1 * * *", zone, True),  # of two schedules the one that comes more often
        "BAD": ("59 * 1,L 12 *", zone, True),
        "ODD": (None, "UTC", True),
        "HOLIDAYS": (None, "UTC", True),
    }
    notes = {row[0]: row[1] for row in session.execute("SELECT job_name, note FROM jobmon.bridge_job").fetchall()}
    assert "days of the month that are certain weekdays" in notes["ODD"]
    assert "has exceptions" in notes["HOLIDAYS"]
    never = "SELECT bool_and(warn_threshold = '1000 years') FROM jobmon.job_check_config WHERE job_name IN ('ODD', 'HOLIDAYS')"
    assert value(session, never) is True

    own = value(session, "SELECT jobid FROM pgagent.pga_job WHERE jobname = 'jobmon bridge'")
    where = f"host={database.server.folder} port={database.server.port} user=postgres dbname=postgres"
    with place.daemon(pgagent, "-f", "-t", "1", *where.split()) as daemon:
        session.execute("UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = ANY (%s)", [[good, bad]])
        ended = "SELECT count(*) = 2 FROM pgagent.pga_joblog WHERE jlgjobid = ANY (%s) AND jlgstatus <> 'r'"
        daemon.until(lambda: value(session, ended, [good, bad]), "both jobs have ended")
        session.execute("UPDATE pgagent.pga_job SET jobnextrun = now() WHERE jobid = %s", [own])
        daemon.until(lambda: len(runs(session)) == 2, "the bridge's job has logged them")
    assert states(session) == {"GOOD": "OK", "BAD": "CRITICAL"}
    steps = """
        SELECT action, d.status FROM jobmon.job_detail AS d JOIN jobmon.job_log USING (job_id)
         WHERE job_name = 'BAD' ORDER BY step_id
    """
    assert session.execute(steps.encode()).fetchall() == [
        ("0: SELECT 'ignored', 1 / 0", "WARNING"),
        ("1: SELECT 1 / 0", "CRITICAL"),
    ]
    assert "BAD failed 1 time (1: SELECT 1 / 0: ERROR:  division by zero)" in database.check().first_line
    # with a job go its runs: what is not logged yet is logged first
    session.execute("INSERT INTO pgagent.pga_joblog (jlgjobid, jlgstatus, jlgduration) VALUES (%s, 's', '1 s')", [good])
    session.execute("DELETE FROM pgagent.pga_job WHERE jobid = %s", [good])
    copy(session, "pgagent")
    assert runs(session)[-1] == ("GOOD", "OK")
    assert len(runs(session)) == 3
    done = database.ctl("bridge", "pgagent", "--remove")
    assert (done.status, done.stderr) == (0, "")
    assert value(session, "SELECT count(*) FROM pgagent.pga_job WHERE jobname = 'jobmon bridge'") == 0
