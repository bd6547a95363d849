"""jobmonctl uninstall: take the job log out of a database again, or drop the link's roles of databases that are gone."""

import argparse
import contextlib
import re
import shlex
import sys
from typing import TYPE_CHECKING

from check_jobmon.ctl.parser import add_command, add_yes_argument, agreed
from check_jobmon.text import clean, counted

if TYPE_CHECKING:
    from check_jobmon.connection.session import Session

OURS = """
SELECT pg_has_role(n.nspowner, 'USAGE'), pg_get_userbyid(n.nspowner)::text, current_database()::text,
       EXISTS (SELECT FROM pg_class AS c
                WHERE c.relnamespace = n.oid AND c.relname = 'schema_version' AND c.relkind = 'r' AND c.relowner = n.nspowner)
  FROM pg_namespace AS n
 WHERE n.nspname = %s
"""
PLAN = """
SELECT (SELECT count(*) FROM @schema@.job_log), (SELECT count(*) FROM @schema@.job_detail),
       (SELECT count(*) FROM @schema@.job_check_config),
       (SELECT count(*)
          FROM @schema@.job_log AS l
          JOIN pg_stat_activity AS a ON a.pid = l.pid AND a.datname = current_database()
         WHERE l.end_time IS NULL
           AND coalesce(a.backend_start <= l.start_time, true))
"""
DROPS = """
SELECT format('DROP TRIGGER %%I ON %%s', t.tgname, t.tgrelid::regclass)
  FROM pg_trigger AS t
  JOIN pg_class AS c ON c.oid = t.tgrelid
  JOIN pg_proc AS p ON p.oid = t.tgfoid
 WHERE NOT t.tgisinternal
   AND c.relnamespace = p.pronamespace
   AND p.pronamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = %(schema)s)
   AND p.proname = ANY (%(routines)s)
 UNION ALL
SELECT 'DROP ROUTINE ' || string_agg(p.oid::regprocedure::text, ', ')
  FROM pg_proc AS p
 WHERE p.pronamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = %(schema)s)
   AND p.proname = ANY (%(routines)s)
HAVING count(*) > 0
 UNION ALL
SELECT CASE c.relkind WHEN 'S' THEN 'DROP SEQUENCE ' ELSE 'DROP TABLE ' END || string_agg(c.oid::regclass::text, ', ')
  FROM pg_class AS c
 WHERE c.relnamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = %(schema)s)
   AND c.relname = ANY (%(tables)s)
   AND c.relkind IN ('r', 'S')
 GROUP BY c.relkind
"""
ROLES = """
SELECT r.rolname::text,
       (SELECT count(*) FROM pg_auth_members AS m WHERE m.roleid = r.oid),
       (SELECT string_agg(DISTINCT d.datname, ', ')
          FROM pg_shdepend AS s
          JOIN pg_database AS d ON d.oid = s.dbid
         WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = r.oid AND d.datname <> current_database())
  FROM pg_roles AS r
 WHERE r.rolname = ANY (%s)
   AND NOT r.rolsuper
   -- bootstrap makes one that may log in, and no other
   AND (NOT r.rolcanlogin OR r.rolname ~ '_link_[0-9]+$')
 ORDER BY r.rolname
"""
ORPHANS = """
SELECT r.rolname::text
  FROM pg_roles AS r
 WHERE r.rolname ~ ('^' || %s || '_link_[0-9]+$')
   AND NOT r.rolsuper
   AND substring(r.rolname FROM '[0-9]+$')::numeric NOT IN (SELECT d.oid::bigint FROM pg_database AS d)
 ORDER BY r.rolname
"""

# What a function calls, such as those of another job log, is a text, on which PostgreSQL keeps no dependency.
DBLINK = """
SELECT EXISTS (SELECT FROM pg_proc AS p WHERE strpos(p.prosrc, n.nspname) > 0)
  FROM pg_extension AS e
  JOIN pg_namespace AS n ON n.oid = e.extnamespace
 WHERE e.extname = 'dblink'
   AND n.nspname = %s
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "uninstall",
        run,
        "remove the job log's schema and roles",
        "Removes what bootstrap has made in a database: the schema with the log and its\n"
        "configuration, the link's role, dblink where bootstrap has put it, and the roles\n"
        "to log and to monitor with unless another database uses them. Says first how\n"
        "much that is, and removes nothing where something of your own depends on it.\n"
        "Only a dump brings a log back: pg_dump -n jobmon.",
        "  jobmonctl uninstall -d etl\n  jobmonctl uninstall -d etl --keep-data\n  jobmonctl uninstall -d postgres --orphans",
    )
    add_yes_argument(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--keep-data",
        action="store_true",
        help="keep the tables and who may read them, remove all else; bootstrap goes on with them",
    )
    which.add_argument(
        "--orphans", action="store_true", help="instead drop the link's roles of databases that have been dropped"
    )


def run(arguments: argparse.Namespace) -> int:
    """Say, ask, remove, report."""
    import psycopg

    from check_jobmon.config.hosts import ConfigFileError, locate
    from check_jobmon.connection.errors import CheckImpossible, DatabaseUnreachable
    from check_jobmon.ctl.runner import NotDone, connect, reason_of

    schema = str(arguments.schema)
    try:
        location = locate(arguments)
        schema = location.schema
        with connect(arguments, location) as session:
            session.lock_seconds = arguments.timeout
            return (_drop_orphans if arguments.orphans else _uninstall)(session, schema, arguments)
    except (NotDone, ConfigFileError, DatabaseUnreachable, CheckImpossible) as error:
        reason = str(error)
    except psycopg.errors.DependentObjectsStillExist as error:
        found = clean((error.diag.message_detail or "").replace("\n", ", "), 400)
        reason = (
            f"nothing was removed, because something of yours depends on it or is in there: {found}: drop that first"
        )
    except psycopg.Error as error:
        reason = reason_of(error, schema, arguments.timeout)
    print(f"jobmonctl uninstall: {clean(reason)}", file=sys.stderr)
    return 1


def _made(schema: str, keep_data: bool) -> dict[str, object]:
    """The names of what bootstrap makes there, as the scripts have them, without what stays."""
    from check_jobmon.schema.scripts import functions, tables

    once = "".join(script.sql for script in tables(schema, schema))
    again = "".join(script.sql for script in functions(schema, schema))
    routine, table = (
        r'^CREATE (?:OR REPLACE )?(?:FUNCTION|PROCEDURE) "\w+"\.(\w+)',
        r'^CREATE (?:TABLE|SEQUENCE) "\w+"\.(\w+)',
    )
    return {
        "schema": schema,
        "routines": re.findall(routine, again if keep_data else once + again, re.MULTILINE),
        "tables": [] if keep_data else ["schema_version", *re.findall(table, once, re.MULTILINE)],
    }


def _uninstall(session: "Session", schema: str, arguments: argparse.Namespace) -> int:
    from psycopg import sql

    from check_jobmon.connection.trust import refuse_untrusted
    from check_jobmon.schema.link import role_name

    refuse_untrusted(session, schema)
    dbname = _refuse_others(session, schema)
    keep: bool = arguments.keep_data
    with session.transaction("READ ONLY"):
        names = [role_name(session, schema), f"{schema}_log", *([] if keep else [f"{schema}_monitor"])]
        roles = session.execute(ROLES, [names]).fetchall()
        runs, steps, jobs, alive = session.rows(PLAN.replace("@schema@", f'"{schema}"'))[0]
    under_way = f", {alive} of them under way," if alive else ""
    amount = f"{counted(runs, 'run')}{under_way} with {counted(steps, 'step')}, and {counted(jobs, 'configured job')}"
    if keep:
        print(clean(f'of schema "{schema}" of database "{dbname}" would go all but its tables, which keep {amount}'))
    else:
        print(clean(f'schema "{schema}" of database "{dbname}" would go: {amount}'))
    for name, members, others in roles:
        stays = f" stays, as it is used in {others}" if others else " would go"
        print(clean(f"role {name}{stays}" + (f", with {counted(members, 'member')}" if members and not others else "")))
    if not keep:
        print(clean(f"to save it first: pg_dump -n {shlex.quote(schema)} {shlex.quote(dbname)}"))
    if not agreed("Remove it?", arguments):
        return 1
    with session.transaction():
        refuse_untrusted(session, schema)
        home = sql.Identifier(schema)
        for (drop,) in session.execute(DROPS, _made(schema, keep)).fetchall():
            session.execute(drop.encode())
        if keep:
            session.execute(sql.SQL("DELETE FROM {}.link").format(home))
            for name, *_ in roles:
                session.execute(sql.SQL("REVOKE ALL ON SCHEMA {} FROM {}").format(home, sql.Identifier(name)))
        else:
            session.execute(sql.SQL("DROP SCHEMA {}").format(home))
        database = sql.Identifier(dbname)
        _end_links(session, names[0])
        for name, *_ in roles:
            session.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM {}").format(database, sql.Identifier(name)))
        kept = [name for name, _, others in roles if not others and not _dropped(session, name)]
        _drop_dblink(session, f"{schema}_dblink")
    what = "all but the tables" if keep else "the job log"
    print(clean(f'removed {what} from schema "{schema}" of database "{dbname}"'))
    for name in kept:
        print(clean(f"role {name} is left: it has rights elsewhere, or you may not drop it"))
    return 0


def _refuse_others(session: "Session", schema: str) -> str:
    """The database's name. Raises NotDone where there is no schema that bootstrap has made, or it is somebody else's."""
    from check_jobmon.ctl.runner import NotDone

    found = session.rows(OURS, schema)
    if not found:
        raise NotDone(f'no schema "{schema}" in database "{session.dbname}": name another with --schema')
    is_ours, owner, dbname, made = found[0]
    if not made:
        raise NotDone(f'schema "{schema}" of database "{dbname}" was not made by bootstrap, so nothing was touched')
    if not is_ours:
        raise NotDone(f'schema "{schema}" belongs to role "{owner}": connect as that role (-U)')
    return str(dbname)


def _end_links(session: "Session", name: str) -> None:
    """End the links that are open: they would be refused from now on, while one that is gone is opened anew."""
    from psycopg import Rollback, errors, sql

    end = sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = {}").format(sql.Literal(name))
    with contextlib.suppress(errors.InsufficientPrivilege), session.transaction():
        session.execute(end)
        return
    with contextlib.suppress(errors.InsufficientPrivilege), session.transaction():
        # since PostgreSQL 16, who has made a role has none of its rights
        session.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(name)))
        session.execute(end)
        raise Rollback


def _dropped(session: "Session", name: str) -> bool:
    """Drop the role; False where it has rights elsewhere, or the session may not."""
    from psycopg import errors, sql

    try:
        with session.transaction():
            session.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))
    except (errors.DependentObjectsStillExist, errors.InsufficientPrivilege):
        return False
    return True


def _drop_dblink(session: "Session", home: str) -> None:
    """Drop dblink where bootstrap has put it, unless somebody else uses it too."""
    from psycopg import errors, sql

    found = session.execute(DBLINK, [home]).fetchone()
    if not found:
        return
    with contextlib.suppress(errors.DependentObjectsStillExist, errors.InsufficientPrivilege), session.transaction():
        if not found[0]:
            session.execute("DROP EXTENSION dblink")
            session.execute(sql.SQL("DROP SCHEMA {}").format(sql.Identifier(home)))
            return
    print(clean(f"dblink is left in schema {home}: it is used elsewhere, or you may not drop it"))


def _drop_orphans(session: "Session", schema: str, arguments: argparse.Namespace) -> int:
    from check_jobmon.ctl.runner import NotDone

    found = [row[0] for row in session.rows(ORPHANS, re.escape(schema))]
    if not found:
        print("no role of a link whose database is gone")
        return 0
    print(clean(f"{counted(len(found), 'role')} of links whose databases are gone: {', '.join(found)}", 2000))
    if not agreed("Drop them?" if len(found) > 1 else "Drop it?", arguments):
        return 1
    with session.transaction():
        left = [name for name in found if not _dropped(session, name)]
    if len(left) < len(found):
        print(f"dropped {counted(len(found) - len(left), 'role')}")
    if left:
        raise NotDone(f"not dropped: {', '.join(left)}: they have rights elsewhere, or you may not drop them")
    return 0
