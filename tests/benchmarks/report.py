"""How long jobmonctl report takes, and how large its page is: `python -m tests.benchmarks.report`.

500 configured jobs with 100,000 runs in the last 30 days, of which one in twenty has failed, two steps each; alone, then with
2.9 million older runs in the log. The command is run as people do, over and over; the medians are printed.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from check_jobmon.demo.server import Server
from tests.database import Database, bootstrap

SECONDS, BYTES = 5, 2_000_000
"""The targets."""
FILL = """
INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid, next_due)
SELECT 'me', 'JOB ' || lpad((i %% 500)::text, 3, '0'), t, t + (60 + i %% 997) * interval '1 second',
       CASE WHEN (i + i / 500) %% 20 = 0 THEN 'CRITICAL' ELSE 'OK' END, 1000 + i %% 500,
       date_trunc('hour', t) + interval '4 hours'
  FROM (SELECT i, now() - %(oldest)s::interval + (%(oldest)s::interval - %(newest)s::interval) * random()
                      - interval '20 minutes' AS t
          FROM generate_series(1, %(rows)s) AS i) AS run
"""
STEPS = """
INSERT INTO jobmon.job_detail (job_id, action, start_time, end_time, elapsed_time, status, message)
SELECT l.job_id, 'load the facts of shop ' || n, l.start_time, l.end_time, 30, l.status, 'duplicate key value violates constraint'
  FROM jobmon.job_log AS l, generate_series(1, 2) AS n
"""
CONFIGURE = """
INSERT INTO jobmon.job_check_config (job_name, warn_threshold, error_threshold, active, schedule, slow_factor, warn_duration)
SELECT 'JOB ' || lpad(i::text, 3, '0'), '6 hours', '1 day', true, format('%s */4 * * *', i % 60), 3, '1 hour'
  FROM generate_series(0, 499) AS i
"""


def main() -> int:
    """Measure and print; 0 if every target is reached."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.report", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds, of which the median counts (%(default)s)")
    parser.add_argument("--older", type=int, default=2_900_000, help="older runs (%(default)s)")
    arguments = parser.parse_args()
    with _log() as database:
        reached = _measure(database, "100,000 runs in 30 days", arguments.rounds)
        _fill(database, arguments.older, "900 days", "30 days")
        reached &= _measure(database, f"with {arguments.older:,} older runs", arguments.rounds)
    return 0 if reached else 1


@contextmanager
def _log() -> Iterator[Database]:
    server = Server(settings={"shared_buffers": "512MB", "max_wal_size": "4GB", "fsync": "off"})
    try:
        server.create()
        server.start()
        database = Database(server, "postgres")
        with database.connect() as session:
            bootstrap(session, "jobmon")
            session.execute(CONFIGURE.encode())
        _fill(database, 100_000, "30 days", "0 days")
        with database.connect() as session:
            session.execute(STEPS.encode())
        yield database
    finally:
        server.remove()


def _fill(database: Database, rows: int, oldest: str, newest: str) -> None:
    with database.connect() as session:
        # without triggers, which would work out each next_due by themselves
        session.execute("SET session_replication_role = replica")
        session.execute(FILL.encode(), {"rows": rows, "oldest": oldest, "newest": newest})
        session.execute("ANALYZE")


def _measure(database: Database, what: str, rounds: int) -> bool:
    """Print the figures; whether both are below the targets. CPU is that of the command and of its backend."""
    took, cpu = [], []
    command = [sys.executable, "-m", "check_jobmon.ctl", "report", *database.options]
    with TemporaryDirectory() as folder:
        file = Path(folder, "jobs.html")
        for _ in range(rounds):
            started, spent = time.monotonic(), _cpu(database)
            subprocess.run([*command, "--since", "30d", "-o", str(file)], check=True)
            took.append(time.monotonic() - started)
            time.sleep(0.5)  # the server notices that the session has ended
            cpu.append(_cpu(database) - spent)
        size = file.stat().st_size
    seconds = f"{statistics.median(took):.2f} s ({min(took):.2f} to {max(took):.2f})"
    print(f"{what}: {seconds}, CPU {statistics.median(cpu):.2f} s, {size:,} bytes", flush=True)
    return statistics.median(took) < SECONDS and size < BYTES


def _cpu(database: Database) -> float:
    """The CPU seconds of all programs that this process has run, and of all processes of the server that have ended."""
    postmaster = (database.server.data / "postmaster.pid").read_text().split()[0]
    fields = Path("/proc", postmaster, "stat").read_text().rpartition(")")[2].split()
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime + (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
