"""Upgrades of databases that older programs made, with data: nothing is lost, and the rest is as in a new install."""

import lzma
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from psycopg import sql

from check_jobmon.demo.server import Server, wheel_binaries
from check_jobmon.schema.install import bootstrap
from check_jobmon.schema.scripts import version
from tests.database import Database, pinned, value

HERE = Path(__file__).parent
VERSION = version()
OLDER = sorted(int(file.name.split("_")[1].partition(".")[0]) for file in (HERE / "older").glob("version_*.sql.xz"))
ROLES = ("upgraded_app", "upgraded_reader", "upgraded_owner")
OWN = ("our_view", "our_index", "upgraded_reader")
"""What the site has added: their names are in those of all objects and rights that belong to them."""


def restore(database: Database, number: int, owner: str = "postgres") -> None:
    """The database as that version left it: its schema belongs to `owner`, and its link's role is this database's."""
    dump = lzma.decompress((HERE / "older" / f"version_{number}.sql.xz").read_bytes()).decode()
    dump = re.sub(r"(?m)^(ALTER .*\bjobmon\b.* OWNER TO )postgres;", rf"\1{owner};", dump)
    with database.connect() as session:
        for role in ROLES:
            session.execute(
                f"DO $$ BEGIN CREATE ROLE {role} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$".encode()
            )
        link = f"jobmon_link_{value(session, 'SELECT oid FROM pg_database WHERE datname = current_database()')}"
        session.execute(f"CREATE ROLE {link} LOGIN NOINHERIT PASSWORD '{'0' * 64}'".encode())
        grants = "GRANT CONNECT ON DATABASE {} TO {}; GRANT jobmon_log TO upgraded_app"
        session.execute(sql.SQL(grants).format(sql.Identifier(database.name), sql.Identifier(link)))
    where = ["-h", str(database.server.folder), "-p", str(database.server.port), "-U", "postgres", "-d", database.name]
    subprocess.run(
        [str(wheel_binaries() / "psql"), *where, "-X", "-q", "-v", "ON_ERROR_STOP=1"],
        input=dump.replace("jobmon_link_0", link),
        stdout=subprocess.DEVNULL,
        text=True,
        check=True,
    )


def tables(session: psycopg.Connection) -> dict[str, list[str]]:
    """The columns of the tables whose rows are the site's."""
    query = """
        SELECT c.relname::text, array_agg(a.attname::text ORDER BY a.attnum)
          FROM pg_class AS c
          JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         WHERE c.relnamespace = 'jobmon'::regnamespace AND c.relkind = 'r'
           AND c.relname NOT IN ('link', 'schema_version')
         GROUP BY c.relname
    """
    return dict(session.execute(query.encode()).fetchall())


def rows(session: psycopg.Connection, columns: dict[str, list[str]]) -> dict[str, list[dict[str, object]]]:
    """The rows of these tables."""
    found = {}
    for table, names in columns.items():
        what = sql.SQL(", ").join(map(sql.Identifier, names))
        answer = session.execute(sql.SQL("SELECT {0} FROM jobmon.{1} ORDER BY {0}").format(what, sql.Identifier(table)))
        found[table] = [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
    return found


def everything(database: Database) -> set[tuple[str, str, str]]:
    """What everything.sql finds, without what the site has added."""
    with database.connect() as session:
        session.execute("SET search_path = pg_catalog")
        found = session.execute((HERE / "everything.sql").read_bytes()).fetchall()
    return {(kind, name, facts) for kind, name, facts in found if not any(own in name for own in OWN)}


def is_as_new(upgraded: Database, new: "New") -> None:
    """Each object, column, right, comment and role is that of a new install, and there are no others."""
    there, expected = everything(upgraded), new.everything
    assert len(expected) > 500
    for difference in (there - expected, expected - there):
        assert sorted(difference) == []


def judged(database: Database) -> tuple[int, str]:
    """The exit status and the first line of a check, with no durations."""
    output = database.check("-t", "30")
    return output.status, re.sub(r"\d+(\.\d+)?(s|m|h|d)\b", "N", output.first_line)


class New(NamedTuple):
    """All of a schema of today: how long its partitions are, None if it has none, and who is to own upgraded ones."""

    everything: set[tuple[str, str, str]]
    partition: str | None
    owner: str


@pytest.fixture(scope="module")
def new(server: Server, template: str, request: pytest.FixtureRequest) -> Iterator[New]:
    """What an upgraded database is to be like."""
    with Database(server, "postgres").connect() as session:
        session.execute("CREATE DATABASE upgraded_new")
        database = Database(server, "upgraded_new")
        with database.connect() as other, pinned(other) as looking:
            bootstrap(looking, "jobmon", partition=request.param[0])
        yield New(everything(database), *request.param)
        session.execute("DROP DATABASE upgraded_new WITH (FORCE)")


WHOLE = (None, "postgres")
PARTITIONED = ("month", "upgraded_owner")
CASES = [
    *(pytest.param(WHOLE, number, id=f"whole-{number}") for number in OLDER),
    *(pytest.param(PARTITIONED, number, id=f"partitioned-{number}") for number in sorted({OLDER[0], *OLDER[::-2]})),
]
"""Every second version becomes partitioned, and the oldest, whose upgrade runs all scripts that the others' runs."""


@pytest.mark.parametrize(("new", "number"), CASES, indirect=["new"])
def test_what_an_older_version_has_logged_is_kept_and_the_rest_is_as_new(
    empty_database: Database, new: New, number: int, tmp_path: Path
) -> None:
    """So another bootstrap has nothing to change, which it says after the upgrades from the oldest and the latest."""
    as_owner = ("-U", new.owner)
    restore(empty_database, number, new.owner)
    if new.owner == "postgres":
        logged = empty_database.ctl("run", "--spool", str(tmp_path / "spool"), "shell", "--", "true")
        assert (logged.status, logged.stderr) == (0, ""), "a newer program logs into an older schema"
    before = judged(empty_database)
    with empty_database.connect() as session:
        columns = tables(session)
        had = rows(session, columns)
        if new.owner != "postgres":
            script = empty_database.ctl("bootstrap", *as_owner, "--print-superuser-sql")
            assert (script.status, script.stderr) == (0, "")
            session.execute(script.stdout.encode())
        done = empty_database.ctl("bootstrap", *as_owner)
        where = f'schema "jobmon" of database "{empty_database.name}"'
        assert done.stdout.startswith(f"upgraded {where} from version {number} to {VERSION}; the link works"), done
        assert (done.stderr, done.status) == ("", 0)
        if not new.partition and number in (OLDER[0], OLDER[-1]):
            assert "nothing changed" in empty_database.ctl("bootstrap").stdout
        for row in had["job_check_config"]:
            row["sensitivity"] = max(row["sensitivity"], 0)  # type: ignore[call-overload]
        assert rows(session, columns) == had
        assert judged(empty_database) == before
        if new.partition:
            session.execute("DROP VIEW jobmon.our_view")
            assert empty_database.ctl("partition", *as_owner, "--every", new.partition).status == 0
        is_as_new(empty_database, new)
        with empty_database.connect(user="upgraded_app") as app:
            app.execute("SELECT jobmon.close_job(jobmon.add_job('nightly etl')), jobmon.fail_job(5)")
        assert session.execute("SELECT job_id, job_name FROM jobmon.job_check_log ORDER BY job_id").fetchall() == [
            (5, 'LOAD "IT"\'S'),
            (7, "CANCELLED"),
        ]
