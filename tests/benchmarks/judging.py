"""What judging costs the server: `python -m tests.benchmarks.judging`.

1,000 configured jobs, 2,000 names, thresholds of 2 and 7 days, a log of 0.1, 1 and 10 million runs over 30 days. Ours is
check_job_status(); its rival one aggregate pass over the window of the longest threshold, written plainly, with an index
on start_time to serve it, and with the parallel workers that PostgreSQL gives it. Then 50,000 rows in job_check_log, of 20
jobs that have failed for weeks and of all jobs, which all alert then; then the 1,000 jobs with schedules in 20 zones, limits on
how long they take, and 50 silences; and the whole answer for 5,000 configured jobs as the plugin fetches it, over a new
connection each time. All take turns on one server; medians and their ratios are printed. With --large, a log that is partitioned
by month and what else it costs: large.py.
"""

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import psycopg

from check_jobmon.connection.session import Session
from check_jobmon.demo.server import Server
from check_jobmon.judging.job_log import Inquiry
from tests.database import Database, bootstrap

FILL = """
INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)
SELECT 'me', 'JOB ' || lpad((i %% 2000)::text, 5, '0'), t, t + interval '40 seconds', 'OK', 1000 + i %% 500
  FROM (SELECT i, now() - interval '30 days' * (1 - i / %(rows)s::float8) - interval '1 minute' AS t
          FROM generate_series(1, %(rows)s) AS i) AS run
"""
CONFIGURE = """
INSERT INTO jobmon.job_check_config (job_name, warn_threshold, error_threshold, active)
SELECT 'JOB ' || lpad(i::text, 5, '0'), '2 days', '7 days', true FROM generate_series(%s::integer, %s::integer) AS i
"""
FAILURES = """
INSERT INTO jobmon.job_check_log (job_id, job_name, alert_code)
SELECT i, 'JOB ' || lpad((i %% %s)::text, 5, '0'), 3 FROM generate_series(1, 50000) AS i
"""
SCHEDULES = """
UPDATE jobmon.job_check_config AS c
   SET schedule = format('%s %s * * *', n.number % 60, n.number % 24), timezone = z.names[1 + n.number % 20],
       warn_duration = '1 hour', error_duration = '2 hours', min_duration = '1 second', slow_factor = 3
  FROM (SELECT job_name, row_number() OVER (ORDER BY job_name) AS number FROM jobmon.job_check_config) AS n,
       (SELECT array_agg(t.name) AS names
          FROM (SELECT name FROM pg_timezone_names WHERE name ~ '^(Europe|Asia)/' ORDER BY name LIMIT 20) AS t) AS z
 WHERE n.job_name = c.job_name
"""
SILENCES = """
SELECT jobmon.silence('JOB 000' || lpad(i::text, 2, '0') || '*', now() + interval '1 day', 'a benchmark')
  FROM generate_series(1, 50) AS i
"""
RIVAL = """
SELECT c.job_name,
       CASE WHEN r.ended IS NULL OR r.ended < now() - c.error_threshold THEN 3
            WHEN r.ended < now() - c.warn_threshold THEN 2
            ELSE 1
       END
  FROM jobmon.job_check_config AS c
  LEFT JOIN (SELECT l.job_name, max(l.end_time) AS ended
               FROM jobmon.job_log AS l
              WHERE l.start_time > now() - (SELECT max(error_threshold) FROM jobmon.job_check_config)
              GROUP BY l.job_name) AS r ON r.job_name = c.job_name
 WHERE c.active
"""
OURS = "SELECT * FROM jobmon.check_job_status()"
Target = tuple[str, float, float, bool]
"""What is measured, the figure, its bound, and whether that is the least (or the most) it may be."""


def main() -> int:
    """Measure and print; 0 if every target is reached."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.judging", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="rounds, of which the median counts (%(default)s)")
    parser.add_argument("--rows", type=int, nargs=3, default=[100_000, 1_000_000, 10_000_000], help="runs in the logs")
    parser.add_argument("--large", type=int, metavar="RUNS", help="instead, a partitioned log of so many: see large.py")
    arguments = parser.parse_args()
    if arguments.large:
        from tests.benchmarks import large

        return 0 if large.main(arguments.large, arguments.rounds) else 1
    server = Server(settings={"shared_buffers": "2GB", "max_wal_size": "4GB", "fsync": "off"})
    try:
        server.create()
        server.start()
        return 0 if measure(server, arguments.rows, arguments.rounds) else 1
    finally:
        server.remove()


def measure(server: Server, sizes: list[int], rounds: int) -> bool:
    """All of it; whether every target is reached."""
    ours: list[float] = []
    rival: list[float] = []
    print(f"{'runs':>12}{'ours ms':>12}{'rival ms':>12}{'rival/ours':>12}")
    for size in sizes:
        database = prepare(server, size)
        with database.connect() as session:
            session.execute("SET jit = off")
            mine, theirs = turns(rounds, lambda: fetch(session, OURS), lambda: fetch(session, RIVAL))
        ours.append(mine)
        rival.append(theirs)
        print(f"{size:>12,}{mine * 1000:>12.1f}{theirs * 1000:>12.1f}{theirs / mine:>12.1f}")

    with database.connect() as session:
        session.execute("SET jit = off")
        crowded = []
        for names in (20, 2000):
            session.execute(FAILURES, [names])
            session.execute("VACUUM ANALYZE jobmon.job_check_log")
            crowded.append(turns(rounds, lambda: fetch(session, OURS), lambda: None)[0])
            session.execute("TRUNCATE jobmon.job_check_log")
        session.execute(SCHEDULES.encode())
        session.execute(SILENCES.encode())
        session.execute("VACUUM ANALYZE")
        scheduled = turns(rounds, lambda: fetch(session, OURS), lambda: None)[0]
        session.execute(CONFIGURE, [1000, 4999])
        session.execute("VACUUM ANALYZE jobmon.job_check_config")
        whole, theirs = turns(rounds, lambda: plugin(database), lambda: fetch(session, RIVAL))

    print(f"1,000 scheduled jobs with 50 silences: {scheduled * 1000:.1f} ms")
    targets = [
        ("milliseconds, of 1,000 scheduled jobs", scheduled * 1000, 25, False),
        ("rival/ours at the largest log", rival[-1] / ours[-1], 30, True),
        ("ours, largest/middle log", ours[-1] / ours[-2], 1.3, False),
        ("ours, with/without 50,000 failures of 20 jobs", crowded[0] / ours[-1], 1.5, False),
        ("ours, with/without 50,000 failures of all jobs", crowded[1] / ours[-1], 1.5, False),
        ("5,000 jobs fetched by the plugin/rival", whole / theirs, 0.15, False),
    ]
    return all_reached(targets)


def all_reached(targets: Sequence[Target]) -> bool:
    """Print each figure with its bound; whether each is as large, or as small, as that."""
    print()
    reached = True
    for text, figure, bound, at_least in targets:
        good = figure >= bound if at_least else figure <= bound
        reached = reached and good
        print(f"{text:<62}{figure:>8.2f}  to reach {'>=' if at_least else '<='} {bound:<5} {'yes' if good else 'NO'}")
    return reached


def prepare(server: Server, size: int) -> Database:
    """A database with a log of that size."""
    name = f"runs_{size}"
    with Database(server, "postgres").connect() as session:
        session.execute(f"CREATE DATABASE {name}".encode())
    database = Database(server, name)
    with database.connect() as session:
        bootstrap(session, "jobmon")
        # what is inserted below has not failed, so the trigger would do nothing, 10 million times
        session.execute("ALTER TABLE jobmon.job_log DISABLE TRIGGER USER")
        session.execute(FILL, {"rows": size})
        session.execute("ALTER TABLE jobmon.job_log ENABLE TRIGGER USER")
        session.execute("CREATE INDEX ON jobmon.job_log (start_time)")
        session.execute(CONFIGURE, [0, 999])
        session.execute("VACUUM ANALYZE")
        session.execute("CHECKPOINT")
    return database


def fetch(session: psycopg.Connection, query: str) -> None:
    """Run a query and fetch its answer."""
    session.execute(query.encode()).fetchall()


def plugin(database: Database) -> None:
    """Fetch the check's whole answer as the plugin does, its connection apart: it collects no garbage either."""
    gc.disable()
    with Session(database.parameters).connect() as session:
        started = time.perf_counter()
        _, jobs, _ = session.ask(Inquiry(session, "jobmon", time.monotonic() + 60).judging())
        assert len(jobs) == 5000
        turns_spent.append(time.perf_counter() - started)
    gc.enable()


turns_spent: list[float] = []


def turns(rounds: int, one: Callable[[], None], other: Callable[[], None]) -> tuple[float, float]:
    """The medians, in seconds, of two things done in turn."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for action, taken in zip((one, other), times, strict=True):
            turns_spent.clear()
            started = time.perf_counter()
            action()
            taken.append(turns_spent[0] if turns_spent else time.perf_counter() - started)
    return statistics.median(times[0]), statistics.median(times[1])


if __name__ == "__main__":
    sys.exit(main())
