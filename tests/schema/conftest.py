"""Fixtures for tests that crash, fill or configure a server: one of their own."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from check_jobmon.demo.server import Server
from tests.database import Database
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
