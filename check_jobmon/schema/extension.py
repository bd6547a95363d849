"""The extension pg_jobmon that bootstrap makes: by its schema, pg_partman and mimeo find the functions to log with.

It has no members: so pg_dump leaves nothing out, and DROP EXTENSION drops nothing but the extension.
"""

from psycopg import errors

from check_jobmon.connection.errors import BootstrapError
from check_jobmon.connection.session import Session
from check_jobmon.schema.scripts import query
from check_jobmon.schema.statements import explaining, run

COMMENT = "marks the schema of check_jobmon for programs that look for pg_jobmon"
OURS = "made by jobmonctl extension --install\n"
"""The end of the first line of each file, by which it is told from pg_jobmon's own."""
# Only a superuser may create it, or else anybody could have a superuser's pg_partman call functions of his own.
FILES = {
    "pg_jobmon.control": f"# {OURS}comment = '{COMMENT}'\ndefault_version = '1.5.0'\nrelocatable = true\n",
    "pg_jobmon--1.5.0.sql": f"-- {OURS}-- Empty: the schema's objects are no members of the extension.\n",
}
"""The files of the server's folder of extensions, by name."""


def ensure_extension(connection: Session, schema: str) -> bool:
    """Create the extension in the schema if it isn't there. Returns whether it had to be created; raises BootstrapError."""
    home, has_members, comment = connection.execute(query("extension")).fetchall()[0]
    if home == schema and not has_members:
        return False
    if home is not None:
        first = "migrate its log (jobmonctl migrate), then run" if has_members else "run"
        raise BootstrapError(f'the extension pg_jobmon is in schema "{home}" already: {first} DROP EXTENSION pg_jobmon')
    install = 'run "jobmonctl extension --install" on the server\'s machine'
    if comment != COMMENT:
        lacks = (
            "the server has no extension pg_jobmon to create"
            if comment is None
            else "the server has pg_jobmon's own files"
        )
        raise BootstrapError(f"{lacks}: {install}")
    remedy = (
        f"a superuser to run CREATE EXTENSION pg_jobmon SCHEMA {schema}, after a bootstrap without --as-extension, if all who "
        "run pg_partman or mimeo trust the schema's owner, whose functions these then call"
    )
    try:
        with explaining(connection, "create the extension pg_jobmon", remedy):
            run(connection, "CREATE EXTENSION pg_jobmon SCHEMA {}", schema)
    except (errors.InvalidParameterValue, errors.UndefinedFile):
        raise BootstrapError(f"one of the two files of the extension pg_jobmon is missing: {install}") from None
    return True
