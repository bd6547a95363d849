"""jobmonctl uninstall: removes the job log from a database, or drops the link's roles of databases that have been dropped."""

import argparse
import contextlib
import re
import shlex

from psycopg import Rollback, errors

from check_jobmon.config.connection_options import option
from check_jobmon.connection.session import Session
from check_jobmon.connection.trust import refuse_untrusted
from check_jobmon.ctl.arguments import add_session_arguments, add_yes_argument, confirm
from check_jobmon.ctl.connecting import CommandFailed, in_session
from check_jobmon.schema.install import recorded_version, refuse_newer
from check_jobmon.schema.link import role_name
from check_jobmon.schema.roles import ROLES
from check_jobmon.schema.scripts import functions, tables
from check_jobmon.schema.statements import run as execute
from check_jobmon.sql_files import fill, quoted, sql_file
from check_jobmon.text import clean, counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_session_arguments(parser)
    add_yes_argument(parser)
    which = parser.add_mutually_exclusive_group()
    text = "remove all but the tables and the rights to read them; a later bootstrap uses them again"
    option(which, "--keep-data", text)
    option(which, "--orphans", "instead, drop the roles jobmon_link_NNN of databases that no longer exist")


@in_session
def run(session: Session, schema: str, arguments: argparse.Namespace) -> None:
    """Show what would be removed, ask, remove, report."""
    session.lock_seconds = arguments.timeout
    try:
        (_drop_orphans if arguments.orphans else _uninstall)(session, schema, arguments)
    except errors.InsufficientPrivilege as error:
        if "extension pg_jobmon" not in str(error):
            raise
        raise CommandFailed("nothing was removed: have a superuser run DROP EXTENSION pg_jobmon first") from None
    except errors.DependentObjectsStillExist as error:
        found = clean((error.diag.message_detail or "").replace("\n", ", "), 400)
        raise CommandFailed(
            f"nothing was removed, because something of yours depends on it or is in there: {found}: drop that first"
        ) from None


def _drops(schema: str, roles: list[str], keep: bool) -> dict[str, object]:
    """The parameters of uninstall_drops.sql: what bootstrap makes, as its scripts have it, without what is kept."""
    once = "".join(script.sql for script in tables(schema, schema))
    again = functions(schema, schema)
    routine = r'^CREATE (?:OR REPLACE )?(?:FUNCTION|PROCEDURE) "\w+"\.(\w+)'
    table = r'^CREATE (?:TABLE|SEQUENCE) "\w+"\.(\w+)'
    views = re.findall(r'^CREATE OR REPLACE VIEW "\w+"\.(\w+)', again, re.MULTILINE)
    return {
        "schema": schema,
        "routines": re.findall(routine, again if keep else once + again, re.MULTILINE),
        "tables": views if keep else [*views, "schema_version", *re.findall(table, once, re.MULTILINE)],
        "roles": roles,
        "keep": keep,
    }


def _uninstall(session: Session, schema: str, arguments: argparse.Namespace) -> None:
    refuse_untrusted(session, schema)
    owner = owned(session, schema)
    where = f'schema "{schema}" of database "{session.dbname}"'
    keep: bool = arguments.keep_data
    with session.transaction("READ ONLY"):
        reading = ("read", "monitor") if keep else ()
        names = [role_name(session, schema), *(f"{schema}_{suffix}" for suffix in ROLES if suffix not in reading)]
        roles = session.rows(sql_file("ctl/uninstall_roles.sql"), names)
        contents = fill(sql_file("ctl/uninstall_contents.sql"), {"schema": quoted(schema)})
        runs, steps, jobs, alive = session.rows(contents)[0]
    under_way = f", {alive} of them under way," if alive else ""
    amount = f"{counted(runs, 'run')}{under_way} with {counted(steps, 'step')}, and {counted(jobs, 'configured job')}"
    what = f"all of {where} but its tables, which keep" if keep else f"{where}:"
    print(clean(f"would remove {what} {amount}"))
    for name, members, others in roles:
        if others:
            print(clean(f"would keep role {name}, which is used in {others}"))
        else:
            print(clean(f"would remove role {name}" + (f", with {counted(members, 'member')}" if members else "")))
    if not keep:
        print(clean(f"to save it first: pg_dump -n {shlex.quote(schema)} {shlex.quote(session.dbname)}"))
    confirm("Remove it?", arguments)
    with session.transaction():
        refuse_untrusted(session, schema)
        still_there = _remove_bridges(session, schema, owner)
        drops = _drops(schema, [name for name, *_ in roles], keep)
        for (statement,) in session.execute(sql_file("ctl/uninstall_drops.sql").encode(), drops).fetchall():
            session.execute(statement.encode())
        _end_links(session, names[0])
        unused = [name for name, _, others in roles if not others]
        left = [name for name in unused if not _dropped(session, name)]
        _drop_dblink(session, f"{schema}_dblink")
    print(clean(f"removed {'all but the tables' if keep else 'the job log'} from {where}"))
    for line in still_there:
        print(clean(line, 1000))
    for name in left:
        print(clean(f"role {name} was not removed: it has rights elsewhere, or you may not drop it"))


def owned(session: Session, schema: str, remedy: str = "name another with --schema") -> str:
    """The schema's owner. `remedy`: what to do if there is no such schema.

    Raises CommandFailed unless bootstrap has made the schema, and the role may act as its owner; BootstrapError if that
    bootstrap was a newer program's.
    """
    found = session.rows(sql_file("ctl/uninstall_owner.sql"), schema)
    if not found:
        raise CommandFailed(f'no schema "{schema}" in database "{session.dbname}": {remedy}')
    is_ours, owner, made = found[0]
    if not made:
        raise CommandFailed(
            f'schema "{schema}" of database "{session.dbname}" was not made by bootstrap, so nothing was touched: name another '
            "with --schema"
        )
    if not is_ours:
        raise CommandFailed(f'schema "{schema}" belongs to role "{owner}": connect as that role (-U)')
    refuse_newer(schema, recorded_version(session, schema))
    return str(owner)


def _remove_bridges(session: Session, schema: str, owner: str) -> list[str]:
    """Remove what bridges have in other schemas: triggers, and jobs that call bridge_run(). Returns which jobs stay."""
    if not session.rows("SELECT to_regprocedure(format('%%I.bridge_remove(text)', %s::text))", schema)[0][0]:
        return []
    still_there = []
    if session.rows(f"SELECT name FROM {quoted(schema)}.bridge LIMIT 1"):
        execute(session, "SET LOCAL ROLE {}", owner)
        script = fill(sql_file("ctl/uninstall_bridges.sql"), {"schema": quoted(schema)})
        still_there = [line for (line,) in session.execute(script.encode()).fetchall()]
        session.execute("RESET ROLE")
    if left := session.rows(sql_file("ctl/uninstall_triggers.sql"), f"{quoted(schema)}.bridge_purge()"):
        # while the bridge is there, it would make them again
        raise CommandFailed(
            'nothing was removed, because this role may not drop the triggers of a bridge: run "jobmonctl bridge SCHEDULER '
            f'--remove", have a superuser run {"; ".join(row[0] for row in left)}, then run this again'
        )
    return still_there


def _end_links(session: Session, role: str) -> None:
    """End the open links: they would be refused from now on, while a session whose link is gone opens a new one."""
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s"
    with contextlib.suppress(errors.InsufficientPrivilege), session.transaction():
        session.execute(end, [role])
        return
    with contextlib.suppress(errors.InsufficientPrivilege), session.transaction():
        # since PostgreSQL 16, the role that has created another has none of its rights
        execute(session, "GRANT {} TO CURRENT_USER", role)
        session.execute(end, [role])
        raise Rollback


def _dropped(session: Session, name: str) -> bool:
    """Drop the role; False if it has rights elsewhere, or the session may not drop it."""
    try:
        with session.transaction():
            execute(session, "DROP ROLE {}", name)
    except (errors.DependentObjectsStillExist, errors.InsufficientPrivilege):
        return False
    return True


def _drop_dblink(session: Session, home: str) -> None:
    """Drop dblink where bootstrap has put it, unless something else uses it too."""
    found = session.rows(sql_file("ctl/uninstall_dblink.sql"), home)
    if not found:
        return
    with contextlib.suppress(errors.DependentObjectsStillExist, errors.InsufficientPrivilege), session.transaction():
        if not found[0][0]:
            session.execute("DROP EXTENSION dblink")
            execute(session, "DROP SCHEMA {}", home)
            return
    print(clean(f"dblink was not removed from schema {home}: it is used elsewhere, or you may not drop it"))


def _drop_orphans(session: Session, schema: str, arguments: argparse.Namespace) -> None:
    found = [row[0] for row in session.rows(sql_file("ctl/uninstall_orphans.sql"), re.escape(schema))]
    if not found:
        print("no link's role is left from a database that has been dropped")
        return
    print(clean(f"{counted(len(found), 'role')} of links whose databases have been dropped: {', '.join(found)}", 2000))
    confirm("Drop them?" if len(found) > 1 else "Drop it?", arguments)
    with session.transaction():
        left = [name for name in found if not _dropped(session, name)]
    if len(left) < len(found):
        print(f"dropped {counted(len(found) - len(left), 'role')}")
    if left:
        raise CommandFailed(f"not dropped: {', '.join(left)}: they have rights elsewhere, or you may not drop them")
