"""Executes bootstrap's statements: quotes the names in them, and turns a missing right into a BootstrapError."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from psycopg import errors, sql

from check_jobmon.connection.errors import BootstrapError
from check_jobmon.connection.session import Session

if TYPE_CHECKING:
    from psycopg import Cursor
    from typing_extensions import LiteralString


def run(
    connection: Session, statement: "LiteralString", *names: str | sql.Composable, **parameters: object
) -> "Cursor":
    """Execute a statement with the names, as quoted identifiers, in the places of its {}."""
    identifiers = [sql.Identifier(name) if isinstance(name, str) else name for name in names]
    return connection.execute(sql.SQL(statement).format(*identifiers), parameters or None)


def value(connection: Session, statement: "LiteralString", *names: str, **parameters: object) -> Any:
    """The first value of the statement's first row, or None if it has no row."""
    row = run(connection, statement, *names, **parameters).fetchone()
    return row[0] if row else None


def attempt(connection: Session, statement: "LiteralString", *names: str | sql.Composable) -> bool:
    """Execute a statement if the session's role has the right to. Returns whether it has."""
    with contextlib.suppress(errors.InsufficientPrivilege), connection.transaction():
        run(connection, statement, *names)
        return True
    return False


@contextlib.contextmanager
def explaining(connection: Session, action: str, remedy: str) -> Iterator[None]:
    """Raise BootstrapError for a missing right: it says that the session's role may not do the action, and names the remedy."""
    try:
        yield
    except errors.InsufficientPrivilege:
        raise BootstrapError(f'role "{connection.info.user}" may not {action}: ask {remedy}') from None
