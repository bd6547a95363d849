"""Real jobs in every state, logged through the SQL functions, for `jobmonctl demo`. Prints nothing."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import psycopg

from check_jobmon.sql_files import sql_file


@contextlib.contextmanager
def jobs_in_every_state(parameters: dict[str, Any]) -> Iterator[None]:
    """Configure jobs and log runs of them. Runs under way, one of which waits for a lock, go on until the context ends."""
    with contextlib.ExitStack() as open_sessions:

        def session(name: str, script: str) -> psycopg.Connection:
            opened = psycopg.connect(autocommit=True, application_name=name, **parameters)
            open_sessions.callback(opened.close)
            opened.execute(script.encode())
            return opened

        log = session("demo", sql_file("demo/ended_runs.sql"))
        session("vacuumer", "SELECT jobmon.add_step(jobmon.add_job('vacuum big tables'), 'vacuum facts')").close()
        session("upkeep", "SELECT jobmon.add_step(jobmon.add_job('partition upkeep'), 'detach old partitions')")
        session("reporting", "BEGIN; LOCK TABLE facts")
        loading = session("loader", "SELECT jobmon.add_step(jobmon.add_job('warehouse load'), 'truncate facts')")
        loading.pgconn.send_query(b"TRUNCATE facts")  # doesn't wait for the answer, because reporting has the lock
        while log.execute(sql_file("demo/every_state_is_reached.sql").encode()).fetchone() != (True,):
            time.sleep(0.05)
        yield
        loading.cancel()


def log_past_runs(parameters: dict[str, Any]) -> None:
    """Log two weeks of runs before all these."""
    with psycopg.connect(autocommit=True, **parameters) as session:
        session.execute(sql_file("demo/past_runs.sql").encode())
