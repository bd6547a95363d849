"""Real jobs in every state, logged through the SQL functions, for `jobmonctl demo`. Prints nothing."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg

CONFIGURATION = """
INSERT INTO jobmon.job_check_config (job_name, warn_threshold, error_threshold, active, sensitivity) VALUES
    ('CATALOG REFRESH', '1 day', '2 days', true, 0),
    ('CUBE', '1 day', '2 days', true, 0),
    ('INVENTORY SYNC', '1 day', '2 days', true, 2),
    ('MONTHLY REPORT', '31 days', '32 days', true, 0),
    ('NIGHTLY ETL', '1 day', '30 hours', true, 1),
    ('PARTITION UPKEEP', '1 second', '1 day', true, 0),
    ('VACUUM BIG TABLES', '1 day', '2 days', true, 0),
    ('WAREHOUSE LOAD', '1 second', '1 day', true, 0)
"""
# A job that is late for its thresholds has to be older than a demo runs; so these two are told to be.
AGE = "UPDATE jobmon.job_log SET start_time = start_time - %s::interval, end_time = end_time - %s::interval WHERE job_name = %s"


@contextlib.contextmanager
def jobs_in_every_state(parameters: dict[str, Any]) -> Iterator[None]:
    """Configure jobs and log runs of them; the ones that run, or wait for a lock, do so until the context ends."""
    with contextlib.ExitStack() as open_sessions:

        def session(name: str) -> psycopg.Connection:
            return open_sessions.enter_context(psycopg.connect(autocommit=True, application_name=name, **parameters))

        log = session("demo")
        log.execute("CREATE TABLE facts (id integer PRIMARY KEY); INSERT INTO facts VALUES (42)")
        log.execute(CONFIGURATION)
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
        _until_late(log)
        yield
        loading.cancel()


def _run(log: psycopg.Connection, name: str, action: str, statement: str = "SELECT") -> None:
    """One run of one step. Its work is undone when it fails; its log is not."""
    job = log.execute("SELECT jobmon.add_job(%s)", [name]).fetchone()
    assert job is not None
    step = log.execute("SELECT jobmon.add_step(%s, %s)", [job[0], action]).fetchone()
    assert step is not None
    try:
        log.execute(statement.encode())
    except psycopg.Error as error:
        log.execute("SELECT jobmon.update_step(%s, 'CRITICAL', %s)", [step[0], error.diag.message_primary])
        log.execute("SELECT jobmon.fail_job(%s)", [job[0]])
    else:
        log.execute("SELECT jobmon.update_step(%s, 'OK', 'done')", [step[0]])
        log.execute("SELECT jobmon.close_job(%s)", [job[0]])


def _wait_for_lock(loading: psycopg.Connection) -> None:
    with contextlib.suppress(psycopg.Error):
        loading.execute("TRUNCATE facts")


def _until_late(log: psycopg.Connection) -> None:
    """Wait until the crashed backend is gone and the two runs that go on are past their threshold of a second."""
    query = """
        SELECT bool_and(now() > start_time + interval '1 second')
               AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'vacuumer')
          FROM jobmon.job_log
         WHERE job_name IN ('PARTITION UPKEEP', 'WAREHOUSE LOAD')
    """
    while True:
        row = log.execute(query).fetchone()
        if row and row[0]:
            return
        time.sleep(0.05)
