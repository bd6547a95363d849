"""Refuses a schema of which another role owns a part, if that role's code could be executed with a superuser's rights."""

from collections.abc import Sequence

from check_jobmon.connection.errors import CheckImpossible
from check_jobmon.connection.session import Session
from check_jobmon.sql_files import fill, literal, sql_file


def untrusted(schema: str) -> str:
    """A SELECT of the first object that makes it unsafe to go on in the schema with the session's rights, and its owner.

    It gives one row with both as an array, or no row. What counts as unsafe, untrusted.sql says at its top.
    """
    return fill(sql_file("connection/untrusted.sql"), {"name": literal(schema)})


def refuse_untrusted(session: Session, schema: str) -> None:
    """Raise CheckImpossible where the session must not go on in the schema."""
    if found := session.rows(untrusted(schema)):
        raise CheckImpossible(distrust(found[0][0], schema, session.dbname, session.user))


def distrust(found: Sequence[str | None], schema: str, dbname: str, user: str) -> str:
    """In one line why the session doesn't go on: `found` is what untrusted.sql says."""
    what, owner = found
    whose = f'belongs to role "{owner}"' if owner else "belongs to everybody (PUBLIC)"
    danger = f'role "{user}" has a superuser\'s rights, and whoever owns a part of the schema could use them'
    if owner and what == f"schema {schema}":
        return f'schema "{schema}" of database "{dbname}" {whose}: connect as that role (-U {owner}), because {danger}'
    return (
        f'{what} in database "{dbname}" {whose}, not to a superuser: take that away, or connect as a role with fewer '
        f"rights (-U), because {danger}"
    )
