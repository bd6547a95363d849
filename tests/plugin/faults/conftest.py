"""Fixtures for the faults: a role with no more rights than a check needs, and servers of a test's own."""

from collections.abc import Callable, Iterator

import psycopg
import pytest

from check_jobmon.demo.server import Server
from tests.database import value
from tests.servers import create

JOB = "INSERT INTO jobmon.job_check_config VALUES ('ETL', '1 hour', '2 hours', true, 0, '-infinity')"
RUN = (
    "INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)"
    " VALUES ('me', 'ETL', now() - interval '26 hours 1 minute', now() - interval '26 hours', 'OK', 0)"
)
MISSING = "JOBMON CRITICAL - 1 critical, 0 ok: ETL missing, last run 26h ago (critical 2h)"


@pytest.fixture
def missing(session: psycopg.Connection) -> str:
    """A watched job that last ran 26 hours ago; the first line that any check has to say of it."""
    session.execute(JOB)
    session.execute(RUN)
    return MISSING


@pytest.fixture
def role(session: psycopg.Connection) -> Iterator[str]:
    """A role that may log in and read the job log."""
    name = "watchman"
    session.execute(f"CREATE ROLE {name} LOGIN".encode())
    session.execute(f"GRANT USAGE ON SCHEMA jobmon TO {name}".encode())
    for table in ("job_log", "job_detail", "job_check_config", "job_check_log", "job_status_text"):
        session.execute(f"GRANT SELECT ON jobmon.{table} TO {name}".encode())
    yield name
    session.execute(f"DROP OWNED BY {name}".encode())
    session.execute(f"DROP ROLE {name}".encode())


@pytest.fixture
def version(session: psycopg.Connection) -> int:
    """The server's major version."""
    return int(value(session, "SELECT current_setting('server_version_num')::integer / 10000"))


class OwnServer(Server):
    """A server of one test's own. With `waits` off, it isn't waited for when it starts and stops."""

    waits = True

    def _run(self, program: str, *arguments: str) -> None:
        super()._run(program, *("-W" if argument == "-w" and not self.waits else argument for argument in arguments))


@pytest.fixture
def new_server(server: Server) -> Iterator[Callable[..., OwnServer]]:
    """Makes a server of the test's own, created but not started, with these settings."""
    servers = []

    def make(tcp: bool = False, **settings: str) -> OwnServer:
        own = OwnServer(server.binaries, {"fsync": "off", "shared_buffers": "16MB", **settings}, tcp)
        servers.append(own)
        create(own)
        return own

    yield make
    for own in servers:
        own.waits = True
        own.remove()
