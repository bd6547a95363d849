"""The roles that bootstrap makes for people and programs: one to log with, one to monitor with. Not the link's own role.

Roles belong to the whole cluster, so every database that has the schema shares them; the rights belong to the database.
Neither can log in: grant them to the roles that do.
"""

import contextlib
from collections.abc import Sequence

from psycopg import errors, sql

from check_jobmon.connection.errors import BootstrapError
from check_jobmon.connection.session import Session
from check_jobmon.schema.scripts import query

LOGGING = (
    "add_job(text)",
    "add_past_run(uuid, text, timestamp with time zone, timestamp with time zone, integer, text, text, bigint, integer)",
    "add_step(bigint, text)",
    "cancel_job(bigint)",
    "cancel_job_backend(bigint)",
    "cancel_job_note(bigint)",
    "close_job(bigint)",
    "fail_job(bigint, integer)",
    "lock_job(bigint)",
    "sql_job(text, text)",
    "sql_run(bigint, text, text, boolean)",
    "sql_step(bigint, text, text)",
    "status_text(integer)",
    "update_step(bigint, text, text)",
)
"""What {schema}_log may execute. Not job_log_clear(): who deletes the others' log does more than write its own."""

MONITORING = (
    "check_job_status()",
    "job_runs(text, integer)",
    "show_detail(bigint)",
    "show_detail(text, integer)",
    "show_job(text, integer)",
    "show_job_like(text, integer)",
    "show_job_status(text, integer)",
    "show_job_status(text, text, integer)",
    "show_running(integer)",
)
"""What {schema}_monitor may execute."""

TABLES = ("job_check_config", "job_check_log", "job_detail", "job_log", "job_status_text")
"""What {schema}_monitor may read."""

SECRET = (
    "cancelled_job",
    "dblink_mapping",
    "job_lock",
    "link",
    "link_key_1",
    "link_key_2",
    "past_run",
    "schema_version",
)
"""The other tables, and the sequences that hold the link's key, which nobody but the owner may read."""


def ensure(connection: Session, schema: str) -> str:
    """Make the roles where they are missing and give them their rights; says what they are for, in one line.

    Raises BootstrapError where a role has to be made and may not be, or has no rights here yet and somebody may have made
    it to get them.
    """
    for name in _names(schema):
        refuse_faults(connection, schema, name)
        _create(connection, name)
    for grant in _grants(schema):
        connection.execute(grant.encode())
    log, monitor = _names(schema)
    roles = f'roles: "{log}" to log with, "{monitor}" to monitor with'
    if not _may_see_sessions(connection, monitor):
        roles += f" (not in pg_monitor, which a superuser can change: GRANT pg_monitor TO {monitor})"
    return roles


def revoke_excess(connection: Session, schema: str, link: Sequence[str]) -> None:
    """Take away the rights that nobody should have but the owner and, for the link's functions, those roles."""
    parameters = {"schema": schema, "secret": list(SECRET), "shown": list(TABLES), "link": list(link)}
    for (revoke,) in connection.execute(query("excess_rights"), parameters).fetchall():
        connection.execute(str(revoke).encode())


def refuse_faults(connection: Session, schema: str, name: str, *, login: bool = False) -> None:
    """Raise BootstrapError if the role exists and has attributes, settings, memberships or members that are not ours."""
    found = connection.execute(query("role_faults"), {"role": name, "schema": schema, "login": login}).fetchall()
    if found:
        faults, remedies = zip(*found, strict=True)
        raise BootstrapError(
            f'role "{name}" is there already and {", ".join(faults)}, so it could give others more than bootstrap means to: '
            f"drop or rename it, or have a superuser run {'; '.join(remedies)}"
            + ("" if login else "; or do without (--no-roles)")
        )


def explanation(schema: str) -> str:
    """The statements that do by hand what ensure() does, in one line."""
    statements = [f"CREATE ROLE {name} NOLOGIN" for name in _names(schema)]
    statements += [*_grants(schema), f"GRANT pg_monitor TO {_names(schema)[1]}"]
    return f"no roles were made, by hand it takes: {'; '.join(statements)}"


def _names(schema: str) -> tuple[str, str]:
    return f"{schema}_log", f"{schema}_monitor"


def _grants(schema: str) -> list[str]:
    """The rights of both roles. Bootstrap's rule for a schema's name makes quotes superfluous, but for a keyword's."""
    home = f'"{schema}"'
    log, monitor = _names(schema)
    return [
        f"GRANT USAGE ON SCHEMA {home} TO {log}, {monitor}",
        f"GRANT EXECUTE ON FUNCTION {', '.join(f'{home}.{name}' for name in LOGGING)} TO {log}",
        f"GRANT EXECUTE ON FUNCTION {', '.join(f'{home}.{name}' for name in MONITORING)} TO {monitor}",
        f"GRANT SELECT ON {', '.join(f'{home}.{name}' for name in TABLES)} TO {monitor}",
    ]


def _create(connection: Session, name: str) -> None:
    if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone():
        return
    try:
        # another database's bootstrap may be making it at this moment: then it is there afterwards
        with contextlib.suppress(errors.DuplicateObject, errors.UniqueViolation), connection.transaction():
            connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(name)))
    except errors.InsufficientPrivilege:
        raise BootstrapError(
            f'role "{connection.info.user}" may not create the role "{name}": ask a superuser to run CREATE ROLE {name} '
            "NOLOGIN, or do without (--no-roles)"
        ) from None


def _may_see_sessions(connection: Session, name: str) -> bool:
    """Whether the role is in pg_monitor, or could be put there now: who isn't can't see since when a backend is there."""
    member = "SELECT pg_has_role(r.oid, 'pg_monitor', 'MEMBER') FROM pg_roles AS r WHERE r.rolname = %s"
    row = connection.execute(member, [name]).fetchone()
    if row and row[0]:
        return True
    try:
        with connection.transaction():
            connection.execute(sql.SQL("GRANT pg_monitor TO {}").format(sql.Identifier(name)))
    except errors.InsufficientPrivilege:
        return False
    except errors.UniqueViolation:
        # another database's bootstrap has just done so
        return True
    return True
