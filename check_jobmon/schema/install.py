"""Bootstrap: installs and upgrades the bundled schema, and makes sure that its link works. Prints nothing."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import Rollback, sql

from check_jobmon import __version__
from check_jobmon.connection import CheckImpossible, Session, untrusted
from check_jobmon.layout import distrust
from check_jobmon.schema import link, roles
from check_jobmon.schema.errors import BootstrapError
from check_jobmon.schema.scripts import functions, tables, version

if TYPE_CHECKING:
    from typing_extensions import LiteralString

OLDEST_SERVER = 130000


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
        return f"{what}; {self.link}; {self.roles}"


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
    # Read committed, as every transaction of a session's: a snapshot taken before the wait would be too old after it.
    with connection.transaction():
        # One bootstrap at a time for this schema: a second one waits here, and then finds the work done.
        connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('check_jobmon bootstrap ' || %s, 0))", [schema]
        )
        if found := connection.rows(untrusted(schema)):
            raise CheckImpossible(distrust(found[0][0], schema, connection.dbname, connection.user))
        connection.execute("SET LOCAL check_function_bodies = on")
        before = _installed_version(connection, schema)
        if before > version():
            raise BootstrapError(
                f'schema "{schema}" has version {before}, newer than the {version()} that check_jobmon {__version__} '
                "brings: upgrade the package"
            )
        dblink = link.extension(connection, schema)
        old = _fingerprint(connection, schema)
        _apply(connection, schema, dblink, before)
        link.role(connection, schema)
        who = roles.ensure(connection, schema) if with_roles else roles.explanation(schema)
        changed = before < version() or _fingerprint(connection, schema) != old
        if check or not changed:
            # Leave no dead rows behind in the catalogs: cron does this every day.
            raise Rollback
    if check and changed:
        way, way_changed = "the link is tried once that is done", False
    else:
        way, way_changed = link.ensure(connection, schema, dblink, keep=not check)
    return Report(connection.info.dbname, schema, before, version(), changed or way_changed, way, who, check)


def _value(connection: Session, query: "LiteralString", **parameters: object) -> object:
    row = connection.execute(query, parameters).fetchone()
    return row[0] if row else None


def _installed_version(connection: Session, schema: str) -> int:
    """The version in that schema, or 0 where the schema is absent or empty; refuses a schema that is somebody else's."""
    found = connection.execute(
        """
        SELECT pg_get_userbyid(n.nspowner),
               pg_has_role(n.nspowner, 'USAGE'),
               EXISTS (SELECT FROM pg_class AS c WHERE c.relnamespace = n.oid AND c.relname = 'schema_version'),
               (SELECT e.extname FROM pg_extension AS e WHERE e.extnamespace = n.oid LIMIT 1),
               (SELECT count(*) FROM pg_class AS c WHERE c.relnamespace = n.oid)
               + (SELECT count(*) FROM pg_proc AS p WHERE p.pronamespace = n.oid)
               + (SELECT count(*) FROM pg_type AS t WHERE t.typnamespace = n.oid)
          FROM pg_namespace AS n
         WHERE n.nspname = %s
        """,
        [schema],
    ).fetchone()
    if found is None:
        return 0
    owner, is_ours, is_versioned, extension, objects = found
    if not is_ours:
        raise BootstrapError(f'schema "{schema}" belongs to role "{owner}": connect as that role (-U)')
    if is_versioned:
        query = sql.SQL("SELECT max(version) FROM {}").format(sql.Identifier(schema, "schema_version"))
        row = connection.execute(query).fetchone()
        return int(row[0]) if row and row[0] is not None else 0
    if extension == "pg_jobmon":
        raise BootstrapError(
            f'schema "{schema}" holds the extension pg_jobmon, which check_jobmon can read as it is: nothing to install '
            "(or name another schema with --schema)"
        )
    if objects:
        raise BootstrapError(
            f'schema "{schema}" already holds {objects} objects that are not check_jobmon\'s, and nothing was '
            "touched: name another schema with --schema"
        )
    return 0


def _apply(connection: Session, schema: str, dblink: str, before: int) -> None:
    """Run the numbered scripts that are due and all functions, as the schema's owner."""
    owner = _value(
        connection, "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = %(schema)s", schema=schema
    )
    if owner is None:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    else:
        connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(str(owner))))
    ledger = sql.Identifier(schema, "schema_version")
    if before == 0:
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
        if script.number > before:
            connection.execute(script.sql.encode())
            connection.execute(
                sql.SQL("INSERT INTO {} (version, script, package) VALUES (%s, %s, %s)").format(ledger),
                [script.number, script.name, __version__],
            )
    for script in functions(schema, dblink):
        connection.execute(script.sql.encode())
    connection.execute(sql.SQL("REVOKE ALL ON ALL ROUTINES IN SCHEMA {} FROM PUBLIC").format(sql.Identifier(schema)))
    connection.execute("RESET ROLE")


def _fingerprint(connection: Session, schema: str) -> object:
    """All that a bootstrap re-applies (functions, their rights and comments, triggers) as one value to compare."""
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
                   AND NOT g.tgisinternal
                 UNION ALL
                SELECT concat_ws(' ', n.nspname, n.nspacl) FROM pg_namespace AS n WHERE n.nspname = %(schema)s
                 UNION ALL
                SELECT concat_ws(' ', c.relname, c.relacl) FROM pg_class AS c
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
