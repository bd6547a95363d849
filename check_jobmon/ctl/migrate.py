"""jobmonctl migrate: takes over the log of the extension pg_jobmon, in one transaction, and says what is not as it was."""

import argparse
from collections.abc import Collection
from typing import NamedTuple

from psycopg import Rollback, errors, sql

from check_jobmon.config.connection_options import filled, option
from check_jobmon.connection.errors import one_line
from check_jobmon.connection.session import Rows, Session
from check_jobmon.connection.trust import refuse_untrusted
from check_jobmon.ctl.arguments import add_session_arguments
from check_jobmon.ctl.clear import progress
from check_jobmon.ctl.connecting import CommandFailed, JobLog, in_session
from check_jobmon.ctl.waiting import silently
from check_jobmon.judging.job import Job, Words
from check_jobmon.schema.install import bootstrap, install
from check_jobmon.schema.scripts import FAILURES, function_names, job_status
from check_jobmon.schema.statements import run as execute
from check_jobmon.sql_files import fill, literal, quoted, sql_file
from check_jobmon.text import clean, counted, title

TABLES = ("job_log", "job_detail", "job_check_log", "job_check_config", "job_status_text")

REMEDIES = {
    errors.UniqueViolation: "delete one of the two rows",
    errors.NumericValueOutOfRange: "delete the row that has the greatest possible job_id or step_id: no other could follow",
    errors.InsufficientPrivilege: "connect as the owner of both schemas, or as a superuser (-U)",
    errors.DuplicateSchema: "rename that one, or give the new schema another name with --schema",
}
"""What to do about errors of the server's."""


class Old(NamedTuple):
    """The schema to migrate: its present name (it may be renamed), whether it is the extension's, its table dblink_mapping."""

    name: str
    is_extension: bool
    mapping: str | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_session_arguments(parser, 600)
    text = "schema to migrate (default: that of the extension pg_jobmon, else SCHEMA)"
    option(parser, "--from SCHEMA", text, filled, dest="source")
    option(parser, "--grant", "also run the GRANTs that give roles the rights that they had")
    option(parser, "--dry-run", "do all of it and undo it; meanwhile, jobs can be logged")


@in_session
def run(session: Session, schema: str, arguments: argparse.Namespace) -> None:
    """Migrate, print what came of it, and try the link."""
    session.lock_seconds = arguments.timeout
    try:
        with session.transaction():
            said = _migrate(session, schema, arguments)
            if arguments.dry_run:
                raise Rollback
    except tuple(REMEDIES) as error:
        raise CommandFailed(f"nothing was changed: {one_line(error)}: {REMEDIES[type(error)]}") from None
    print("\n".join(map(clean, said)), flush=True)
    if not arguments.dry_run:
        session.seconds = arguments.timeout
        print(clean(str(bootstrap(session, schema))))


def _migrate(session: Session, schema: str, arguments: argparse.Namespace) -> list[str]:
    """Migrate in the open transaction. Returns the lines to print."""
    if arguments.dry_run:
        session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    old = _old(session, schema, arguments.source)
    source = old.name
    log = JobLog(session, source)
    tables = sql.SQL(", ").join(sql.Identifier(source, name) for name in TABLES)
    # Sessions that log wait for this lock; once this is committed, they find the new schema. In a dry run, it keeps the owner
    # of a table from putting a view in its place.
    execute(session, f"LOCK TABLE {{}} IN {'ACCESS SHARE' if arguments.dry_run else 'SHARE'} MODE", tables)
    if source == schema:
        old = old._replace(name=f"{schema}_old")
        log.schema = old.name
        execute(session, "ALTER SCHEMA {} RENAME TO {}", schema, old.name)
    install(session, schema)
    new = JobLog(session, schema)
    if new.rows("SELECT true FROM @schema@.job_log LIMIT 1"):
        raise CommandFailed(f'schema "{schema}" has runs already, and ids are kept: name another one with --schema')
    values = {"old": quoted(old.name), "schema": quoted(schema), "mapping": old.mapping or ""}
    text = literal(values["old"])
    values |= {"old_name": text, "home": f"{text}::regnamespace::oid", **log.columns}

    def filled_in(name: str) -> str:
        return fill(sql_file(f"ctl/migrate_{name}.sql"), values)

    differences: Rows = session.rows(filled_in("notes"))
    # before the runs, because a word that is changed is changed in all runs
    session.execute(filled_in("settings").encode())
    if old.mapping:
        differences += session.rows(filled_in("mapping"))
    runs, steps, gone = _copy(session, values)
    for (statement,) in session.rows(filled_in("ids")):
        session.execute(statement.encode())
    names = {suffix: function_names(suffix) for suffix in ("log", "monitor", "admin")}
    values |= {name: text.replace("%", "%%") for name, text in values.items()}
    rights = session.execute(filled_in("grants").encode(), {"schema": schema, **names}).fetchall()
    for (grant,) in rights if arguments.grant else []:
        session.execute(grant.encode())
    return [
        f'{"would migrate" if arguments.dry_run else "migrated"} schema "{source}" of database "{session.dbname}" to '
        f'"{schema}": {counted(runs, "run")} with {counted(steps, "step")}'
        + (f" ({counted(gone, 'step')} of runs that are gone left out)" if gone else ""),
        _left_behind(old, source, schema),
        *_judged_otherwise(log, new, {job for _, job in differences}),
        *(f"differs: {text}" for text, _ in differences),
        *(grant for (grant,) in rights),
    ]


def _old(session: Session, schema: str, source: str | None) -> Old:
    """The schema to migrate. Raises CommandFailed if it can't be migrated."""
    query = sql_file("ctl/migrate_source.sql").encode()
    found = session.execute(query, {"source": source, "schema": schema}).fetchone()
    if found is None:
        raise CommandFailed(
            f'database "{session.dbname}" has neither the extension pg_jobmon nor a schema "{schema}": name the schema to '
            "migrate with --from, or the database with -d"
            if source is None
            else f'no schema "{source}" in database "{session.dbname}": name another with --from'
        )
    name, is_ours, owner, is_made, is_extension, mapping = found
    refuse_untrusted(session, name)
    if not is_ours:
        raise CommandFailed(f'schema "{name}" belongs to role "{owner}": connect as that role (-U)')
    if is_made:
        raise CommandFailed(
            f'schema "{name}" of database "{session.dbname}" is check_jobmon\'s already: name pg_jobmon\'s with --from'
        )
    return Old(name, is_extension, mapping)


def _copy(session: Session, values: dict[str, str]) -> tuple[int, int, int]:
    """Copy runs and steps, with neither triggers nor indexes. Returns how many, and how many steps were left out."""
    session.seconds = None  # a log may be long
    session.execute(sql_file("ctl/no_time_limits.sql").encode())
    new = values["schema"]
    slow = session.rows(fill(sql_file("ctl/migrate_indexes.sql"), values))
    work = []
    for kind, table in (("runs", "job_log"), ("steps", "job_detail")):
        parts = fill(sql_file("ctl/migrate_parts.sql"), {"table": literal(f"{values['old']}.{table}")})
        for part, start, end in session.rows(parts):
            copy = {"schema": new, "part": part, "from": str(start), "to": str(end)}
            work.append((end - start, kind, fill(sql_file(f"ctl/migrate_{kind}.sql"), copy)))
    blocks = sum(size for size, *_ in work)
    work += [(0, "", f"ANALYZE {new}.job_log, {new}.job_detail")]
    work += [(0, "gone", fill(sql_file("ctl/migrate_orphans.sql"), values))]
    # to index what was copied takes as long as to copy it
    work += [(blocks // len(slow), "", make) for _, make in reversed(slow)]
    counts = {"runs": 0, "steps": 0, "gone": 0, "": 0}
    session.execute(";".join(drop for drop, _ in slow).encode())
    with silently(), progress(100, "percent done") as show_progress:
        done = 0
        for size, kind, statement in work:
            counts[kind] += session.execute(statement.encode()).rowcount
            done += size
            show_progress(50 * done // max(1, blocks))
        show_progress(100)
    return counts["runs"], counts["steps"] - counts["gone"], counts["gone"]


def _judge(log: JobLog) -> dict[str, str]:
    """What the check says of each monitored job."""
    found, words = log.catalog, Words()
    query = job_status(log.schema, FAILURES, found.strategy, found.newest, columns=found.columns, silences=False)
    jobs = [Job._make(row) for row in log.session.rows(query)]
    return {job.name: ": ".join(filter(None, (words[job.alert_code - 1], job.reason(words)))) for job in jobs}


def _judged_otherwise(log: JobLog, new: JobLog, explained: Collection[str]) -> list[str]:
    """How many jobs are judged as before, and how the others are and were. `explained`: jobs of which a difference says why."""
    before, after = _judge(log), _judge(new)
    names = sorted({*before, *after})
    lines = []
    for name in names:
        was, now = (said.get(name, "not monitored") for said in (before, after))
        if was != now:
            why = "" if name in explained else ", and why is not known: compare the two schemas"
            lines.append(f"job {title(name)} is now {now}; it was {was}{why}")
    return [f"judged as before: {len(names) - len(lines)} of {counted(len(names), 'monitored job')}", *lines]


def _left_behind(old: Old, source: str, schema: str) -> str:
    """What has become of the old schema, and how to drop it."""
    name = quoted(old.name)
    where = f"the old schema{f', named {name} from now on,' if source == schema else f' {name}'} is not dropped"
    if not old.is_extension:
        return f"{where}; once nothing needs it: DROP SCHEMA {name} CASCADE"
    return f"{where}, and programs that look for the extension pg_jobmon find it until you DROP EXTENSION pg_jobmon"
