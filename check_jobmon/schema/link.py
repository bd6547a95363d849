"""Sets the link up: the dblink extension, the link's own role, its settings and its secrets. trial.py tries it out.

The link is the dblink connection over which the logging functions write outside the caller's transaction. Any user of a
session can use the session's dblink connections, so the link logs in as a role that can do nothing but write the log.
"""

import base64
import hashlib
import hmac
import secrets
from typing import Any, NamedTuple

from psycopg import errors, sql

from check_jobmon.connection.errors import BootstrapError
from check_jobmon.connection.session import Session
from check_jobmon.schema.roles import refuse_faults
from check_jobmon.schema.scripts import filled, query
from check_jobmon.schema.statements import attempt, explaining, run, value


class Dblink(NamedTuple):
    """The schema that dblink is in, whether bootstrap changed anything about it, and what the report says about it."""

    schema: str
    changed: bool
    said: str


def ensure_dblink(connection: Session, schema: str) -> Dblink:
    """Install dblink, in a schema of its own, if it is missing, and let the schema's owner use it."""
    before = dblink(connection, schema)
    home, stranger, lacking, public, remedy = before or _install(connection, schema)
    if stranger:
        raise BootstrapError(
            f'dblink is in schema "{home}", where role "{stranger}" could put look-alikes of its functions, which would run '
            f"as a superuser: have a superuser run {remedy}; then run bootstrap again. Or move dblink, and no job can be logged "
            f"from then until bootstrap has run: CREATE SCHEMA {schema}_dblink; "
            f"ALTER EXTENSION dblink SET SCHEMA {schema}_dblink"
        )
    if lacking:
        attempt(connection, "{}", sql.SQL(lacking))
        if dblink(connection, schema)[2]:
            raise BootstrapError(
                f'the owner of schema "{schema}" may not use dblink, and so can\'t log: ask a superuser to run, in database '
                f'"{connection.info.dbname}": {lacking}'
            )
    warning = (
        "PUBLIC may execute dblink, so any role can send statements over a link that a function has opened in its "
        f"session; if nobody else needs that right, run: {public}"
    )
    return Dblink(home, not before or bool(lacking), warning if public else "")


def dblink(connection: Session, schema: str) -> Any:
    """The row of dblink.sql, or None where dblink isn't installed."""
    return connection.execute(query("dblink"), {"schema": schema}).fetchone()


def _install(connection: Session, schema: str) -> Any:
    """Install dblink; returns the row of dblink.sql."""
    home = f"{schema}_dblink"
    try:
        run(connection, "CREATE SCHEMA {}", home)
        run(connection, "CREATE EXTENSION dblink SCHEMA {}", home)
        return dblink(connection, schema)
    except errors.DuplicateSchema:
        raise BootstrapError(
            f'dblink is not installed, and the schema that bootstrap makes for it exists already: drop schema "{home}", or '
            "install dblink yourself (CREATE EXTENSION dblink)"
        ) from None
    except (errors.UndefinedFile, errors.FeatureNotSupported, errors.InvalidParameterValue):
        raise BootstrapError(
            "dblink is not on the server's machine: install PostgreSQL's contrib modules there (Debian: the package "
            "postgresql-contrib or postgresql-NN; Red Hat: postgresqlNN-contrib), then run bootstrap again"
        ) from None


def role_name(connection: Session, schema: str) -> str:
    """The link's role: one for each database and schema, because roles belong to the whole cluster."""
    return f"{schema}_link_{value(connection, 'SELECT oid FROM pg_database WHERE datname = current_database()')}"


def ensure_link_role(connection: Session, schema: str) -> list[str]:
    """Make the link's role and its secrets where they are missing, and give it the rights it needs and no others.

    Returns the roles that have these rights: the link's own, and the one in dblink_mapping if there is one.
    """
    name, found, is_recorded, original = connection.execute(filled("link_state", schema)).fetchall()[0]
    refuse_faults(connection, schema, name, login=True)
    if not found:
        run(connection, "CREATE ROLE {} LOGIN NOINHERIT", name)
    if not (found and is_recorded):
        # also in a copy of a database, which has the original's secrets
        connection.execute(filled("new_secrets", schema))
        set_password(connection, schema, name)
    if original:
        run(connection, "REVOKE ALL ON ALL ROUTINES IN SCHEMA {} FROM {}", schema, original)
        run(connection, "REVOKE ALL ON SCHEMA {} FROM {}", schema, original)
    _ensure_settings(connection, schema, name)
    users = connection.execute(filled("link_users", schema), {"link": name}).fetchall()
    for user, connect in users:
        if connect:
            # to the role itself, because PUBLIC may lose it; if bootstrap may not do so and it is needed, trial.py says so
            run(connection, "GRANT CONNECT ON DATABASE {} TO {}", connection.info.dbname, user)
        run(connection, "GRANT USAGE ON SCHEMA {} TO {}", schema, user)
        run(
            connection,
            "GRANT EXECUTE ON ROUTINE {0}.link_answer(text, bytea), {0}.link_serve(text, bytea) TO {1}",
            schema,
            user,
        )
    return [user for user, _ in users]


def _ensure_settings(connection: Session, schema: str, name: str) -> None:
    """Give the role its settings and no others: a role may change its own, so whoever has a link open could.

    The settings that take a superuser remain as they are if bootstrap's role may not set them.
    """
    for (change,) in connection.execute(about_settings(connection, schema, "role_settings"), {"role": name}).fetchall():
        _alter(connection, name, sql.SQL(change))


def about_settings(connection: Session, schema: str, file: str) -> bytes:
    """A query, by its file's name, that asks (@may_set@) whether the session's role h may set a parameter s.name."""
    may_set = "has_parameter_privilege(s.name, 'SET')" if connection.info.server_version >= 150000 else "h.rolsuper"
    return filled(file, schema).replace(b"@may_set@", may_set.encode())


def set_password(connection: Session, schema: str, name: str) -> None:
    """Make the recorded password the role's password."""
    # Only the verifier is sent: an ALTER ROLE with the password itself would be in the server's log.
    password = str(value(connection, "SELECT password FROM {}.link", schema))
    _alter(connection, name, sql.SQL("PASSWORD {}").format(_verifier(password)))


def _alter(connection: Session, name: str, change: sql.Composable) -> None:
    """ALTER ROLE, as the session's role or, if that may not, as the role itself: each role may change these things of its own."""
    if attempt(connection, "ALTER ROLE {} {}", name, change):
        return
    remedy = f'a superuser to run: GRANT "{name}" TO "{connection.info.user}"'
    with explaining(connection, "give the link's role its password", remedy):
        run(connection, "SET LOCAL ROLE {}", name)
        run(connection, "ALTER ROLE {} {}", name, change)
        run(connection, "RESET ROLE")


def _verifier(password: str) -> str:
    """What PostgreSQL stores of a password for SCRAM (RFC 5803), which serves both methods of pg_hba.conf.

    One iteration: more would only protect weak passwords, and this one has 256 random bits; each opening of a link would
    pay for them.
    """
    iterations = 1
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    texts = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return "SCRAM-SHA-256${}:{}${}:{}".format(iterations, *texts)
