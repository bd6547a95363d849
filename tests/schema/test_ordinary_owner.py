"""Bootstrap by a role that is no superuser: what it may, what it leaves to a superuser, and what the server's log has of it."""

import re

import psycopg
import pytest

from tests.database import Database
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
            dba.execute("CREATE ROLE jobmon_log; CREATE ROLE jobmon_monitor")
            link = dba.execute("SELECT 'jobmon_link_' || oid FROM pg_database WHERE datname = 'owned'").fetchall()[0][0]
            dba.execute(f"CREATE ROLE {link} LOGIN NOINHERIT; GRANT CONNECT ON DATABASE owned TO {link}".encode())
            dba.execute(f"GRANT {link} TO app".encode())
    role = ("-U", "postgres" if by == "a superuser" else "app")
    assert database.ctl("bootstrap", *role, PGPASSWORD="x").status == 0
    log = server.folder / "log"
    before = len(log.read_text())
    for _ in range(2):
        again = database.ctl("bootstrap", *role, PGPASSWORD="x")
        assert ("nothing changed" in again.stdout, again.stderr, again.status) == (True, "", 0)
    assert re.findall(r"(?:WARNING|ERROR|FATAL|PANIC): .*", log.read_text()[before:]) == []
