"""The link's side of bootstrap: the dblink extension, the link's own role, its settings and secrets. trial.py tries it.

The link is the dblink connection over which the logging functions write outside the caller's transaction. Any user of a
session can use the session's dblink connections, so the link logs in as a role that can do nothing but write the log.
"""

import base64
import contextlib
import hashlib
import hmac
import secrets
from typing import NamedTuple

from psycopg import errors, sql

from check_jobmon.connection.errors import BootstrapError
from check_jobmon.connection.session import Session
from check_jobmon.schema import roles
from check_jobmon.schema.scripts import query
from check_jobmon.sql_files import quoted

LINK_ROUTINES = (
    "link_answer(text, bytea)",
    "link_serve(text, bytea)",
)
"""All that the link's role may execute."""

SETTINGS = {
    # what the logging functions send and do would mean something else
    "array_nulls": "on",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "session_replication_role": "origin",
    # how long a call may take is the caller's to say
    "statement_timeout": "0",
    "transaction_timeout": "0",
    # keeps pg_stat_activity from showing what links write, for whoever has a link open is the role of all links
    "track_activities": "off",
}
"""The settings of the link's role, which win over the database's. Each costs every opening of a link a little."""
FOR_SUPERUSERS = ("session_replication_role", "track_activities")
"""Those that only a superuser may set, or a role with SET on the parameter."""


class Dblink(NamedTuple):
    """The schema that dblink is in, whether bootstrap changed anything about it, and what is to be said of it."""

    schema: str
    changed: bool
    said: str


def extension(connection: Session, schema: str) -> Dblink:
    """Where dblink is. It is installed, in a schema of its own, where it isn't yet; the schema's owner may use it then."""
    found = _dblink(connection, schema)
    changed = not found
    if not found:
        _install(connection, schema)
        found = _dblink(connection, schema)
    assert found
    home, stranger, lacking, public, remedy = found
    if stranger:
        raise BootstrapError(
            f'dblink is in schema "{home}", where role "{stranger}" could put look-alikes of its functions, which would run '
            f"as a superuser: have a superuser run {remedy}; then run bootstrap again. Or move dblink, and no job can be logged "
            f"from then until bootstrap has run: CREATE SCHEMA {schema}_dblink; "
            f"ALTER EXTENSION dblink SET SCHEMA {schema}_dblink"
        )
    if lacking:
        with contextlib.suppress(errors.InsufficientPrivilege), connection.transaction():
            connection.execute(lacking.encode())
        found = _dblink(connection, schema)
        if not found or found[2]:
            raise BootstrapError(
                f'the owner of schema "{schema}" may not use dblink, and so not log: ask a superuser to run, in database '
                f'"{connection.info.dbname}": {lacking}'
            )
    said = ""
    if public:
        said = (
            "PUBLIC may execute dblink, so that any role can send statements over a link that a function opened in its "
            f"session; if nobody else needs that: {public}"
        )
    return Dblink(home, changed or bool(lacking), said)


def _dblink(connection: Session, schema: str) -> tuple[str, str | None, str | None, str | None, str | None] | None:
    return connection.execute(query("dblink"), {"schema": schema}).fetchone()


def _install(connection: Session, schema: str) -> None:
    home = f"{schema}_dblink"
    name = sql.Identifier(home)
    try:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(name))
        connection.execute(sql.SQL("CREATE EXTENSION dblink SCHEMA {}").format(name))
    except errors.DuplicateSchema:
        raise BootstrapError(
            f'dblink is not installed, and its place is taken: drop schema "{home}", or install dblink yourself '
            "(CREATE EXTENSION dblink)"
        ) from None
    except errors.InsufficientPrivilege:
        raise BootstrapError(
            f'role "{connection.info.user}" may not install dblink: ask a superuser to run, in database '
            f'"{connection.info.dbname}": CREATE SCHEMA {home}; CREATE EXTENSION dblink SCHEMA {home}; '
            f'GRANT USAGE ON SCHEMA {home} TO "{connection.info.user}"'
        ) from None
    except (errors.UndefinedFile, errors.FeatureNotSupported, errors.InvalidParameterValue):
        raise BootstrapError(
            "dblink is not on the server's machine: install PostgreSQL's contrib modules there (Debian: the package "
            "postgresql-contrib or postgresql-NN; Red Hat: postgresqlNN-contrib), then run bootstrap again"
        ) from None


def role_name(connection: Session, schema: str) -> str:
    """The link's role: one for each database and schema, because roles belong to the whole cluster."""
    row = connection.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone()
    assert row is not None
    return f"{schema}_link_{row[0]}"


def role(connection: Session, schema: str) -> tuple[str, ...]:
    """Make the link's role and its secrets where they are missing, and give it the rights it needs and no others.

    Returns the roles that have these rights: it, and that of dblink_mapping if there is one.
    """
    name = role_name(connection, schema)
    table = sql.Identifier(schema, "link")
    recorded = connection.execute(sql.SQL("SELECT role_name FROM {}").format(table)).fetchone()
    found = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone()
    roles.refuse_faults(connection, schema, name, login=True)
    if not found:
        try:
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN NOINHERIT").format(sql.Identifier(name)))
        except errors.InsufficientPrivilege:
            raise BootstrapError(
                f'role "{connection.info.user}" may not create the link\'s role: ask a superuser to run: '
                f'CREATE ROLE "{name}" LOGIN NOINHERIT; GRANT "{name}" TO "{connection.info.user}"'
            ) from None
    if recorded is None or recorded[0] != name or not found or not _has_key(connection, schema):
        # Also in a copy of a database, which has the original's secrets.
        _new_secrets(connection, schema, name)
    if recorded and recorded[0] != name:
        _forget(connection, schema, str(recorded[0]))
    _settings(connection, name)
    mapped = connection.execute(
        sql.SQL("SELECT m.username FROM {} AS m JOIN pg_roles AS r ON r.rolname = m.username").format(
            sql.Identifier(schema, "dblink_mapping")
        )
    ).fetchone()
    users = (name, *map(str, mapped or ()))
    for grantee in users:
        _let_connect(connection, grantee)
        connection.execute(
            sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(schema), sql.Identifier(grantee))
        )
        for routine in LINK_ROUTINES:
            connection.execute(
                sql.SQL("GRANT EXECUTE ON ROUTINE {}.{} TO {}").format(
                    sql.Identifier(schema),
                    sql.SQL(routine),
                    sql.Identifier(grantee),
                )
            )
    return users


def _let_connect(connection: Session, grantee: str) -> None:
    """Grant CONNECT to the role itself, for PUBLIC may lose it. Where bootstrap may not, trial.py says so if need be."""
    granted = connection.execute(
        "SELECT 1 FROM pg_database AS d CROSS JOIN aclexplode(d.datacl) AS a JOIN pg_roles AS r ON r.oid = a.grantee"
        " WHERE d.datname = current_database() AND a.privilege_type = 'CONNECT' AND r.rolname = %s",
        [grantee],
    ).fetchone()
    if not granted:
        with contextlib.suppress(errors.InsufficientPrivilege), connection.transaction():
            connection.execute(
                sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(
                    sql.Identifier(connection.info.dbname), sql.Identifier(grantee)
                )
            )


def _settings(connection: Session, name: str) -> None:
    """Give the role its settings and no others: a role may change its own, so whoever has a link open could.

    Those that only a superuser may set remain as they are where bootstrap's role is none.
    """
    settings = dict(SETTINGS)
    if connection.info.server_version < 170000:
        del settings["transaction_timeout"]
    wanted = {f"{setting}={value}" for setting, value in settings.items()}
    for database, config in _found_settings(connection, name):
        if database or not wanted.issuperset(config):
            where = sql.SQL(" IN DATABASE {}").format(sql.Identifier(database)) if database else sql.SQL("")
            _alter(connection, name, sql.SQL("{} RESET ALL").format(where))
    there = [one for database, config in _found_settings(connection, name) if not database for one in config]
    for setting, value in settings.items():
        if f"{setting}={value}" not in there:
            change = sql.SQL(" SET {} = {}").format(sql.Identifier(setting), sql.Literal(value))
            if setting not in FOR_SUPERUSERS:
                _alter(connection, name, change)
                continue
            with contextlib.suppress(errors.InsufficientPrivilege), connection.transaction():
                connection.execute(sql.SQL("ALTER ROLE {}{}").format(sql.Identifier(name), change))


def _found_settings(connection: Session, name: str) -> list[tuple[str | None, list[str]]]:
    """The role's settings by database; those that it has everywhere under None."""
    return connection.execute(
        "SELECT d.datname, s.setconfig FROM pg_db_role_setting AS s JOIN pg_roles AS r ON r.oid = s.setrole"
        " LEFT JOIN pg_database AS d ON d.oid = s.setdatabase WHERE r.rolname = %s",
        [name],
    ).fetchall()


def _forget(connection: Session, schema: str, name: str) -> None:
    """Take away what the role may do here: it is the link's role of the database that this one was copied from."""
    if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone() is None:
        return
    for what in ("ALL ROUTINES IN SCHEMA", "SCHEMA"):
        connection.execute(
            sql.SQL("REVOKE ALL ON {} {} FROM {}").format(sql.SQL(what), sql.Identifier(schema), sql.Identifier(name))
        )


def _keys(schema: str) -> tuple[str, str]:
    return f"{quoted(schema)}.link_key_1", f"{quoted(schema)}.link_key_2"


def _has_key(connection: Session, schema: str) -> bool:
    """Whether both halves of the key have been made: not yet after an upgrade, nor where a dump had no data."""
    found = connection.execute(
        "SELECT num_nulls(pg_sequence_last_value(%s::text::regclass), pg_sequence_last_value(%s::text::regclass)) = 0",
        _keys(schema),
    ).fetchone()
    return found == (True,)


def _new_secrets(connection: Session, schema: str, name: str) -> None:
    # The server makes the secrets (gen_random_uuid: 122 random bits each), so that no log of statements has seen them.
    table = sql.Identifier(schema, "link")
    connection.execute(sql.SQL("DELETE FROM {}").format(table))
    connection.execute(
        sql.SQL(
            "INSERT INTO {} (role_name, password)"
            " SELECT %s, encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'hex')"
        ).format(table),
        [name],
    )
    for key in _keys(schema):
        # RESTART makes the new value a part of this transaction, which setval() alone would not
        connection.execute(f"ALTER SEQUENCE {key} RESTART".encode())
        connection.execute(
            "SELECT setval(%s::text::regclass, ('x' || encode(sha256(uuid_send(gen_random_uuid())), 'hex'))::bit(64)::bigint)"
            " IS NULL",
            [key],
        )
    set_password(connection, table, name)


def set_password(connection: Session, table: sql.Identifier, name: str) -> None:
    """Have the role's password be the recorded one."""
    # Only the verifier is sent: an ALTER ROLE with the password itself would be in the server's log.
    row = connection.execute(sql.SQL("SELECT password FROM {}").format(table)).fetchone()
    assert row is not None
    _alter(connection, name, sql.SQL(" PASSWORD {}").format(sql.Literal(_verifier(str(row[0])))))


def _alter(connection: Session, name: str, change: sql.Composed) -> None:
    """ALTER ROLE, by who may do so, or as the role itself: a role may do that much to itself."""
    statement = sql.SQL("ALTER ROLE {}{}").format(sql.Identifier(name), change)
    try:
        with contextlib.suppress(errors.InsufficientPrivilege), connection.transaction():
            connection.execute(statement)
            return
        connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(name)))
        connection.execute(statement)
        connection.execute("RESET ROLE")
    except errors.InsufficientPrivilege:
        raise BootstrapError(
            f'role "{connection.info.user}" may not give the link\'s role its password: ask a superuser to run: '
            f'GRANT "{name}" TO "{connection.info.user}"'
        ) from None


def _verifier(password: str) -> str:
    """What PostgreSQL stores of a password for SCRAM (RFC 5803), which serves both methods of pg_hba.conf.

    The iterations are there to slow down who guesses a person's password. Nobody guesses 256 random bits, and each
    opening of a link would pay for them; so there is one.
    """
    iterations = 1
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    texts = [base64.b64encode(value).decode() for value in (salt, stored, server)]
    return "SCRAM-SHA-256${}:{}${}:{}".format(iterations, *texts)
