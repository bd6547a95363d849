"""The link's way: to this server and to nobody else, whoever sits where the server could be."""

import contextlib
import os
import pwd
import re
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from check_jobmon.connection.errors import BootstrapError
from check_jobmon.schema.rights import superuser_sql
from tests.database import Database, bootstrap, pinned, value
from tests.schema.conftest import NewServer

ASKS_FOR_PASSWORD = struct.pack("!cII", b"R", 8, 3)
ENCODING = b"client_encoding\0UTF8\0"
LETS_IN = b"".join(
    (
        struct.pack("!cII", b"R", 8, 0),
        struct.pack("!cI", b"S", 4 + len(ENCODING)) + ENCODING,
        struct.pack("!cIII", b"K", 12, 1, 1),
        struct.pack("!cIc", b"Z", 5, b"I"),
    )
)
SCRAM_ONLY = """
local all postgres trust
local all all scram-sha-256
host all all 127.0.0.0/8 scram-sha-256
"""
SCRAM_OVER_TCP = "local all postgres trust\nlocal all all reject\nhost all all 127.0.0.0/8 scram-sha-256\n"


class Impostor:
    """Answers a link as a PostgreSQL server would, and keeps all that it gets (manual, 53.7 Message Formats)."""

    def __init__(self, listener: socket.socket, answer: bytes) -> None:
        self.received = b""
        self._answer = answer
        self._listener = listener
        self._listener.listen()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, contextlib.suppress(OSError):
                    self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        connection.settimeout(5)
        answered = False
        while data := connection.recv(65536):
            if data[4:8] in (struct.pack("!I", 80877103), struct.pack("!I", 80877104)):
                connection.sendall(b"N")  # no TLS, no GSSAPI
                continue
            self.received += data
            if not answered:
                connection.sendall(self._answer)
                answered = True

    def close(self) -> None:
        """Stop answering."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.thread.join(10)


@contextlib.contextmanager
def impostor(where: tuple[str, int] | str, answer: bytes) -> Iterator[Impostor]:
    """Somebody else's process at an address, or at the path of a socket."""
    with socket.socket(socket.AF_UNIX if isinstance(where, str) else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        if isinstance(where, str):
            os.chmod(where, 0o777)
        fake = Impostor(listener, answer)
        try:
            yield fake
        finally:
            fake.close()


def gets_nothing(database: Database, fake: Impostor, reason: str) -> None:
    """Neither the link's password nor a run goes to the impostor, from a logger or from bootstrap."""
    with database.connect() as session:
        password = value(session, "SELECT password FROM jobmon.link").encode()
        with pytest.raises(psycopg.OperationalError) as refused:
            session.execute("SELECT jobmon.add_job('a secret job')")
        assert password not in fake.received
        assert b"SECRET JOB" not in fake.received.upper()
        assert re.search(reason, str(refused.value))
        fake.received = b""
        # finds another way, or says that there is none
        with contextlib.suppress(BootstrapError):
            bootstrap(session, "jobmon")
        assert password not in fake.received
        assert b"select" not in fake.received.lower()


@pytest.mark.parametrize("answer", [ASKS_FOR_PASSWORD, LETS_IN], ids=["asks for the password", "lets everybody in"])
def test_where_the_server_does_not_listen_no_tcp_is_tried(new_server: NewServer, answer: bytes) -> None:
    server = new_server(hba=SCRAM_OVER_TCP)
    database = Database(server, "postgres")
    with database.connect() as session:
        bootstrap(session, "jobmon")
        assert value(session, "SELECT over FROM jobmon.link") == "tcp"
    server.stop()
    server.settings["listen_addresses"] = ""
    server.start()
    with impostor(("127.0.0.1", server.port), answer) as fake:
        gets_nothing(database, fake, r"the server doesn't listen on TCP \(listen_addresses is empty\)")
        assert fake.received == b""
        done = database.ctl("bootstrap")
        assert "listen_addresses is empty" in done.stderr
        assert '(a line in pg_hba.conf: local "postgres" "jobmon_link_' in done.stderr
        assert (done.stderr.count("\n"), done.status) == (1, 1)


def needs_require_auth(database: Database, answer: bytes) -> None:
    """Only a libpq of version 16 can refuse to give a password in clear."""
    if answer == ASKS_FOR_PASSWORD:
        with database.connect() as session:
            if session.info.server_version < 160000:
                pytest.skip("this server's libpq has no require_auth")


@pytest.mark.parametrize("answer", [ASKS_FOR_PASSWORD, LETS_IN], ids=["asks for the password", "lets everybody in"])
def test_who_sits_at_an_address_that_the_server_could_not_have_gets_nothing(
    new_server: NewServer, answer: bytes
) -> None:
    server = new_server(hba=SCRAM_OVER_TCP)
    database = Database(server, "postgres")
    needs_require_auth(database, answer)
    with database.connect() as session:
        bootstrap(session, "jobmon")
    server.stop()
    with impostor(("127.0.0.2", server.port), answer) as fake:
        # the server warns that it can't listen on the first, and goes on
        server.settings["listen_addresses"] = "127.0.0.2,127.0.0.1"
        server.start()
        gets_nothing(
            database,
            fake,
            "another server or program has answered" if answer == LETS_IN else "authentication method requirement",
        )


@pytest.mark.parametrize("answer", [ASKS_FOR_PASSWORD, LETS_IN], ids=["asks for the password", "lets everybody in"])
def test_who_took_the_place_of_the_socket_gets_nothing(new_server: NewServer, answer: bytes) -> None:
    server = new_server(hba=SCRAM_ONLY)
    database = Database(server, "postgres")
    needs_require_auth(database, answer)
    with database.connect() as session:
        bootstrap(session, "jobmon")
    server.stop()
    first = server.folder / "first"
    first.mkdir(0o700)
    if os.geteuid() == 0:
        owner = pwd.getpwuid(server.folder.stat().st_uid)
        os.chown(first, owner.pw_uid, owner.pw_gid)
    server.settings["unix_socket_directories"] = f"{first},{server.folder}"
    server.start()
    path = Path(first, f".s.PGSQL.{server.port}")
    path.unlink()
    with impostor(str(path), answer) as fake:
        gets_nothing(
            database,
            fake,
            "another server or program has answered" if answer == LETS_IN else "authentication method requirement",
        )
    # bootstrap has found the other way
    with database.connect() as session:
        assert value(session, "SELECT over FROM jobmon.link") == "tcp"
        assert value(session, "SELECT jobmon.sql_job('etl', 'SELECT')").endswith("was successful")


@pytest.mark.parametrize("method", ["trust", "md5", "scram-sha-256", "peer map=link"])
def test_every_way_of_pg_hba_that_needs_no_password_in_clear_works(new_server: NewServer, method: str) -> None:
    server = new_server(hba=f"local all postgres trust\nlocal all all {method}\n", listen_addresses="")
    database = Database(server, "postgres")
    with database.connect() as session:
        if method.startswith("peer"):
            name = value(session, "SELECT 'jobmon_link_' || oid FROM pg_database WHERE datname = 'postgres'")
            (server.data / "pg_ident.conf").write_text(f"link /^.*$ {name}\n")
            session.execute("SELECT pg_reload_conf()")
        report = bootstrap(session, "jobmon")
        assert report.link.startswith("the link works")
        assert value(session, "SELECT jobmon.sql_job('etl', 'SELECT')").endswith("was successful")


def test_a_password_in_clear_is_not_given(new_server: NewServer) -> None:
    server = new_server(hba="local all postgres trust\nlocal all all password\n", listen_addresses="")
    database = Database(server, "postgres")
    needs_require_auth(database, ASKS_FOR_PASSWORD)
    done = database.ctl("bootstrap")
    assert "server requested a cleartext password" in done.stderr
    assert "scram-sha-256" in done.stderr
    assert (done.stderr.count("\n"), done.status) == (1, 1)


def test_the_link_is_tried_as_the_schemas_owner(new_server: NewServer) -> None:
    """Who bootstraps may use dblink, but as its owner, as whom the functions run, the schema could not log."""
    database = Database(new_server(hba=SCRAM_ONLY), "postgres")
    with database.connect() as dba:
        dba.execute(
            "SET password_encryption = 'scram-sha-256'; CREATE ROLE app LOGIN PASSWORD 'x';"
            "CREATE ROLE deployer LOGIN CREATEROLE PASSWORD 'x' IN ROLE app; CREATE SCHEMA jobmon AUTHORIZATION app"
        )
        dba.execute("CREATE SCHEMA jobmon_dblink; CREATE EXTENSION dblink SCHEMA jobmon_dblink")
        dba.execute("REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA jobmon_dblink FROM PUBLIC")
        dba.execute("GRANT USAGE ON SCHEMA jobmon_dblink TO deployer")
        dba.execute("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA jobmon_dblink TO deployer")
        with database.connect(user="deployer", password="x") as deployer:
            with pytest.raises(BootstrapError, match='role "deployer" may not let the schema\'s owner use dblink: '):
                bootstrap(deployer, "jobmon")
            with pinned(deployer) as session:
                dba.execute(superuser_sql(session, "jobmon", with_roles=True).encode())
            bootstrap(deployer, "jobmon")
    with database.connect(user="app", password="x") as app:
        assert value(app, "SELECT jobmon.sql_job('etl', 'SELECT')").endswith("was successful")
