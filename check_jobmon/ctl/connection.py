"""How the commands connect, and how they fail: in one line on stderr, with exit status 1."""

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import errors

from check_jobmon import layout
from check_jobmon.database import CheckImpossible, DatabaseUnreachable, JobLog, one_line
from check_jobmon.hosts import HostsUnusable, locate
from check_jobmon.schema.scripts import quoted
from check_jobmon.selection import nearest
from check_jobmon.text import clean

PATIENCE = 60.0
"""Seconds that a query of the plugin's may take here, where a person can press Ctrl-C."""


class NotDone(Exception):
    """Why a command can't do what it was told, in one line."""


def connect(arguments: argparse.Namespace) -> JobLog:
    """Connect, in autocommit mode, and look at nothing of the database.

    Raises HostsUnusable, DatabaseUnreachable or CheckImpossible.
    """
    location = locate(arguments)
    log = JobLog({"application_name": "jobmonctl", **location.parameters}, location.schema, deadline=0)
    log.connect()
    return log


class Session:
    """A connection to a database that has the job log."""

    def __init__(self, log: JobLog) -> None:
        """Raises CheckImpossible where there is no job log, or no right to read it."""
        self.log = log
        self.connection = log.connection
        self.schema = log.schema
        found = self.connection.execute(layout.query(log.schema).encode()).fetchall()
        examined = layout.examine(found, log.schema, log.dbname, log.user)
        if isinstance(examined, str):
            raise CheckImpossible(examined)

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """The rows that a query gives. @schema@ in it is the job log's schema; nothing else is found unqualified."""
        text = query.replace("@schema@", quoted(self.schema).replace("%", "%%"))
        with self.connection.transaction():
            # for this transaction only, so that PgBouncer's next client doesn't have it
            self.connection.execute("SET LOCAL search_path = pg_catalog")
            return self.connection.execute(text.encode(), parameters).fetchall()

    def unknown(self, name: str) -> NotDone | None:
        """That no job has this name, with the nearest that one has; None if one has it."""
        # completed and open runs apart, because each have an index of their own
        places = (
            "job_log WHERE end_time IS NOT NULL AND",
            "job_log WHERE end_time IS NULL AND",
            "job_check_config WHERE",
            "job_check_log WHERE",
        )
        found = " OR ".join(f"EXISTS (SELECT FROM @schema@.{place} job_name = upper(%s))" for place in places)
        if self.rows(f"SELECT {found}", *[name] * len(places))[0][0]:
            return None
        failing = {row[0] for row in self.rows("SELECT DISTINCT job_name FROM @schema@.job_check_log")}
        self.log.deadline = time.monotonic() + PATIENCE
        names = sorted({*self.log.names(), *failing})
        near = ", ".join(clean(other, 60) for other in nearest(name, names))
        known = f"nearest are {near}" if near else f"{len(names)} other jobs are known"
        return NotDone(f'no job "{clean(name.upper(), 60)}" was ever logged or configured: {known}')


def talk(arguments: argparse.Namespace, work: Callable[[Session], int]) -> int:
    """Connect, do the work, give its exit status; or say in one line why not, and give 1."""
    schema = arguments.schema
    try:
        log = connect(arguments)
        schema = log.schema
        with log.connection:
            return work(Session(log))
    except (NotDone, HostsUnusable, DatabaseUnreachable, CheckImpossible) as error:
        reason = str(error)
    except psycopg.Error as error:
        reason = _reason(error, schema)
    print(f"jobmonctl {arguments.command}: {clean(reason)}", file=sys.stderr)
    return 1


def _reason(error: psycopg.Error, schema: str) -> str:
    if isinstance(error, errors.UndefinedFunction):
        return f'{one_line(error)}: run "jobmonctl bootstrap"'
    if isinstance(error, errors.InsufficientPrivilege) and not error.diag.message_hint:
        return f"{one_line(error)}: it takes {schema}_monitor to read, {schema}_log to cancel, the log's owner for all else"
    return one_line(error)
