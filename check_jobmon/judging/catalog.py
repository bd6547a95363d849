"""What the catalog says of a job log: whether its tables are there, readable and whole, and which indexes they have."""

import re
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from check_jobmon.connection.trust import POWERFUL, distrust, untrusted
from check_jobmon.sql_files import fill, literal, quoted, sql_file

INTEGER = ("smallint", "integer", "bigint")
TEXT = ("text", "character varying")
TIME = ("timestamp with time zone",)
INTERVAL = ("interval",)
COLUMNS = {
    "job_log": {
        "job_id": INTEGER,
        "owner": TEXT,
        "job_name": TEXT,
        "start_time": TIME,
        "end_time": TIME,
        "status": TEXT,
        "pid": INTEGER,
    },
    "job_detail": {
        "job_id": INTEGER,
        "step_id": INTEGER,
        "action": TEXT,
        "start_time": TIME,
        "end_time": TIME,
        "elapsed_time": ("real", "double precision", "numeric"),
        "status": TEXT,
        "message": TEXT,
    },
    "job_check_config": {
        "job_name": TEXT,
        "warn_threshold": INTERVAL,
        "error_threshold": INTERVAL,
        "active": ("boolean",),
        "sensitivity": INTEGER,
    },
    "job_check_log": {"job_id": INTEGER, "job_name": TEXT, "alert_code": INTEGER},
    "job_status_text": {"alert_code": INTEGER, "alert_text": TEXT},
}
"""The tables that are read, their columns, and the types that these may have: built in, so that reading runs nobody's code."""
OLDER_NAMES = {"alert_code": "error_code", "alert_text": "error_text"}
"""Columns of job_status_text under their older names, which will do."""

DONE = "(end_time IS NOT NULL)"
OPEN = "(end_time IS NULL)"
"""Conditions of partial indexes, in PostgreSQL's spelling."""

STATUS_TEXT_COLUMNS = ("alert_code", "alert_text")
"""The columns of job_status_text."""


class Catalog(NamedTuple):
    """How the check query has to be written for this job log: arguments of job_status(). `notes` are for -v."""

    strategy: str
    newest: bool
    notes: tuple[str, ...]
    columns: tuple[str, str]


def query(schema: str) -> str:
    """The catalog query for a schema; its rows are for `in_doubt` and `examine`."""
    return _filled("catalog.sql", schema)


def closer_query(schema: str) -> str:
    """The query that gives `examine` its `doubts`, to be run if `in_doubt` says so."""
    return _filled("doubts.sql", schema)


def lock_query(schema: str) -> str:
    """The query for the lock on one of the tables that keeps a check waiting."""
    return _filled("table_lock.sql", schema)


def _filled(name: str, schema: str) -> str:
    tables = ", ".join(f"'{table}'" for table in COLUMNS)
    values = {"tables": tables, "untrusted": untrusted(schema), "name": literal(schema), "powerful": POWERFUL}
    return fill(sql_file(f"judging/{name}"), values)


def in_doubt(rows: Sequence[tuple[Any, ...]]) -> bool:
    """Whether doubts.sql has to be run: the role has a superuser's rights, or a table is not a plain one."""
    return bool(rows) and (rows[0][2] or any(row[9] is False for row in rows))


def examine(
    rows: Sequence[tuple[Any, ...]],
    doubts: Sequence[Any],
    schema: str,
    dbname: str,
    user: str,
    needed: Collection[str] = COLUMNS.keys(),
) -> Catalog | str:
    """How to query the job log, or in one line why it can't or must not be read. `needed` are the tables to read."""
    bootstrap = f'run "jobmonctl bootstrap -d {dbname}", or name it with --schema'
    if not rows:
        return f'no jobmon schema in database "{dbname}" (looked for "{schema}"): {bootstrap}'
    distrusted, strange, code = doubts or (None, None, None)
    if distrusted:
        return distrust(distrusted, schema, dbname, user)
    found = {row[3]: row[4:] for row in rows if row[3]}
    if not found:
        return f'no jobmon schema in database "{dbname}" ("{schema}" is there, but has no job log): {bootstrap}'
    if not rows[0][0]:
        return (
            f'role "{user}" may not use schema "{schema}" of database "{dbname}": '
            f"GRANT {schema}_monitor TO that role, or name another role with -U"
        )
    missing = [table for table in COLUMNS if table not in found]
    if missing:
        return f'schema "{schema}" of database "{dbname}" lacks the table {missing[0]}: {bootstrap}'
    for table, expected in COLUMNS.items():
        kind, readable, hidden, columns, _, _ = found[table]
        where = f'{schema}.{table} in database "{dbname}"'
        if kind not in "rp":
            return f"{where} is not a table: put the table back, or {bootstrap}"
        types = dict(columns)
        for column, allowed in expected.items():
            name = column if column in types else OLDER_NAMES.get(column, column)
            if name not in types:
                return f"{where} lacks the column {column}: put it back, or {bootstrap}"
            if types[name] not in allowed:
                return f"{where} is not read: its column {name} is {types[name]}, not {allowed[-1]}: put the table back"
        if not readable and table in needed:
            return f'role "{user}" may not read {where}: GRANT {schema}_monitor TO that role, or SELECT on the table'
        if hidden:
            return (
                f'row-level security hides rows of {where} from role "{user}", so the check would miss jobs: '
                "ALTER ROLE that role BYPASSRLS, or name another role with -U"
            )
    if strange:
        table, what = strange
        return f'{schema}.{table} in database "{dbname}" is not read: {what}, a part of it, is not a plain table: detach it'
    if code:
        table, what = code
        return (
            f'{schema}.{table} in database "{dbname}" is not read, because that could run {what}, which is not a '
            "superuser's: drop the index, constraint or statistics that uses it"
        )
    catalog = _strategy(found["job_log"][4], found["job_check_log"][4], schema, user, sees_all=rows[0][1])
    names = dict(found["job_status_text"][3])
    code_name, text_name = (name if name in names else OLDER_NAMES[name] for name in ("alert_code", "alert_text"))
    return catalog._replace(columns=(code_name, text_name))


def _strategy(
    log_indexes: Sequence[str], check_log_indexes: Sequence[str], schema: str, user: str, sees_all: bool
) -> Catalog:
    notes = []
    name = schema if re.fullmatch("[a-z_][a-z0-9_]*", schema) else quoted(schema)
    if not sees_all:
        notes.append(
            f'role "{user}" does not see the sessions of others (GRANT pg_monitor TO it): a run counts as alive if its '
            "pid is, and what blocks it is not shown"
        )
    log, check_log = _keys(log_indexes), _keys(check_log_indexes)
    probes = any(
        re.fullmatch("job_name, end_time( DESC)?(, .*)?", keys) and condition in ("", DONE) for keys, condition in log
    )
    open_runs = any(condition == OPEN for _, condition in log)
    failures = any(re.fullmatch("job_name(, .*)?", keys) and not condition for keys, condition in check_log)
    newest = any(re.fullmatch("end_time( DESC)?", keys) and condition in ("", DONE) for keys, condition in log)
    lacking = [
        index
        for there, index in (
            (probes, "job_log (job_name, end_time)"),
            (open_runs, "job_log (job_name) WHERE end_time IS NULL"),
            (failures, "job_check_log (job_name, alert_code, job_id)"),
        )
        if not there
    ]
    if not lacking:
        return Catalog("index", newest, tuple(notes), STATUS_TEXT_COLUMNS)
    notes.extend(
        f"an index would make this check fast: CREATE INDEX CONCURRENTLY ON {name}.{index}" for index in lacking
    )
    first = {keys.split(",")[0] for keys, condition in log if not condition}
    strategy = "window" if first >= {"job_name", "start_time", "status"} else "scan"
    return Catalog(strategy, False, tuple(notes), STATUS_TEXT_COLUMNS)


def _keys(definitions: Sequence[str]) -> list[tuple[str, str]]:
    """The keys of each b-tree index among these CREATE INDEX statements, and its condition, "" if there is none.

    A key of another collation or order has these with it, and so isn't taken for one that serves.

    >>> _keys(["CREATE INDEX i ON s.t USING btree (upper(a), b DESC) INCLUDE (c) WHERE (d IS NULL)"])
    [('upper(a), b DESC', '(d IS NULL)')]
    """
    found = (
        re.search(r" USING btree \((.*?)\)( INCLUDE .*?)?( WITH .*?)?( WHERE (.*))?$", text) for text in definitions
    )
    return [(match[1], match[5] or "") for match in found if match]
