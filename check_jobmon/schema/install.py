"""Bootstrap: installs and upgrades the bundled schema, and makes sure that its link works. Prints nothing."""

import re
import time

from psycopg import Rollback, errors, sql

from check_jobmon import __version__
from check_jobmon.connection.errors import BootstrapError
from check_jobmon.connection.session import Session
from check_jobmon.connection.trust import refuse_untrusted
from check_jobmon.schema.compare import NAMED, contents, differences, refuse
from check_jobmon.schema.extension import ensure_extension
from check_jobmon.schema.layout import is_partitioned, make_partitions, set_partitioning
from check_jobmon.schema.link import ensure_dblink, ensure_link_role
from check_jobmon.schema.outcome import Report
from check_jobmon.schema.rights import refuse_lacking
from check_jobmon.schema.roles import ensure_roles, explanation, revoke_excess
from check_jobmon.schema.scripts import filled, functions, partitioned, query, tables, version
from check_jobmon.schema.statements import run, value
from check_jobmon.schema.trial import ensure_link
from check_jobmon.text import counted

OLDEST_SERVER = 130000
LOCK_SECONDS = 60
"""How long bootstrap waits for a lock, at most, before it names the session that holds it."""
LOCK_AT_ONCE = 2
"""How long one attempt waits: meanwhile every logger waits behind it, and the lock's holder may be waiting for a logger."""


def bootstrap(
    connection: Session,
    schema: str,
    *,
    with_roles: bool = True,
    check: bool = False,
    as_extension: bool = False,
    partition: str | None = None,
) -> Report:
    """Install the schema, or upgrade it, in one transaction; then try its link, and find a way that works.

    `with_roles` makes the roles to log and to monitor with; without it, the report says how to make them. With `check`,
    everything is done and rolled back, so that the report says what a bootstrap would change. The link is then tried only
    if nothing has to be changed. With `as_extension`, an extension named pg_jobmon marks the schema for
    programs that look for that. With `partition`, one of EVERY, a new log is partitioned, and the next partitions are that long.

    Raises BootstrapError, or CheckImpossible if it isn't safe to look at the schema; either says everything in one line.
    """
    _refuse_impossible(connection, schema)
    # ends before the statement's own time limit, whose error doesn't name the lock's holder
    seconds = min(LOCK_SECONDS, 0.9 * connection.seconds) if connection.seconds else LOCK_SECONDS
    connection.lock_seconds = min(LOCK_AT_ONCE, seconds)
    until = time.monotonic() + seconds
    made_meanwhile = 0
    while True:
        try:
            return _bootstrap(connection, schema, with_roles, check, as_extension, partition)
        except (errors.UniqueViolation, errors.DuplicateSchema, errors.DuplicateTable, errors.InternalError_):
            # Another bootstrap has done the same at this moment and has committed: READ COMMITTED, so the next attempt sees
            # its work. For the database's rights, PostgreSQL raises an internal error ("tuple concurrently updated").
            made_meanwhile += 1
            if made_meanwhile == 3:
                raise
        except errors.LockNotAvailable:
            if time.monotonic() < until:
                time.sleep(0.5)
                continue
            found = connection.execute(query("lock_holder"), {"schema": schema}).fetchone()
            raise BootstrapError(
                f"waited {seconds:g} seconds for a lock, "
                + (
                    f"probably that on {found[0]}: wait for its end, or end it (SELECT pg_terminate_backend({found[1]})), "
                    "then run bootstrap again"
                    if found
                    else "and the session that held it is gone by now: run bootstrap again"
                )
            ) from None


def install(connection: Session, schema: str) -> None:
    """Install the schema in the caller's transaction; once that is committed, bootstrap() can try its link. Raises as that."""
    _refuse_impossible(connection, schema)
    _apply(connection, schema, with_roles=True)


def recorded_version(connection: Session, schema: str) -> int:
    """The version that is written in the schema's table schema_version, which has to be there and ours."""
    return int(value(connection, "SELECT coalesce(max(version), 0) FROM ONLY {}.schema_version", schema))


def refuse_newer(schema: str, found: int) -> None:
    """Raise BootstrapError for a schema that a newer program has upgraded: this one would change what it doesn't know."""
    if found > version():
        raise BootstrapError(
            f'schema "{schema}" has version {found}, newer than the version {version()} that check_jobmon {__version__} '
            "brings: upgrade the package"
        )


def _refuse_impossible(connection: Session, schema: str) -> None:
    """Raise BootstrapError where no schema of this name, or none at all, can be installed."""
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,39}", schema):
        raise BootstrapError(
            f"\"{schema}\" can't be the schema's name: use at most 40 lower-case letters, digits and underscores"
        )
    if connection.info.server_version < OLDEST_SERVER:
        raise BootstrapError(
            f"the server is PostgreSQL {connection.info.server_version // 10000}; 13 is the oldest supported version"
        )
    if connection.rows("SELECT pg_is_in_recovery()")[0][0]:
        raise BootstrapError("the server is a standby: bootstrap the primary, and the schema will be replicated")


def _bootstrap(
    connection: Session, schema: str, with_roles: bool, check: bool, as_extension: bool, partition: str | None
) -> Report:
    with connection.transaction():
        done = _apply(connection, schema, with_roles=with_roles, partition=partition)._replace(check=check)
        if as_extension:
            is_new = ensure_extension(connection, schema)
            said = "programs that look for the extension pg_jobmon log into it"
            done = done._replace(changed=done.changed or is_new, extension=said)
        if check or not done.changed:
            # leaves no dead rows behind in the catalogs: cron runs this every day
            raise Rollback
    if check and done.changed:
        return done._replace(link="the link is tried once that is done")
    schedules = "" if check else _write_due(connection, schema, done.owner)
    made = make_partitions(connection, schema, done.owner, keep=not check)
    verb = "would make" if check else "made"
    partitions = f"{verb} {counted(made, 'partition')} for the time to come" if made else ""
    link, is_new = ensure_link(connection, schema, done.dblink.schema, done.owner, keep=not check)
    return done._replace(changed=done.changed or is_new, link=link, schedules=schedules, partitions=partitions)


def _apply(connection: Session, schema: str, *, with_roles: bool, partition: str | None = None) -> Report:
    """Install the schema, or upgrade it, in the open transaction."""
    refuse_untrusted(connection, schema)
    connection.execute("SET LOCAL check_function_bodies = on")
    if connection.info.parameter_status("is_superuser") == "on":
        connection.execute("SET LOCAL session_replication_role = origin")
    owner, home = _home(connection, schema, with_roles)
    # again, because somebody else could have made it just now
    refuse_untrusted(connection, schema)
    before = _installed_version(connection, schema, home)
    refuse_newer(schema, before)
    has_partitions = is_partitioned(connection, home)
    if before:
        _compare(connection, schema, home, before, has_partitions)
    if before and partition and not has_partitions:
        raise BootstrapError(
            f'schema "{schema}" has a log that is not partitioned: run "jobmonctl partition --every {partition}"'
        )
    refuse_lacking(connection, schema, with_roles=with_roles)
    dblink = ensure_dblink(connection, schema)
    old = _fingerprint(connection, schema)
    run(connection, "SET LOCAL ROLE {}", owner)
    _apply_tables(connection, schema, dblink.schema, before, version())
    new_length = False
    if partition:
        if not before:
            connection.execute(partitioned(schema))
        new_length = set_partitioning(connection, schema, partition)
    connection.execute(functions(schema, dblink.schema).encode())
    run(connection, "REVOKE ALL ON ALL ROUTINES IN SCHEMA {} FROM PUBLIC", schema)
    run(connection, "RESET ROLE")
    users = ensure_link_role(connection, schema)
    roles = ensure_roles(connection, schema) if with_roles else explanation(connection, schema)
    revoke_excess(connection, schema, users)
    changed = before < version() or dblink.changed or new_length or _fingerprint(connection, schema) != old
    return Report(connection.info.dbname, schema, owner, before, version(), changed, roles, dblink)


def _write_due(connection: Session, schema: str, owner: str) -> str:
    """Work out anew when the jobs are due: the time zones may have changed. Returns what is wrong with their schedules."""
    with connection.transaction():
        run(connection, "SET LOCAL ROLE {}", owner)
        wrong = run(connection, "SELECT job_name, wrong FROM {}.write_all_due()", schema).fetchall()
    more = f", and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
    named = ", ".join(f'job "{name}": {text}' for name, text in wrong[:NAMED])
    return f"nobody can tell when these are due: {named}{more}" if wrong else ""


def _home(connection: Session, schema: str, with_roles: bool) -> tuple[str, int]:
    """The schema's owner and its oid. Makes the schema if it is missing, and refuses one that another role owns."""
    found = connection.execute(query("schema_owner"), {"schema": schema}).fetchone()
    if found is None:
        refuse_lacking(connection, schema, with_roles=with_roles)
        # A second bootstrap waits here for the first, and then fails.
        run(connection, "CREATE SCHEMA {}", schema)
        # the rights that ALTER DEFAULT PRIVILEGES gave
        revoke_excess(connection, schema, ())
        return _home(connection, schema, with_roles)
    owner, home, is_ours, is_extension = found
    if not is_ours:
        raise BootstrapError(f'schema "{schema}" belongs to role "{owner}": connect as that role (-U)')
    if is_extension:
        raise BootstrapError(
            f'schema "{schema}" holds the extension pg_jobmon, which check_jobmon can read as it is: nothing to install '
            '(or take its log over with "jobmonctl migrate", or name another schema with --schema)'
        )
    return str(owner), int(home)


def _installed_version(connection: Session, schema: str, home: int) -> int:
    """The version in that schema, or 0 if it is empty. Locks out other bootstraps; refuses objects that are not ours."""
    found = contents(connection, home)
    # before anything in the schema is read: a view could run code
    if "relation schema_version" in found:
        expected = {"relation": "table", "column version of": "integer NOT NULL at position 1"}
        facts = {kind: found[name].facts for kind in expected if (name := f"{kind} schema_version") in found}
        if facts != expected:
            refuse(schema, ["relation schema_version is not check_jobmon's"])
        # One bootstrap at a time: only the owner may lock this table in this mode.
        run(connection, "LOCK TABLE ONLY {}.schema_version IN SHARE ROW EXCLUSIVE MODE", schema)
        return recorded_version(connection, schema)
    if found:
        names = [
            name for name, thing in found.items() if thing.relation is None or name == f"relation {thing.relation}"
        ]
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        theirs = ', or, if these are pg_jobmon\'s, run "jobmonctl migrate"' if "relation job_log" in found else ""
        raise BootstrapError(
            f'schema "{schema}" already holds objects that are not check_jobmon\'s ({", ".join(names[:NAMED])}{more}); '
            f"nothing was changed: name another schema with --schema{theirs}"
        )
    return 0


def _compare(connection: Session, schema: str, home: int, before: int, has_partitions: bool) -> None:
    """Refuse a schema that is not as bootstrap made it, by making it again as the session's temporary schema."""
    with connection.transaction():
        run(connection, "DISCARD TEMP")
        # in a temporary schema, functions are found only if they are called with the schema's name
        run(connection, "SET LOCAL check_function_bodies = off")
        _apply_tables(connection, "pg_temp", "pg_temp", 0, before)
        if has_partitions:
            connection.execute(partitioned("pg_temp"))
        temporary = int(value(connection, "SELECT pg_my_temp_schema()"))
        scripts = contents(connection, temporary)
        _apply_tables(connection, "pg_temp", "pg_temp", before, version())
        connection.execute(functions("pg_temp", "pg_temp").encode())
        made = contents(connection, temporary)
        raise Rollback
    due = "".join(script.sql for script in tables(schema, "pg_temp") if script.number > before)
    refuse(schema, differences(contents(connection, home), scripts, made, due))


def _apply_tables(connection: Session, schema: str, dblink: str, after: int, upto: int) -> None:
    """Run the numbered scripts after one version, up to another one."""
    if after == 0:
        connection.execute(filled("schema_version", schema))
    for script in tables(schema, dblink):
        if after < script.number <= upto:
            connection.execute(script.sql.encode())
            entry = [script.number, script.name, __version__]
            run(
                connection,
                "INSERT INTO {}.schema_version (version, script, package) VALUES ({}, {}, {})",
                schema,
                *map(sql.Literal, entry),
            )


def _fingerprint(connection: Session, schema: str) -> object:
    return connection.execute(query("fingerprint"), {"schema": schema}).fetchone()
