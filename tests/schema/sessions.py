"""Sessions that are busy, and waiting for a condition with a bound."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import psycopg

from tests import database
from tests.database import Database


def until(session: psycopg.Connection, query: str, *parameters: Any, seconds: float = 20) -> None:
    """Wait until the query's one value is true; fails after that many seconds."""
    database.until(lambda: database.value(session, query, *parameters), seconds)


class Busy:
    """A session that executes one statement in a thread of its own. `error` is what it ended with, if with one."""

    def __init__(self, session: psycopg.Connection, statement: str) -> None:
        self.session = session
        self.pid = session.info.backend_pid
        self.error: psycopg.Error | None = None
        self._thread = threading.Thread(target=self._execute, args=[statement], daemon=True)
        self._thread.start()

    def _execute(self, statement: str) -> None:
        try:
            self.session.execute(statement.encode())
        except psycopg.Error as error:
            self.error = error

    def join(self) -> None:
        """Wait for its end, for 20 seconds."""
        self._thread.join(20)
        assert not self._thread.is_alive()


@contextlib.contextmanager
def busy(where: Database, statement: str, **parameters: Any) -> Iterator[Busy]:
    """A session that is at the statement until it ends or the context does."""
    with where.connect(**parameters) as session:
        work = Busy(session, statement)
        try:
            yield work
        finally:
            # safe where it has ended by itself
            session.cancel()
            work.join()
