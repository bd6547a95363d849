"""What the catalog says of a job log: whether its tables are there, readable and whole, and which indexes they have."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from psycopg import sql

from check_jobmon.schema.scripts import quoted

COLUMNS = {
    "job_log": {"job_id", "job_name", "start_time", "end_time", "status", "pid"},
    "job_detail": {"job_id", "step_id", "action", "elapsed_time", "status", "message"},
    "job_check_config": {"job_name", "warn_threshold", "error_threshold", "active", "sensitivity"},
    "job_check_log": {"job_id", "job_name", "alert_code"},
    "job_status_text": {"alert_code", "alert_text"},
}
"""The tables that the plugin reads, and their columns."""
OLDER_NAMES = {"alert_code": "error_code", "alert_text": "error_text"}
"""Columns of job_status_text under their older names, which will do."""

DONE = "(end_time IS NOT NULL)"
OPEN = "(end_time IS NULL)"
"""Conditions of partial indexes, in PostgreSQL's spelling."""

QUERY = """
    SELECT has_schema_privilege(n.oid, 'USAGE'),
           pg_has_role('pg_read_all_stats', 'USAGE'),
           c.relname::text,
           c.relkind::text,
           has_any_column_privilege(c.oid, 'SELECT'),
           row_security_active(c.oid),
           ARRAY(SELECT a.attname::text
                   FROM pg_attribute AS a
                  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
           ARRAY(SELECT pg_get_indexdef(i.indexrelid)
                   FROM pg_index AS i
                  WHERE i.indrelid = c.oid AND i.indisvalid)
      FROM pg_namespace AS n
      LEFT JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname IN ({tables})
     WHERE n.nspname = {schema}
"""


class Layout(NamedTuple):
    """How the check query finds its way here: job_status.sql's @layout@ and @newest@; `notes` are for -v."""

    kind: str
    newest: bool
    notes: tuple[str, ...]


def query(schema: str) -> str:
    """The catalog query for a schema; its rows are for `examine`."""
    tables = ", ".join(f"'{table}'" for table in COLUMNS)
    return QUERY.format(tables=tables, schema=sql.Literal(schema).as_string(None))


def examine(rows: Sequence[tuple[Any, ...]], schema: str, dbname: str, user: str) -> Layout | str:
    """The layout, or in one line why there is nothing to judge."""
    bootstrap = f'run "jobmonctl bootstrap -d {dbname}", or name it with --schema'
    if not rows:
        return f'no jobmon schema in database "{dbname}" (looked for "{schema}"): {bootstrap}'
    found = {row[2]: row[3:] for row in rows if row[2]}
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
    for table, needed in COLUMNS.items():
        kind, readable, hidden, columns, _ = found[table]
        if kind not in "rp":
            return f'{schema}.{table} in database "{dbname}" is not a table: put the table back, or {bootstrap}'
        lacking = sorted(c for c in needed if c not in columns and OLDER_NAMES.get(c) not in columns)
        if lacking:
            return f'{schema}.{table} in database "{dbname}" lacks the column {lacking[0]}: put it back, or {bootstrap}'
        if not readable:
            return (
                f'role "{user}" may not read {schema}.{table} in database "{dbname}": '
                f"GRANT {schema}_monitor TO that role, or SELECT on the table"
            )
        if hidden:
            return (
                f'row-level security hides rows of {schema}.{table} in database "{dbname}" from role "{user}", and a check '
                "of a part is none: ALTER ROLE that role BYPASSRLS, or name another role with -U"
            )
    return _layout(found["job_log"][-1], found["job_check_log"][-1], schema, user, sees_all=rows[0][1])


def _layout(
    log_indexes: Sequence[str], check_log_indexes: Sequence[str], schema: str, user: str, sees_all: bool
) -> Layout:
    notes = []
    name = schema if re.fullmatch("[a-z_][a-z0-9_]*", schema) else quoted(schema)
    if not sees_all:
        notes.append(
            f'role "{user}" does not see the sessions of others (GRANT pg_monitor TO it): a run counts as alive if its '
            "pid is, and who blocks it is not told"
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
        return Layout("probe", newest, tuple(notes))
    notes.extend(
        f"an index would make this check fast: CREATE INDEX CONCURRENTLY ON {name}.{index}" for index in lacking
    )
    first = {keys.split(",")[0] for keys, condition in log if not condition}
    return Layout("window" if first >= {"job_name", "start_time", "status"} else "scan", False, tuple(notes))


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
