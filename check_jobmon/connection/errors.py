"""The exceptions that end a command with one line, and what psycopg's errors mean. Uses no connection."""

import re
from collections.abc import Mapping
from typing import Any

import psycopg

from check_jobmon.connection import ExpectedError
from check_jobmon.text import clean, unrepresented

HINTS = {
    "57P05|idle-session timeout": "ALTER ROLE the check's role SET idle_session_timeout = 0",
    "57P0[123]|terminating connection": "see in the server's log who or what ended it",
    "conflict with recovery": "a standby puts replay first: see max_standby_streaming_delay and hot_standby_feedback",
    "user request": "somebody cancelled it: see the server's log",
    "no password supplied|password authentication failed": (
        "put the password into ~/.pgpass (mode 600) of the user that runs the check"
    ),
    "no pg_hba.conf entry": (
        "add a line to the server's pg_hba.conf, or, where it has one for encrypted connections only, set sslmode "
        "(PGSSLMODE)"
    ),
    "Connection refused|No such file": "see that the server runs, and -H and -p",
    "certificate": "see sslrootcert and sslcert (PGSSLROOTCERT, PGSSLCERT), or relax sslmode (PGSSLMODE)",
    "does not support SSL": "set up TLS on the server, or relax sslmode (PGSSLMODE)",
    "SSL|TLS": "see the server's TLS settings and sslmode (PGSSLMODE)",
    "translate host name|resolve host|Name or service not known|name resolution": "correct -H, or the resolver",
    "No route to host|Network is unreachable": "see the network, and -H",
    "timeout expired": "see that the host is up, and no firewall drops the packets",
    'role ".*" does not exist|database ".*" does not exist': "correct -d and -U",
    "not permitted to log in|permission denied for database": "GRANT what it lacks, or name another role with -U",
    "database .* is not currently accepting": "correct -d, or ALTER DATABASE ... ALLOW_CONNECTIONS true",
    "starting up|recovery mode|not yet accepting|not accepting": "wait, or look into the server's log",
    "shutting down": "see why it stops in the server's log",
    "too many (clients|connections)|remaining connection slots": (
        "raise the limit, or see who holds the connections in pg_stat_activity"
    ),
    "TimeZone": "give --utc, or set TZ for --local, or PGTZ, to a name in pg_timezone_names, such as Europe/Berlin",
    "unrecognized configuration parameter|invalid value for parameter": "correct PGOPTIONS, or the role's settings",
    "^ out of memory|memory for (query result|input buffer)|got message type|received invalid|authentication request|COPY can": (
        "see that it is PostgreSQL that answers there"
    ),
    "closed the connection unexpectedly": "see in the server's log why",
}
"""What to do, by a pattern in the server's or libpq's message, or by SQLSTATE; the first that matches."""


class DatabaseUnreachable(ExpectedError):
    """The server can't be reached, refuses, or does not answer in time. One line: what, where, what to do."""


class CheckImpossible(ExpectedError):
    """The server answers, but the job log can't be read: no schema, no right, a broken or untrusted table. One line."""


class BootstrapError(ExpectedError):
    """Why the schema can't be installed here, and what to do about it, in one line."""


def hint_for(message: str, sqlstate: str = "") -> str:
    """What to do about an error of the server's or of libpq's.

    >>> hint_for("FATAL: the database system is shutting down")
    "see why it stops in the server's log"
    """
    for pattern, hint in HINTS.items():
        if re.search(pattern, f"{sqlstate} {message}"):
            return hint
    return "look into the server's log"


def connection_error(error: psycopg.Error) -> CheckImpossible | DatabaseUnreachable:
    """The exception to raise for a connection that psycopg could not make."""
    # Some versions of psycopg cut libpq's message short; the whole one is with the connection that failed.
    said = error.pgconn.error_message if error.pgconn else b""
    text = clean(" ".join(said.decode("utf-8", "replace").split()), 500) or one_line(error)
    if str(error).startswith("connection is bad") and not re.search("connection to server|host|socket", text):
        return CheckImpossible(
            f"the connection parameters are wrong: {text}: correct the options, PG... or the service"
        )
    hint = hint_for(text)
    return CheckImpossible(f"{text}: {hint}") if hint is HINTS["TimeZone"] else DatabaseUnreachable(f"{text}: {hint}")


def one_line(error: psycopg.Error) -> str:
    """A PostgreSQL error in one line, with its hint; never the statement or its position."""
    diagnosis = error.diag
    if diagnosis.message_primary is None:
        # what psycopg was doing when the connection broke is of no interest
        text = " ".join(unrepresented(str(error)).split())  # libpq writes two blanks after FATAL:
        return clean(re.sub("^(consuming input|sending query) failed: ", "", text), 500)
    parts = [diagnosis.message_primary, diagnosis.message_detail, diagnosis.message_hint]
    return clean("; ".join(part for part in parts if part), 500)


def refuse_password(parameters: Mapping[str, Any]) -> None:
    """Raise CheckImpossible for a --conninfo with a password: everybody can see a process's arguments."""
    try:
        given = psycopg.conninfo.conninfo_to_dict(parameters.get("conninfo", ""))
    except psycopg.Error:
        # libpq's message would quote the string, with any password in it
        raise CheckImpossible(
            "--conninfo is neither a connection string nor a URI of libpq's: give host=... dbname=... or postgresql://..."
        ) from None
    if any(given.get(secret) for secret in ("password", "sslpassword", "oauth_client_secret")):
        raise CheckImpossible(
            "--conninfo has a password, which everybody on this machine can see: put it into ~/.pgpass or a service file"
        )
