"""Whether the link works: the way to the server that connects, and a run that is logged over it and taken back."""

import contextlib
import re
from collections.abc import Sequence

import psycopg
from psycopg import errors, sql

from check_jobmon.connection.errors import BootstrapError, hint_for, one_line
from check_jobmon.connection.session import Session
from check_jobmon.connection.trust import refuse_untrusted
from check_jobmon.schema.link import SETTINGS, role_name, set_password
from check_jobmon.schema.scripts import filled

NEEDED = ("array_nulls", "default_transaction_isolation", "default_transaction_read_only", "session_replication_role")
"""Those settings without which nothing is logged, or not what the caller said, or no failure ever alerts."""
LOOK = """
SELECT current_user, pg_catalog.current_setting('is_superuser'),
       (SELECT pg_catalog.string_agg(pg_catalog.format('ALTER ROLE %I SET %I = %L', current_user, s.name, s.value), '; ')
          FROM (VALUES {settings}) AS s(name, value)
         WHERE pg_catalog.current_setting(s.name) OPERATOR(pg_catalog.<>) s.value)
"""
"""Asks over the link who it is, whether a superuser, and what to run where its settings are not those."""


def ensure(connection: Session, schema: str, dblink: str, owner: str, *, keep: bool = True) -> tuple[str, bool]:
    """Try the link, over the socket and over TCP if need be; what it is, and whether anything had to be changed.

    It is tried as the schema's owner, as whom the functions run that log. Without `keep` the change is undone.
    Raises BootstrapError where it doesn't connect in any way: the log can't be written then.
    """
    table = sql.Identifier(schema, "link")
    row = connection.execute(sql.SQL("SELECT over FROM {}").format(table)).fetchone()
    assert row is not None
    current = str(row[0])
    reasons: list[str] = []
    other = "tcp" if current == "socket" else "socket"
    for over in (current, other, current, other):
        if len(reasons) == 2:
            # A role may change its own password, so whoever had a link open could have done so.
            if not (keep and any("password authentication failed" in reason for reason in reasons)):
                break
            set_password(connection, table, role_name(connection, schema))
        way = ""
        with connection.transaction():
            refuse_untrusted(connection, schema)
            connection.execute(sql.SQL("UPDATE {} SET over = %s WHERE over <> %s").format(table), [over, over])
            connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(owner)))
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
        f"({'; '.join(dict.fromkeys(reasons))}): {_remedy(connection, schema, reasons)}; then run bootstrap again"
    )


def _remedy(connection: Session, schema: str, reasons: Sequence[str]) -> str:
    """What to do about a link that does not connect."""
    name = role_name(connection, schema)
    database = connection.info.dbname
    if any(re.search("too many (clients|connections)|remaining connection slots", reason) for reason in reasons):
        return hint_for("too many connections")
    if any("permission denied for database" in reason for reason in reasons):
        return f'ask the database\'s owner or a superuser to run: GRANT CONNECT ON DATABASE "{database}" TO "{name}"'
    if any("is a superuser" in reason for reason in reasons):
        return f"leave username and pwd NULL in {schema}.dblink_mapping to use the link's own role"
    line = f'"{database}" "{name}"'
    if any("listen_addresses" in reason for reason in reasons):
        line = f"local {line} scram-sha-256"
    else:
        line = f"host {line} 127.0.0.1/32 scram-sha-256"
    return (
        f'let role "{name}" log in with its password from this server itself (a line in pg_hba.conf: {line}), or say in '
        f"{schema}.dblink_mapping how to connect"
    )


def _try(connection: Session, schema: str, dblink: str) -> str:
    """Open a link, look who it is, log a run over it and take that back, close it.

    Raises psycopg.OperationalError if it can't be opened, BootstrapError if it is good for nothing then.
    """
    trial = f"{schema}_bootstrap"
    dblink_schema = sql.Identifier(dblink)
    connection.execute(sql.SQL("SELECT {}(%s::text)").format(sql.Identifier(schema, "link_open")), [trial])
    settings = ", ".join(f"('{name}', '{SETTINGS[name]}')" for name in NEEDED)
    row = connection.execute(
        sql.SQL("SELECT * FROM {}.dblink(%s::text, %s::text) AS t(who text, super text, wrong text)").format(
            dblink_schema
        ),
        [trial, LOOK.format(settings=settings)],
    ).fetchone()
    assert row is not None
    who, is_superuser, wrong = row
    if is_superuser == "on":
        raise BootstrapError(
            f'{schema}.dblink_mapping makes the link a superuser ("{who}"), and whoever logs a job could be one through '
            "it: leave username and pwd NULL there to use the link's own role"
        )
    if wrong:
        raise BootstrapError(
            "the schema is installed, but its link's role has settings by which runs would not be logged, or not as they "
            f"were, or no failure would alert: ask a superuser to run: {wrong}; then run bootstrap again"
        )
    try:
        # whoever has locked the log keeps others waiting, and no more
        with contextlib.suppress(errors.LockNotAvailable), connection.transaction():
            connection.execute(filled("trial", schema, dblink), {"link": trial})
    except psycopg.Error as error:
        raise BootstrapError(
            f'the schema is installed, and its link connects as role "{who}", but nothing can be logged over it '
            f"({one_line(error)}): change that, then run bootstrap again"
        ) from None
    connection.execute(sql.SQL("SELECT {}.dblink_disconnect(%s::text)").format(dblink_schema), [trial])
    return f'the link works, as role "{who}"'
