"""Virtual environments with the plugin installed as users have it, and a server to check, for the benchmarks of processes."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from check_jobmon.demo.server import Server
from tests.database import Database, bootstrap

SOURCES = Path(__file__).parent.parent.parent
PYTHON = "/usr/bin/python3"
USER = "nagios"
PASSWORD = "a password"
JOBS = """
INSERT INTO jobmon.job_check_config (job_name, warn_threshold, error_threshold, active)
SELECT 'NIGHTLY JOB ' || lpad(i::text, 5, '0'), '2 days', '7 days', true FROM generate_series(1, %(jobs)s) AS i
"""
RUNS = """
INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)
SELECT 'me', 'NIGHTLY JOB ' || lpad(i::text, 5, '0'), t, t + interval '40 seconds', 'OK', 1000
  FROM generate_series(1, %(jobs)s) AS i, generate_series(now() - interval '3 days', now(), '1 hour') AS t
 WHERE i <= 100 OR t > now() - interval '3 hours'
"""


@dataclass(frozen=True)
class Spent:
    """What a command took, with all processes that it started and waited for: seconds of CPU and of the clock."""

    cpu: float
    wall: float


def python() -> str:
    """Debian's Python if there is one, as the rivals are Debian's; else that of this process's environment."""
    return PYTHON if Path(PYTHON).exists() else "python3"


@contextlib.contextmanager
def environments(interpreter: str, variants: Mapping[str, Sequence[str]]) -> Iterator[dict[str, Path]]:
    """A virtual environment for each variant, by what pip is told to install beside the plugin's own wheel.

    Not editable, with bytecode, as pip leaves it. A variant that can't be installed is left out, and said so.
    """
    with tempfile.TemporaryDirectory(prefix="jobmon-benchmark-") as folder:
        sources, wheels = Path(folder) / "sources", Path(folder) / "wheels"
        shutil.copytree(SOURCES, sources, ignore=shutil.ignore_patterns(".*", "build", "*.egg-info"))
        _run(interpreter, "-m", "venv", f"{folder}/build")
        _run(f"{folder}/build/bin/pip", "wheel", "-q", "--no-deps", "-w", str(wheels), str(sources))
        (wheel,) = wheels.iterdir()
        made = {}
        for variant, packages in variants.items():
            home = Path(folder) / variant
            try:
                if packages:
                    _run(interpreter, "-m", "venv", str(home))
                    _run(f"{home}/bin/pip", "install", "-q", str(wheel), *packages)
                else:
                    _run(interpreter, "-m", "venv", "--system-site-packages", str(home))
                    _run(f"{home}/bin/pip", "install", "-q", "--no-deps", str(wheel))
                    _run(f"{home}/bin/python", "-c", "import nagiosplugin, psycopg, yaml")
            except subprocess.CalledProcessError as error:
                print(f"left out: {variant}: {error.stderr.decode(errors='replace').strip().splitlines()[-1:]}")
            else:
                made[variant] = home / "bin"
        yield made


def _run(*command: str) -> None:
    subprocess.run(command, capture_output=True, check=True)


@contextlib.contextmanager
def checked_database(jobs: int) -> Iterator[tuple[Server, dict[str, str]]]:
    """A database with so many jobs, all well, on a server that asks for a password: the server, and the environment to run
    everybody with."""
    server = Server(settings={"shared_buffers": "256MB", "fsync": "off", "max_wal_size": "4GB"}, tcp=True)
    try:
        server.create()
        server.start()
        with superuser(server) as session:
            bootstrap(session, "jobmon")
            session.execute(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}' IN ROLE jobmon_monitor".encode())
            session.execute(JOBS, {"jobs": jobs})
            session.execute(RUNS, {"jobs": jobs})
            session.execute("VACUUM ANALYZE")
        with tempfile.NamedTemporaryFile("w", prefix="jobmon-pgpass-") as pgpass:
            pgpass.write(f"*:*:*:*:{PASSWORD}\n")
            pgpass.flush()
            hidden = ("PG", "PYTHON", "VIRTUAL_ENV", "CHECK_JOBMON")
            inherited = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
            yield server, {**inherited, "PGPASSFILE": pgpass.name, "HOME": str(server.folder)}
    finally:
        server.remove()


def superuser(server: Server) -> psycopg.Connection:
    """A session in that database."""
    return Database(server, "postgres").connect()


def run(command: Sequence[str], environment: Mapping[str, str]) -> tuple[Spent, int, str]:
    """Run a command: what it took, its exit status, and what it said."""
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read().decode(errors="replace")
    return Spent(usage.ru_utime + usage.ru_stime, wall), process.returncode, said
