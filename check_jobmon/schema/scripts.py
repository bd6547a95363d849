"""The bundled SQL files as texts, with their placeholders filled in. Knows the files, not what is done with them.

Placeholders: `@schema@` the schema as an identifier, `@schema_name@` its bare name, `@dblink@` the schema that dblink is
in, `@job_status@` the check's SELECT, `@job_runs@` that of a job's latest runs, `@uncounted@` how far the check counts
failures, `@refusal@` the action of a refused run's step, `@signature@` the signature of the text v_signed. job_status()
and job_runs() explain those of these two SELECTs.
"""

import functools
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import sys
    from collections.abc import Iterator

    if sys.version_info >= (3, 11):
        from importlib.resources.abc import Traversable  # novermin
    else:
        from importlib.abc import Traversable

from check_jobmon.sql_files import quoted, sql_file

FAILURES = 3
"""Consecutive failures that alert for a job without configuration (reference text, check_job_status)."""
UNCOUNTED = 250
"""The check stops counting the failures of a job when they are more than this beyond its sensitivity."""
REFUSAL = "see that the job is not already running"
"""The action of the one step of a run that was refused because the job was under way: it counts as no run of the job."""


class Script(NamedTuple):
    """One bundled file: its number if it is a numbered one, its name, and its SQL ready to run."""

    number: int
    name: str
    sql: str


def _bundled() -> "Traversable":
    from importlib.resources import files  # half of the standard library, which a check does without

    return files(__package__)


def job_status(
    schema: str,
    failures: int = FAILURES,
    strategy: str = "index",
    newest: bool = True,
    extra_names: str = "SELECT NULL WHERE false",
    name_filter: str = "true",
    columns: tuple[str, str] = ("alert_code", "alert_text"),
) -> str:
    """The check's SELECT, job_status.sql, for a schema of any name.

    Runs are found by `strategy`: "index", "window" or "scan" (find_by_*.sql); `newest` says whether job_log has an index
    (end_time). A job without configuration alerts after that many `failures`. `extra_names` is a SELECT of names to judge
    besides, `name_filter` a condition on m.job_name. `columns` are those of job_status_text, error_code and error_text in
    older schemas.
    """
    query = sql_file("schema/job_status.sql")
    files = {"find": f"find_by_{strategy}", "blocker": "blocker", "failing_step": "failing_step"}
    for placeholder, file in files.items():
        query = query.replace(f"@{placeholder}@", sql_file(f"schema/{file}.sql"))
    values = {
        "newest": str(newest).lower(),
        "extra_names": extra_names,
        "name_filter": name_filter,
        "schema": quoted(schema),
        "failures": str(failures),
        "uncounted": str(UNCOUNTED),
        "refusal": REFUSAL,
        "code": columns[0],
        "text": columns[1],
        "pid": "j.alive_pid",
        "job_id": "j.failed_job_id",
    }
    # in one pass, because what is filled in can look like a placeholder
    return re.sub(f"@({'|'.join(values)})@", lambda placeholder: values[placeholder[1]], query)


def job_runs(job_name: str, limit: str) -> str:
    """A SELECT of the job_ids of a job's latest runs; both are expressions of SQL, and @schema@ is still to be filled in."""
    return sql_file("schema/job_runs.sql").replace("@job_name@", job_name).replace("@limit@", limit)


SIGNATURE = """pg_catalog.sha256(
                pg_catalog.int8send(pg_catalog.pg_sequence_last_value('@schema@.link_key_1'))
                OPERATOR(pg_catalog.||) pg_catalog.convert_to(v_signed, 'SQL_ASCII')
                OPERATOR(pg_catalog.||) pg_catalog.int8send(pg_catalog.pg_sequence_last_value('@schema@.link_key_2')))"""
"""The signature of the text v_signed. An expression, not a function or a query: every call of the log evaluates it twice."""


def _fill(text: str, schema: str, dblink: str) -> str:
    return (
        text.replace("@job_status@", job_status(schema))
        .replace("@job_runs@", job_runs("p_job_name", "p_limit"))
        .replace("@uncounted@", str(UNCOUNTED))
        .replace("@refusal@", REFUSAL)
        .replace("@signature@", SIGNATURE)
        .replace("@schema@", quoted(schema))
        .replace("@schema_name@", schema)
        .replace("@dblink@", quoted(dblink))
    )


@functools.cache
def query(name: str) -> bytes:
    """A catalog query of bootstrap, by its file's name. The parameters are psycopg's."""
    return sql_file(f"schema/{name}.sql").encode()


def filled(name: str, schema: str, dblink: str) -> bytes:
    """A query of bootstrap on the schema itself, by its file's name. The parameters are psycopg's."""
    return _fill(sql_file(f"schema/{name}.sql"), schema, dblink).encode()


def tables(schema: str, dblink: str) -> list[Script]:
    """The numbered scripts, in their order. Each is applied once in a schema's life."""
    scripts = []
    for file in _bundled().joinpath("tables").iterdir():
        if file.name.endswith(".sql"):
            text = file.read_text(encoding="utf-8")
            scripts.append(Script(int(file.name.split("_")[0]), file.name, _fill(text, schema, dblink)))
    return sorted(scripts, key=lambda script: script.number)


def functions(schema: str, dblink: str) -> list[Script]:
    """The functions, one a file. Each is applied by every bootstrap."""
    scripts = [
        Script(0, file.name, _fill(file.read_text(encoding="utf-8"), schema, dblink))
        for file in _walk(_bundled().joinpath("functions"))
    ]
    return sorted(scripts, key=lambda script: script.name)


def _walk(folder: "Traversable") -> "Iterator[Traversable]":
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry)
        elif entry.name.endswith(".sql"):
            yield entry


def version() -> int:
    """The version of the bundled schema: the number of its last numbered script."""
    return max(script.number for script in tables("jobmon", "jobmon"))
