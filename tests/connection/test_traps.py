"""The owner of the schema has changed what bootstrap made: nobody who uses a command lends him any rights.

A trap raises a message in the server's log that says as whom it ran. As a superuser no command goes on at all; as a role
that may only read, with pg_monitor or without, the commands that read run nothing of the owner's. (Whoever writes as
somebody else than the owner trusts him.)
"""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from check_jobmon.connection.errors import DatabaseUnreachable
from check_jobmon.connection.session import RESTRICTING, Rows, Session
from check_jobmon.ctl import dispatch
from check_jobmon.demo.server import Server
from check_jobmon.judging.job_log import Inquiry
from check_jobmon.plugin import cli
from tests.database import Database, run_module, value
from tests.parsers import commands

OWNER, MONITOR, READER = "trap_owner", "trap_monitor", "trap_reader"

MAKE = """
    CREATE SCHEMA evil AUTHORIZATION trap_owner;
    GRANT USAGE ON SCHEMA evil TO PUBLIC;
    SET ROLE trap_owner;
    CREATE FUNCTION evil.trap() RETURNS boolean LANGUAGE plpgsql AS
        $$BEGIN RAISE LOG 'trapped as %', current_user; RETURN true; END$$;
    CREATE FUNCTION evil.yes(integer) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
        $$BEGIN RAISE LOG 'trapped as %', current_user; RETURN true; END$$;
    CREATE FUNCTION evil.number(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS
        $$BEGIN RAISE LOG 'trapped as %', current_user; RETURN $1; END$$;
    CREATE FUNCTION evil.trigger() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN RAISE LOG 'trapped as %, by %', current_user, TG_TABLE_NAME; RETURN coalesce(NEW, OLD); END$$;
    CREATE TYPE evil.pair AS (a integer, b integer);
    CREATE FUNCTION evil.pair_to_json(evil.pair) RETURNS json LANGUAGE plpgsql AS
        $$BEGIN RAISE LOG 'trapped as %', current_user; RETURN '{}'; END$$;
    CREATE CAST (evil.pair AS json) WITH FUNCTION evil.pair_to_json(evil.pair);
    CREATE DOMAIN evil.word AS text CHECK (evil.trap());
    RESET ROLE;
"""
GIVE_AWAY = """
    DO $$
    DECLARE
        r record;
    BEGIN
        EXECUTE 'ALTER SCHEMA jobmon OWNER TO trap_owner';
        FOR r IN SELECT c.oid::regclass::text AS name FROM pg_class AS c
                  WHERE c.relnamespace = 'jobmon'::regnamespace AND c.relkind = 'r' LOOP
            EXECUTE format('ALTER TABLE %s OWNER TO trap_owner', r.name);
        END LOOP;
        FOR r IN SELECT p.oid::regprocedure::text AS name FROM pg_proc AS p WHERE p.pronamespace = 'jobmon'::regnamespace LOOP
            EXECUTE format('ALTER ROUTINE %s OWNER TO trap_owner', r.name);
        END LOOP;
        GRANT USAGE ON SCHEMA jobmon TO trap_reader;
        GRANT SELECT ON jobmon.job_log, jobmon.job_detail, jobmon.job_check_config, jobmon.job_check_log,
                        jobmon.job_status_text TO trap_reader;
    END
    $$
"""

TABLES = ("job_log", "job_detail", "job_check_config", "job_check_log", "job_status_text")
ALL_TABLES = (*TABLES, "link", "dblink_mapping", "schema_version")


def view(table: str) -> str:
    """A view in the place of a table."""
    return f"""
        ALTER TABLE jobmon.{table} RENAME TO {table}_real;
        CREATE VIEW jobmon.{table} AS SELECT * FROM jobmon.{table}_real WHERE evil.trap();
        GRANT SELECT, DELETE ON jobmon.{table} TO PUBLIC
    """


def replaced(signature: str, returns: str, kind: str = "FUNCTION") -> str:
    """A function of ours that does something else now, as its caller."""
    return f"""
        DROP {kind} IF EXISTS jobmon.{signature} CASCADE;
        CREATE FUNCTION jobmon.{signature} RETURNS {returns} LANGUAGE plpgsql AS
            $$BEGIN RAISE LOG 'trapped as %, by {signature}', current_user; RETURN; END$$;
        GRANT EXECUTE ON FUNCTION jobmon.{signature} TO PUBLIC
    """


FUNCTIONS = {
    "show_job(text, integer)": "SETOF jobmon.job_log",
    "job_runs(text, integer)": "SETOF jobmon.job_log",
    "show_running(integer)": "SETOF jobmon.job_log",
    "show_detail(bigint)": "SETOF jobmon.job_detail",
    "show_job_status(text, integer)": "SETOF jobmon.job_log",
    "add_job(text)": "void",
    "cancel_job(bigint)": "void",
    "job_log_clear(interval)": "void",
    "job_log_kept_before(timestamptz)": "SETOF jobmon.job_log",
    "status_text(integer)": "void",
}
TRAPS = {
    **{f"view {table}": view(table) for table in ALL_TABLES},
    "triggers": "; ".join(
        f"CREATE TRIGGER a AFTER INSERT OR UPDATE OR DELETE ON jobmon.{table}"
        " FOR EACH STATEMENT EXECUTE FUNCTION evil.trigger()"
        for table in ALL_TABLES
    ),
    "rules": "; ".join(
        f"CREATE RULE a AS ON DELETE TO jobmon.{table} DO ALSO SELECT evil.trap()"
        for table in ("job_check_log", "job_check_config", "link")
    ),
    **{
        f"policy on {table}": f"ALTER TABLE jobmon.{table} ENABLE ROW LEVEL SECURITY;"
        f" CREATE POLICY a ON jobmon.{table} USING (evil.trap())"
        for table in TABLES
    },
    "column with a cast to json": "ALTER TABLE jobmon.job_status_text ADD COLUMN a evil.pair DEFAULT ROW(1, 2)",
    "domain as a type": "ALTER TABLE jobmon.job_check_config ALTER job_name TYPE evil.word",
    "index on an expression": "CREATE INDEX ON jobmon.job_log (evil.number(pid))",
    "index with a condition": "CREATE INDEX ON jobmon.job_log (pid) WHERE evil.yes(1)",
    "index of a detail": "CREATE INDEX ON jobmon.job_detail (job_id) WHERE evil.yes(1)",
    "check constraint": "ALTER TABLE jobmon.job_log ADD CHECK (evil.yes(1))",
    "child": "CREATE TABLE evil.child (CHECK (evil.yes(1))) INHERITS (jobmon.job_log)",
    "child with an index": "CREATE TABLE evil.child () INHERITS (jobmon.job_check_log);"
    " CREATE INDEX ON evil.child (job_id) WHERE evil.yes(1); GRANT SELECT ON evil.child TO PUBLIC",
    "generated column": "ALTER TABLE jobmon.job_log ADD COLUMN a integer GENERATED ALWAYS AS (evil.number(pid)) STORED",
    "default": "ALTER TABLE jobmon.job_check_config ALTER active SET DEFAULT evil.trap()",
    "cast of a row": "CREATE FUNCTION evil.to_json(jobmon.job_status_text) RETURNS json LANGUAGE plpgsql AS"
    " $$BEGIN RAISE LOG 'trapped as %', current_user; RETURN '{}'; END$$;"
    " CREATE CAST (jobmon.job_status_text AS json) WITH FUNCTION evil.to_json(jobmon.job_status_text)",
    "partition key": "ALTER TABLE jobmon.job_check_log RENAME TO old;"
    " CREATE TABLE jobmon.job_check_log (LIKE jobmon.old) PARTITION BY RANGE (evil.number(alert_code));"
    " CREATE TABLE evil.part PARTITION OF jobmon.job_check_log DEFAULT; GRANT SELECT ON jobmon.job_check_log TO PUBLIC",
    "functions": ";".join(replaced(signature, returns) for signature, returns in FUNCTIONS.items()),
    "overloads": replaced("show_job(character varying, bigint)", "SETOF jobmon.job_log")
    + ";"
    + replaced("upper(character varying)", "void"),
    "operator": "CREATE FUNCTION jobmon.same(text, name) RETURNS boolean LANGUAGE plpgsql AS"
    " $$BEGIN RAISE LOG 'trapped as %', current_user; RETURN true; END$$;"
    " CREATE OPERATOR jobmon.= (FUNCTION = jobmon.same, LEFTARG = text, RIGHTARG = name)",
}
"""What the owner may do, by a name."""
SINCE_14 = {
    "statistics": "CREATE STATISTICS jobmon.a ON (evil.number(pid)), job_name FROM jobmon.job_log; ANALYZE jobmon.job_log"
}
HARMLESS = (
    *("triggers", "rules", "view link", "view dblink_mapping", "view schema_version"),
    *("column with a cast to json", "generated column", "default", "cast of a row"),
    *("functions", "overloads", "operator"),
)
"""Those that hinder no command that reads: they are in one database, because none hides another."""
HINDERING = [name for name in (*TRAPS, *SINCE_14) if name not in HARMLESS]
READING = (
    "status",
    "show",
    "like",
    "failed",
    "running",
    "detail",
    "history",
    "report",
    "config diff",
    "config export",
    "config services",
    "config suggest",
)
ARGUMENTS = {
    "like": ["e"],
    "show": ["etl"],
    "failed": ["etl"],
    "detail": ["etl"],
    "history": ["etl"],
    "report": ["-o", "-"],
    "cancel": ["-y", "1"],
    "clear": ["-y", "1 day"],
    "ack": ["-y", "etl"],
    "partition": ["--every", "month"],
    "config services": ["--nagios"],
    "silence": ["etl", "1h", "-m", "why"],
    "unsilence": ["etl"],
}


@pytest.fixture(scope="module")
def given_away(server: Server, template: str) -> Iterator[str]:
    """The name of a database whose job log, with some runs in it, belongs to an ordinary role."""
    name = "traps_template"
    with Database(server, "postgres").connect() as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        admin.execute(
            f"CREATE ROLE {OWNER} LOGIN; CREATE ROLE {MONITOR} LOGIN IN ROLE jobmon_monitor; CREATE ROLE {READER} LOGIN".encode()
        )
        database = Database(server, name)
        assert database.ctl("bootstrap").status == 0
        with database.connect() as session:
            session.execute(
                "INSERT INTO jobmon.job_check_config VALUES ('ETL', '1 hour', '2 hours', true, 0, '-infinity')"
            )
            session.execute("SELECT jobmon.sql_job('etl', 'SELECT 1 / 0'), jobmon.sql_job('load', 'SELECT')")
            session.execute(MAKE)
            session.execute(GIVE_AWAY)
        yield name
        admin.execute(f"DROP DATABASE {name}".encode())
        admin.execute(f"DROP ROLE {OWNER}, {MONITOR}, {READER}".encode())


def trapped_as(server: Server, since: int = 0) -> list[str]:
    """As whom the traps ran so far, or since the server's log had so many bytes."""
    with open(server.folder / "log", "rb") as log:
        log.seek(since)
        return re.findall(r"trapped as (.*)", log.read().decode(errors="replace"))


@pytest.fixture
def jobs(tmp_path: Path) -> str:
    """A file for jobmonctl config."""
    file = tmp_path / "jobs.yml"
    file.write_text("jobs: {ETL: {warn: 2h, error: 3h}}\n")
    return str(file)


def run(database: Database, user: str, command: str, jobs: str) -> tuple[int, str]:
    """Run a command as a role: its exit status, and as whom a trap ran meanwhile ("" if none did)."""
    before = (database.server.folder / "log").stat().st_size
    options = [*database.options[:-1], user]
    if command == "check_jobmon":
        status = cli.main([*options, "-vv"])
    elif command == "run":
        status = run_module(
            "check_jobmon.ctl", "run", "etl", *options, "--spool", str(Path(jobs).parent / "s"), "--", "true"
        ).status
    else:
        file = [jobs] if command in ("config apply", "config diff", "config check") else []
        status = dispatch.main([*command.split(), *options, *file, *ARGUMENTS.get(command, [])])
    trapped = {*trapped_as(database.server, before)}
    return status, "; ".join(found for found in trapped if found.partition(",")[0] != OWNER)


def guarded() -> list[str]:
    """The commands that stop where the schema is another role's and they are a superuser's."""
    return [" ".join(words) for words in commands() if words not in (("config", "check"), ("run",))]


def in_turn(number: int) -> list[str]:
    """The three of them that a superuser gives beside the trap of that number: from the first again after the last."""
    some = guarded()
    return [some[place % len(some)] for place in range(3 * number, 3 * number + 3)]


def refused(database: Database, command: str, jobs: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A superuser's command is refused in a line that says as whom to connect, and runs no trap."""
    capfd.readouterr()
    status, gained = run(database, "postgres", command, jobs)
    printed = capfd.readouterr()
    assert (status in (1, 2), gained) == (True, ""), command
    assert (printed.out, printed.err.count("\n")) == ("", 1), command
    assert f"-U {OWNER}" in printed.err or "-U" in printed.err, command


@pytest.mark.parametrize("trap", ["harmless ones", *HINDERING])
def test_the_owners_traps_gain_him_nothing(
    server: Server, given_away: str, trap: str, jobs: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Those that hinder nobody with every command, and those that read as both roles, which do all that they did before.

    The others stop the commands that read at one gate, whichever table they are on: so each trap meets the
    first, which reads all tables, and every third of the others, from another one on, by turns as the one role or as the
    other. A superuser's commands all go through one gate, too,
    before they read anything of the schema: so each trap meets some of them, and each of them some traps, of several kinds.
    """
    reading = (*READING, "check_jobmon")
    with Database(server, "postgres").connect() as admin:
        if trap in SINCE_14 and admin.info.server_version < 140000:
            pytest.skip("PostgreSQL 13 has no statistics of expressions")
        admin.execute(f"CREATE DATABASE trap TEMPLATE {given_away}".encode())
        try:
            database = Database(server, "trap")
            with database.connect() as session:
                if trap == "harmless ones":
                    pairs = [(user, command) for user in (MONITOR, READER) for command in reading]
                    before = {pair: run(database, *pair, jobs) for pair in pairs}
                    session.execute("SET ROLE trap_owner")
                    for name in HARMLESS:
                        session.execute(TRAPS[name].encode())
                    assert {pair: run(database, *pair, jobs) for pair in pairs} == before
                    superusers = guarded()
                else:
                    session.execute("SET ROLE trap_owner")
                    session.execute({**TRAPS, **SINCE_14}[trap].encode())
                    number = HINDERING.index(trap)
                    first, *others = reading
                    for turn, command in enumerate((first, *others[number % 3 :: 3])):
                        user = (MONITOR, READER)[(number + turn) % 2]
                        assert not run(database, user, command, jobs)[1], f"{command} as {user}"
                    superusers = in_turn(number)
            for command in superusers:
                refused(database, command, jobs, capfd)
            assert run(database, "postgres", "check_jobmon", jobs) == (3, "")
        finally:
            admin.execute("DROP DATABASE trap WITH (FORCE)")


def test_run_as_a_superuser_logs_nothing_there_but_runs_the_command(server: Server, given_away: str, jobs: str) -> None:
    with Database(server, "postgres").connect() as admin:
        admin.execute(f"CREATE DATABASE trap TEMPLATE {given_away}".encode())
        try:
            database = Database(server, "trap")
            with database.connect() as session:
                session.execute(replaced("add_job(text)", "void").encode())
                assert run(database, "postgres", "run", jobs) == (0, "")
                assert value(session, "SELECT max(job_id) FROM jobmon.job_log") == 2
        finally:
            admin.execute("DROP DATABASE trap WITH (FORCE)")


def test_what_others_may_add_to_a_superusers_schema_is_refused_too(
    database: Database, session: psycopg.Connection
) -> None:
    """The right to create in the schema, a trigger by the right to make one, a function whose owner is another."""
    session.execute("CREATE ROLE trap_guest LOGIN; CREATE SCHEMA guest AUTHORIZATION trap_guest")
    session.execute("CREATE FUNCTION guest.t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    session.execute("ALTER FUNCTION guest.t() OWNER TO trap_guest")
    try:
        for gift, back, named in (
            (
                "GRANT CREATE ON SCHEMA jobmon TO trap_guest",
                "REVOKE CREATE ON SCHEMA jobmon FROM trap_guest",
                "the right to create",
            ),
            ("GRANT CREATE ON SCHEMA jobmon TO PUBLIC", "REVOKE CREATE ON SCHEMA jobmon FROM PUBLIC", "PUBLIC"),
            (
                "CREATE TRIGGER a AFTER DELETE ON jobmon.job_check_log FOR EACH STATEMENT EXECUTE FUNCTION guest.t()",
                "DROP TRIGGER a ON jobmon.job_check_log",
                "trigger a",
            ),
            (
                "GRANT CREATE ON SCHEMA jobmon TO trap_guest; ALTER FUNCTION jobmon.show_detail(bigint) OWNER TO trap_guest;"
                " REVOKE CREATE ON SCHEMA jobmon FROM trap_guest",
                "ALTER FUNCTION jobmon.show_detail(bigint) OWNER TO postgres",
                "function jobmon.show_detail(bigint)",
            ),
        ):
            session.execute(gift.encode())
            refused = database.ctl("status")
            assert refused.status == 1
            assert named in refused.stderr
            assert "trap_guest" in refused.stderr or "PUBLIC" in refused.stderr
            assert database.check().status == 3
            session.execute(back.encode())
        assert database.check().status == 0
    finally:
        session.execute("DROP OWNED BY trap_guest; DROP ROLE trap_guest")


def test_giving_up_the_rights_is_no_boundary(server: Server, given_away: str, session: psycopg.Connection) -> None:
    """A role whose settings SET another role, and a role that is a member of a superuser's, are superusers all the same."""
    session.execute("CREATE ROLE trap_disguised LOGIN SUPERUSER; ALTER ROLE trap_disguised SET role = 'trap_reader'")
    session.execute("CREATE ROLE trap_member LOGIN IN ROLE postgres")
    try:
        database = Database(server, given_away)
        for user in ("trap_disguised", "trap_member"):
            output = database.check("-U", user)
            assert output.status == 3
            assert f'belongs to role "{OWNER}": connect as that role' in output.stdout
    finally:
        session.execute("DROP ROLE trap_disguised, trap_member")


def test_the_databases_owner_can_not_take_the_rights_of_a_superuser_away_for_show(
    server: Server, given_away: str, jobs: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """ALTER DATABASE ... SET role applies to a superuser's login too; RESET ROLE undoes it."""
    with Database(server, "postgres").connect() as admin:
        admin.execute(f"CREATE DATABASE trap TEMPLATE {given_away} OWNER {OWNER}".encode())
        try:
            database = Database(server, "trap")
            with database.connect() as session:
                session.execute(replaced("add_job(text)", "void").encode())
            with database.connect(user=OWNER) as owner:
                owner.execute(f"ALTER DATABASE trap SET role = '{OWNER}'".encode())
            before = trapped_as(server)
            for command in ("run", "bootstrap", "clear", "status", "check_jobmon"):
                run(database, "postgres", command, jobs)
                printed = capfd.readouterr()
                if command != "run":  # which runs its command all the same, in a process of its own
                    assert f'belongs to role "{OWNER}": connect as that role' in printed.out + printed.err, command
            assert trapped_as(server) == before
        finally:
            admin.execute("DROP DATABASE trap WITH (FORCE)")


@pytest.mark.parametrize("powerful", ["pg_execute_server_program", "pg_write_server_files", "pg_read_server_files"])
def test_who_can_take_a_superusers_rights_is_guarded_as_one(server: Server, given_away: str, powerful: str) -> None:
    with Database(server, "postgres").connect() as admin:
        admin.execute(f"CREATE ROLE trap_powerful LOGIN IN ROLE {powerful}".encode())
        try:
            output = Database(server, given_away).check("-U", "trap_powerful")
            assert output.status == 3
            assert f'belongs to role "{OWNER}": connect as that role' in output.stdout
        finally:
            admin.execute("DROP ROLE trap_powerful")


def test_a_schema_of_the_sessions_own_role_is_not_trusted_if_others_are_that_role_too(
    database: Database, session: psycopg.Connection
) -> None:
    session.execute("CREATE ROLE trap_own LOGIN IN ROLE postgres; CREATE ROLE trap_guest LOGIN")
    session.execute(MAKE.replace("trap_owner", "trap_own").encode())
    session.execute(GIVE_AWAY.replace("trap_owner", "trap_own").replace("trap_reader", "trap_guest").encode())
    try:
        assert database.check("-U", "trap_own").status == 0
        session.execute("GRANT trap_own TO trap_guest")
        assert database.check("-U", "trap_own").status == 3
    finally:
        session.execute("REASSIGN OWNED BY trap_own TO postgres; DROP OWNED BY trap_own, trap_guest")
        session.execute("DROP ROLE trap_own, trap_guest")


def test_a_table_that_becomes_a_view_after_it_was_looked_at_is_not_read(
    server: Server, given_away: str, jobs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look is one round trip and the reading the next: whoever is quick can put a view in between."""
    with Database(server, "postgres").connect() as admin:
        admin.execute(f"CREATE DATABASE trap TEMPLATE {given_away}".encode())
        try:
            database = Database(server, "trap")
            before = trapped_as(server)
            with Session({**database.parameters, "user": MONITOR}).connect() as reader, database.connect() as owner:
                major, minor = divmod(reader.info.server_version, 10000)
                if minor < RESTRICTING.get(major, 0):
                    pytest.skip("this release of PostgreSQL can't lock views out")
                scripts: list[str] = []

                async def overtaken(script: str) -> list[Rows]:
                    if scripts:
                        owner.execute("SET ROLE trap_owner")
                        owner.execute(view("job_status_text").encode())
                    scripts.append(script)
                    return reader.script(script)

                monkeypatch.setattr(reader, "fetch", overtaken)
                with pytest.raises(DatabaseUnreachable, match="access to non-system view"):
                    reader.ask(Inquiry(reader, "jobmon", time.monotonic() + 20).judging())
                assert len(scripts) == 2
            assert trapped_as(server) == before
        finally:
            admin.execute("DROP DATABASE trap WITH (FORCE)")
