"""The bundled SQL files as texts, with their placeholders filled in. Knows the files, but executes nothing.

Placeholders: `@schema@` the schema as an identifier, `@schema_name@` its bare name, `@dblink@` dblink's schema as an
identifier, `@job_status@` the check's SELECT, whose own placeholders job_status() explains, `@uncounted@` and `@refusal@` the
constants below, `@job_name@` and `@limit@` those of job_runs.sql.
"""

import functools
from collections.abc import Mapping
from typing import NamedTuple

from check_jobmon.sql_files import fill, quoted, sql_file

FAILURES = 3
"""Consecutive failures that alert for a job without configuration (reference text, check_job_status)."""
UNCOUNTED = 250
"""How many failures beyond a job's sensitivity the check counts at least, before it stops counting."""
REFUSAL = "see that the job is not already running"
"""The action of the only step of a run that was refused because the job was under way. The check ignores such runs."""
TIME = "timestamp with time zone"
CALENDAR = 8
"""The version from which on there are schedules and silences."""
SINCE = {
    7: {"job_check_config": {"since": TIME, "owner": "text", "description": "text", "runbook": "text"}},
    CALENDAR: {
        "job_check_config": {
            **{"schedule": "text", "timezone": "text", "first_due": TIME, "warn_duration": "interval"},
            **{"error_duration": "interval", "min_duration": "interval", "slow_factor": "real", "depends_on": "text"},
            **{"escalate": "smallint"},
        },
        "job_log": {"next_due": TIME},
        "job_silence": {
            **{"silence_id": "bigint", "pattern": "text", "starts": TIME, "ends": TIME, "until_next_run": "boolean"},
            **{"reason": "text", "created_by": "text", "ended": TIME, "name_like": "text", "name_regex": "text"},
        },
    },
}
"""The columns that are read and that older schemas lack, by the version that added them: by table, with their types."""
FUNCTION_FOLDERS = ("admin", "all", "link", "log", "monitor", "owner")
"""Each named after those who may use what is in it: the link's side, the schema's owner, or roles (roles.py)."""


class Script(NamedTuple):
    """A numbered script: its number, its file's name, and its SQL ready to run."""

    number: int
    name: str
    sql: str


def job_status(
    schema: str,
    failures: int = FAILURES,
    strategy: str = "index",
    newest: bool = True,
    extra_names: str = "SELECT NULL WHERE false",
    name_filter: str = "true",
    columns: Mapping[str, str] | None = None,
    every_blocker: bool = False,
    silences: bool = True,
) -> str:
    """The check's SELECT, job_status.sql, for a schema of any name.

    Runs are found by `strategy`: "index", "window" or "scan" (find_by_*.sql); `newest` says whether job_log has an index
    (end_time). A job without configuration alerts after that many `failures`. `extra_names` is a SELECT of names to judge
    besides, `name_filter` a condition on m.job_name. `columns` are what columns_of() gives, for the newest version unless
    told otherwise. `every_blocker`: what an open run waits for is looked up even if the job doesn't alert. Without `silences`,
    none counts.
    """
    query = sql_file("schema/job_status.sql")
    query = query.replace("@find@", sql_file(f"schema/find_by_{strategy}.sql"))
    query = query.replace("@silences@", sql_file("schema/silences.sql" if silences else "schema/no_silences.sql"))
    values = {
        "newest": str(newest).lower(),
        "extra_names": extra_names,
        "name_filter": name_filter,
        "schema": quoted(schema),
        "failures": str(failures),
        "uncounted": str(UNCOUNTED),
        "refusal": REFUSAL,
        **(columns or columns_of()),
        "pid": "j.alive_pid",
        "every_blocker": str(every_blocker).lower(),
        "job_id": "j.failed_job_id",
    }
    return fill(query, values)


def columns_of(version: int = max(SINCE), code: str = "alert_code", text: str = "alert_text") -> dict[str, str]:
    """Placeholders for what a schema of an older version names otherwise or lacks: `code` and `text` of job_status_text, the
    `optional` columns of job_check_config AS c, `next_due` of job_log AS r.
    """
    optional = [
        f"c.{name}" if number <= version else f"NULL::{kind} AS {name}"
        for number, tables in SINCE.items()
        for name, kind in tables["job_check_config"].items()
    ]
    next_due = "r.next_due" if version >= CALENDAR else f"NULL::{TIME}"
    return {"code": code, "text": text, "optional": ", ".join(optional), "next_due": next_due}


@functools.cache
def _placeholders(schema: str, dblink: str) -> Mapping[str, str]:
    """What stands for each placeholder in the files of the schema."""
    return {
        "job_status": job_status(schema),
        "job_name": "p_job_name",
        "limit": "p_limit",
        "uncounted": str(UNCOUNTED),
        "refusal": REFUSAL,
        "schema": quoted(schema),
        "schema_name": schema,
        "dblink": quoted(dblink),
    }


def _fill(text: str, schema: str, dblink: str) -> str:
    return fill(text, _placeholders(schema, dblink))


def query(name: str) -> bytes:
    """A catalog query of bootstrap, by its file's name. The parameters are psycopg's."""
    return sql_file(f"schema/{name}.sql").encode()


def filled(name: str, schema: str, dblink: str = "") -> bytes:
    """A script of bootstrap that uses the schema itself, by its file's name. The parameters are psycopg's."""
    return _fill(sql_file(f"schema/{name}.sql"), schema, dblink).encode()


def partitioned(schema: str, upto: str = "NULL") -> bytes:
    """The script that makes job_log and job_detail partitioned. `upto`: SQL for the time before which all their rows started."""
    return _fill(sql_file("schema/partitioned.sql").replace("@upto@", upto), schema, "").encode()


def _file_names(folder: str) -> list[str]:
    from importlib.resources import files  # imports half of the standard library, which a check does without

    return sorted(file.name for file in files(__package__).joinpath(folder).iterdir() if file.name.endswith(".sql"))


def tables(schema: str, dblink: str) -> list[Script]:
    """The numbered scripts, in their order. Each is applied once to a schema."""
    return [
        Script(int(name.partition("_")[0]), name, _fill(sql_file(f"schema/tables/{name}"), schema, dblink))
        for name in _file_names("tables")
    ]


def functions(schema: str, dblink: str) -> str:
    """All functions, in the order of their names, and the triggers that call them. Every bootstrap applies them."""
    places = sorted((name, folder) for folder in FUNCTION_FOLDERS for name in _file_names(f"functions/{folder}"))
    texts = [sql_file(f"schema/functions/{folder}/{name}") for name, folder in places]
    return _fill("".join([*texts, sql_file("schema/triggers.sql")]), schema, dblink)


def function_names(folder: str) -> list[str]:
    """The names of the functions and views in a folder of functions/: each file is named after what is in it."""
    return [name.removesuffix(".sql") for name in _file_names(f"functions/{folder}")]


def version() -> int:
    """The version of the bundled schema: the number of its last numbered script."""
    return int(_file_names("tables")[-1].partition("_")[0])
