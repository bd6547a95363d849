"""Fixtures: databases in the four states, and a place for a daemon with the plugin in it."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest

from check_jobmon.demo.server import Server
from tests.database import Database, value
from tests.system.daemons import Place, Plugin, install_plugin, new_place

_numbers = itertools.count(1)
"""For the names of databases, because each folder that takes the fixture has it once."""
MISCHIEF = 'duplicate key "it\'s" | $HOSTNAME$ `id` 100% \\n C:\\temp <b>\nsecond line; ünïcödé ✓'
"""A job's message with all that a format, a shell or a macro could take for its own."""


@dataclass(frozen=True)
class FourStates:
    """Databases on which the plugin gives each of the four states, in the order of their exit statuses."""

    ok: Database
    warning: Database
    critical: Database
    unknown: Database

    def __iter__(self) -> Iterator[Database]:
        return iter((self.ok, self.warning, self.critical, self.unknown))


@pytest.fixture
def place() -> Iterator[Place]:
    """A folder for a daemon's files."""
    with new_place() as place:
        yield place


@pytest.fixture
def plugin(place: Place, server: Server) -> Plugin:
    """The plugin where the daemon runs it, with the password for the server's superuser."""
    return install_plugin(place, server.passfile.read_text())


@pytest.fixture(scope="session")
def four_states(server: Server, template: str) -> FourStates:
    """One database for each state; `unknown` has no job log."""
    number = next(_numbers)
    states = ("ok", "warning", "critical", "unknown")
    databases = FourStates(*(Database(server, f"state_{name}_{number}") for name in states))
    with Database(server, "postgres").connect() as session:
        for database in databases:
            source = "template0" if database is databases.unknown else template
            session.execute(f"CREATE DATABASE {database.name} TEMPLATE {source}".encode())
    with databases.ok.connect() as session:
        _configure(session, "CATALOG REFRESH")
        log_run(session, "catalog refresh")
    with databases.warning.connect() as session:
        _configure(session, "CUBE 'A=B' ÄÖ|;%")
        _configure(session, "CATALOG REFRESH")
        log_run(session, "cube 'a=b' ÄÖ|;%")
        log_run(session, "catalog refresh")
        session.execute(
            "UPDATE jobmon.job_log SET start_time = start_time - interval '26 hours', end_time = end_time - interval '26 hours'"
            " WHERE job_name LIKE 'CUBE%'"
        )
    with databases.critical.connect() as session:
        _configure(session, "ANNUAL CLOSING")  # has never run
        session.execute("SET jobmon.keep_link = on")
        for number in range(100):  # more than fit into the output
            _configure(session, f"LOAD {number:02}")
            log_run(session, f"load {number:02}", MISCHIEF)
    return databases


def _configure(session: psycopg.Connection, job_name: str) -> None:
    session.execute(
        "INSERT INTO jobmon.job_check_config (job_name, warn_threshold, error_threshold, active, since)"
        " VALUES (%s, '24 hours', '48 hours', true, '-infinity')",
        [job_name],
    )


def log_run(session: psycopg.Connection, job_name: str, failure: str = "") -> None:
    """One run of one step, which fails with the message `failure` if there is one."""
    job = value(session, "SELECT jobmon.add_job(%s)", job_name)
    step = value(session, "SELECT jobmon.add_step(%s, 'load facts')", job)
    if failure:
        session.execute("SELECT jobmon.update_step(%s, 'CRITICAL', %s)", [step, failure])
        session.execute("SELECT jobmon.fail_job(%s)", [job])
    else:
        session.execute("SELECT jobmon.update_step(%s, 'OK', '42 rows')", [step])
        session.execute("SELECT jobmon.close_job(%s)", [job])
