"""What roles that may only schedule jobs, or create objects beside the scheduler's, do not gain by a bridge."""

import threading
from collections.abc import Iterator

import psycopg
import pytest

from tests.database import Database, until, value
from tests.schema.test_bridge import PG_CRON

RIGHTS = """
    GRANT USAGE ON SCHEMA cron TO PUBLIC;
    GRANT SELECT ON cron.job TO PUBLIC;
    GRANT SELECT, DELETE ON cron.job_run_details TO PUBLIC;
    ALTER TABLE cron.job ENABLE ROW LEVEL SECURITY;
    ALTER TABLE cron.job_run_details ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON cron.job USING (username = current_user);
    CREATE POLICY own ON cron.job_run_details USING (username = current_user)
"""
"""Whose rows pg_cron lets whom see and delete."""
MALLORY = "bridge_mallory"


@pytest.fixture
def bridged(database: Database, session: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """A superuser's session in a database whose one job, NIGHTLY, is bridged; and an ordinary role that may schedule others."""
    session.execute(f"{PG_CRON};{RIGHTS}; CREATE ROLE {MALLORY} LOGIN".encode())
    try:
        session.execute(f"ALTER DATABASE {database.name} SET cron.database_name = '{database.name}'".encode())
        session.execute("SELECT cron.schedule('nightly', '30 2 * * *', '')")
        assert database.ctl("bridge", "pg_cron").status == 0
        session.execute("UPDATE jobmon.job_check_config SET since = now() - interval '10 days'")
        yield session
    finally:
        session.execute(f"DROP OWNED BY {MALLORY} CASCADE; DROP ROLE {MALLORY}".encode())


def theirs(session: psycopg.Connection, name: str) -> int:
    """A job that the attacker has scheduled; returns its number."""
    job = f"INSERT INTO cron.job (jobname, schedule, username) VALUES (%s, '0 3 * * *', '{MALLORY}') RETURNING jobid"
    return int(value(session, job, name))


def ran(session: psycopg.Connection, job: int, status: str, message: str = "") -> int:
    """A run as pg_cron writes it; returns its number."""
    return int(
        value(
            session,
            "INSERT INTO cron.job_run_details (jobid, job_pid, database, username, status, return_message, start_time, end_time)"
            " SELECT jobid, 1, database, username, %s, %s, CASE WHEN %s <> 'starting' THEN clock_timestamp() END,"
            "        CASE WHEN %s IN ('succeeded', 'failed') THEN clock_timestamp() END"
            "   FROM cron.job WHERE jobid = %s RETURNING runid",
            *(status, message, status, status, job),
        )
    )


def copy(session: psycopg.Connection) -> int:
    return int(value(session, "SELECT jobmon.bridge_run('pg_cron')"))


def names(session: psycopg.Connection) -> list[str]:
    """What the jobs are called, in the order of their numbers."""
    return list(value(session, "SELECT array_agg(job_name ORDER BY job_key) FROM jobmon.bridge_job WHERE gone IS NULL"))


def states(session: psycopg.Connection, name: str = "NIGHTLY") -> list[str | None]:
    """The states of a job's runs."""
    states = "SELECT array_agg(status ORDER BY job_id) FROM jobmon.job_log WHERE job_name = %s"
    return list(value(session, states, name) or [])


def test_no_name_of_anothers_job_is_taken_or_changed(database: Database, bridged: psycopg.Connection) -> None:
    ran(bridged, 1, "failed")
    copy(bridged)
    bridged.execute("UPDATE jobmon.bridge_job SET job_name = 'NIGHTLY'")
    # the name itself, those by which another of that name would be told from it, and those of the bridges
    place = database.name.upper()
    jobs = [
        theirs(bridged, name)
        for name in (
            *("nightly", " NIGHTLY ", f"{place}: nightly (1)", f"{place}: nightly", "nightly (1)"),
            *("jobmon bridge pg_cron", "jobmon bridge pgagent", "pg_cron job 1"),
        )
    ]
    for _ in range(2):
        copy(bridged)
        called = names(bridged)
        assert called[0] == "NIGHTLY"
        assert len(set(called)) == len(called) == len(jobs) + 1
        assert not {"JOBMON BRIDGE PG_CRON", "JOBMON BRIDGE PGAGENT"} & set(called)
        for job in jobs:
            ran(bridged, job, "succeeded")
        assert states(bridged) == ["CRITICAL"]
        assert "NIGHTLY failed 1 time" in database.check().first_line
    # and when the attacker's are gone
    bridged.execute("DELETE FROM cron.job WHERE jobid = ANY (%s)", [jobs])
    copy(bridged)
    assert names(bridged) == ["NIGHTLY"]
    assert "NIGHTLY failed 1 time" in database.check().first_line


def test_the_same_names_in_two_schedulers_are_two(bridged: psycopg.Connection) -> None:
    bridged.execute("INSERT INTO jobmon.bridge_job VALUES ('pgagent', 1, 'BACKUP', '[]')")
    job = theirs(bridged, "backup")
    copy(bridged)
    assert names(bridged)[-1] == f"BACKUP ({job})"


def test_a_long_name_that_is_cut_is_nobody_elses(bridged: psycopg.Connection) -> None:
    long = theirs(bridged, "x" * 600)
    copy(bridged)
    cut = names(bridged)[-1]
    for name in (cut, f"{cut[:450]} ({long + 2})", f"{cut[:450]} ({long + 3})"):
        theirs(bridged, name)
    copy(bridged)
    assert len(set(names(bridged))) == 5
    assert all(len(name) <= 500 for name in names(bridged))


def test_what_is_overdue_stays_so_whatever_others_name_delete_or_set(
    database: Database, bridged: psycopg.Connection
) -> None:
    ran(bridged, 1, "succeeded")
    copy(bridged)
    bridged.execute("UPDATE jobmon.job_log SET start_time = now() - interval '5 d', end_time = now() - interval '5 d'")
    copy(bridged)
    overdue = "NIGHTLY missing, was due "
    assert overdue in database.check().first_line
    job = theirs(bridged, "nightly")
    copy(bridged)
    assert overdue in database.check().first_line
    bridged.execute("DELETE FROM cron.job WHERE jobid = %s", [job])
    copy(bridged)
    assert overdue in database.check().first_line
    with database.connect(user=MALLORY) as mallory:
        # a setting that pg_cron has since 1.5 only
        for zone in ("Asia/Tokyo", "America/New_York"):
            mallory.execute(f"SET cron.timezone = '{zone}'; SET timezone = '{zone}'".encode())
            mallory.execute("DELETE FROM cron.job_run_details WHERE false")
    assert overdue in database.check().first_line
    assert value(bridged, "SELECT timezone FROM jobmon.job_check_config WHERE job_name = 'NIGHTLY'") == "UTC"


def test_who_deletes_the_newest_runs_ends_no_other_run(database: Database, bridged: psycopg.Connection) -> None:
    """The newest number is then a smaller one, as if the scheduler counted anew."""
    job = theirs(bridged, "quick")
    long = ran(bridged, 1, "running")
    bridged.execute("UPDATE jobmon.bridge SET last_read = now() + interval '1 minute'")
    assert (copy(bridged), states(bridged)) == (1, [None])
    late = ran(bridged, 1, "starting")
    for _ in range(2):
        ran(bridged, job, "running")
        with database.connect(user=MALLORY) as mallory:
            assert mallory.execute("DELETE FROM cron.job_run_details").rowcount == 1
        bridged.execute(
            "UPDATE cron.job_run_details SET status = 'running', start_time = clock_timestamp() WHERE runid = %s",
            [late],
        )
        copy(bridged)
    assert states(bridged) == [None, None]
    bridged.execute(
        "UPDATE cron.job_run_details SET status = 'failed', end_time = clock_timestamp() WHERE runid IN (%s, %s)",
        [long, late],
    )
    copy(bridged)
    assert states(bridged) == ["CRITICAL", "CRITICAL"]


def test_a_message_of_any_size_is_cut_and_stops_nothing(bridged: psycopg.Connection) -> None:
    """An error of 140 million letters takes more than PostgreSQL gives to one value, where each may have several bytes."""
    job = theirs(bridged, "loud")
    run = ran(bridged, job, "failed")
    bridged.execute("UPDATE cron.job_run_details SET return_message = repeat('x', 140000000) WHERE runid = %s", [run])
    assert (copy(bridged), states(bridged, "LOUD")) == (1, ["CRITICAL"])
    assert value(bridged, "SELECT length(message) BETWEEN 60000 AND 66000 FROM jobmon.job_detail")


@pytest.mark.parametrize("text", ["\n", "\t", "\u200b", "\xa0", "\x7f", "[", "%s %I %1$s", "'); --", "ß", "x" * 100000])
def test_no_name_stops_the_bridge_or_the_plugin(database: Database, bridged: psycopg.Connection, text: str) -> None:
    ran(bridged, theirs(bridged, text), "failed", text)
    assert copy(bridged) == 1
    assert database.check().first_line.startswith("JOBMON CRITICAL - 2 critical, 1 ok: ")


@pytest.mark.parametrize("call", ["schedule(text, text, text)", "unschedule(bigint)"])
def test_no_function_beside_the_schedulers_is_called(
    database: Database, bridged: psycopg.Connection, call: str
) -> None:
    """pg_cron 1.3 has a schedule() that takes a name, and one that takes a text would be called instead."""
    name = call.partition("(")[0]
    bridged.execute(
        f"ALTER FUNCTION cron.{name} RENAME TO own_{name}; GRANT CREATE ON SCHEMA cron TO {MALLORY}".encode()
    )
    bridged.execute("UPDATE cron.job SET active = false WHERE jobname = 'jobmon bridge'")
    with database.connect(user=MALLORY) as mallory:
        mallory.execute(
            f"CREATE FUNCTION cron.{call} RETURNS bigint LANGUAGE plpgsql AS"
            f" $$ BEGIN ALTER ROLE {MALLORY} SUPERUSER; RETURN 1; END $$".encode()
        )
    for found, remedy in (
        ("the right to create in schema cron", f"REVOKE CREATE ON SCHEMA cron FROM {MALLORY}"),
        (f"function cron.{name}", f"DROP FUNCTION cron.{call}; ALTER SCHEMA cron OWNER TO {MALLORY}"),
        ("schema cron", "ALTER SCHEMA cron OWNER TO postgres"),
    ):
        done = database.ctl("bridge", "pg_cron")
        assert (done.status, done.stderr.count("\n")) == (1, 1)
        assert done.stderr.startswith(f"jobmonctl bridge: {found}")
        assert f'belongs to role "{MALLORY}", whose functions role "postgres" could execute' in done.stderr
        with bridged.transaction(force_rollback=True):
            removed = value(bridged, "SELECT jobmon.bridge_remove('pg_cron')")
            assert removed.startswith('the job "jobmon bridge" of pg_cron is still there, and fails from now on: ')
        assert value(bridged, "SELECT rolsuper FROM pg_roles WHERE rolname = %s", MALLORY) is False
        bridged.execute(remedy.encode())
    bridged.execute(f"ALTER FUNCTION cron.own_{name} RENAME TO {name}".encode())
    assert database.ctl("bridge", "pg_cron").status == 0


def test_no_trigger_on_the_schedulers_tables_is_executed(database: Database, bridged: psycopg.Connection) -> None:
    bridged.execute("UPDATE cron.job SET active = false WHERE jobname = 'jobmon bridge'")
    bridged.execute(f"GRANT TRIGGER ON ALL TABLES IN SCHEMA cron TO {MALLORY}".encode())
    bridged.execute(f"CREATE SCHEMA mallory AUTHORIZATION {MALLORY}".encode())
    with database.connect(user=MALLORY) as mallory:
        mallory.execute(
            "CREATE FUNCTION mallory.trap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;"
            "CREATE TRIGGER other_bridge BEFORE DELETE OR TRUNCATE ON cron.job_run_details EXECUTE FUNCTION mallory.trap()"
        )
        assert database.ctl("bridge", "pg_cron").status == 0, "as another log's bridge has it"
        for event, table in (("INSERT", "job"), ("DELETE", "job"), ("UPDATE", "job_run_details")):
            mallory.execute(
                f"CREATE TRIGGER trap BEFORE {event} ON cron.{table} EXECUTE FUNCTION mallory.trap()".encode()
            )
            done = database.ctl("bridge", "pg_cron")
            assert done.stderr.startswith(f"jobmonctl bridge: trigger trap on cron.{table} in database "), done
            bridged.execute(f"DROP TRIGGER trap ON cron.{table}".encode())
    bridged.execute(f"CREATE TABLE cron.more (); ALTER TABLE cron.more OWNER TO {MALLORY}".encode())
    assert database.ctl("bridge", "pg_cron").stderr.startswith("jobmonctl bridge: relation cron.more in database ")


def test_a_truncate_and_a_copy_wait_for_each_other_in_one_order(
    database: Database, bridged: psycopg.Connection
) -> None:
    ran(bridged, 1, "failed")
    with database.connect(autocommit=False) as purger, database.connect() as copier:
        purger.execute("LOCK TABLE cron.job_run_details")
        thread = threading.Thread(target=copy, args=[copier])
        thread.start()
        until(lambda: value(bridged, "SELECT count(*) FROM pg_locks WHERE NOT granted") == 1)
        notices: list[str | None] = []
        purger.add_notice_handler(lambda notice: notices.append(notice.message_primary))
        purger.execute("TRUNCATE cron.job_run_details")
        purger.commit()
        thread.join()
    assert notices == []
    assert states(bridged) == ["CRITICAL"]


def test_who_keeps_the_bridge_waiting_keeps_no_purge_waiting(database: Database, bridged: psycopg.Connection) -> None:
    bridged.execute("ALTER FUNCTION jobmon.bridge_purge() SET lock_timeout = '1ms'")
    ran(bridged, 1, "succeeded")
    notices: list[str | None] = []
    bridged.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    with database.connect(user=MALLORY, autocommit=False) as mallory:
        mallory.execute("DELETE FROM cron.job_run_details WHERE false")
        assert bridged.execute("DELETE FROM cron.job_run_details").rowcount == 1
        mallory.commit()
    assert notices == [
        "jobmon: the runs of pg_cron that are being deleted are not logged: canceling statement due to lock timeout"
    ]
    assert states(bridged) == ["OK"]


def test_uninstall_by_another_superuser_takes_the_bridges_job_along(
    database: Database, bridged: psycopg.Connection
) -> None:
    bridged.execute(f"ALTER ROLE {MALLORY} SUPERUSER".encode())
    assert database.ctl("uninstall", "-y", "-U", MALLORY).status == 0
    assert value(bridged, "SELECT array_agg(jobname) FROM cron.job") == ["nightly"]
