"""One connection, one deadline, one read-only transaction: fetches what the check query says. Judges nothing.

What is asked, and what an answer or an error means, waits for nobody: these are generators that yield the scripts to run
and are sent their rows, or thrown psycopg's error. Who drives them waits: here JobLog does, for one database.
"""

import contextlib
import re
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, TypeAlias, TypeVar

import psycopg
from psycopg import errors

from check_jobmon import layout
from check_jobmon.jobs import Job, Step, Words
from check_jobmon.remedies import way_out
from check_jobmon.schema.scripts import FAILURES, job_status, quoted
from check_jobmon.selection import EVERY_JOB, Selection, all_names
from check_jobmon.text import clean

SETTING = "setting"
"""The column by which the result of a statement is told that only sets something."""
LOCK_SHARE = 0.9
"""The part of a statement's time that it may wait for a lock, so that a locked table is told from a slow server."""
OUT_OF_TIME = ("57014", "25P03", "25P04")
"""SQLSTATEs of the time limits that the check sets: a statement's, an idle transaction's and a transaction's."""


T = TypeVar("T")
Rows: TypeAlias = list[tuple[Any, ...]]
Asking: TypeAlias = Generator[str, list[Rows], T]
"""Yields scripts of statements, is sent the rows of each statement that returned any, and gives what came of it."""


class DatabaseUnreachable(Exception):
    """The server can't be reached, refuses, or does not answer in time. One line: what, where, what to do."""


class CheckImpossible(Exception):
    """The server answers, but there is nothing to judge: no schema, no right, a broken table. One line."""


Judgement: TypeAlias = tuple[Words, list[Job], dict[int, list[Step]]]
"""The words for the alert codes, the monitored jobs, and the steps of their last runs by job_id."""


class _LenientText(psycopg.adapt.Loader):
    """Text from a database of encoding SQL_ASCII, which may hold bytes that are no UTF-8."""

    def load(self, data: Any) -> str:
        return bytes(data).decode("utf-8", "replace")


class Inquiry:
    """What there is to ask of the job log of one database, whoever waits for the answers.

    `deadline` is the time.monotonic() by which the server has to have answered. The `_seconds` become known as the
    steps are done. `encoded` is whether the database knows how its texts are encoded.
    """

    connection: "psycopg.BaseConnection[Any]"
    dbname: str
    user: str

    def __init__(self, parameters: Mapping[str, Any], schema: str, deadline: float) -> None:
        self.parameters = parameters
        self.schema = schema
        self.deadline = deadline
        self.connect_seconds = self.query_seconds = 0.0
        self.rows = 0
        self.notes: tuple[str, ...] = ()
        self.encoded = True

    @contextlib.contextmanager
    def connecting(self) -> Iterator[dict[str, Any]]:
        """Gives the parameters with which `connection` has to be made meanwhile; says why it can't be.

        Raises DatabaseUnreachable, or CheckImpossible for parameters that can't be right.
        """
        started = time.monotonic()
        refuse_password(self.parameters)
        try:
            yield {
                # the encoding in which names and messages come, whatever the database's
                "client_encoding": "utf8",
                "application_name": "check_jobmon",
                **self.parameters,
                "autocommit": True,
                "prepare_threshold": None,
            }
        except (psycopg.ProgrammingError, psycopg.InterfaceError) as error:
            raise CheckImpossible(f"the connection parameters are wrong: {one_line(error)}") from error
        except UnicodeError as error:
            host = self.parameters.get("host", "")
            raise CheckImpossible(f"\"{clean(host, 100)}\" can't be a host's name: correct -H, or PGHOST") from error
        except psycopg.Error as error:
            raise _unconnected(error) from error
        self.connect_seconds = time.monotonic() - started
        self.dbname = self.connection.pgconn.db.decode("utf-8", "replace")
        self.user = self.connection.pgconn.user.decode("utf-8", "replace")
        self.encoded = self.connection.info.parameter_status("server_encoding") != "SQL_ASCII"
        if not self.encoded:
            for type_name in ("text", "name", "varchar"):
                self.connection.adapters.register_loader(type_name, _LenientText)

    def describe(self) -> str:
        """The connection, for people."""
        info = self.connection.info
        return (
            f'"{self.dbname}" at {info.host or "the default socket"}:{info.port} as "{self.user}", '
            f"PostgreSQL {info.parameter_status('server_version')}"
        )

    def judging(
        self, selection: Selection = EVERY_JOB, failures: int = FAILURES, steps: bool = False
    ) -> Asking[Judgement]:
        """The words for the alert codes, the monitored jobs, worst first, and on demand the steps of their last runs.

        Two round trips: the first looks whether and how the tables can be read.
        """
        # One transaction, so that PgBouncer in transaction mode can have it.
        catalog = yield from self._fetch(f"""
            {self._begin()}
            SET LOCAL jit = off;
            SET LOCAL work_mem = '64MB';
            {layout.query(self.schema)};
        """)
        found = layout.examine(catalog[0], self.schema, self.dbname, self.user)
        if isinstance(found, str):
            raise CheckImpossible(found)
        self.notes = found.notes
        query = job_status(
            self.schema, failures, found.kind, found.newest, selection.also(self.schema), selection.selected()
        )
        started = time.monotonic()
        answers = yield from self._fetch(f"""
            {self._timeouts()}
            SELECT coalesce(t.j ->> 'alert_code', t.j ->> 'error_code')::integer,
                   coalesce(t.j ->> 'alert_text', t.j ->> 'error_text')
              FROM (SELECT to_jsonb(s) AS j FROM {quoted(self.schema)}.job_status_text AS s) AS t;
            {self._timeouts_again()}
            {query};
            {self._timeouts_again() + self._steps(query) if steps else ""}
            COMMIT;
        """)
        self.query_seconds = time.monotonic() - started
        self.rows = len(answers[1])
        jobs = list(map(Job._make, answers[1]))
        jobs.sort(key=attrgetter("name"))
        jobs.sort(key=attrgetter("alert_code"), reverse=True)
        details: dict[int, list[Step]] = {}
        for row in answers[2] if steps else ():
            details.setdefault(row[0], []).append(Step(*row[1:]))
        return self._words(answers[0]), jobs, details

    def naming(self) -> Asking[list[str]]:
        """All names that were ever logged or configured, sorted. One more round trip."""
        script = f"""
            {self._begin()}
            SELECT j.job_name FROM {quoted(self.schema)}.job_check_config AS j
             UNION
            SELECT j.job_name FROM {all_names(self.schema)} AS j
             ORDER BY job_name;
            COMMIT;
        """
        answers = yield from self._fetch(script)
        return [row[0] for row in answers[0]]

    def _steps(self, query: str) -> str:
        return f"""
            SELECT d.job_id, d.action, d.status, d.elapsed_time, d.message
              FROM {quoted(self.schema)}.job_detail AS d
             WHERE d.job_id IN (SELECT greatest(j.alive_job_id, j.crashed_job_id, j.done_job_id) FROM ({query}) AS j)
             ORDER BY d.job_id, d.step_id;
        """

    def _begin(self) -> str:
        """Begin the transaction. What the role may have set is set anew.

        What the server does ends by the deadline, even if this process is gone by then.
        """
        return f"""
            BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY;
            SET LOCAL search_path = pg_catalog;
            SET LOCAL extra_float_digits = 1;
            SET LOCAL datestyle = 'ISO';
            {"" if self.encoded else "SET LOCAL client_encoding = 'SQL_ASCII';"}
            {self._timeouts()}
            SET LOCAL idle_in_transaction_session_timeout = {self._left()};
            {self._transaction_timeout()}
        """

    def _transaction_timeout(self) -> str:
        if self.connection.info.server_version < 170000:
            return ""
        # to the server a running timeout changes only by way of 0
        return f"SET LOCAL transaction_timeout = 0; SET LOCAL transaction_timeout = {self._left()};"

    def _left(self) -> int:
        """Milliseconds until the deadline, at least one: none would be no bound to PostgreSQL."""
        return max(1, round((self.deadline - time.monotonic()) * 1000))

    def _timeouts(self) -> str:
        left = self._left()
        return f"SET LOCAL statement_timeout = {left}; SET LOCAL lock_timeout = {max(1, round(left * LOCK_SHARE))};"

    def _timeouts_again(self) -> str:
        """What is left for the next statement of a script, so that all together end by the deadline."""
        left = f"{self._left()} - extract(epoch FROM clock_timestamp() - statement_timestamp()) * 1000"
        return "".join(
            f"SELECT set_config('{name}', greatest(1, (({left}) * {share})::integer)::text, true) AS {SETTING};"
            for name, share in (("statement_timeout", 1), ("lock_timeout", LOCK_SHARE))
        )

    def _fetch(self, script: str) -> Asking[list[Rows]]:
        """The answers to a script, or DatabaseUnreachable or CheckImpossible for an error."""
        try:
            return (yield script)
        except psycopg.Error as error:
            failure = yield from self._failure(error)
            raise failure from error

    def _failure(self, error: psycopg.Error) -> Asking[Exception]:
        dbname = self.dbname
        state = error.sqlstate or ""
        if isinstance(error, errors.InsufficientPrivilege):
            return CheckImpossible(
                f'role "{self.user}" may not read the job log in database "{dbname}" ({one_line(error)}): '
                f"GRANT {self.schema}_monitor TO that role, or name another role with -U"
            )
        if isinstance(error, errors.LockNotAvailable):
            lock = yield from self._lock()
            return DatabaseUnreachable(f'a table of schema "{self.schema}" in database "{dbname}" is locked {lock}')
        if state in OUT_OF_TIME and "user request" not in str(error):
            return DatabaseUnreachable(
                f'database "{dbname}" did not answer in time ({one_line(error)}): look at its load, or give more time '
                "with -t"
            )
        # What has no SQLSTATE and is not about one value, libpq found: what came was no answer of PostgreSQL's.
        no_answer = not (state or isinstance(error, psycopg.DataError))
        if isinstance(error, psycopg.OperationalError) or state in OUT_OF_TIME or no_answer:
            text = one_line(error)
            return DatabaseUnreachable(
                f'database "{dbname}" broke off the check: {text}: {way_out(text, error.sqlstate or "")}'
            )
        return CheckImpossible(
            f'the check query failed in database "{dbname}": {one_line(error)}: compare the tables with those of a fresh '
            "schema (jobmonctl bootstrap), or see the server's log"
        )

    def _lock(self) -> Asking[str]:
        """Which table is locked, by whom, and what to do, as far as there is time to ask."""
        try:
            answers = yield (
                f"""
                ROLLBACK;
                {self._begin()}
                SELECT c.relname::text, l.granted, l.pid, a.usename::text, a.application_name,
                       to_char(a.xact_start, 'YYYY-MM-DD HH24:MI:SS OF')
                  FROM pg_locks AS l
                  JOIN pg_class AS c ON c.oid = l.relation
                  JOIN pg_namespace AS n ON n.oid = c.relnamespace
                  LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
                 WHERE l.mode = 'AccessExclusiveLock'
                   AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
                   AND n.nspname = {psycopg.sql.Literal(self.schema).as_string(None)}
                   AND c.relname IN ({", ".join(f"'{table}'" for table in layout.COLUMNS)})
                 ORDER BY l.granted DESC, a.xact_start
                 LIMIT 1;
                COMMIT;
            """
            )
            rows = answers[0]
        except psycopg.Error:
            rows = []
        if not rows:
            return "(SELECT relation::regclass, pid FROM pg_locks WHERE mode = 'AccessExclusiveLock' shows by whom)"
        table, granted, pid, *names, since = rows[0]
        if pid is None:
            return f"({table} by a prepared transaction): see pg_prepared_xacts, and commit it or roll it back"
        who = ", ".join([f"pid {pid}", *(clean(name, 60) for name in names if name)])
        whose = f"{who}, in a transaction since {since}" if since else who
        if not granted:
            return (
                f"({table}: {whose}, waits to lock it, and all others behind): see what that one waits for, or end it"
            )
        return f"({table} by {whose}): wait for its end, or end it with SELECT pg_terminate_backend({pid})"

    def _words(self, rows: Sequence[tuple[Any, ...]]) -> Words:
        cleaned = ((code, clean(text or "", 40)) for code, text in rows)
        found = {code: text for code, text in cleaned if text}
        lacking = [str(code) for code in (1, 2, 3) if code not in found]
        if lacking:
            raise CheckImpossible(
                f'{self.schema}.job_status_text in database "{self.dbname}" has no text for alert code '
                f"{lacking[0]}: the codes are 1 OK, 2 WARNING, 3 CRITICAL, put the row back"
            )
        return Words(found[1], found[2], found[3])


class JobLog(Inquiry):
    """The job log of one database, over a connection that is waited for."""

    connection: "psycopg.Connection"

    def connect(self) -> None:
        """Connect. Raises as `connecting`."""
        with self.connecting() as parameters:
            self.connection = psycopg.connect(**parameters)

    def run(self, asking: Asking[T]) -> T:
        """What comes of it. Raises DatabaseUnreachable or CheckImpossible."""
        try:
            script = next(asking)
            while True:
                try:
                    answers = self._rows(script)
                except psycopg.Error as error:
                    script = asking.throw(error)
                else:
                    script = asking.send(answers)
        except StopIteration as end:
            result: T = end.value
            return result

    def judge(self) -> Judgement:
        """As `judging` with its defaults, done."""
        return self.run(self.judging())

    def names(self) -> list[str]:
        """As `naming`, done."""
        return self.run(self.naming())

    def _rows(self, script: str) -> list[Rows]:
        rows: list[Rows] = []
        cursor = self.connection.execute(script.encode())
        while True:
            if answers(cursor):
                rows.append(cursor.fetchall())
            if not cursor.nextset():
                return rows


def answers(cursor: "psycopg.Cursor | psycopg.AsyncCursor") -> bool:
    """Whether the cursor's current result is an answer, and not from a statement that only sets something."""
    result = cursor.pgresult  # not `description`, which describes all columns for the name of one
    return result is not None and result.nfields > 0 and result.fname(0) != SETTING.encode()


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


def _unconnected(error: psycopg.Error) -> Exception:
    # Some versions of psycopg cut libpq's message short; the whole one is with the connection that failed.
    said = error.pgconn.error_message if error.pgconn else b""
    text = clean(said.decode("utf-8", "replace"), 500) or one_line(error)
    if str(error).startswith("connection is bad") and not re.search("connection to server|host|socket", text):
        return CheckImpossible(
            f"the connection parameters are wrong: {text}: correct the options, PG... or the service"
        )
    return DatabaseUnreachable(f"{text}: {way_out(text)}")


def one_line(error: psycopg.Error) -> str:
    """A PostgreSQL error in one line, with its hint; never the statement or its position."""
    diagnosis = error.diag
    if diagnosis.message_primary is None:
        # what psycopg was doing when the connection broke is of no interest
        return clean(re.sub("^(consuming input|sending query) failed: ", "", str(error)), 500)
    parts = [diagnosis.message_primary, diagnosis.message_detail, diagnosis.message_hint]
    return clean("; ".join(part for part in parts if part), 500)
