"""Which rights bootstrap's role lacks, and the SQL with which a superuser gives them. Changes nothing itself."""

import itertools
from collections.abc import Collection
from typing import NamedTuple

from psycopg import Rollback, errors

from check_jobmon.connection.errors import BootstrapError
from check_jobmon.connection.session import Session
from check_jobmon.schema.link import about_settings, dblink, role_name
from check_jobmon.schema.roles import memberships
from check_jobmon.schema.scripts import query
from check_jobmon.schema.trial import pg_hba_lines
from check_jobmon.text import clean


class Right(NamedTuple):
    """A row of rights.sql."""

    part: str
    what: str
    statement: str
    kind: str


def refuse_lacking(connection: Session, schema: str, *, with_roles: bool) -> None:
    """Raise BootstrapError, which names everything, if there is anything that only a superuser can give."""
    if found := [right.what for right in lacking(connection, schema, with_roles=with_roles, of=("lacking",))]:
        raise BootstrapError(
            f'role "{connection.info.user}" may not {", ".join(dict.fromkeys(found))}: have a superuser run, in database '
            f'"{connection.info.dbname}", what "jobmonctl bootstrap --print-superuser-sql" prints with the same options, then '
            "run bootstrap again"
        )


def superuser_sql(connection: Session, schema: str, *, with_roles: bool) -> str:
    """What a superuser has to run before the session's role can bootstrap, as a script with comments."""
    rights = lacking(connection, schema, with_roles=with_roles)
    where = f'database "{connection.info.dbname}"'
    if not rights:
        return clean(f'-- role "{connection.info.user}" lacks no right to bootstrap schema "{schema}" in {where}')
    lines = [
        clean(
            f'-- For role "{connection.info.user}" to bootstrap schema "{schema}": to be run as a superuser in {where}'
        )
    ]
    lines.append("BEGIN;")
    for what, same in itertools.groupby(rights, lambda right: right.what):
        kinds, statements = zip(*((right.kind, f"{right.statement};") for right in same), strict=True)
        lines += [clean(f"-- {what}" + (" (not required)" if "useful" in kinds else "")), *statements]
    lines += [
        "COMMIT;",
        "-- If pg_hba.conf doesn't let the link log in, put one of these lines first in it, then SELECT pg_reload_conf():",
    ]
    return "\n".join(lines + [clean(f"-- {line}") for line in pg_hba_lines(connection, schema)])


def lacking(
    connection: Session, schema: str, *, with_roles: bool, of: Collection[str] = ("lacking", "useful")
) -> list[Right]:
    """The rights of these kinds that the session's role lacks, and those that belong with them. Tries out the rights that the
    catalogs don't tell, and undoes that.
    """
    link, roles = role_name(connection, schema), memberships(schema) if with_roles else {}
    parameters = {"schema": schema, "link": link, "roles": list(roles), "groups": list(roles.values())}
    rows = connection.execute(about_settings(connection, schema, "rights"), parameters).fetchall()
    rights = [Right(*row) for row in rows]
    with connection.transaction():
        for place, right in enumerate(rights):
            if right.kind == "try" and not _may(connection, right.statement):
                rights[place] = right._replace(kind="lacking")
        # after the others: this is about dblink where it is installed
        found = dblink(connection, schema)
        if rows and found and found[2] and not (_may(connection, found[2]) and not dblink(connection, schema)[2]):
            rights.append(Right("dblink", "let the schema's owner use dblink", found[2], "lacking"))
        raise Rollback
    for name in [link, *roles] if rows and "useful" in of else []:
        faults = connection.execute(query("role_faults"), {"role": name, "schema": schema, "login": name == link})
        rights += [
            Right(name, f'undo that role "{name}" {fault}', remedy, "useful") for fault, remedy in faults.fetchall()
        ]
    parts = {right.part for right in rights if right.kind in of}
    return [right for right in rights if right.part in parts and (right.kind in of or "useful" in of)]


def _may(connection: Session, statement: str) -> bool:
    """Whether the session's role may execute a statement, which it has executed then."""
    try:
        with connection.transaction():
            connection.execute(statement.encode())
    except (errors.InsufficientPrivilege, errors.InvalidSchemaName):
        return False
    except (errors.DuplicateSchema, errors.UndefinedFile, errors.FeatureNotSupported, errors.InvalidParameterValue):
        pass  # ensure_dblink() says what to do
    return True
