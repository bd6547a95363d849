"""Tries the link: finds a way to connect that works, and logs a run over it, which is rolled back."""

import contextlib
import re
from collections.abc import Sequence

import psycopg
from psycopg import errors

from check_jobmon.connection.errors import BootstrapError, hint_for, one_line
from check_jobmon.connection.session import Session
from check_jobmon.connection.trust import refuse_untrusted
from check_jobmon.schema.link import role_name, set_password
from check_jobmon.schema.scripts import filled
from check_jobmon.schema.statements import run, value


def ensure_link(connection: Session, schema: str, dblink: str, owner: str, *, keep: bool = True) -> tuple[str, bool]:
    """Try the link, over the socket and over TCP if need be. Returns a line about it, and whether anything had to be changed.

    It is tried as the schema's owner, because the logging functions run as the owner. Without `keep` the change is undone.
    Raises BootstrapError if no way connects: the log can't be written then.
    """
    current = str(value(connection, "SELECT over FROM {}.link", schema))
    reasons: list[str] = []
    other = "tcp" if current == "socket" else "socket"
    for over in (current, other, current, other):
        if len(reasons) == 2:
            # A role may change its own password, so whoever had a link open could have done so.
            if not (keep and any("password authentication failed" in reason for reason in reasons)):
                break
            set_password(connection, schema, role_name(connection, schema))
        way = ""
        with connection.transaction():
            refuse_untrusted(connection, schema)
            run(connection, "UPDATE {}.link SET over = %(over)s WHERE over <> %(over)s", schema, over=over)
            run(connection, "SET LOCAL ROLE {}", owner)
            try:
                way = _try(connection, schema, dblink)
            except psycopg.OperationalError as error:
                reasons.append(str(error.diag.message_primary))
            if not (way and keep):
                raise psycopg.Rollback
        if way:
            return way, over != current or len(reasons) > 1
    raise BootstrapError(
        "the schema is installed, but its link does not connect, so nothing can be logged yet "
        f"({'; '.join(dict.fromkeys(reasons))}): {_hint(connection, schema, reasons)}; then run bootstrap again"
    )


def _hint(connection: Session, schema: str, reasons: Sequence[str]) -> str:
    """What to do about a link that does not connect."""
    name = role_name(connection, schema)
    database = connection.info.dbname
    said = "\n".join(reasons)
    if re.search("too many (clients|connections)|remaining connection slots", said):
        return hint_for("too many connections")
    if "permission denied for database" in said:
        return f'ask the database\'s owner or a superuser to run: GRANT CONNECT ON DATABASE "{database}" TO "{name}"'
    if "is a superuser" in said:
        return f"leave username and pwd NULL in {schema}.dblink_mapping to use the link's own role"
    line = pg_hba_lines(connection, schema)["listen_addresses" not in said]
    return (
        f'let role "{name}" log in with its password from this server itself (a line in pg_hba.conf: {line}), '
        f"or say in {schema}.dblink_mapping how to connect"
    )


def pg_hba_lines(connection: Session, schema: str) -> tuple[str, str]:
    """The lines of pg_hba.conf with which the link can log in, over the socket and over TCP."""
    who = f'"{connection.info.dbname}" "{role_name(connection, schema)}"'
    return f"local {who} scram-sha-256", f"host {who} 127.0.0.1/32 scram-sha-256"


def _try(connection: Session, schema: str, dblink: str) -> str:
    """Open a link, check its role, log a run over it and roll that back, close it. Returns a line about the link.

    Raises psycopg.OperationalError if it can't be opened, BootstrapError if nothing can be logged over it, or not safely.
    """
    trial = f"{schema}_bootstrap"
    run(connection, "SELECT {}.link_open(%(link)s::text)", schema, link=trial)
    login = filled("link_login", schema).decode()
    answer = "SELECT * FROM {}.dblink(%(link)s::text, %(login)s::text) AS t(role text, super text, missing text)"
    role, is_superuser, missing = run(connection, answer, dblink, link=trial, login=login).fetchall()[0]
    if is_superuser == "on":
        raise BootstrapError(
            f'{schema}.dblink_mapping makes the link a superuser ("{role}"), and whoever logs a job could become one through '
            "it: leave username and pwd NULL there to use the link's own role"
        )
    if missing:
        raise BootstrapError(
            "the schema is installed, but its link's role has settings with which runs would not be logged, or not "
            f"correctly, or no failure would alert: ask a superuser to run: {missing}; then run bootstrap again"
        )
    try:
        # if somebody has locked the log, others have to wait, but the link works
        with contextlib.suppress(errors.LockNotAvailable), connection.transaction():
            connection.execute(filled("trial", schema, dblink), {"link": trial})
    except psycopg.Error as error:
        raise BootstrapError(
            f'the schema is installed, and its link connects as role "{role}", but nothing can be logged over it '
            f"({one_line(error)}): change that, then run bootstrap again"
        ) from None
    run(connection, "SELECT {}.dblink_disconnect(%(link)s::text)", dblink, link=trial)
    return f'the link works, as role "{role}"'
