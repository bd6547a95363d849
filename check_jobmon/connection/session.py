"""Connects to a database, and begins each transaction by pinning the settings that change what a statement means.

Nothing is sent outside such a transaction. Otherwise, a role that may create a function, operator or type in a schema of the
session's search_path could have it executed with the rights of the role that connects. The settings are pinned by transaction,
not by session, because behind PgBouncer the next transaction may run in another session. Judges and prints nothing.
"""

import contextlib
import select
import signal
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeVar, cast

import psycopg
from psycopg.pq import TransactionStatus

from check_jobmon.connection.errors import (
    CheckImpossible,
    DatabaseUnreachable,
    connection_error,
    one_line,
    refuse_password,
)
from check_jobmon.text import clean

if TYPE_CHECKING:
    from typing_extensions import LiteralString, Self

PINNED = {
    "search_path": "pg_catalog, pg_temp",
    # as of the next message: the server has split this one into tokens before it executes anything of it
    "standard_conforming_strings": "on",
    "datestyle": "'ISO, YMD'",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "quote_all_identifiers": "off",
    "transform_null_equals": "off",
    "array_nulls": "on",
}
"""Set first in every transaction, in this order, whatever ALTER ROLE or ALTER DATABASE have set."""
PINNED_TO_READ = {"row_security": "off", "constraint_exclusion": "off"}
"""Set besides in read-only transactions, so that no policy or check constraint added in the meantime is executed."""
RESTRICTING = {17: 0, 16: 4, 15: 8, 14: 13, 13: 16}
"""By major version, the first minor version that can refuse views and foreign tables, should one take a table's place."""
SETTING = "setting"
"""The column name that marks a SELECT as one that only sets something: its rows are not an answer."""
SECONDS = 30.0
"""How long a statement may take unless the caller says otherwise."""

T = TypeVar("T")
Statement: TypeAlias = "LiteralString | bytes | psycopg.sql.SQL | psycopg.sql.Composed"
Rows: TypeAlias = list[tuple[Any, ...]]
Asking: TypeAlias = Coroutine[Any, Any, T]
"""A coroutine that awaits nothing but a session's fetch(), so that both kinds of session can run it."""


class _TimeIsUp(Exception):
    """Raised by the signal handler when the time limit has passed."""


class _LenientText(psycopg.adapt.Loader):
    """Text from a database of encoding SQL_ASCII, which may hold bytes that are not UTF-8."""

    def load(self, data: Any) -> str:
        return bytes(data).decode("utf-8", "replace")


class _LenientBinary(_LenientText):
    """The same, fetched in binary format."""

    format = psycopg.pq.Format.BINARY


class Pinned:
    """A connection, blocking or asyncio's, and the beginning of each transaction on it.

    `parameters` are libpq's. `dbname`, `user`, `zone` (the time zone's name, empty if a pooler doesn't tell it) and
    `connect_seconds` are known once it is connected. A statement may take `seconds`, and wait `lock_seconds` for a lock (None: no
    limit).
    """

    _connection: "psycopg.BaseConnection[Any]"
    dbname: str
    user: str
    zone: str

    def __init__(self, parameters: Mapping[str, Any], seconds: float | None = None) -> None:
        self.parameters = parameters
        self.connect_seconds = 0.0
        self.seconds = seconds
        self.lock_seconds: float | None = None
        self._encoded = True

    @contextlib.contextmanager
    def connecting(self) -> Iterator[dict[str, Any]]:
        """Gives the parameters for the connection that the block makes, and turns psycopg's errors in it into ours:
        DatabaseUnreachable, or CheckImpossible for wrong parameters."""
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
            raise connection_error(error) from error
        self.connect_seconds = time.monotonic() - started
        self.dbname = self._connection.pgconn.db.decode("utf-8", "replace")
        self.user = self._connection.pgconn.user.decode("utf-8", "replace")
        self.zone = clean(self.info.parameter_status("TimeZone") or "", 100)
        self._encoded = self.info.parameter_status("server_encoding") != "SQL_ASCII"
        if not self._encoded:
            for type_name in ("text", "name", "varchar"):
                self._connection.adapters.register_loader(type_name, _LenientText)
                self._connection.adapters.register_loader(type_name, _LenientBinary)

    @property
    def info(self) -> psycopg.ConnectionInfo:
        """What libpq knows of the connection."""
        return self._connection.info

    def _begun(self, script: str = "", mode: str = "READ ONLY") -> bytes:
        """The script to send: it begins a transaction and pins its settings, unless a transaction is open."""
        status = self._connection.pgconn.transaction_status
        if status == TransactionStatus.INTRANS:
            return script.encode()
        settings = PINNED if mode != "READ ONLY" else {**PINNED, **PINNED_TO_READ}
        pins = "".join(f"SET LOCAL {name} = {value};" for name, value in settings.items())
        major, minor = divmod(self.info.server_version, 10000)
        if mode == "READ ONLY" and minor >= RESTRICTING.get(major, 0):
            pins += "SET LOCAL restrict_nonsystem_relation_kind = 'view, foreign-table';"
        if not self._encoded:
            pins += "SET LOCAL client_encoding = 'SQL_ASCII';"
        over = "ROLLBACK;" if status == TransactionStatus.INERROR else ""
        return f"{over}BEGIN ISOLATION LEVEL READ COMMITTED {mode};{pins}{script}".encode()

    async def fetch(self, script: str) -> list[Rows]:
        """The rows of each statement that returns any, in one round trip. The script may leave the transaction open."""
        raise NotImplementedError

    async def asking(self, query: str, *parameters: Any) -> Rows:
        """The rows that a query gives, in the open transaction, or in a read-only one of its own."""
        answers = await self.fetch(self._single(query, parameters))
        return answers[0] if answers else []

    def _single(self, query: str, parameters: Sequence[Any]) -> str:
        """The script of a query, the whole transaction unless one is open."""
        text = psycopg.ClientCursor(cast("Any", self._connection)).mogrify(query, parameters) if parameters else query
        is_open = self._connection.pgconn.transaction_status == TransactionStatus.INTRANS
        return text if is_open else f"{self._bounds()}{text};COMMIT"

    def _bounds(self) -> str:
        """Statements that set the limits on the server."""
        limits = {"statement_timeout": self.seconds, "lock_timeout": self.lock_seconds}
        return "".join(f"SET LOCAL {name} = {max(1, round(n * 1000))};" for name, n in limits.items() if n is not None)


class Session(Pinned):
    """A blocking connection."""

    _connection: "psycopg.Connection"

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def connect(self) -> "Self":
        """Connect. Raises as `connecting`."""
        with self._limited(), self.connecting() as parameters:
            self._connection = psycopg.connect(**parameters)
        return self

    def close(self) -> None:
        """End the session."""
        self._connection.close()

    def lost(self) -> bool:
        """Whether the server has ended the session, as far as this side has heard; sends nothing."""
        try:
            if select.select([self._connection], [], [], 0)[0]:
                self._connection.pgconn.consume_input()
        except psycopg.Error:
            return True
        return self._connection.closed

    def cancel(self) -> None:
        """Cancel the statement that the session is at, from another thread."""
        self._connection.cancel()

    @property
    def adapters(self) -> "psycopg.adapt.AdaptersMap":
        """How values are converted, to register more."""
        return self._connection.adapters

    def ask(self, asking: Asking[T]) -> T:
        """The result of a coroutine. It needs no event loop, because it awaits only fetch(), which blocks here."""
        try:
            asking.send(None)
        except StopIteration as end:
            return cast("T", end.value)
        raise AssertionError("it has awaited something else than fetch()")

    async def fetch(self, script: str) -> list[Rows]:
        return self.script(script)

    def script(self, script: str, mode: str = "READ ONLY") -> list[Rows]:
        """As `fetch`."""
        answers: list[Rows] = []
        with self._limited():
            cursor = self._connection.execute(self._begun(script, mode))
            while True:
                if is_answer(cursor):
                    answers.append(cursor.fetchall())
                if not cursor.nextset():
                    return answers

    @contextlib.contextmanager
    def transaction(self, mode: str = "READ WRITE") -> Iterator[None]:
        """A transaction, or a savepoint where one is open. psycopg.Rollback ends it without being raised on, as in psycopg."""
        if self._connection.pgconn.transaction_status == TransactionStatus.INTRANS:
            with self._connection.transaction():
                yield
            return
        self.script(self._bounds(), mode)
        try:
            yield
        except BaseException as error:
            with contextlib.suppress(psycopg.Error):
                self._connection.execute("ROLLBACK")
            if not isinstance(error, psycopg.Rollback):
                raise
        else:
            self.execute("COMMIT")

    def execute(
        self, query: "Statement", parameters: Sequence[Any] | Mapping[str, Any] | None = None, **options: Any
    ) -> "psycopg.Cursor":
        """One statement, in the open transaction or in one of its own."""
        if self._connection.pgconn.transaction_status != TransactionStatus.INTRANS:
            with self.transaction():
                return self.execute(query, parameters, **options)
        with self._limited():
            return self._connection.execute(query, parameters, **options)

    def rows(self, query: str, *parameters: Any, mode: str = "READ ONLY") -> Rows:
        """The rows that a query gives, in the open transaction, or in one of its own and then in one round trip."""
        is_open = self._connection.pgconn.transaction_status == TransactionStatus.INTRANS
        try:
            answers = self.script(self._single(query, parameters), mode)
        except psycopg.Error:
            if not is_open and self._connection.pgconn.transaction_status == TransactionStatus.INERROR:
                self._connection.execute("ROLLBACK")
            raise
        return answers[0] if answers else []

    @contextlib.contextmanager
    def _limited(self) -> Iterator[None]:
        """Stop waiting for a silent server after `seconds`. Only the main thread can be interrupted."""
        if self.seconds is None or threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGALRM, _time_is_up)
        try:
            # a little later than the server's own limit, which says more
            signal.setitimer(signal.ITIMER_REAL, self.seconds + 1)
            yield
        except _TimeIsUp:
            hint = "see that it is up and not overloaded, or give more time with --timeout"
            raise DatabaseUnreachable(f"the server did not answer within {self.seconds:g}s: {hint}") from None
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def _time_is_up(*_: object) -> NoReturn:
    raise _TimeIsUp


def is_answer(cursor: "psycopg.Cursor | psycopg.AsyncCursor") -> bool:
    """Whether the cursor's current result is an answer, and not from a statement that only sets something."""
    result = cursor.pgresult  # not `description`, which describes all columns for the name of one
    return result is not None and result.nfields > 0 and result.fname(0) != SETTING.encode()
