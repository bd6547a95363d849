"""One connection, one deadline, one read-only transaction: fetches what the check query says. Judges nothing."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import errors

from check_jobmon import layout
from check_jobmon.jobs import Job, Step, Words
from check_jobmon.schema.scripts import FAILURES, job_status, quoted
from check_jobmon.selection import EVERY_JOB, Selection, all_names
from check_jobmon.text import clean


class DatabaseUnreachable(Exception):
    """The server can't be reached, refuses, or does not answer in time. One line: what, where, what to do."""


class CheckImpossible(Exception):
    """The server answers, but there is nothing to judge: no schema, no right, a broken table. One line."""


class _LenientText(psycopg.adapt.Loader):
    """Text from a database of encoding SQL_ASCII, which may hold bytes that are no UTF-8."""

    def load(self, data: Any) -> str:
        return bytes(data).decode("utf-8", "replace")


@dataclass
class JobLog:
    """The job log of one database.

    `deadline` is the time.monotonic() by which the server has to have answered. The `_seconds` become known as the
    steps are done.
    """

    parameters: Mapping[str, Any]
    schema: str
    deadline: float
    connect_seconds: float = 0
    query_seconds: float = 0
    rows: int = 0
    notes: tuple[str, ...] = ()
    connection: "psycopg.Connection" = field(init=False)

    def connect(self) -> None:
        """Connect. Raises DatabaseUnreachable, or CheckImpossible for parameters that can't be right."""
        started = time.monotonic()
        refuse_password(self.parameters)
        try:
            self.connection = psycopg.connect(
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
        self.connect_seconds = time.monotonic() - started
        if self.connection.info.parameter_status("server_encoding") == "SQL_ASCII":
            for type_name in ("text", "name", "varchar"):
                self.connection.adapters.register_loader(type_name, _LenientText)

    def describe(self) -> str:
        """The connection, for people."""
        info = self.connection.info
        return (
            f'"{info.dbname}" at {info.host or "the default socket"}:{info.port} as "{info.user}", '
            f"PostgreSQL {info.parameter_status('server_version')}"
        )

    def judge(
        self, selection: Selection = EVERY_JOB, failures: int = FAILURES, steps: bool = False
    ) -> tuple[Words, list[Job], dict[int, list[Step]]]:
        """The words for the alert codes, the monitored jobs, worst first, and on demand the steps of their last runs.

        Two round trips: the first looks whether and how the tables can be read.
        """
        info = self.connection.info
        # One transaction, so that PgBouncer in transaction mode can have it. The lock timeout comes before the
        # statement's, so that a locked table is told from a slow server. What a role may have set is set anew.
        found = layout.examine(
            self._fetch(f"""
                BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY;
                SET LOCAL search_path = pg_catalog;
                {self._timeouts()}
                SET LOCAL idle_in_transaction_session_timeout = 0;
                {"SET LOCAL transaction_timeout = 0;" if info.server_version >= 170000 else ""}
                SET LOCAL jit = off;
                SET LOCAL work_mem = '64MB';
                {layout.query(self.schema)};
            """)[0],
            self.schema,
            info.dbname,
            info.user,
        )
        if isinstance(found, str):
            raise CheckImpossible(found)
        self.notes = found.notes
        jobs = job_status(self.schema, failures, found.kind, selection.also(self.schema), selection.selected())
        started = time.monotonic()
        answers = self._fetch(f"""
            {self._timeouts()}
            SELECT coalesce(t.j ->> 'alert_code', t.j ->> 'error_code')::integer,
                   coalesce(t.j ->> 'alert_text', t.j ->> 'error_text')
              FROM (SELECT to_jsonb(s) AS j FROM {quoted(self.schema)}.job_status_text AS s) AS t;
            {jobs};
            {self._steps(jobs) if steps else ""}
            COMMIT;
        """)
        self.query_seconds = time.monotonic() - started
        self.rows = len(answers[1])
        details: dict[int, list[Step]] = {}
        for row in answers[2] if steps else ():
            details.setdefault(row[0], []).append(Step(*row[1:]))
        return self._words(answers[0]), [Job.from_row(row) for row in answers[1]], details

    def names(self) -> list[str]:
        """All names that were ever logged or configured, sorted. One more round trip."""
        script = f"""
            BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY;
            SET LOCAL search_path = pg_catalog;
            {self._timeouts()}
            SELECT j.job_name FROM {quoted(self.schema)}.job_check_config AS j
             UNION
            SELECT j.job_name FROM {all_names(self.schema)} AS j
             ORDER BY job_name;
            COMMIT;
        """
        return [row[0] for row in self._fetch(script)[0]]

    def _steps(self, jobs: str) -> str:
        return f"""
            SELECT d.job_id, d.action, d.status, d.elapsed_time, d.message
              FROM {quoted(self.schema)}.job_detail AS d
             WHERE d.job_id IN (SELECT greatest(j.alive_job_id, j.crashed_job_id, j.done_job_id) FROM ({jobs}) AS j)
             ORDER BY d.job_id, d.step_id;
        """

    def _timeouts(self) -> str:
        left = max(1.0, (self.deadline - time.monotonic()) * 1000)
        return f"SET LOCAL statement_timeout = {left:.0f}; SET LOCAL lock_timeout = {max(1.0, left * 0.9):.0f};"

    def _fetch(self, script: str) -> list[list[tuple[Any, ...]]]:
        """Run a script of statements, and give the rows of those that return any."""
        answers = []
        try:
            cursor = self.connection.execute(script.encode())
            while True:
                if cursor.description is not None:
                    answers.append(cursor.fetchall())
                if not cursor.nextset():
                    return answers
        except psycopg.Error as error:
            raise self._failure(error) from error

    def _failure(self, error: psycopg.Error) -> Exception:
        dbname = self.connection.info.dbname
        if isinstance(error, errors.InsufficientPrivilege):
            return CheckImpossible(
                f'role "{self.connection.info.user}" may not read the job log in database "{dbname}" ({one_line(error)}): '
                f"GRANT {self.schema}_monitor TO that role, or name another role with -U"
            )
        if isinstance(error, errors.LockNotAvailable):
            return DatabaseUnreachable(
                f'a table of schema "{self.schema}" in database "{dbname}" is locked ({one_line(error)}): look in '
                "pg_locks for who holds an AccessExclusiveLock on it"
            )
        if isinstance(error, errors.QueryCanceled):
            return DatabaseUnreachable(
                f'database "{dbname}" did not answer in time ({one_line(error)}): look at its load, or give more time '
                "with -t"
            )
        if isinstance(error, psycopg.OperationalError):
            return DatabaseUnreachable(f'database "{dbname}" stopped answering: {one_line(error)}')
        return CheckImpossible(f'the check query failed in database "{dbname}": {one_line(error)}')

    def _words(self, rows: Sequence[tuple[Any, ...]]) -> Words:
        found = {code: clean(text, 40) for code, text in rows if text and text.strip()}
        lacking = [str(code) for code in (1, 2, 3) if code not in found]
        if lacking:
            raise CheckImpossible(
                f'{self.schema}.job_status_text in database "{self.connection.info.dbname}" has no text for alert code '
                f"{lacking[0]}: the codes are 1 OK, 2 WARNING, 3 CRITICAL, put the row back"
            )
        return Words(found[1], found[2], found[3])


def refuse_password(parameters: Mapping[str, Any]) -> None:
    """Raise CheckImpossible for a --conninfo with a password, which would be there for everybody to see."""
    try:
        given = psycopg.conninfo.conninfo_to_dict(parameters.get("conninfo", ""))
    except psycopg.Error:
        # libpq's message would quote the string, and who knows what is in it
        raise CheckImpossible(
            "--conninfo is neither a connection string nor a URI of libpq's: give host=... dbname=... or postgresql://..."
        ) from None
    if any(given.get(secret) for secret in ("password", "sslpassword", "oauth_client_secret")):
        raise CheckImpossible(
            "--conninfo has a password, which everybody on this machine can see: put it into ~/.pgpass or a service file"
        )


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
        "does not exist": "correct -d and -U",
        "starting up": "wait, or look into the server's log",
        "shutting down": "see why it stops in the server's log",
        "too many clients": "raise max_connections, or see who holds the connections in pg_stat_activity",
        "remaining connection slots": "raise max_connections, or see who holds the connections in pg_stat_activity",
        "does not support SSL": "set up TLS on the server, or relax sslmode (PGSSLMODE)",
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
