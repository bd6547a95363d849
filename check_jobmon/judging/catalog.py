"""What the catalog says of a job log: whether its tables are there, readable and whole, and which indexes they have."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from check_jobmon.connection.trust import distrust
from check_jobmon.schema.scripts import CALENDAR, SINCE, TIME, columns_of
from check_jobmon.sql_files import fill, literal, quoted, sql_file

INTEGER = ("smallint", "integer", "bigint")
NUMBER = ("real", "double precision", "numeric")
TEXT = ("text", "character varying")
COLUMNS = {
    "job_log": {"job_id pid": INTEGER, "owner job_name status": TEXT, "start_time end_time": (TIME,)},
    "job_detail": {
        "job_id step_id": INTEGER,
        "action status message": TEXT,
        "start_time end_time": (TIME,),
        "elapsed_time": NUMBER,
    },
    "job_check_config": {
        "job_name": TEXT,
        "warn_threshold error_threshold": ("interval",),
        "active": ("boolean",),
        "sensitivity": INTEGER,
    },
    "job_check_log": {"job_id alert_code": INTEGER, "job_name": TEXT},
    "job_status_text": {"alert_code": INTEGER, "alert_text": TEXT},
}
"""The tables that are read, their columns, and the types that these may have: built in, so that reading runs nobody's code."""
OLDER_NAMES = {"alert_code": "error_code", "alert_text": "error_text"}
"""Columns of job_status_text under their older names, which will do."""
DONE = "(end_time IS NOT NULL)"
OPEN = "(end_time IS NULL)"
"""Conditions of partial indexes, in PostgreSQL's spelling."""

INDEXES = {
    "job_log (job_name, end_time)": ("job_name, end_time( DESC)?(, .*)?", ("", DONE)),
    "job_log (job_name) WHERE end_time IS NULL": (".*", (OPEN,)),
    "job_check_log (job_name, alert_code, job_id)": ("job_name(, .*)?", ("",)),
}
"""The indexes that find runs fast: a pattern for the keys of one that serves, and the conditions that it may have."""


class Catalog(NamedTuple):
    """How the check query has to be written for this job log: arguments of job_status(). `notes` are for -v; `version` is the
    last of those in SINCE whose columns are all there, 0 if none; `silences`: whether there is a table of them to be read.
    """

    strategy: str
    newest: bool
    notes: tuple[str, ...]
    columns: Mapping[str, str]
    version: int
    silences: bool


def query(name: str, schema: str) -> str:
    """A query for a schema: "catalog", whose rows are for `in_doubt` and `examine`; "doubts", which gives `examine` its
    `doubts`, to be run if `in_doubt` says so; or "table_lock", for the lock on one of the tables that keeps a check waiting."""
    tables = ", ".join(f"'{table}'" for table in (*COLUMNS, "job_silence"))
    return fill(sql_file(f"judging/{name}.sql"), {"tables": tables, "name": literal(schema)})


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
    role: str = "monitor",
) -> Catalog | str:
    """How to query the job log, or in one line why it can't or must not be read. `needed` are the tables to read;
    `role` is the end of the name of the role to be a member of for that.
    """
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
            f"GRANT {schema}_{role} TO that role, or name another role with -U"
        )
    if lacking := [table for table in COLUMNS if table not in found]:
        return f'schema "{schema}" of database "{dbname}" lacks the table {lacking[0]}: {bootstrap}'
    for table, expected in COLUMNS.items():
        kind, readable, hidden, columns, _, _ = found[table]
        where = f'{schema}.{table} in database "{dbname}"'
        if kind not in "rp":
            return f"{where} is not a table: put the table back, or {bootstrap}"
        types = dict(columns)
        for names, allowed in expected.items():
            for column in names.split():
                name = column if column in types else OLDER_NAMES.get(column, column)
                if name not in types:
                    return f"{where} lacks the column {column}: put it back, or {bootstrap}"
                if (what := types[name]) not in allowed:
                    return f"{where} is not read: its column {name} is {what}, not {allowed[-1]}: put the table back"
        if not readable and table in needed:
            return f'role "{user}" may not read {where}: GRANT {schema}_{role} TO that role, or SELECT on the table'
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
    unseen = (
        f'role "{user}" does not see the sessions of others (GRANT pg_monitor TO it): whether their '
        "runs are alive, and what blocks them, is unknown"
    )
    return _strategy(found, schema, () if rows[0][1] else (unseen,))


def _strategy(found: Mapping[str, Sequence[Any]], schema: str, notes: tuple[str, ...]) -> Catalog:
    names = dict(found["job_status_text"][3])
    code, text = (name if name in names else older for name, older in OLDER_NAMES.items())
    version = _version(found)
    columns = columns_of(version, code, text)
    silences = version >= CALENDAR
    if silences and (not found["job_silence"][1] or found["job_silence"][2]):
        silences = False
        notes = (
            *notes,
            f"silences don't count, because the role may not read them: GRANT SELECT ON {schema}.job_silence TO it",
        )
    log, check_log = (_keys(found[table][4]) for table in ("job_log", "job_check_log"))
    lacking = [
        index
        for index, (keys, conditions) in INDEXES.items()
        if not _has(check_log if index.startswith("job_check_log") else log, keys, conditions)
    ]
    if not lacking:
        return Catalog("index", _has(log, "end_time( DESC)?", ("", DONE)), notes, columns, version, silences)
    name = schema if re.fullmatch("[a-z_][a-z0-9_]*", schema) else quoted(schema)
    create = f"an index would make this check fast: CREATE INDEX CONCURRENTLY ON {name}."
    first = {keys.split(",")[0] for keys, condition in log if not condition}
    strategy = "window" if first >= {"job_name", "start_time", "status"} else "scan"
    return Catalog(strategy, False, (*notes, *(create + index for index in lacking)), columns, version, silences)


def _version(found: Mapping[str, Sequence[Any]]) -> int:
    """The last version in SINCE whose columns are all there. A column of such a name in an older schema is the site's own."""
    version = 0
    for number, tables in SINCE.items():
        for table, columns in tables.items():
            kind, _, _, there, *_ = found.get(table, ("", False, False, []))
            if kind not in ("r", "p") or not columns.items() <= dict(there).items():
                return version
        version = number
    return version


def _has(indexes: Sequence[tuple[str, str]], keys: str, conditions: Collection[str]) -> bool:
    return any(re.fullmatch(keys, found) and condition in conditions for found, condition in indexes)


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
