"""A log of a hundred million runs, partitioned by month: `python -m tests.benchmarks.judging --large 100000000`.

Runs of 2,000 names, of which 1,000 are configured, over 24 months and the current one. Each tenth run has two steps, because with
two for each the log would be twice as large: 27 GB instead of 54. It is compared with logs of a million runs, where each has two
steps, with and without such partitions, and with one that is next to empty. What is measured: bytes a run; judging; logging; the
check's plan; and clear of all months but the current one, while somebody logs.
"""

import math
import re
import statistics
import threading
import time

from check_jobmon.demo.server import Server
from check_jobmon.schema.install import bootstrap
from check_jobmon.schema.scripts import job_status
from tests.benchmarks.judging import CONFIGURE, OURS, Target, all_reached, fetch, turns
from tests.benchmarks.judging import prepare as prepare_unpartitioned
from tests.benchmarks.logging import OURS as AS_INSTALLED
from tests.benchmarks.logging import pgbench
from tests.database import Database, pinned, value

SETTINGS = {
    "shared_buffers": "2GB",
    "max_wal_size": "4GB",
    "maintenance_work_mem": "512MB",
    "fsync": "off",
    "synchronous_commit": "off",
    # so that a table which is new in its transaction is filled without WAL
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
}
MONTHS = 24
# from the first month to the current one
BOUNDS = """
SELECT t - make_interval(months => n), t - make_interval(months => n - 1)
  FROM date_trunc('month', now(), 'UTC') AS t, generate_series(%s, 0, -1) AS n
"""
# Rows first, and then the indexes, which ATTACH PARTITION makes, so that each is sorted once.
FILL = """
CREATE TABLE jobmon.job_log_{name} (LIKE jobmon.job_log INCLUDING ALL EXCLUDING INDEXES EXCLUDING IDENTITY);
CREATE TABLE jobmon.job_detail_{name} (LIKE jobmon.job_detail INCLUDING ALL EXCLUDING INDEXES EXCLUDING IDENTITY);
INSERT INTO jobmon.job_log_{name} (job_id, owner, job_name, start_time, end_time, status, pid)
SELECT i, 'me', 'JOB ' || lpad((i % 2000)::text, 5, '0'), t, t + interval '40 seconds', 'OK', 1000 + i % 500
  FROM (SELECT i, '{begin}'::timestamptz + i * {seconds} * interval '1 second' AS t
          FROM generate_series({first}, {last}) AS i) AS run;
INSERT INTO jobmon.job_detail_{name} (job_id, step_id, action, start_time, end_time, elapsed_time, status, message)
SELECT r.job_id, 2 * r.job_id + n, 'load table ' || n, r.start_time, r.end_time, 40, 'OK', 42 * n || ' rows'
  FROM jobmon.job_log_{name} AS r, generate_series(0, 1) AS n
 WHERE r.job_id / 2000 % {with_steps} = 0;
ALTER TABLE jobmon.job_log_{name} ADD PRIMARY KEY (job_id);
ALTER TABLE jobmon.job_detail_{name} ADD PRIMARY KEY (step_id);
ALTER TABLE jobmon.job_log ATTACH PARTITION jobmon.job_log_{name} FOR VALUES FROM ('{lower}') TO ('{upper}');
ALTER TABLE jobmon.job_detail ATTACH PARTITION jobmon.job_detail_{name} FOR VALUES FROM ('{lower}') TO ('{upper}');
ANALYZE jobmon.job_log_{name}, jobmon.job_detail_{name}
"""
BYTES = """
SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class AS c
 WHERE c.relnamespace = 'jobmon'::regnamespace AND c.relname ~ '^job_(log|detail)' AND c.relkind = 'r'
"""
OTHERS = """
INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)
SELECT 'me', 'OTHER', now(), now(), 'OK', 1 FROM generate_series(1, 4000)
"""
WITH_ROWS = "SELECT relname FROM pg_class WHERE relnamespace = 'jobmon'::regnamespace AND reltuples > 0"
MONTH = "SELECT now() - date_trunc('month', now(), 'UTC') - interval '1 second'"


def main(runs: int, rounds: int) -> bool:
    """Make the logs, measure and print; whether every target is reached."""
    server = Server(settings=SETTINGS)
    try:
        server.create()
        server.start()
        unpartitioned = prepare_unpartitioned(server, 1_000_000)
        empty, small = prepare(server, "empty", 2000, 1), prepare(server, "small", 1_000_000, 1)
        return measure(unpartitioned, empty, small, prepare(server, "large", runs, 10), rounds)
    finally:
        server.remove()


def measure(unpartitioned: Database, empty: Database, small: Database, large: Database, rounds: int) -> bool:
    """Measure and print; whether every target is reached."""
    found = [*_sizes(small, large), *_judging(unpartitioned, small, large, rounds)]
    found += [*_logging(unpartitioned, empty, large, rounds), *_plan(large), *_clear(large)]
    return all_reached(found)


def _sizes(small: Database, large: Database) -> list[Target]:
    sizes = []
    for database in (small, large):
        with database.connect() as session:
            size, runs = value(session, BYTES), value(session, "SELECT max(job_id) FROM jobmon.job_log")
        sizes.append(size / runs)
        print(f"{database.name}: {runs:,} runs, {size / 1e9:.1f} GB")
    return [
        ("bytes a run, two steps each", sizes[0], 630, False),
        ("bytes a run, a tenth with two steps", sizes[1], 400, False),
    ]


def _judging(unpartitioned: Database, small: Database, large: Database, rounds: int) -> list[Target]:
    """Where each job is among the last to have run, and where others have run since, so that each is probed for."""
    found: list[Target] = []
    with unpartitioned.connect() as first, small.connect() as second, large.connect() as third:
        for which in ("", ", each probed for"):
            for session in (first, second, third):
                session.execute("SET jit = off")
                if which:
                    session.execute(OTHERS)
            for what, one, other in (
                ("partitioned/unpartitioned, a million each", first, second),
                ("large/a million, partitioned", second, third),
                ("large/a million, unpartitioned", first, third),
            ):
                before, after = turns(rounds, lambda: fetch(one, OURS), lambda: fetch(other, OURS))  # noqa: B023
                print(f"judging, {what}{which}: {before * 1000:.1f} and {after * 1000:.1f} ms")
                found.append((f"judging, {what}{which}", after / before, 1.5, False))
    return found


def _logging(unpartitioned: Database, empty: Database, large: Database, rounds: int) -> list[Target]:
    first, second, third = (
        statistics.median(rates)
        for rates in zip(
            *([pgbench(log, AS_INSTALLED, 1, 2) for log in (unpartitioned, empty, large)] for _ in range(rounds)),
            strict=True,
        )
    )
    print(f"logging: {first:.0f} runs/s unpartitioned, {second:.0f} partitioned and empty, {third:.0f} large")
    return [
        ("logging, partitioned/unpartitioned", second / first, 0.9, True),
        ("logging, large/empty", third / second, 0.9, True),
    ]


def _plan(large: Database) -> list[Target]:
    """How often the check's plan reads a partition that has rows as a whole."""
    with large.connect() as session:
        filled = {name for (name,) in session.execute(WITH_ROWS).fetchall()}
        lines = [line for (line,) in session.execute(b"EXPLAIN " + job_status("jobmon").encode()).fetchall()]
    read = [
        name for line in lines for name in re.findall(r"Seq Scan on (job_(?:log|detail)_\w+)", line) if name in filled
    ]
    print(f"the check's plan has {sum('Index' in line and 'Scan' in line for line in lines)} scans of indexes")
    return [("partitions with rows that the check reads as a whole", len(read), 0, False)]


def _clear(large: Database) -> list[Target]:
    """How long clear takes to drop all months but the current one, and the longest call of somebody who logs meanwhile."""
    over = threading.Event()
    longest = [0.0]

    def log() -> None:
        with large.connect() as session:
            while not over.is_set():
                for statement in (b"SELECT jobmon.add_job('meanwhile') AS job", b"SELECT jobmon.close_job(lastval())"):
                    started = time.perf_counter()
                    session.execute(statement)
                    longest[0] = max(longest[0], time.perf_counter() - started)

    logger = threading.Thread(target=log)
    with large.connect() as session:
        runs = value(session, "SELECT max(job_id) FROM jobmon.job_log")
        logger.start()
        time.sleep(1)
        usual, longest[0] = longest[0], 0.0
        started = time.perf_counter()
        session.execute("SELECT jobmon.job_log_clear(%s)", [value(session, MONTH)])
        taken = time.perf_counter() - started
        over.set()
        logger.join()
        left = value(session, "SELECT count(*) FROM jobmon.job_log")
    print(
        f"clear: {runs - left:,} runs in {taken:.2f} s; the longest call meanwhile {longest[0]:.2f} s, before {usual:.2f} s"
    )
    return [("clear, seconds that a logger waited at most", longest[0], 1, False)]


def prepare(server: Server, name: str, runs: int, with_steps: int) -> Database:
    """A database with a log of that many runs, of which one in `with_steps` has two steps."""
    with Database(server, "postgres").connect() as session:
        session.execute(f"CREATE DATABASE {name}".encode())
    database = Database(server, name)
    started = time.perf_counter()
    with database.connect(options="-c timezone=UTC -c datestyle=ISO") as session:
        with pinned(session) as ours:
            bootstrap(ours, "jobmon", partition="month")
        current = value(session, "SELECT runs || ', ' || steps FROM jobmon.partitions() WHERE begins <= now()")
        session.execute(f"DROP TABLE {current}".encode())
        months = session.execute(BOUNDS, [MONTHS]).fetchall()
        begin = months[0][0]
        seconds = (value(session, "SELECT now() - interval '1 minute'") - begin).total_seconds() / runs
        first = 1
        for lower, upper in months:
            last = min(math.ceil((upper - begin).total_seconds() / seconds) - 1, runs)
            month = {"name": f"{lower:%Y%m%d}", "lower": lower, "upper": upper, "first": first, "last": last}
            session.execute(FILL.format(**month, begin=begin, seconds=seconds, with_steps=with_steps).encode())
            first = last + 1
        session.execute("SELECT setval('jobmon.job_log_job_id_seq', %s)", [runs])
        session.execute("SELECT setval('jobmon.job_detail_step_id_seq', %s)", [2 * runs + 1])
        session.execute(CONFIGURE, [0, 999])
        # what is judged and logged to; to vacuum the rest takes long, and changes nothing here
        session.execute(f"VACUUM ANALYZE jobmon.job_log_{lower:%Y%m%d}, jobmon.job_detail_{lower:%Y%m%d}".encode())
        session.execute("ANALYZE")
    print(f"{runs:,} runs were made in {time.perf_counter() - started:.0f} s", flush=True)
    return database
