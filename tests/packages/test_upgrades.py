"""docs/guides/upgrade-and-uninstall.rst: its commands, run one after the other as they are there, and pg_upgrade."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import sql

from check_jobmon import __version__
from check_jobmon.demo.server import Server, wheel_binaries
from check_jobmon.schema.scripts import version
from tests.database import Database, value
from tests.schema.test_older_schemas import OLDER, restore
from tests.servers import create
from tests.test_readme import DOCS, literal_blocks

PAGE = DOCS / "guides/upgrade-and-uninstall.rst"
VERSION, BEFORE = version(), OLDER[-1]
AGAIN = "da ta's"
"""A second database, whose name has a blank and a quote."""
DEBIAN = Path("/usr/lib/postgresql/15/bin")
CLUSTER = """
    SELECT 'role ' || rolname FROM pg_roles UNION ALL SELECT 'schema ' || nspname FROM pg_namespace
    UNION ALL SELECT 'extension ' || extname FROM pg_extension
    UNION ALL SELECT concat('setting ', setrole::regrole, setconfig) FROM pg_db_role_setting
    UNION ALL SELECT concat('database ', coalesce(datacl, acldefault('d', datdba)))
                FROM pg_database WHERE datname = current_database()
"""


def blocks(*beginnings: str) -> list[str]:
    """The page's blocks of commands that begin so, each of which there has to be once."""
    found = [[block for block in literal_blocks(PAGE) if block.startswith(beginning)] for beginning in beginnings]
    return [block for (block,) in found]


def shell(server: Server, commands: str) -> str:
    """What they print, run as at the prompt of the server's machine."""
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("PG")}
    path = f"{Path(sys.executable).parent}:{wheel_binaries()}:{inherited['PATH']}"
    connection = {"PGHOST": str(server.folder), "PGPORT": str(server.port), "PGUSER": "postgres"}
    done = subprocess.run(
        ["bash", "-c", commands],
        env={**inherited, **connection, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == "", done
    return done.stdout


def cluster(database: Database) -> set[str]:
    """The roles, schemas, extensions and settings that there are."""
    with database.connect() as session:
        return {row[0] for row in session.execute(CLUSTER.encode())}


def with_roles(server: Server, *databases: str) -> None:
    """Start it, with the roles of a database of today's, and with these databases, which are empty."""
    server.start()
    with Database(server, "postgres").connect() as session:
        for name in ("today", *databases):
            session.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        assert Database(server, "today").ctl("bootstrap").status == 0
        session.execute("DROP DATABASE today WITH (FORCE)")


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of the test's own."""
    server = Server(wheel_binaries(), {"fsync": "off"}, tcp=True)
    try:
        create(server)
        with_roles(server, "etl", AGAIN)
        yield server
    finally:
        server.remove()


def test_the_pages_commands_do_what_it_says(server: Server, tmp_path: Path) -> None:
    beginnings = (
        "pg_dump",
        "psql -d",
        "psql -XAtd",
        "jobmonctl bootstrap -d etl",
        "jobmonctl uninstall -d etl -y\npsql",
    )
    save, versions, several, again, back, remove = (
        block.replace("/tmp/joblog.sql", str(tmp_path / "joblog.sql"))
        for block in (*blocks(*beginnings), literal_blocks(PAGE)[-1])
    )
    assert len(literal_blocks(PAGE)) == 7  # with the sentence of those who refuse
    etl, other = Database(server, "etl"), Database(server, AGAIN)
    empty = cluster(etl)
    for database in (etl, other):
        restore(database, BEFORE)
    where = f'schema "jobmon" of database "etl" from version {BEFORE} to {VERSION}; the link'
    would, did = shell(server, save).splitlines()
    assert would.startswith(f"would upgrade {where} is tried once that is done")
    assert did.startswith(f"upgraded {where} works")
    assert re.search(rf"\n +{VERSION} \| \d", shell(server, versions))
    said = shell(server, several).splitlines()
    assert [line.partition(" from")[0] for line in said] == [f'upgraded schema "jobmon" of database "{AGAIN}"']
    assert shell(server, several) == ""
    assert "nothing changed" in shell(server, again)
    with etl.connect() as session:
        session.execute("DROP VIEW jobmon.our_view")
        session.execute("SELECT jobmon.close_job(jobmon.add_job('lost'))")
    shell(server, back)
    with etl.connect() as session:
        assert value(session, "SELECT string_agg(job_name, ' ' ORDER BY job_id) FROM jobmon.job_log") == (
            'NIGHTLY ETL NIGHTLY ETL NIGHTLY ETL REPORT LOAD "IT"\'S ACKNOWLEDGED CANCELLED PAST'
        )
        session.execute("SELECT jobmon.close_job(jobmon.add_job('after'))")
        session.execute("DROP VIEW jobmon.our_view")
    shell(server, remove)
    # what the test's roles and the other databases have is theirs
    left = {thing for thing in cluster(etl) - empty if "upgraded_" not in thing}
    assert left == {thing for thing in left if f"jobmon_link_{_number(other)}" in thing}


def _number(database: Database) -> int:
    with database.connect() as session:
        return int(value(session, "SELECT oid FROM pg_database WHERE datname = current_database()"))


def test_the_sentence_of_who_refuses_is_the_programs() -> None:
    newer = f"version {VERSION + 1}, newer than the version {VERSION} that check_jobmon {__version__} brings"
    line = f'schema "jobmon" has {newer}: upgrade the package'
    assert line in literal_blocks(PAGE)


def test_pg_upgrade_takes_over_the_log_and_jobs_are_logged_at_once() -> None:
    if not (DEBIAN / "pg_controldata").exists():
        pytest.skip("PostgreSQL 15 is not installed: apt-get install postgresql-15, or run .ci/daemons")
    old, new = (Server(programs, {"fsync": "off"}, tcp=True) for programs in (DEBIAN, wheel_binaries()))
    try:
        create(old)
        with_roles(old, "etl")
        restore(Database(old, "etl"), BEFORE)
        old.stop()
        create(new)
        new._run("pg_checksums", "--disable", "-D", str(new.data))
        places = ["-b", str(old.binaries), "-B", str(new.binaries), "-d", str(old.data), "-D", str(new.data)]
        new._run("pg_upgrade", "-U", "postgres", "-s", str(new.folder), "--no-sync", *places)
        new.start()
        with Database(new, "etl").connect() as session:
            session.execute("SELECT jobmon.close_job(jobmon.add_job('at once'))")
            (upgrade,) = blocks("jobmonctl bootstrap -d etl")
            assert shell(new, upgrade).startswith('upgraded schema "jobmon" of database "etl"')
            session.execute("SELECT jobmon.close_job(jobmon.add_job('afterwards'))")
            assert value(session, "SELECT count(*) FROM jobmon.job_log WHERE status = 'GOOD'") == 6
    finally:
        old.remove()
        new.remove()
