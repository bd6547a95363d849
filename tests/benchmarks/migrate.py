"""What migrating a log costs, against COPY of the same table out and into a new schema: `python -m tests.benchmarks.migrate`.

pg_jobmon's own table, with runs of 1,000 jobs and no steps, on a server of its own. COPY writes a file, and reads it into a table
like the new one, which gets the same indexes: before, or afterwards, which is faster.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from check_jobmon.demo.server import Server, wheel_binaries
from tests.database import Database
from tests.judging.test_pg_jobmon import VARIANTS

LIMIT = 1.0
RUNS = """
INSERT INTO jobmon.job_log
SELECT i, 'etl_owner', 'NIGHTLY JOB ' || i %% 1000, s.t, s.t + interval '40 seconds',
       CASE WHEN i %% 100 = 0 THEN 'CRITICAL' ELSE 'OK' END, 1000
  FROM generate_series(1, %(runs)s) AS i, LATERAL (SELECT now() - interval '1 second' * (%(runs)s - i)) AS s(t)
"""
LIKE = """
DROP TABLE IF EXISTS job_log;
CREATE TABLE job_log (LIKE migrated.job_log INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING CONSTRAINTS INCLUDING IDENTITY)
"""
INDEXES = """
SELECT replace(pg_get_indexdef(indexrelid), 'migrated.', 'public.') FROM pg_index WHERE indrelid = 'migrated.job_log'::regclass
"""
COLUMNS = "job_id, owner, job_name, start_time, end_time, status, pid"


def main() -> int:
    """Measure and print; 0 if migrating takes no longer than COPY."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.migrate", description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000_000, help="runs in the log (%(default)s)")
    arguments = parser.parse_args()
    server = Server(wheel_binaries(), {"max_wal_size": "4GB"})
    try:
        server.create()
        server.start()
        database = Database(server, "postgres")
        with database.connect() as session:
            VARIANTS[-1].create(session)
            session.execute(RUNS.encode(), {"runs": arguments.runs})
            session.execute("VACUUM ANALYZE jobmon.job_log")
            session.execute("CHECKPOINT")
            start = time.monotonic()
            command = [sys.executable, "-m", "check_jobmon.ctl", "migrate", *database.options, "--from", "jobmon"]
            subprocess.run([*command, "--schema", "migrated"], check=True, stdout=subprocess.DEVNULL)
            migrating = time.monotonic() - start
            print(f"{arguments.runs:,} runs: jobmonctl migrate takes {migrating:.1f} s", flush=True)
            indexes = [row[0] for row in session.execute(INDEXES.encode()).fetchall()]
            for way, before, after in (("before", indexes, []), ("afterwards", [], indexes)):
                session.execute(LIKE.encode())
                with tempfile.TemporaryDirectory(dir=server.folder) as folder:
                    Path(folder).chmod(0o777)
                    session.execute("CHECKPOINT")
                    start = time.monotonic()
                    for statement in before:
                        session.execute(statement.encode())
                    session.execute(f"COPY jobmon.job_log TO '{folder}/runs'".encode())
                    session.execute(f"COPY job_log ({COLUMNS}) FROM '{folder}/runs'".encode())
                    for statement in after:
                        session.execute(statement.encode())
                    session.execute("ANALYZE job_log")
                    copying = time.monotonic() - start
                print(
                    f"COPY, with the indexes made {way}: {copying:.1f} s; ratio {migrating / copying:.2f} (at most {LIMIT})",
                    flush=True,
                )
        return 0 if migrating / copying <= LIMIT else 1
    finally:
        server.remove()


if __name__ == "__main__":
    sys.exit(main())
