"""Real jobs in every state, logged through the SQL functions, for `jobmonctl demo`. Prints nothing."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg

from check_jobmon.sql_files import sql_file

AGE = "UPDATE jobmon.job_log SET start_time = start_time - %s::interval, end_time = end_time - %s::interval WHERE job_name = %s"
"""Makes a run older than the demo, because only then is its job late."""


@contextlib.contextmanager
def jobs_in_every_state(parameters: dict[str, Any]) -> Iterator[None]:
    """Configure jobs and log runs of them. Runs under way, one of which waits for a lock, go on until the context ends."""
    with contextlib.ExitStack() as open_sessions:

        def session(name: str) -> psycopg.Connection:
            return open_sessions.enter_context(psycopg.connect(autocommit=True, application_name=name, **parameters))

        log = session("demo")
        log.execute("CREATE TABLE facts (id integer PRIMARY KEY); INSERT INTO facts VALUES (42)")
        log.execute(sql_file("demo/job_check_config.sql").encode())
        _run(log, "catalog refresh", "refresh materialized views")
        _run(log, "cube", "build")
        log.execute(AGE, ["26 hours", "26 hours", "CUBE"])
        for _ in range(2):
            _run(log, "nightly etl", "load facts", "INSERT INTO facts VALUES (42)")
        _run(log, "inventory sync", "fetch stock levels", "SELECT 1 / 0")
        _run(log, "vacuum big tables", "vacuum stock")
        crashing = session("vacuumer")
        crashing.execute("SELECT jobmon.add_step(jobmon.add_job('vacuum big tables'), 'vacuum facts')")
        crashing.close()
        session("upkeep").execute("SELECT jobmon.add_step(jobmon.add_job('partition upkeep'), 'detach old partitions')")
        session("reporting").execute("BEGIN; LOCK TABLE facts")
        loading = session("loader")
        loading.execute("SELECT jobmon.add_step(jobmon.add_job('warehouse load'), 'truncate facts')")
        threading.Thread(target=_wait_for_lock, args=[loading], daemon=True).start()
        while not _value(log, sql_file("demo/every_state_is_reached.sql")):
            time.sleep(0.05)
        yield
        loading.cancel()


def _run(log: psycopg.Connection, name: str, action: str, statement: str = "SELECT") -> None:
    """Log a run of one step that executes the statement. If that fails, its work is rolled back and its log stays."""
    job_id = _value(log, "SELECT jobmon.add_job(%s)", name)
    step_id = _value(log, "SELECT jobmon.add_step(%s, %s)", job_id, action)
    try:
        log.execute(statement.encode())
    except psycopg.Error as error:
        _value(log, "SELECT jobmon.update_step(%s, 'CRITICAL', %s)", step_id, error.diag.message_primary)
        _value(log, "SELECT jobmon.fail_job(%s)", job_id)
    else:
        _value(log, "SELECT jobmon.update_step(%s, 'OK', 'done')", step_id)
        _value(log, "SELECT jobmon.close_job(%s)", job_id)


def _value(log: psycopg.Connection, query: str, *parameters: Any) -> Any:
    row = log.execute(query.encode(), parameters).fetchone()
    return row and row[0]


def _wait_for_lock(loading: psycopg.Connection) -> None:
    with contextlib.suppress(psycopg.Error):
        loading.execute("TRUNCATE facts")
