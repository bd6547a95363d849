"""Bootstrap by a role that is no superuser: what it may, what it leaves to a superuser, and what the server's log has of it."""

import re

import psycopg
import pytest
from psycopg import sql

from check_jobmon.schema.roles import ROLES, memberships
from tests.database import Database, Output, value
from tests.schema.conftest import NewServer

SCRAM = "local all postgres trust\nlocal all all scram-sha-256\nhost all all 127.0.0.0/8 scram-sha-256\n"


def owned_database(dba: psycopg.Connection, attributes: str = "") -> None:
    """The database `owned`, whose owner `app` has these attributes besides."""
    dba.execute(f"SET password_encryption = 'scram-sha-256'; CREATE ROLE app LOGIN PASSWORD 'x' {attributes}".encode())
    dba.execute("CREATE DATABASE owned OWNER app")


@pytest.mark.parametrize("by", ["a superuser", "an owner with CREATEROLE", "an owner for whom a superuser made it all"])
def test_a_second_bootstrap_leaves_no_error_in_the_servers_log(new_server: NewServer, by: str) -> None:
    server = new_server(hba=SCRAM, log_min_messages="warning")
    database = Database(server, "owned")
    with Database(server, "postgres").connect() as dba:
        owned_database(dba, "CREATEROLE" if "CREATEROLE" in by else "")
    with database.connect() as dba:
        dba.execute("CREATE SCHEMA jobmon_dblink; CREATE EXTENSION dblink SCHEMA jobmon_dblink")
        dba.execute("GRANT USAGE ON SCHEMA jobmon_dblink TO app")
        if "made it all" in by:
            dba.execute("CREATE SCHEMA jobmon AUTHORIZATION app")
            dba.execute("REVOKE CONNECT ON DATABASE owned FROM PUBLIC; GRANT CONNECT ON DATABASE owned TO app")
            dba.execute("ALTER DATABASE owned OWNER TO postgres")
            dba.execute("; ".join(f"CREATE ROLE jobmon_{suffix}" for suffix in ROLES).encode())
            link = dba.execute("SELECT 'jobmon_link_' || oid FROM pg_database WHERE datname = 'owned'").fetchall()[0][0]
            dba.execute(f"CREATE ROLE {link} LOGIN NOINHERIT; GRANT CONNECT ON DATABASE owned TO {link}".encode())
            dba.execute(f"GRANT {link} TO app".encode())
    role = ("-U", "postgres" if by == "a superuser" else "app")
    assert database.ctl("bootstrap", *role, PGPASSWORD="x").status == 0
    log = server.folder / "log"
    before = len(log.read_text())
    again = database.ctl("bootstrap", *role, PGPASSWORD="x")
    assert ("nothing changed" in again.stdout, again.stderr, again.status) == (True, "", 0)
    assert re.findall(r"(?:WARNING|ERROR|FATAL|PANIC): .*", log.read_text()[before:]) == []


def fresh_owner(new_server: NewServer, *, hba: str = SCRAM, attributes: str = "", dbname: str = "owned") -> Database:
    """A database in which `app` may connect and nothing else."""
    server = new_server(hba=hba)
    with Database(server, "postgres").connect() as dba:
        dba.execute("SET password_encryption = 'scram-sha-256'")
        dba.execute(f"CREATE ROLE app LOGIN PASSWORD 'x' {attributes}".encode())
        dba.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(dbname)))
    return Database(server, dbname)


def as_app(database: Database, *arguments: str) -> Output:
    """`jobmonctl bootstrap` as the ordinary role."""
    return database.ctl("bootstrap", "-U", "app", *arguments, PGPASSWORD="x")


def pasted(database: Database, script: str) -> None:
    """The script, as a superuser runs it."""
    with database.connect() as dba:
        dba.execute(script.encode())


def state(database: Database) -> list[tuple[object, ...]]:
    """The roles, schemas and extensions that there are."""
    query = """
        SELECT 'role', rolname::text FROM pg_roles UNION ALL SELECT 'schema', nspname FROM pg_namespace
         UNION ALL SELECT 'extension', extname FROM pg_extension ORDER BY 1, 2
    """
    with database.connect() as dba:
        return dba.execute(query.encode()).fetchall()


def names_of_roles() -> list[str]:
    return list(memberships("jobmon"))


def test_what_a_superuser_has_to_give_is_said_at_once_and_bootstrap_succeeds_after_it(new_server: NewServer) -> None:
    database = fresh_owner(new_server)
    before = state(database)
    refused = as_app(database)
    roles = "".join(f', create role "{name}"' for name in names_of_roles())
    assert refused.stderr == (
        'jobmonctl bootstrap: role "app" may not create a schema in this database, install dblink, create the link\'s role'
        f'{roles}: have a superuser run, in database "owned", what "jobmonctl bootstrap --print-superuser-sql" prints with '
        "the same options, then run bootstrap again\n"
    )
    assert (refused.stdout, refused.status) == ("", 1)
    printed = as_app(database, "--print-superuser-sql")
    assert (printed.stderr, printed.status) == ("", 0)
    assert state(database) == before
    for name in names_of_roles():
        assert f"CREATE ROLE {name} NOLOGIN;\n" in printed.stdout
    for name, group in memberships("jobmon").items():
        assert (f"GRANT {group} TO {name};\n" in printed.stdout) is (group is not None)
    pasted(database, printed.stdout)
    done = as_app(database)
    assert done.stdout.startswith("installed version")
    assert "superuser" not in done.stdout
    again = as_app(database)
    assert ("nothing changed" in again.stdout, again.status) == (True, 0)
    lacks_nothing = as_app(database, "--print-superuser-sql")
    assert lacks_nothing.stdout == ('-- role "app" lacks no right to bootstrap schema "jobmon" in database "owned"\n')
    pasted(database, lacks_nothing.stdout)
    with database.connect() as dba:
        dba.execute("CREATE ROLE etl LOGIN PASSWORD 'x' IN ROLE jobmon_log")
        owners = (
            "SELECT array_agg(DISTINCT pg_get_userbyid(o.owner)) FROM ("
            " SELECT relowner AS owner FROM pg_class WHERE relnamespace = 'jobmon'::regnamespace"
            " UNION SELECT proowner FROM pg_proc WHERE pronamespace = 'jobmon'::regnamespace"
            " UNION SELECT nspowner FROM pg_namespace WHERE nspname = 'jobmon') AS o"
        )
        assert value(dba, owners) == ["app"]
        # the socket was found, and the link has all settings
        assert value(dba, "SELECT over FROM jobmon.link") == "socket"
        settings = (
            "SELECT s.setconfig::text FROM pg_db_role_setting AS s JOIN pg_roles AS r ON r.oid = s.setrole"
            " WHERE r.rolname = (SELECT role_name FROM jobmon.link)"
        )
        assert "track_activities=off" in value(dba, settings)
    with database.connect(user="etl", password="x") as logger:
        assert value(logger, "SELECT jobmon.sql_job('etl', 'SELECT')").endswith("was successful")


NO_ROLES = ("--no-roles", "--schema", "other")


@pytest.mark.parametrize(
    ("attributes", "owner", "options"),
    [
        ("", False, ()),
        ("CREATEROLE", True, ()),
        ("", True, NO_ROLES),
        ("CREATEROLE", False, NO_ROLES),
    ],
    ids=["plain", "may make roles, owner of the database", "owner, no roles", "may make roles, but makes none"],
)
def test_whatever_rights_the_role_has_already_the_rest_is_printed(
    new_server: NewServer, attributes: str, owner: bool, options: tuple[str, ...]
) -> None:
    """Of the three, any two meet in every way."""
    dbname = 'it\'s "ours"; --'
    database = fresh_owner(new_server, attributes=attributes, dbname=dbname)
    with database.connect() as dba:
        dba.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(sql.Identifier(dbname)))
        dba.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO app").format(sql.Identifier(dbname)))
        if owner:
            dba.execute(sql.SQL("ALTER DATABASE {} OWNER TO app").format(sql.Identifier(dbname)))
    assert as_app(database, *options).status == 1
    pasted(database, as_app(database, "--print-superuser-sql", *options).stdout)
    done = as_app(database, *options)
    assert (done.stderr, done.status) == ("", 0)
    assert "the link works" in done.stdout
    assert "lacks no right" in as_app(database, "--print-superuser-sql", *options).stdout


def test_the_line_that_pg_hba_lacks_is_among_what_is_printed(new_server: NewServer) -> None:
    hba = "local all postgres,app trust\nlocal all all reject\nhost all all 0.0.0.0/0 reject\n"
    database = fresh_owner(new_server, hba=hba)
    printed = as_app(database, "--print-superuser-sql").stdout
    lines = re.findall("^-- ((?:local|host) .*)", printed, re.MULTILINE)
    assert [line.split()[0] for line in lines] == ["local", "host"]
    pasted(database, printed)
    for line in lines:
        (database.server.data / "pg_hba.conf").write_text(f"{line}\n{hba}")
        with database.connect() as dba:
            dba.execute("SELECT pg_reload_conf()")
        assert "the link works" in as_app(database).stdout


def test_what_others_made_of_the_roles_is_undone_by_what_is_printed(new_server: NewServer) -> None:
    database = fresh_owner(new_server)
    with database.connect() as dba:
        dba.execute("CREATE ROLE jobmon_log LOGIN CREATEDB; CREATE ROLE mallory IN ROLE jobmon_log")
    pasted(database, as_app(database, "--print-superuser-sql").stdout)
    assert as_app(database).status == 0


def test_a_superuser_lacks_nothing(empty_database: Database) -> None:
    printed = empty_database.ctl("bootstrap", "--print-superuser-sql")
    assert printed.stdout.startswith('-- role "postgres" lacks no right to bootstrap')
    assert (printed.stdout.count("\n"), printed.stderr, printed.status) == (1, "", 0)
