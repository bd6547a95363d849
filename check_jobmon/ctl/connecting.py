"""How the commands connect, and what they say about errors of the server's."""

import argparse
import contextlib
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, TypeAlias, cast

import psycopg
from psycopg import errors

from check_jobmon.config.config_file import Host
from check_jobmon.config.hosts import locate, place
from check_jobmon.connection import ExpectedError
from check_jobmon.connection.errors import CheckImpossible, one_line
from check_jobmon.connection.session import SECONDS, SETTING, Pinned, Rows, Session
from check_jobmon.ctl.waiting import waiting
from check_jobmon.judging import catalog
from check_jobmon.judging.check import MonitoredJobs, acquire, judged
from check_jobmon.judging.job_log import Inquiry
from check_jobmon.judging.result import Result
from check_jobmon.judging.selection import Selection, UnknownJob, unknown
from check_jobmon.schema.scripts import CALENDAR
from check_jobmon.sql_files import fill, quoted, sql_file


class CommandFailed(ExpectedError):
    """Why a command can't do what it was told, in one line."""


Command: TypeAlias = Callable[[argparse.Namespace], int | None]
OWN_RUNS = ("show", "like", "failed", "running", "detail", "history", "cancel")
"""Commands that a member of {schema}_log may use without reading the whole log: they show the runs of its own roles."""
ADMINISTERING = ("ack", "cancel", "clear", "config apply", "silence", "unsilence")
"""Commands for members of {schema}_admin; for the others, {schema}_monitor is enough."""
VIEWS_ALLOWED = (
    f"SELECT set_config(name, '', true) AS {SETTING} FROM pg_settings WHERE name = 'restrict_nonsystem_relation_kind';"
)
"""Undoes what session.py sets so that nothing but tables is read."""


class _PatientSession(Session):
    """A session that prints what it waits for, if that takes long."""

    waits_for = ""

    @contextlib.contextmanager
    def _limited(self) -> Iterator[None]:
        with waiting(lambda: self.waits_for), super()._limited():
            yield


@contextlib.contextmanager
def connected(arguments: argparse.Namespace, hosts: tuple[Host, ...] = ()) -> Iterator[tuple[Session, str]]:
    """A session, and the job log's schema, which may not exist. `hosts` win over those of the configuration files.

    Raises ExpectedError, also for an error of the server's in the block.
    """
    location = locate(arguments, hosts)
    session = _PatientSession({"application_name": "jobmonctl", **location.parameters}, arguments.timeout)
    session.waits_for = f"waiting for {place(arguments)} to answer"
    with session.connect():
        try:
            yield session, location.schema
        except psycopg.Error as error:
            raise CommandFailed(reason_of(error, location.schema, arguments)) from None


def in_session(work: Callable[[Session, str, argparse.Namespace], int | None]) -> Command:
    """Decorates a command that works in a session, on a schema."""

    def run(arguments: argparse.Namespace) -> int | None:
        with connected(arguments) as (session, schema):
            return work(session, schema, arguments)

    return run


def in_job_log(work: Callable[["JobLog", argparse.Namespace], None]) -> Command:
    """Decorates a command that works in a job log."""
    return in_session(lambda session, schema, arguments: work(JobLog(session, schema, arguments.command), arguments))


class JobLog:
    """The job log of a schema, in a session. `own`: whether the role may see only its own roles' runs; `extent` says so."""

    def __init__(
        self, session: Session, schema: str, command: str = "", needed: Collection[str] = catalog.COLUMNS.keys()
    ) -> None:
        """Raises CheckImpossible unless there is a job log that can be trusted and whose `needed` tables may be read."""
        self.session, self.schema = session, schema
        session.ask(self._examine(command, needed))

    @classmethod
    async def opening(cls, session: Pinned, schema: str, command: str) -> "JobLog":
        """A job log over a session of any kind: only its coroutines can be used, because `rows` needs a blocking session."""
        log = cls.__new__(cls)
        log.session, log.schema = cast("Session", session), schema
        await log._examine(command, catalog.COLUMNS.keys())
        return log

    async def _examine(self, command: str, needed: Collection[str]) -> None:
        session, schema = self.session, self.schema
        found = await session.asking(catalog.query("catalog", schema))
        doubts = (await session.asking(catalog.query("doubts", schema)))[0] if catalog.in_doubt(found) else ()
        self.own = command in OWN_RUNS and any(row[3] == "job_log" and not row[5] for row in found)
        if self.own:
            logs = "SELECT pg_has_role(to_regrole(quote_ident(%s)), 'USAGE')"
            self.own = bool((await session.asking(logs, f"{schema}_log"))[0][0])
        self.extent = f', as far as role "{session.user}" may see' if self.own else ""
        where = (schema, session.dbname, session.user)
        examined = catalog.examine(
            found, doubts, *where, ("job_status_text",) if self.own else needed, role_for(command)
        )
        if isinstance(examined, str):
            raise CheckImpossible(examined)
        self.catalog, self.columns, self.version = examined, examined.columns, examined.version

    def rows(self, query: str, *parameters: Any, write: bool = False) -> Rows:
        """The rows that a query gives. @schema@ in it is the job log's schema; nothing else is found unqualified."""
        return self.session.rows(
            self._filled(query, parameters), *parameters, mode="READ WRITE" if write else "READ ONLY"
        )

    async def asking(self, query: str, *parameters: Any) -> Rows:
        """The same, as a coroutine."""
        return await self.session.asking(self._filled(query, parameters), *parameters)

    def _filled(self, query: str, parameters: Sequence[Any]) -> str:
        schema = quoted(self.schema).replace("%", "%%") if parameters else quoted(self.schema)
        if self.own:
            # The views with the role's own runs. A view executes its owner's code: the role trusts that owner, as when it logs.
            query = VIEWS_ALLOWED + query.replace("@schema@.job_log", "@schema@.own_runs")
            query = query.replace("@schema@.job_detail", "@schema@.own_steps")
        return fill(query, {"schema": schema, **self.columns})

    async def judging(self, patterns: Sequence[str] = (), silences: bool = True) -> MonitoredJobs:
        """All jobs as check_jobmon judges them, or those whose names match shell patterns. Raises CheckImpossible."""
        return await acquire(self._inquiry(), Selection(tuple(patterns), logged=True), silences=silences)

    async def judged(self, patterns: Sequence[str] = ()) -> tuple[Result, MonitoredJobs]:
        """The result that the plugin gives with -v, and the jobs that it is about."""
        found = await self.judging(patterns)
        return judged(self._inquiry(), found, 1, "warning", "none", False), found

    def _inquiry(self) -> Inquiry:
        return Inquiry(self.session, self.schema, time.monotonic() + (self.session.seconds or SECONDS))

    def refused(self, what: str) -> CommandFailed:
        """The error of a command that the role may not execute, because it is not a member of {schema}_admin."""
        ask = f"GRANT {self.schema}_admin TO that role, or name another role with -U"
        return CommandFailed(f'role "{self.session.user}" may not {what}: {ask}')

    def require_calendar(self, what: str) -> None:
        """Raise CommandFailed if the schema is of a version without schedules and silences. `what`: the ones that are needed."""
        if self.version < CALENDAR:
            raise CommandFailed(f'schema "{self.schema}" has no {what} yet: run "jobmonctl bootstrap"')

    async def require_name(self, name: str) -> None:
        """Raise UnknownJob, with the nearest names that there are, if no job has this name."""
        if self.own:
            raise UnknownJob(f'no run of "{name}" was ever logged{self.extent}')
        known, capitals = (await self.asking(sql_file("ctl/is_known.sql"), name))[0]
        if known:
            return
        failing = await self.asking("SELECT DISTINCT left(job_name, 500) FROM @schema@.job_check_log")
        names = await self._inquiry().naming()
        raise UnknownJob(unknown(capitals, sorted({*names, *(row[0] for row in failing)})))


def role_for(command: str) -> str:
    """The end of the name of the role to be a member of for a command."""
    return "admin" if command in ADMINISTERING else "monitor"


def reason_of(error: psycopg.Error, schema: str, arguments: argparse.Namespace) -> str:
    """What went wrong, and what to do, in one line."""
    seconds = arguments.timeout
    if isinstance(error, errors.QueryCanceled):
        return f"{one_line(error)}: a query may take {seconds:g}s unless --timeout gives more"
    if isinstance(error, errors.LockNotAvailable):
        return f"{one_line(error)}: look in pg_locks for who holds it"
    if isinstance(error, errors.FeatureNotSupported) and "recovery" in str(error):
        return "the server is a standby, where nothing can be changed: connect to the primary"
    if isinstance(error, errors.UndefinedFunction | errors.UndefinedTable):
        return f'{one_line(error)}: run "jobmonctl bootstrap"'
    if isinstance(error, errors.InsufficientPrivilege) and not error.diag.message_hint:
        role = role_for(arguments.command)
        return f"{one_line(error)}: GRANT {schema}_{role} TO that role, or name another role with -U"
    return one_line(error)
