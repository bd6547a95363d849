"""Fixtures for tests that crash, fill or configure a server: one of their own. And a database whose link everybody can use."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psycopg
import pytest

from check_jobmon.demo.server import Server
from tests.database import Database, bootstrap, new_database
from tests.servers import create

NewServer = Callable[..., Server]


@dataclass
class _Servers:
    like: Server
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def new(self, hba: str = "", **settings: str) -> Server:
        server = Server(self.like.binaries, {"fsync": "off", "shared_buffers": "64MB", **settings}, tcp=bool(hba))
        self.stack.callback(server.remove)
        create(server)
        if hba:
            (server.data / "pg_hba.conf").write_text(hba)
        server.start()
        return server


@pytest.fixture
def new_server(server: Server) -> Iterator[NewServer]:
    """Starts servers of the test's own, of the same version: new_server(hba="…", max_connections="20").

    With a pg_hba.conf of its own it listens on TCP too.
    """
    servers = _Servers(server)
    with servers.stack:
        yield servers.new


@pytest.fixture
def own_database(new_server: NewServer) -> Database:
    """The database `postgres`, empty, of a server of the test's own."""
    return Database(new_server(), "postgres")


def let_all_use_the_link(database: Database) -> None:
    """Bootstrap it with a dblink that is everybody's, and let everybody call a function that logs."""
    with database.connect() as session:
        session.execute("CREATE EXTENSION dblink SCHEMA public")
        bootstrap(session, "jobmon")
        session.execute(
            """
            CREATE FUNCTION public.report() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog
            AS 'SELECT jobmon.add_job(''report'')'
            """
        )


@pytest.fixture(scope="session")
def open_to_all(server: Server) -> Iterator[Database]:
    """A database to copy, where let_all_use_the_link() has been called."""
    with new_database(server, "template0") as database:
        let_all_use_the_link(database)
        yield database


@pytest.fixture
def public_dblink(server: Server, open_to_all: Database) -> Iterator[Database]:
    """A copy of it, for one test. The role of its link is the original's."""
    with new_database(server, open_to_all.name) as database:
        yield database


@pytest.fixture
def target(server: Server, template: str) -> Iterator[Database]:
    """A second database with the schema, to restore into."""
    with new_database(server, template) as database:
        yield database


@pytest.fixture(scope="session")
def uncommitted(server: Server, template: str) -> Iterator[Database]:
    """A database with the schema, for all tests that commit nothing."""
    with new_database(server, template) as database:
        yield database


@contextlib.contextmanager
def rolled_back(uncommitted: Database) -> Iterator[psycopg.Connection]:
    """A session whose transaction holds the test's log, and sees one now(). The log is empty before and after."""
    with uncommitted.connect(autocommit=False) as session:
        yield session
        session.rollback()
        tables = ("job_log", "job_check_log", "job_check_config", "job_silence")
        assert [
            name for name in tables if session.execute(f"SELECT FROM jobmon.{name} LIMIT 1".encode()).rowcount
        ] == []
