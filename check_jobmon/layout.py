"""What the catalog says of a job log: whether its tables are there, readable and whole, and which indexes they have."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
           ARRAY(SELECT concat_ws(' ',
                                  (SELECT string_agg(a.attname, ' ' ORDER BY k.position)
                                     FROM unnest(i.indkey) WITH ORDINALITY AS k(attnum, position)
                                     JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.attnum),
                                  'WHERE ' || pg_get_expr(i.indpred, i.indrelid))
                   FROM pg_index AS i
                   JOIN pg_class AS x ON x.oid = i.indexrelid
                   JOIN pg_am AS m ON m.oid = x.relam
                  WHERE i.indrelid = c.oid AND i.indisvalid AND m.amname = 'btree')
      FROM pg_namespace AS n
      LEFT JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname IN ({tables})
     WHERE n.nspname = {schema}
"""


@dataclass(frozen=True)
class Layout:
    """How the check query finds its way here: `kind` is job_status.sql's @layout@; `notes` are for -v."""

    kind: str
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


def _layout(indexes: Sequence[str], check_log_indexes: Sequence[str], schema: str, user: str, sees_all: bool) -> Layout:
    notes = []
    name = schema if re.fullmatch("[a-z_][a-z0-9_]*", schema) else quoted(schema)
    if not sees_all:
        notes.append(
            f'role "{user}" does not see the sessions of others (GRANT pg_monitor TO it): a run counts as alive if its '
            "pid is, and who blocks it is not told"
        )
    probes = any(
        re.fullmatch(r"job_name end_time( \w+)*( WHERE \(end_time IS NOT NULL\))?", index) for index in indexes
    )
    open_runs = any(index.endswith("WHERE (end_time IS NULL)") for index in indexes)
    failures = any(re.fullmatch("job_name( [^()]*)?", index) for index in check_log_indexes)
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
        return Layout("probe", tuple(notes))
    notes.extend(
        f"an index would make this check fast: CREATE INDEX CONCURRENTLY ON {name}.{index}" for index in lacking
    )
    first = {index.split(" ")[0] for index in indexes if "WHERE" not in index}
    return Layout("window" if first >= {"job_name", "start_time", "status"} else "scan", tuple(notes))
