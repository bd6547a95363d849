"""What the tests use of PostgreSQL: a database of its own for each test, cloned from a bootstrapped one."""

import contextlib
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg

from check_jobmon.connection.session import Session
from check_jobmon.demo.server import Server
from check_jobmon.schema.install import bootstrap as bootstrap_session
from check_jobmon.schema.outcome import Report
from tests import warm

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Output:
    """What a command left behind."""

    status: int
    stdout: str
    stderr: str

    @property
    def first_line(self) -> str:
        """The first line without its perfdata."""
        return self.stdout.partition("\n")[0].partition(" | ")[0]

    @property
    def perfdata(self) -> str:
        """The first line's perfdata."""
        return self.stdout.partition("\n")[0].partition(" | ")[2]

    @property
    def long_output(self) -> str:
        """The lines after the first."""
        return self.stdout.partition("\n")[2].rstrip("\n")


@dataclass(frozen=True)
class Database:
    """One database of the test server."""

    server: Server
    name: str

    @property
    def parameters(self) -> dict[str, Any]:
        """libpq's parameters to connect as the superuser."""
        return {"host": str(self.server.folder), "port": self.server.port, "dbname": self.name, "user": "postgres"}

    @property
    def options(self) -> list[str]:
        """The same as command line options of check_jobmon and jobmonctl."""
        return ["-H", str(self.server.folder), "-p", str(self.server.port), "-d", self.name, "-U", "postgres"]

    @property
    def tcp_options(self) -> list[str]:
        """The same over TCP, where the server's passfile is needed."""
        return ["-H", "127.0.0.1", *self.options[2:]]

    def connect(self, **parameters: Any) -> psycopg.Connection:
        """A session in autocommit mode; `parameters` override the superuser's."""
        return psycopg.connect(**{**self.parameters, "autocommit": True, **parameters})

    def check(self, *arguments: str, **environment: str) -> Output:
        """Run the plugin on this database, as a monitoring server would."""
        return run_module("check_jobmon", *self.options, *arguments, **environment)

    def ctl(self, command: str, *arguments: str, **environment: str) -> Output:
        """Run a jobmonctl command on this database."""
        return run_module("check_jobmon.ctl", command, *self.options, *arguments, **environment)


@contextlib.contextmanager
def new_database(server: Server, template: str) -> Iterator[Database]:
    """A copy of another database, with a name of its own."""
    name = f"test_{next(_numbers)}"
    with Database(server, "postgres").connect() as session:
        # copies files; the newer way writes all of it to the WAL as well
        way = "STRATEGY file_copy" if session.info.server_version >= 150000 else ""
        session.execute(f"CREATE DATABASE {name} TEMPLATE {template} {way}".encode())
        yield Database(server, name)
        session.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def pinned(like: psycopg.Connection) -> Session:
    """A session as the commands have it, to the same database and as the same role."""
    info = like.info
    place = {"host": info.host, "port": info.port, "dbname": info.dbname, "user": info.user, "password": info.password}
    return Session({name: value for name, value in place.items() if value}).connect()


def bootstrap(like: psycopg.Connection, schema: str, **options: bool) -> Report:
    """Bootstrap the same database, as the same role. A new log is partitioned if JOBMON_TEST_PARTITION says so."""
    with pinned(like) as session:
        is_new = not session.rows("SELECT true FROM pg_namespace WHERE nspname = %s", schema)
        partition = os.environ.get("JOBMON_TEST_PARTITION") if is_new else None
        return bootstrap_session(session, schema, **options, partition=partition)


def run_module(module: str, *arguments: str, **environment: str) -> Output:
    """`python -m module arguments`, with nothing of libpq's in the environment but what is given.

    The plugin runs on the Python that JOBMON_TEST_PYTHON names, else, like all other modules, on that of the tests.
    """
    python = os.environ.get("JOBMON_TEST_PYTHON", sys.executable) if module == "check_jobmon" else sys.executable
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    environment = {**inherited, **environment}
    if warm.same_in_a_fork(python, arguments, environment):
        status, stdout, stderr = warm.run(python, module, arguments, environment, 60)
        return Output(status, _text(stdout), _text(stderr))
    done = subprocess.run(
        [python, "-m", module, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        env=environment,
        cwd=warm.ROOT,
        check=False,
    )
    return Output(done.returncode, done.stdout, done.stderr)


def _text(output: bytes) -> str:
    """As subprocess has it."""
    return output.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")


def value(session: psycopg.Connection, query: str, *parameters: Any) -> Any:
    """The one value that a query gives."""
    row = session.execute(query.encode(), parameters).fetchone()
    assert row is not None, query
    return row[0]


def signature(session: psycopg.Connection, text: str) -> str:
    """The signature of a call over the link as a literal, which only those who can read the key can make."""
    query = """
        SELECT sha256(int8send(k1.last_value) || convert_to(%s, getdatabaseencoding()) || int8send(k2.last_value))::text
          FROM jobmon.link_key_1 AS k1, jobmon.link_key_2 AS k2
    """
    return str(value(session, query, text))


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait until something is so; a bound, not a measure: fails only if it never comes to be."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"still not so after {seconds} s"
        time.sleep(0.02)
