"""Fixtures for tests that crash, fill or configure a server: one of their own. And a database whose link everybody can use."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

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
