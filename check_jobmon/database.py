"""One connection, one deadline, one read-only transaction: fetches what the check query says. Judges nothing."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import errors

from check_jobmon.jobs import Job, Step, Words
from check_jobmon.schema.scripts import job_status, quoted
from check_jobmon.text import clean


class DatabaseUnreachable(Exception):
    """The server can't be reached, refuses, or does not answer in time. One line: what, where, what to do."""


class CheckImpossible(Exception):
    """The server answers, but there is nothing to judge: no schema, no right, a broken table. One line."""


@dataclass
class Timings:
    """Seconds that each part took, as they become known."""

    connect: float | None = None
    query: float | None = None


@dataclass
class JobLog:
    """The job log of one database. `timeout` is in seconds and bounds the queries on the server."""

    parameters: Mapping[str, Any]
    schema: str
    timeout: float
    timings: Timings = field(default_factory=Timings)
    connection_text: str = ""
    _connection: "psycopg.Connection | None" = None

    def connect(self) -> None:
        """Connect. Raises DatabaseUnreachable, or CheckImpossible for parameters that can't be right."""
        started = time.monotonic()
        try:
            self._connection = psycopg.connect(
                # the encoding in which names and messages come, whatever the database's
                **{
                    "client_encoding": "utf8",
                    "application_name": "check_jobmon",
                    **self.parameters,
                    "autocommit": True,
                    "prepare_threshold": None,
                }
            )
        except (psycopg.ProgrammingError, psycopg.InterfaceError) as error:
            raise CheckImpossible(f"the connection parameters are wrong: {one_line(error)}") from error
        except psycopg.Error as error:
            raise _unconnected(error) from error
        self.timings.connect = time.monotonic() - started
        info = self._connection.info
        self.connection_text = (
            f'"{info.dbname}" at {info.host or "the default socket"}:{info.port} as "{info.user}", '
            f"PostgreSQL {info.parameter_status('server_version')}"
        )

    def judge(self) -> tuple[Words, list[Job]]:
        """The words for the alert codes, and every monitored job, worst first. One round trip."""
        started = time.monotonic()
        # One statement after the other in one message and one transaction: PgBouncer in transaction mode can have it.
        # The lock timeout comes first, so that a locked table is told from a slow server.
        script = f"""
            BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY;
            SET LOCAL search_path = pg_catalog;
            SET LOCAL statement_timeout = {max(1, int(self.timeout * 1000))};
            SET LOCAL lock_timeout = {max(1, int(self.timeout * 900))};
            SET LOCAL jit = off;
            SELECT coalesce(t.j ->> 'alert_code', t.j ->> 'error_code')::integer,
                   coalesce(t.j ->> 'alert_text', t.j ->> 'error_text')
              FROM (SELECT to_jsonb(s) AS j FROM {quoted(self.schema)}.job_status_text AS s) AS t;
            {job_status(self.schema)};
            COMMIT;
        """
        words, rows = self._fetch(script)
        self.timings.query = time.monotonic() - started
        return _words(words), [Job.from_row(row) for row in rows]

    def steps(self, job_ids: Sequence[int]) -> dict[int, list[Step]]:
        """The steps of some runs, by job_id, in their order. One round trip."""
        ids = ", ".join(str(int(i)) for i in job_ids)
        script = f"""
            BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY;
            SET LOCAL search_path = pg_catalog;
            SET LOCAL statement_timeout = {max(1, int(self.timeout * 1000))};
            SELECT job_id, action, status, elapsed_time, message
              FROM {quoted(self.schema)}.job_detail
             WHERE job_id = ANY (ARRAY[{ids}]::bigint[])
             ORDER BY job_id, step_id;
            COMMIT;
        """
        steps: dict[int, list[Step]] = {}
        for row in self._fetch(script)[0]:
            steps.setdefault(row[0], []).append(Step(*row[1:]))
        return steps

    def _fetch(self, script: str) -> list[list[tuple[Any, ...]]]:
        """Run a script of statements, and give the rows of those that return any."""
        assert self._connection is not None
        answers = []
        try:
            cursor = self._connection.execute(script.encode())
            while True:
                if cursor.description is not None:
                    answers.append(cursor.fetchall())
                if not cursor.nextset():
                    return answers
        except psycopg.Error as error:
            raise self._failure(error) from error

    def _failure(self, error: psycopg.Error) -> Exception:
        assert self._connection is not None
        dbname = self._connection.info.dbname
        if isinstance(error, (errors.UndefinedTable, errors.InvalidSchemaName)):
            return CheckImpossible(
                f'no jobmon schema in database "{dbname}" (looked for "{self.schema}"; {one_line(error)}): '
                f'run "jobmonctl bootstrap -d {dbname}", or name it with --schema'
            )
        if isinstance(error, errors.InsufficientPrivilege):
            return CheckImpossible(
                f'role "{self._connection.info.user}" may not read the job log ({one_line(error)}): '
                f"GRANT USAGE ON SCHEMA {self.schema} and SELECT on its tables, or name another role with -U"
            )
        if isinstance(error, errors.LockNotAvailable):
            return DatabaseUnreachable(
                f'a table of schema "{self.schema}" in database "{dbname}" is locked ({one_line(error)}): look in '
                "pg_locks for who holds an AccessExclusiveLock on it"
            )
        if isinstance(error, errors.QueryCanceled):
            return DatabaseUnreachable(
                f'database "{dbname}" did not answer within {self.timeout:g}s ({one_line(error)}): look at its load, or '
                "give more time with -t"
            )
        if isinstance(error, psycopg.OperationalError):
            return DatabaseUnreachable(f'database "{dbname}" stopped answering: {one_line(error)}')
        return CheckImpossible(f'the check query failed in database "{dbname}": {one_line(error)}')


def _words(rows: Sequence[tuple[Any, ...]]) -> Words:
    found = {code: clean(text, 40) for code, text in rows if text and text.strip()}
    standard = Words()
    return Words(found.get(1, standard.ok), found.get(2, standard.warning), found.get(3, standard.critical))


def _unconnected(error: psycopg.Error) -> DatabaseUnreachable:
    text = one_line(error).removeprefix("connection failed: ").removeprefix("connection is bad: ")
    # psycopg up to 3.1 cuts libpq's message at its first colon, and with it the server's name
    if error.pgconn is not None and (said := clean(error.pgconn.error_message.decode(errors="replace"), 500)).endswith(
        text
    ):
        text = said
    ways_out = {
        "password": "put it into ~/.pgpass (mode 600) of the user that runs the check",
        "no pg_hba.conf entry": "add a line to the server's pg_hba.conf",
        "could not translate host name": "correct -H, or the resolver",
        "failed to resolve host": "correct -H, or the resolver",
        "Connection refused": "see that the server runs, and -H and -p",
        "No such file": "see that the server runs, and -H and -p",
    }
    for symptom, way_out in ways_out.items():
        if symptom in text:
            return DatabaseUnreachable(f"{text}: {way_out}")
    return DatabaseUnreachable(text)


def one_line(error: psycopg.Error) -> str:
    """A PostgreSQL error in one line, with its hint; never the statement or its position."""
    diagnosis = error.diag
    if diagnosis.message_primary is None:
        return clean(str(error), 500)
    parts = [diagnosis.message_primary, diagnosis.message_detail, diagnosis.message_hint]
    return clean("; ".join(part for part in parts if part), 500)
