"""How the commands connect, and how they fail: in one line on stderr, with exit status 1."""

import argparse
import sys
import time
from collections.abc import Callable, Collection
from typing import Any

import psycopg
from psycopg import errors

from check_jobmon.config.hosts import HostsUnusable, Location, locate
from check_jobmon.connection.errors import CheckImpossible, DatabaseUnreachable, one_line
from check_jobmon.connection.session import SECONDS, Rows, Session
from check_jobmon.judging import catalog
from check_jobmon.judging.job_log import Inquiry, Judgement
from check_jobmon.judging.selection import nearest
from check_jobmon.sql_files import quoted
from check_jobmon.text import clean


class NotDone(Exception):
    """Why a command can't do what it was told, in one line."""


def connect(arguments: argparse.Namespace, location: Location | None = None) -> Session:
    """Connect, and look at nothing of the database yet. `location` is where, if that is known already.

    Raises HostsUnusable, DatabaseUnreachable or CheckImpossible.
    """
    location = location or locate(arguments)
    return Session({"application_name": "jobmonctl", **location.parameters}, arguments.timeout).connect()


class JobLog:
    """The job log of a database, over a session of its own."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        location: Location | None = None,
        needed: Collection[str] = catalog.COLUMNS.keys(),
    ) -> None:
        """Connect, and look whether there is a job log that can be trusted and whose `needed` tables may be read.

        Raises as connect(), and CheckImpossible.
        """
        location = location or locate(arguments)
        self.schema = location.schema
        self.session = connect(arguments, location)
        try:
            found = self.session.rows(catalog.query(self.schema))
            doubts = self.session.rows(catalog.closer_query(self.schema))[0] if catalog.in_doubt(found) else ()
            examined = catalog.examine(found, doubts, self.schema, self.session.dbname, self.session.user, needed)
            if isinstance(examined, str):
                raise CheckImpossible(examined)
            self.words = examined.columns
        except BaseException:
            self.session.close()
            raise

    def rows(self, query: str, *parameters: Any, write: bool = False) -> Rows:
        """The rows that a query gives. @schema@ in it is the job log's schema; nothing else is found unqualified."""
        text = query.replace("@schema@", quoted(self.schema).replace("%", "%%") if parameters else quoted(self.schema))
        text = text.replace("@code@", self.words[0]).replace("@text@", self.words[1])
        return self.session.rows(text, *parameters, mode="READ WRITE" if write else "READ ONLY")

    def judge(self) -> Judgement:
        """The check's own view."""
        return self.session.ask(self._inquiry().judging())

    def _inquiry(self) -> Inquiry:
        return Inquiry(self.session, self.schema, time.monotonic() + (self.session.seconds or SECONDS))

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
        failing = {row[0] for row in self.rows("SELECT DISTINCT left(job_name, 500) FROM @schema@.job_check_log")}
        names = sorted({*self.session.ask(self._inquiry().naming()), *failing})
        near = ", ".join(clean(other, 60) for other in nearest(name, names))
        known = f"nearest are {near}" if near else f"{len(names)} other jobs are known"
        return NotDone(f'no job "{clean(name.upper(), 60)}" was ever logged or configured: {known}')


def talk(arguments: argparse.Namespace, work: Callable[[JobLog], int]) -> int:
    """Connect, do the work, give its exit status; or say in one line why not, and give 1."""
    schema = str(arguments.schema)
    try:
        log = JobLog(arguments)
        schema = log.schema
        with log.session:
            return work(log)
    except (NotDone, HostsUnusable, DatabaseUnreachable, CheckImpossible) as error:
        reason = str(error)
    except psycopg.Error as error:
        reason = reason_of(error, schema, arguments.timeout)
    print(f"jobmonctl {arguments.command}: {clean(reason)}", file=sys.stderr)
    return 1


def reason_of(error: psycopg.Error, schema: str, seconds: float) -> str:
    """What went wrong, and what to do, in one line."""
    if isinstance(error, errors.QueryCanceled):
        return f"{one_line(error)}: a query may take {seconds:g}s unless --timeout gives more"
    if isinstance(error, errors.FeatureNotSupported) and "recovery" in str(error):
        return "the server is a standby, where nothing can be changed: connect to the primary"
    if isinstance(error, errors.UndefinedFunction):
        return f'{one_line(error)}: run "jobmonctl bootstrap"'
    if isinstance(error, errors.InsufficientPrivilege) and not error.diag.message_hint:
        return f"{one_line(error)}: it takes {schema}_monitor to read, {schema}_log to cancel, the log's owner for all else"
    return one_line(error)
