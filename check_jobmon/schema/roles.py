"""The roles that bootstrap creates for people and programs: one for logging, one for monitoring. Not the link's own role.

Roles belong to the whole cluster, so all databases that have the schema share them; their rights are granted per database.
Neither can log in: grant them to the roles that do.
"""

import contextlib
from collections.abc import Sequence

from psycopg import errors

from check_jobmon.connection.errors import BootstrapError
from check_jobmon.connection.session import Session
from check_jobmon.schema.scripts import function_names, query
from check_jobmon.schema.statements import explaining, run, value

TABLES = ("job_check_config", "job_check_log", "job_detail", "job_log", "job_status_text")
"""The tables that {schema}_monitor may read. The folders functions/log and functions/monitor say what either may execute."""


def ensure_roles(connection: Session, schema: str) -> str:
    """Make the roles where they are missing and grant them their rights. Returns one line that names them.

    Raises BootstrapError if a role is missing and can't be created, or if a role without rights here has attributes,
    settings, memberships or members with which somebody may have prepared it to get those rights.
    """
    for name in _names(schema):
        refuse_faults(connection, schema, name)
        _create(connection, name)
    for grant in _grants(connection, schema):
        connection.execute(grant.encode())
    log, monitor = _names(schema)
    roles = f'roles: "{log}" to log with, "{monitor}" to monitor with'
    if not _may_see_sessions(connection, monitor):
        roles += f" (not in pg_monitor, which a superuser can change: GRANT pg_monitor TO {monitor})"
    return roles


def revoke_excess(connection: Session, schema: str, link: Sequence[str]) -> None:
    """Revoke the rights that only the schema's owner should have and, on the link's functions, the roles in `link`."""
    parameters = {"schema": schema, "shown": list(TABLES), "link": list(link)}
    for (revoke,) in connection.execute(query("excess_rights"), parameters).fetchall():
        connection.execute(str(revoke).encode())


def refuse_faults(connection: Session, schema: str, name: str, *, login: bool = False) -> None:
    """Raise BootstrapError if the role exists and has attributes, settings, memberships or members that it should not."""
    found = connection.execute(query("role_faults"), {"role": name, "schema": schema, "login": login}).fetchall()
    if found:
        faults, remedies = zip(*found, strict=True)
        raise BootstrapError(
            f'role "{name}" exists already and {", ".join(faults)}, so it could give others more rights than bootstrap '
            f"means to: drop or rename it, or have a superuser run {'; '.join(remedies)}"
            + ("" if login else "; or do without the roles (--no-roles)")
        )


def explanation(connection: Session, schema: str) -> str:
    """The statements that do by hand what ensure_roles() does, in one line."""
    log, monitor = _names(schema)
    statements = [f"CREATE ROLE {log} NOLOGIN", f"CREATE ROLE {monitor} NOLOGIN", *_grants(connection, schema)]
    return f"no roles were made; to make them by hand, run: {'; '.join(statements)}; GRANT pg_monitor TO {monitor}"


def memberships(schema: str) -> dict[str, str | None]:
    """The roles' names, each with the role of PostgreSQL's own that it is to be a member of."""
    log, monitor = _names(schema)
    return {log: None, monitor: "pg_monitor"}


def _names(schema: str) -> tuple[str, str]:
    return f"{schema}_log", f"{schema}_monitor"


def _grants(connection: Session, schema: str) -> list[str]:
    """The statements that grant both roles their rights."""
    functions = {folder: function_names(folder) for folder in ("log", "monitor")}
    parameters = {"schema": schema, "tables": list(TABLES), **functions}
    return [str(grant) for (grant,) in connection.execute(query("grants"), parameters).fetchall()]


def _create(connection: Session, name: str) -> None:
    if value(connection, "SELECT true FROM pg_roles WHERE rolname = %(name)s", name=name):
        return
    remedy = f"a superuser to run CREATE ROLE {name} NOLOGIN, or do without the roles (--no-roles)"
    with (
        explaining(connection, f'create the role "{name}"', remedy),
        # another database's bootstrap may be making it at this moment: then it is there afterwards
        contextlib.suppress(errors.DuplicateObject, errors.UniqueViolation),
        connection.transaction(),
    ):
        run(connection, "CREATE ROLE {} NOLOGIN", name)


def _may_see_sessions(connection: Session, name: str) -> bool:
    """Whether the role is in pg_monitor, or could be added: other roles can't see when another role's backend started."""
    is_member, may_grant = connection.execute(query("membership"), {"role": name, "group": "pg_monitor"}).fetchall()[0]
    if may_grant and not is_member:
        # another database's bootstrap may have just added it
        with contextlib.suppress(errors.UniqueViolation), connection.transaction():
            run(connection, "GRANT pg_monitor TO {}", name)
    return bool(is_member or may_grant)
