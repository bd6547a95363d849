"""Upgrades: any earlier version in place, in one transaction, whatever interrupts it, and whoever else is at it."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from check_jobmon.schema.compare import contents
from check_jobmon.schema.scripts import tables, version
from tests.database import Database, Output, pinned, until, value
from tests.schema.test_older_schemas import OLDER

VERSION = version()


def install_version(database: Database, number: int) -> None:
    """The schema as its first numbered scripts left it, with a run in its log."""
    with database.connect() as session, session.transaction():
        session.execute("CREATE EXTENSION dblink")
        session.execute("CREATE SCHEMA jobmon")
        session.execute(
            "CREATE TABLE jobmon.schema_version (version integer PRIMARY KEY, script text NOT NULL,"
            " package text NOT NULL, applied timestamptz NOT NULL DEFAULT now())"
        )
        for script in tables("jobmon", "public")[:number]:
            session.execute(script.sql.encode())
            session.execute(
                "INSERT INTO jobmon.schema_version (version, script, package) VALUES (%s, %s, '0')",
                [script.number, script.name],
            )
        session.execute(
            "INSERT INTO jobmon.job_log (owner, job_name, start_time, pid) VALUES ('etl', 'OLD', now() - interval '1 day', 1)"
        )


def installed(session: psycopg.Connection) -> tuple[int, list[str]]:
    """The version, and the schema's relations and functions."""
    return value(session, "SELECT max(version) FROM jobmon.schema_version"), value(
        session,
        "SELECT array_agg(o.name ORDER BY o.name) FROM ("
        " SELECT relname::text AS name FROM pg_class WHERE relnamespace = 'jobmon'::regnamespace"
        " UNION ALL SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'jobmon'::regnamespace) AS o",
    )


def is_complete(session: psycopg.Connection) -> None:
    """Up to date, the old run still there, and a new one can be logged."""
    assert value(session, "SELECT array_agg(version ORDER BY version) FROM jobmon.schema_version") == list(
        range(1, VERSION + 1)
    )
    job = value(session, "SELECT jobmon.add_job('new')")
    session.execute("SELECT jobmon.close_job(%s)", [job])
    assert session.execute("SELECT owner, job_name, status FROM jobmon.job_log ORDER BY job_id").fetchall() == [
        ("etl", "OLD", None),
        ("postgres", "NEW", "OK"),
    ]


def would_upgrade(database: Database, number: int) -> str:
    """--check says so and does nothing: returns what it says of the place and the versions."""
    check = database.ctl("bootstrap", "--check")
    where = f'schema "jobmon" of database "{database.name}" from version {number} to {VERSION}'
    assert check.stdout.startswith(f"would upgrade {where}; ")
    assert check.status == 1
    with database.connect() as session:
        assert value(session, "SELECT max(version) FROM jobmon.schema_version") == number
    return where


@pytest.mark.parametrize("number", [number for number in range(1, VERSION) if number not in OLDER])
def test_every_earlier_version_is_upgraded_in_place(empty_database: Database, number: int) -> None:
    """Those of which there is a database with data, test_older_schemas.py upgrades."""
    install_version(empty_database, number)
    where = would_upgrade(empty_database, number)
    with empty_database.connect() as session:
        done = empty_database.ctl("bootstrap")
        assert done.stdout.startswith(f"upgraded {where}; the link works")
        assert (done.stdout.count("\n"), done.stderr, done.status) == (1, "", 0)
        is_complete(session)
    assert "nothing changed" in empty_database.ctl("bootstrap").stdout


@pytest.mark.parametrize("number", range(1, VERSION))
def test_what_a_site_may_drop_keeps_no_version_from_being_upgraded(empty_database: Database, number: int) -> None:
    install_version(empty_database, number)
    if number in OLDER:
        would_upgrade(empty_database, number)
    with empty_database.connect() as session, pinned(session) as looking:
        home = value(session, "SELECT oid FROM pg_namespace WHERE nspname = 'jobmon'")
        dropped = [thing for thing in contents(looking, home).values() if thing.may_be_missing]
        assert dropped
        for thing in dropped:
            kind, name, *_ = thing.name.split()
            session.execute(
                f"DROP INDEX jobmon.{name}".encode()
                if kind == "index"
                else f"ALTER TABLE jobmon.{thing.relation} DROP CONSTRAINT {name}".encode()
            )
        done = empty_database.ctl("bootstrap")
        assert (done.status, done.stderr) == (0, "")
        is_complete(session)


COLUMNS_OF_7 = [
    *[("job_log", name) for name in ("client_host", "client_pid")],
    *[("job_check_config", name) for name in ("since", "owner", "description", "runbook")],
]


@pytest.mark.parametrize("number", [number for number in range(2, VERSION) if number < 7])
def test_columns_of_a_sites_own_with_the_names_of_new_ones_are_reported_and_kept(
    empty_database: Database, number: int
) -> None:
    """One of them alone, another one in each version, and then all of them."""
    install_version(empty_database, number)
    alone = COLUMNS_OF_7[number % len(COLUMNS_OF_7)]
    with empty_database.connect() as session:
        add_columns(session, [alone])
        is_refused(empty_database, [alone], "--check")
        add_columns(session, [column for column in COLUMNS_OF_7 if column != alone])
        is_refused(empty_database, COLUMNS_OF_7)
        assert empty_database.check("-j", "OLD").status in (0, 1), "an earlier version is judged by newer plugins, too"
        for table, name in COLUMNS_OF_7:
            session.execute(f"ALTER TABLE jobmon.{table} RENAME {name} TO our_{name}".encode())
        done = empty_database.ctl("bootstrap")
        assert (done.status, done.stderr) == (0, "")
        is_complete(session)
        assert value(session, "SELECT our_client_host FROM jobmon.job_log WHERE job_name = 'OLD'") == "ours"


def add_columns(session: psycopg.Connection, columns: list[tuple[str, str]]) -> None:
    """Columns of the site's own."""
    for table, name in columns:
        session.execute(f"ALTER TABLE jobmon.{table} ADD COLUMN {name} text DEFAULT 'ours'".encode())


def is_refused(database: Database, columns: list[tuple[str, str]], *options: str) -> None:
    """Bootstrap names exactly these columns, and changes nothing."""
    with database.connect() as session:
        before = installed(session)
        refused = database.ctl("bootstrap", *options)
        assert installed(session) == before
    said = "this version has columns of its own with the names of columns that you have added: "
    named = refused.stderr.partition(said)[2].partition("; ")[0]
    assert sorted(named.split(", ")) == sorted(f"{name} of jobmon.{table}" for table, name in columns), refused
    assert "Rename yours: ALTER TABLE ... RENAME ... TO ..." in refused.stderr
    assert (refused.status, refused.stdout, refused.stderr.count("\n")) == (1, "", 1), refused


def test_a_job_configured_before_the_upgrade_goes_on_alerting(empty_database: Database) -> None:
    install_version(empty_database, 6)
    with empty_database.connect() as session:
        insert = "INSERT INTO jobmon.job_check_config (job_name, warn_threshold, error_threshold, active)"
        session.execute(f"{insert} VALUES ('NEVER', '1 day', '2 days', true)".encode())
        session.execute("ALTER TABLE jobmon.job_check_config ADD COLUMN since timestamptz DEFAULT 'infinity'")
        line = "JOBMON CRITICAL - 1 critical, 0 ok: NEVER missing, no run has ever completed"
        assert empty_database.check("-j", "NEVER").first_line == line, "the site's own column decides nothing"
        session.execute("ALTER TABLE jobmon.job_check_config DROP COLUMN since")
        assert empty_database.ctl("bootstrap").status == 0
        assert empty_database.check("-j", "NEVER").first_line == line
        session.execute(f"{insert} VALUES ('NEW', '1 day', '2 days', true)".encode())
        assert empty_database.check("-j", "NEW").status == 0


@dataclass(frozen=True)
class HeldUp:
    """Bootstraps in the middle of their transaction: one waits for a lock on job_log, the others for that one."""

    holder: psycopg.Connection
    watcher: psycopg.Connection

    def wait_for(self, count: int) -> None:
        """Until so many of them wait."""
        until(lambda: value(self.watcher, "SELECT count(*) FROM pg_stat_activity WHERE " + WAITING) == count)

    def release(self) -> None:
        """Let them go on."""
        self.holder.close()


@contextmanager
def held_up(database: Database) -> Iterator[HeldUp]:
    """Bootstraps that are started meanwhile wait."""
    with (
        contextlib.closing(database.connect(autocommit=False)) as holder,
        contextlib.closing(database.connect()) as watcher,
    ):
        holder.execute("LOCK TABLE jobmon.job_log IN ROW EXCLUSIVE MODE")
        yield HeldUp(holder, watcher)


WAITING = "application_name = 'jobmonctl' AND wait_event_type = 'Lock' AND datname = current_database()"


def test_a_bootstrap_that_is_killed_or_terminated_half_way_leaves_the_old_version_intact(
    empty_database: Database,
) -> None:
    install_version(empty_database, 1)
    with empty_database.connect() as session:
        before = installed(session)
        command = [sys.executable, "-m", "check_jobmon.ctl", "bootstrap", *empty_database.options]
        with held_up(empty_database) as held:
            process = subprocess.Popen(command, cwd=Path(__file__).parents[2])
            try:
                held.wait_for(1)
            finally:
                process.kill()
                process.wait()
            # the backend gets the lock, and then finds that nobody is there any more
            held.release()
        until(lambda: value(session, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'jobmonctl'") == 0)
        assert installed(session) == before
        # or the backend is terminated, which is said
        with ThreadPoolExecutor() as pool, held_up(empty_database) as held:
            running = pool.submit(empty_database.ctl, "bootstrap")
            held.wait_for(1)
            session.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {WAITING}".encode())
            done = running.result()
        assert done.stderr.startswith("jobmonctl bootstrap: ")
        assert (done.stderr.count("\n"), done.stdout, done.status) == (1, "", 1)
        assert installed(session) == before
        assert empty_database.ctl("bootstrap").stdout.startswith("upgraded ")
        is_complete(session)


def test_a_bootstrap_whose_backend_is_killed_leaves_the_old_version_intact(own_database: Database) -> None:
    install_version(own_database, 1)
    with own_database.connect() as session:
        before = installed(session)
    with ThreadPoolExecutor() as pool, held_up(own_database) as held:
        running = pool.submit(own_database.ctl, "bootstrap")
        held.wait_for(1)
        pid = value(held.watcher, f"SELECT pid FROM pg_stat_activity WHERE {WAITING}")
        os.kill(pid, signal.SIGKILL)  # the server then ends all its sessions and recovers
        done = running.result()
    assert done.stderr.startswith("jobmonctl bootstrap: ")
    assert (done.stderr.count("\n"), done.stdout, done.status) == (1, "", 1)
    with reconnected(own_database) as session:
        assert installed(session) == before
        assert own_database.ctl("bootstrap").stdout.startswith("upgraded ")
        is_complete(session)


def reconnected(database: Database) -> psycopg.Connection:
    """A session, as soon as the server has recovered."""
    found: list[psycopg.Connection] = []

    def connects() -> bool:
        try:
            found.append(database.connect())
        except psycopg.OperationalError:
            return False
        return True

    until(connects)
    return found[0]


def one_did_it(database: Database, both: "list[Future[Output]]", did: str) -> None:
    """And the other found it done."""
    done = [one.result() for one in both]
    where = f'schema "jobmon" of database "{database.name}"'
    assert {one.stdout.partition(";")[0] for one in done} == {
        did.format(where),
        f"{where} is up to date (version {VERSION}), nothing changed",
    }
    assert [(one.stderr, one.status) for one in done] == [("", 0)] * 2


def test_of_two_upgrades_at_the_same_moment_one_does_it_and_the_other_finds_it_done(empty_database: Database) -> None:
    install_version(empty_database, 1)
    with ThreadPoolExecutor() as pool, held_up(empty_database) as held:
        both = [pool.submit(empty_database.ctl, "bootstrap") for _ in range(2)]
        held.wait_for(2)
        held.release()
        one_did_it(empty_database, both, f"upgraded {{}} from version 1 to {VERSION}")
    with empty_database.connect() as session:
        is_complete(session)


def test_of_two_installations_at_the_same_moment_one_does_it_and_the_other_finds_it_done(
    empty_database: Database,
) -> None:
    with ThreadPoolExecutor() as pool:
        both = [pool.submit(empty_database.ctl, "bootstrap") for _ in range(2)]
        one_did_it(empty_database, both, f"installed version {VERSION} in {{}}")
