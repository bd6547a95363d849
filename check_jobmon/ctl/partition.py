"""jobmonctl partition: makes the tables of an existing log partitions by time, while jobs are logged."""

import argparse
import contextlib
import re
import time
from collections.abc import Callable
from functools import partial

from psycopg import Error, errors

from check_jobmon.config.connection_options import option
from check_jobmon.connection.session import Rows, Session
from check_jobmon.connection.trust import refuse_untrusted
from check_jobmon.ctl.arguments import add_session_arguments
from check_jobmon.ctl.connecting import CommandFailed, connected, in_session
from check_jobmon.ctl.uninstall import owned
from check_jobmon.ctl.waiting import waiting
from check_jobmon.schema.install import bootstrap
from check_jobmon.schema.layout import EVERY, set_partitioning
from check_jobmon.schema.link import ensure_dblink
from check_jobmon.schema.scripts import functions, partitioned, query
from check_jobmon.schema.statements import run as execute
from check_jobmon.sql_files import fill, literal, quoted, sql_file
from check_jobmon.text import clean

TABLES = ("job_detail", "job_log")
LOCK_SECONDS = 0.3
"""How long one attempt waits for a lock: meanwhile, loggers wait behind it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_session_arguments(parser, 600)
    option(parser, "--every LENGTH", f"how long a partition is: {', '.join(EVERY)}", choices=EVERY, required=True)


@in_session
def run(session: Session, schema: str, arguments: argparse.Namespace) -> None:
    """Partition the log, or change how long the next partitions are; then bootstrap, which verifies it and makes those."""
    refuse_untrusted(session, schema)
    owner = owned(session, schema)
    # first, so that the tables and functions are this version's
    bootstrap(session, schema)
    is_plain = "SELECT true FROM pg_class WHERE oid = %s::regclass AND relkind = 'r'"
    where = f'schema "{schema}" of database "{session.dbname}"'
    said = f"the next partitions of {where} are made by {arguments.every}"
    if session.rows(is_plain, f"{quoted(schema)}.job_log"):
        _partition(session, schema, owner, arguments)
        said = f"partitioned {where} by {arguments.every}; what was logged so far is in job_log_old and job_detail_old"
    bootstrap(session, schema, partition=arguments.every)
    print(clean(said))


def _partition(session: Session, schema: str, owner: str, arguments: argparse.Namespace) -> None:
    """While jobs are logged, verify that all rows are of the time before a bound; then make the tables partitions."""
    values = {"schema": quoted(schema), "every": literal(arguments.every)}
    upto: str = session.rows(fill(sql_file("ctl/partition_upto.sql"), values))[0][0]
    until = time.monotonic() + arguments.timeout
    dblink = ensure_dblink(session, schema).schema
    _dependents(session, schema)
    table = ""
    try:
        for table in TABLES:
            check = fill(sql_file("ctl/partition_check.sql"), {**values, "table": table, "upto": literal(upto)})
            _soon(session, schema, until, partial(session.execute, check.encode()))
            with waiting(partial("reading {} once; jobs can be logged meanwhile".format, table)), session.transaction():
                session.seconds = None
                session.rows(sql_file("ctl/no_time_limits.sql"))
                execute(session, "ALTER TABLE {}.{} VALIDATE CONSTRAINT {}", schema, table, f"{table}_upto")
        session.seconds = arguments.timeout
        _soon(session, schema, until, partial(_switch, session, schema, owner, dblink, arguments.every, upto))
    except BaseException as error:
        # This session may have been interrupted amid a statement, and hold locks. So another one drops the constraints; if it
        # can't do that soon, the next bootstrap will.
        with contextlib.suppress(Error):
            session.cancel()
        session.close()
        with connected(arguments) as (cleaning, _):
            for one in TABLES:
                drop = partial(execute, cleaning, "ALTER TABLE {}.{} DROP CONSTRAINT IF EXISTS {}")
                with contextlib.suppress(CommandFailed):
                    _soon(cleaning, schema, time.monotonic() + 20, partial(drop, schema, one, f"{one}_upto"))
        if isinstance(error, errors.CheckViolation):
            raise CommandFailed(
                f"nothing was changed: {schema}.{table} has rows whose start_time is after {upto}: correct or delete them"
            ) from None
        if isinstance(error, errors.WrongObjectType):
            raise CommandFailed("nothing was changed, because another jobmonctl partition was faster") from None
        raise


def _soon(session: Session, schema: str, until: float, work: Callable[[], object]) -> None:
    """Do the work, in attempts that wait for locks so shortly that loggers hardly notice. Raises CommandFailed."""
    with waiting(lambda: f"waiting for a moment in which nobody uses the tables of schema {schema}"):
        while True:
            session.lock_seconds = LOCK_SECONDS
            try:
                work()
                return
            except errors.LockNotAvailable:
                if time.monotonic() < until:
                    time.sleep(1)
                    continue
                found = session.execute(query("lock_holder"), {"schema": schema}).fetchone()
                held = f"probably {found[0]}" if found else "by a session that is gone by now"
                raise CommandFailed(
                    f"nothing was changed, because the log is in use, {held}: run it again, or give it more time (--timeout)"
                ) from None
            finally:
                session.lock_seconds = None


def _dependents(session: Session, schema: str) -> Rows:
    """What has to be created again: see partition_dependents.sql. Raises CommandFailed if anything else is in the way."""
    names = re.findall(r'^CREATE OR REPLACE (?:FUNCTION|VIEW) "\w+"\.(\w+)', functions(schema, schema), re.MULTILINE)
    ours = literal("{" + ",".join(names) + "}") + "::text[]"
    rows = session.rows(fill(sql_file("ctl/partition_dependents.sql"), {"schema": quoted(schema), "names": ours}))
    if others := [what for what, drop, _ in rows if drop is None]:
        raise CommandFailed(
            f"nothing was changed, because this would go on using the old tables: {', '.join(others[:5])}: drop it, and create "
            "it again afterwards"
        )
    return rows


def _switch(session: Session, schema: str, owner: str, dblink: str, every: str, upto: str) -> None:
    """Make the tables partitions, and the functions that use their row types anew, in one transaction."""
    with session.transaction():
        session.execute(fill(sql_file("ctl/partition_lock.sql"), {"schema": quoted(schema)}).encode())
        dependents = _dependents(session, schema)
        execute(session, "SET LOCAL ROLE {}", owner)
        session.execute(";".join(drop for _, drop, _ in dependents).encode())
        session.execute(partitioned(schema, literal(upto)))
        set_partitioning(session, schema, every)
        session.execute(functions(schema, dblink).encode())
        execute(session, "REVOKE ALL ON ALL ROUTINES IN SCHEMA {} FROM PUBLIC", schema)
        for grant in (grant for _, _, grants in dependents for grant in grants):
            session.execute(grant.encode())
        execute(session, "SELECT {}.make_partitions()", schema)
