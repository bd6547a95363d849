"""Bootstrap: installs and upgrades the bundled schema, and makes sure that its link works. Prints nothing."""

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import Rollback, errors, sql

from check_jobmon import __version__
from check_jobmon.connection.errors import BootstrapError
from check_jobmon.connection.session import Session
from check_jobmon.connection.trust import refuse_untrusted
from check_jobmon.schema import link, roles, trial
from check_jobmon.schema.compare import NAMED, contents, differences, refuse
from check_jobmon.schema.scripts import functions, query, tables, version

if TYPE_CHECKING:
    from typing_extensions import LiteralString

OLDEST_SERVER = 130000
LOCK_SECONDS = 60
"""How long bootstrap waits for a lock, at most, before it names who holds it."""
LOCK_AT_ONCE = 2
"""How much of that it waits at once: meanwhile every logger waits behind it, and the holder may wait for a logger."""


@dataclass(frozen=True)
class Report:
    """What a bootstrap found and did, or would do. `before` is the version found, 0 where there was none."""

    database: str
    schema: str
    before: int
    after: int
    changed: bool
    link: str
    roles: str
    dblink: str
    check: bool

    def __str__(self) -> str:
        where = f'schema "{self.schema}" of database "{self.database}"'
        if self.before == 0:
            what = f"{'would install' if self.check else 'installed'} version {self.after} in {where}"
        elif self.before < self.after:
            verb = "would upgrade" if self.check else "upgraded"
            what = f"{verb} {where} from version {self.before} to {self.after}"
        elif self.changed:
            what = f"{'would repair' if self.check else 'repaired'} {where}, version {self.after}"
        else:
            what = f"{where} is up to date (version {self.after}), nothing {'to do' if self.check else 'changed'}"
        return "; ".join(filter(None, (what, self.link, self.roles, self.dblink)))


def bootstrap(connection: Session, schema: str, *, with_roles: bool = True, check: bool = False) -> Report:
    """Install the schema, or upgrade it, in one transaction; then try its link, and find a way that works.

    `with_roles` makes the roles to log and to monitor with; without, the report says how to. With `check`, all of it is
    done and rolled back, so that the report says what a bootstrap would change. The link can be tried only where its role
    is there already.

    Raises BootstrapError, or CheckImpossible where it isn't safe to look at the schema, with all said in one line.
    """
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,39}", schema):
        raise BootstrapError(
            f"\"{schema}\" won't do as the schema's name: use at most 40 lower-case letters, digits and underscores"
        )
    if connection.info.server_version < OLDEST_SERVER:
        raise BootstrapError(
            f"the server is PostgreSQL {connection.info.server_version // 10000}, and 13 is the oldest supported"
        )
    if connection.rows("SELECT pg_is_in_recovery()")[0][0]:
        raise BootstrapError("the server is a standby: bootstrap the primary, and the schema will be replicated")
    # before the statement's own time is over, whose error names nobody
    seconds = min(LOCK_SECONDS, 0.9 * connection.seconds) if connection.seconds else LOCK_SECONDS
    connection.lock_seconds = min(LOCK_AT_ONCE, seconds)
    until = time.monotonic() + seconds
    made_meanwhile = 0
    while True:
        try:
            return _bootstrap(connection, schema, with_roles=with_roles, check=check)
        except (errors.UniqueViolation, errors.DuplicateSchema, errors.DuplicateTable, errors.InternalError_):
            # Another bootstrap has made it at the same moment, and is through: now its work is seen. Of the database's
            # rights PostgreSQL says so as an internal error ("tuple concurrently updated").
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
                    f"probably that of {found[0]}: let that end, or end it (SELECT pg_terminate_backend({found[1]})), then "
                    "run bootstrap again"
                    if found
                    else "and its holder is gone by now: run bootstrap again"
                )
            ) from None


def _bootstrap(connection: Session, schema: str, *, with_roles: bool, check: bool) -> Report:
    with connection.transaction():
        refuse_untrusted(connection, schema)
        connection.execute("SET LOCAL check_function_bodies = on")
        if connection.info.parameter_status("is_superuser") == "on":
            connection.execute("SET LOCAL session_replication_role = origin")
        owner, home = _home(connection, schema)
        # again, because somebody else could have made it just now
        refuse_untrusted(connection, schema)
        before = _installed_version(connection, schema, home)
        if before > version():
            raise BootstrapError(
                f'schema "{schema}" has version {before}, newer than the {version()} that check_jobmon {__version__} '
                "brings: upgrade the package"
            )
        if before:
            _compare(connection, schema, home, before)
        dblink = link.extension(connection, schema)
        old = _fingerprint(connection, schema)
        connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(owner)))
        _apply_tables(connection, schema, dblink.schema, before, version())
        _apply_functions(connection, schema, dblink.schema)
        connection.execute(
            sql.SQL("REVOKE ALL ON ALL ROUTINES IN SCHEMA {} FROM PUBLIC").format(sql.Identifier(schema))
        )
        connection.execute("RESET ROLE")
        users = link.role(connection, schema)
        who = roles.ensure(connection, schema) if with_roles else roles.explanation(schema)
        roles.revoke_excess(connection, schema, users)
        changed = before < version() or dblink.changed or _fingerprint(connection, schema) != old
        if check or not changed:
            # Leave no dead rows behind in the catalogs: cron does this every day.
            raise Rollback
    if check and changed:
        way, way_changed = "the link is tried once that is done", False
    else:
        way, way_changed = trial.ensure(connection, schema, dblink.schema, owner, keep=not check)
    return Report(
        connection.info.dbname, schema, before, version(), changed or way_changed, way, who, dblink.said, check
    )


def _value(connection: Session, query: "LiteralString | sql.Composed", **parameters: object) -> object:
    row = connection.execute(query, parameters).fetchone()
    return row[0] if row else None


def _home(connection: Session, schema: str) -> tuple[str, int]:
    """The schema's owner and its oid. Makes the schema where it is missing, and refuses one that isn't the session's."""
    found = connection.execute(
        """
        SELECT pg_get_userbyid(n.nspowner), n.oid, pg_has_role(n.nspowner, 'USAGE'),
               EXISTS (SELECT FROM pg_extension AS e WHERE e.extnamespace = n.oid AND e.extname = 'pg_jobmon')
          FROM pg_namespace AS n
         WHERE n.nspname = %s
        """,
        [schema],
    ).fetchone()
    if found is None:
        try:
            # A second bootstrap waits here for the first, and then fails.
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
            # what ALTER DEFAULT PRIVILEGES gave
            roles.revoke_excess(connection, schema, ())
        except errors.InsufficientPrivilege:
            raise BootstrapError(
                f'role "{connection.info.user}" may not create a schema in database "{connection.info.dbname}": ask the '
                f'database\'s owner to run: CREATE SCHEMA "{schema}" AUTHORIZATION "{connection.info.user}"'
            ) from None
        return _home(connection, schema)
    owner, home, is_ours, is_extension = found
    if not is_ours:
        raise BootstrapError(f'schema "{schema}" belongs to role "{owner}": connect as that role (-U)')
    if is_extension:
        raise BootstrapError(
            f'schema "{schema}" holds the extension pg_jobmon, which check_jobmon can read as it is: nothing to install '
            "(or name another schema with --schema)"
        )
    return str(owner), int(home)


def _installed_version(connection: Session, schema: str, home: int) -> int:
    """The version in that schema, or 0 where it is empty. Locks out other bootstraps; refuses what is somebody else's."""
    found = contents(connection, home)
    # before anything of the schema is read: a view could run code
    if "relation schema_version" in found:
        expected = {"relation": "table", "column version of": "integer NOT NULL at position 1"}
        facts = {kind: found[name].facts for kind in expected if (name := f"{kind} schema_version") in found}
        if facts != expected:
            refuse(schema, ["relation schema_version is not check_jobmon's"])
        ledger = sql.Identifier(schema, "schema_version")
        # One bootstrap at a time: nobody but the owner may lock this table so.
        connection.execute(sql.SQL("LOCK TABLE ONLY {} IN SHARE ROW EXCLUSIVE MODE").format(ledger))
        return int(str(_value(connection, sql.SQL("SELECT coalesce(max(version), 0) FROM ONLY {}").format(ledger))))
    if found:
        names = [
            name for name, thing in found.items() if thing.relation is None or name == f"relation {thing.relation}"
        ]
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        raise BootstrapError(
            f'schema "{schema}" already holds what is not check_jobmon\'s ({", ".join(names[:NAMED])}{more}), and nothing was '
            "touched: name another schema with --schema"
        )
    return 0


def _compare(connection: Session, schema: str, home: int, before: int) -> None:
    """Refuse what bootstrap did not make: made once more, as the session's temporary schema, and forgotten."""
    with connection.transaction():
        connection.execute("DISCARD TEMP")
        # of functions there, only those that are called with their schema's name are found
        connection.execute("SET LOCAL check_function_bodies = off")
        _apply_tables(connection, "pg_temp", "pg_temp", 0, before)
        temporary = int(str(_value(connection, "SELECT pg_my_temp_schema()")))
        scripts = contents(connection, temporary)
        _apply_tables(connection, "pg_temp", "pg_temp", before, version())
        _apply_functions(connection, "pg_temp", "pg_temp")
        made = contents(connection, temporary)
        raise Rollback
    due = "".join(script.sql for script in tables(schema, "pg_temp") if script.number > before)
    refuse(schema, differences(contents(connection, home), scripts, made, due))


def _apply_tables(connection: Session, schema: str, dblink: str, after: int, upto: int) -> None:
    """Run the numbered scripts after one version, up to another one."""
    ledger = sql.Identifier(schema, "schema_version")
    if after == 0:
        connection.execute(
            sql.SQL(
                "CREATE TABLE {} (version integer PRIMARY KEY, script text NOT NULL, package text NOT NULL,"
                " applied timestamptz NOT NULL DEFAULT now())"
            ).format(ledger)
        )
        connection.execute(
            sql.SQL("COMMENT ON TABLE {} IS {}").format(
                ledger, sql.Literal("The scripts that bootstrap has applied. The highest version is the schema's.")
            )
        )
    for script in tables(schema, dblink):
        if after < script.number <= upto:
            connection.execute(script.sql.encode())
            connection.execute(
                sql.SQL("INSERT INTO {} (version, script, package) VALUES (%s, %s, %s)").format(ledger),
                [script.number, script.name, __version__],
            )


def _apply_functions(connection: Session, schema: str, dblink: str) -> None:
    connection.execute("".join(script.sql for script in functions(schema, dblink)).encode())


def _fingerprint(connection: Session, schema: str) -> object:
    """All that a bootstrap re-applies as one value to compare: functions, rights, comments, triggers (and so foreign keys)."""
    return _value(
        connection,
        """
        SELECT array_agg(t.what ORDER BY t.what)
          FROM (SELECT concat_ws(E'\\n', pg_get_functiondef(p.oid), p.proacl, obj_description(p.oid, 'pg_proc'))
                  FROM pg_proc AS p
                 WHERE p.pronamespace = (SELECT oid FROM pg_namespace WHERE nspname = %(schema)s)
                   AND p.prokind IN ('f', 'p')
                 UNION ALL
                SELECT pg_get_triggerdef(g.oid)
                  FROM pg_trigger AS g
                  JOIN pg_class AS c ON c.oid = g.tgrelid
                 WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = %(schema)s)
                 UNION ALL
                SELECT concat_ws(' ', n.nspname, n.nspacl) FROM pg_namespace AS n WHERE n.nspname = %(schema)s
                 UNION ALL
                SELECT concat_ws(' ', d.datname, d.datacl) FROM pg_database AS d WHERE d.datname = current_database()
                 UNION ALL
                SELECT concat_ws(' ', c.relname, c.relacl,
                                 (SELECT string_agg(a.attacl::text, ' ' ORDER BY a.attnum) FROM pg_attribute AS a
                                   WHERE a.attrelid = c.oid))
                  FROM pg_class AS c
                 WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = %(schema)s)
                 UNION ALL
                SELECT concat_ws(' ', r.rolname, r.rolcanlogin, r.rolsuper, r.rolinherit,
                                 ARRAY(SELECT concat_ws(' ', s.setdatabase, s.setconfig) FROM pg_db_role_setting AS s
                                        WHERE s.setrole = r.oid ORDER BY 1),
                                 ARRAY(SELECT m.roleid FROM pg_auth_members AS m WHERE m.member = r.oid ORDER BY 1))
                  FROM pg_roles AS r
                 WHERE r.rolname LIKE %(schema)s || '\\_%%'
               ) AS t(what)
        """,
        schema=schema,
    )
