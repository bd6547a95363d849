"""The roles that bootstrap creates for what people and programs do: ROLES lists them. Not the link's own role.

Roles belong to the whole cluster, so all databases that have the schema share them; their rights are granted per database.
None can log in: grant them to the roles that do.
"""

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from psycopg import errors

from check_jobmon.connection.errors import BootstrapError
from check_jobmon.connection.session import Session
from check_jobmon.schema.scripts import function_names, query
from check_jobmon.schema.statements import explaining, run, value

TABLES = ("job_check_config", "job_check_log", "job_detail", "job_log", "job_silence", "job_status_text")
"""The tables that say what the log has, and how its jobs are judged. All others are the owner's alone."""


class Role(NamedTuple):
    """What a role is for, the folders of functions/ whose functions and views it may use, its rights on tables, and whether it
    is a member of pg_monitor: without that, it can't be seen when the sessions of others have begun.
    """

    purpose: str
    folders: Sequence[str]
    tables: Mapping[str, Sequence[str]]
    in_pg_monitor: bool = False


ROLES = {
    "log": Role("to log with", ("all", "log"), {"SELECT": ("job_status_text",)}),
    "read": Role("to read with", ("all", "monitor"), {"SELECT": TABLES}),
    "monitor": Role("to monitor with", ("all", "monitor"), {"SELECT": TABLES}, True),
    "admin": Role(
        "to administer with",
        ("admin", "all", "log", "monitor"),
        {"SELECT": TABLES, "INSERT, UPDATE, DELETE": ("job_check_config",), "DELETE": ("job_check_log",)},
        True,
    ),
}
"""The roles by the ends of their names, which begin with the schema's. No right of theirs lets code of one's own be executed with
the owner's rights: that would take CREATE on the schema, or TRIGGER or REFERENCES on a table."""


def ensure_roles(connection: Session, schema: str) -> str:
    """Make the roles where they are missing and grant them their rights. Returns one line that names them.

    Raises BootstrapError if a role is missing and can't be created, or if a role without rights here has attributes,
    settings, memberships or members with which somebody may have prepared it to get those rights.
    """
    for suffix in ROLES:
        refuse_faults(connection, schema, f"{schema}_{suffix}")
        _create(connection, f"{schema}_{suffix}")
    for grant in _grants(connection, schema):
        connection.execute(grant.encode())
    said = "roles: " + ", ".join(f'"{schema}_{suffix}" {role.purpose}' for suffix, role in ROLES.items())
    names = [f"{schema}_{suffix}" for suffix, role in ROLES.items() if role.in_pg_monitor]
    lacking = ", ".join(name for name in names if not _may_see_sessions(connection, name))
    return said + (
        f" (not in pg_monitor, which a superuser can change: GRANT pg_monitor TO {lacking})" if lacking else ""
    )


def revoke_excess(connection: Session, schema: str, link: Sequence[str]) -> None:
    """Revoke the rights that only the schema's owner should have and, on the link's functions, the roles in `link`."""
    parameters = {"schema": schema, "shown": [*TABLES, *function_names("log")], "link": list(link)}
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
    statements = [f"CREATE ROLE {schema}_{suffix} NOLOGIN" for suffix in ROLES] + _grants(connection, schema)
    statements += [f"GRANT pg_monitor TO {schema}_{suffix}" for suffix, role in ROLES.items() if role.in_pg_monitor]
    return f"no roles were made; to make them by hand, run: {'; '.join(statements)}"


def memberships(schema: str) -> dict[str, str | None]:
    """The roles' names, each with the role of PostgreSQL's own that it is to be a member of."""
    return {f"{schema}_{suffix}": "pg_monitor" if role.in_pg_monitor else None for suffix, role in ROLES.items()}


def _grants(connection: Session, schema: str) -> list[str]:
    """The statements that grant the roles their rights in this database."""
    grants = []
    for suffix, role in ROLES.items():
        names = [name for folder in role.folders for name in function_names(folder)]
        parameters = {"schema": schema, "role": f"{schema}_{suffix}", "names": names, "tables": json.dumps(role.tables)}
        grants += [str(grant) for (grant,) in connection.execute(query("grants"), parameters).fetchall()]
    return grants


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
