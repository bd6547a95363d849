"""What checking many databases costs the monitoring server: `python -m tests.benchmarks.targets`.

200 databases on one server, each with six jobs, over TCP with a password. Ours is one run of check_jobmon --targets; its
rival check_pgsql of the Monitoring Plugins, in C, run once for each database with a query of check_job_status(); for
scale, check_jobmon run once for each of 20. All take turns; of each, processor time (user and system, of the process and its
children) for each target, elapsed time, and the largest resident size of a process. Then 1,000 targets in one run.

What was tried and did not pay: a thread with a blocking connection for each target in place of asyncio. It would save the
second session class, costs as much CPU, and is worse where something is wrong:

- 1,000 silent servers within the child's 160 MiB (RLIMIT_DATA): asyncio uses 60 MiB. With stacks of 256 KiB the threads
  run out of memory, and Python then hangs in Thread.start(); with 96 KiB 86 of them can't be started; 64 KiB suffice
  (141 MiB), but the name service and TLS libraries may need more than that.
- A silent resolver with psycopg[binary] 3.1.7: its connect() looks the name up while it holds Python's lock, so one such
  target stops all threads (no other had run after 15 s). Its pure Python and 3.3 release the lock.
- Memory can't be attributed to a target, so that a server which sends without end costs the other targets their results.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg

from check_jobmon.demo.server import Server
from tests.database import Database, bootstrap

CHECK_PGSQL = "/usr/lib/nagios/plugins/check_pgsql"
QUERY = "SELECT alert_code FROM jobmon.check_job_status()"
JOBS = 6
CPU_TO_REACH = 1.0
"""Ours in check_pgsql's."""
MEMORY_TO_REACH = 80
"""MiB."""
MANY = 1000
ONE_BY_ONE = 20
LAUNCHER = """
import json, os, sys, time
commands = json.load(sys.stdin)
null = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1)]
cpu = largest = worst = 0
started = time.monotonic()
for command in commands:
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=null)
    _, status, usage = os.wait4(pid, 0)
    cpu += usage.ru_utime + usage.ru_stime
    largest = max(largest, usage.ru_maxrss)
    worst = max(worst, os.waitstatus_to_exitcode(status), key=abs)
print(json.dumps([cpu, time.monotonic() - started, largest / 1024, worst]))
"""
"""Runs the commands one after the other. A small process: what runs starts as a copy of it, and that size counts."""


@dataclass(frozen=True)
class Cost:
    """Seconds of processor time, of elapsed time, and MiB."""

    cpu: float
    wall: float
    memory: float


def main() -> int:
    """Measure and print; 0 if every target is reached."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.targets", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds, of which the median counts (%(default)s)")
    parser.add_argument("--databases", type=int, default=200, help="how many (%(default)s)")
    arguments = parser.parse_args()
    if not os.access(CHECK_PGSQL, os.X_OK):
        parser.exit(1, f"no {CHECK_PGSQL}: apt-get install monitoring-plugins-standard\n")
    server = Server(settings={"shared_buffers": "256MB", "fsync": "off"}, tcp=True)
    try:
        server.create()
        server.start()
        with tempfile.TemporaryDirectory() as folder:
            return 0 if measure(server, Path(folder), arguments.databases, arguments.rounds) else 1
    finally:
        server.remove()


def measure(server: Server, folder: Path, number: int, rounds: int) -> bool:
    """All of it; whether every target is reached."""
    databases = prepare(server, number, _log_once)
    with databases[0].connect() as session:
        version = session.info.parameter_status("server_version")
    passwords = folder / "pgpass"
    passwords.write_text("127.0.0.1:*:*:monitor:secret\n")
    passwords.chmod(0o600)
    run = launcher({"PATH": os.defpath, "HOME": str(folder), "PGPASSFILE": str(passwords), "LANG": "C.UTF-8"})

    place = ["-H", "127.0.0.1", "-p", str(server.port), "-U", "monitor"]
    plugin = [sys.executable, "-m", "check_jobmon", "-t", "120"]
    rival = [CHECK_PGSQL, "-H", "127.0.0.1", "-P", str(server.port), "-l", "monitor", "-t", "120", "-q", QUERY]
    ways = {
        "check_jobmon --targets": [[*plugin, "--targets", targets(folder / "all.yml", databases, number)]],
        f"{number} x check_pgsql": [[*rival, "-d", database.name] for database in databases],
        f"{ONE_BY_ONE} x check_jobmon": [[*plugin, *place, "-d", db.name] for db in databases[:ONE_BY_ONE]],
    }
    found: dict[str, list[Cost]] = {way: [] for way in ways}
    for commands in ways.values():
        run(commands[:3])  # to have all in memory
    for _ in range(rounds):
        for way, commands in ways.items():
            found[way].append(run(commands))
    many = [[*plugin, "--targets", targets(folder / "many.yml", databases, MANY)]]
    costs = {way: median(costs) for way, costs in found.items()}
    costs[f"--targets, {MANY:,} targets"] = most = median([run(many) for _ in range(rounds)])

    print(f"{number} databases with {JOBS} jobs each, PostgreSQL {version}, {os.cpu_count()} cores; median of {rounds}")
    runs = dict(zip(costs, (number, number, ONE_BY_ONE, MANY), strict=True))
    print(f"{'':28}{'CPU ms/target':>15}{'elapsed s':>12}{'peak MiB':>11}")
    for way, cost in costs.items():
        print(f"{way:28}{cost.cpu * 1000 / runs[way]:>15.2f}{cost.wall:>12.1f}{cost.memory:>11.1f}")
    ours, theirs, _ = (costs[way] for way in ways)
    ratio = ours.cpu / theirs.cpu
    return all(
        [
            reached(f"CPU in check_pgsql's: {ratio:.2f}", ratio, CPU_TO_REACH),
            reached(f"memory for {MANY:,} targets: {most.memory:.1f} MiB", most.memory, MEMORY_TO_REACH),
        ]
    )


def _log_once(session: psycopg.Connection) -> None:
    """Configured jobs, each of which has run."""
    for job in range(JOBS):
        session.execute(
            "INSERT INTO jobmon.job_check_config VALUES (%s, '1 day', '2 days', true, 0)", [f"NIGHTLY LOAD {job}"]
        )
        session.execute("SELECT jobmon.close_job(jobmon.add_job(%s))", [f"nightly load {job}"])


def prepare(server: Server, number: int, fill: Callable[[psycopg.Connection], None]) -> list[Database]:
    """Databases of the server, all alike, with what `fill` writes, and the role that checks them."""
    first = Database(server, "jobs")
    with Database(server, "postgres").connect() as session:
        session.execute("CREATE DATABASE jobs")
    with first.connect() as session:
        bootstrap(session, "jobmon")
        session.execute("CREATE ROLE monitor LOGIN PASSWORD 'secret' IN ROLE jobmon_monitor")
        fill(session)
        session.execute("VACUUM ANALYZE")
    databases = [Database(server, f"jobs{i}") for i in range(number)]
    with Database(server, "postgres").connect() as session:
        for database in databases:
            session.execute(f"CREATE DATABASE {database.name} TEMPLATE jobs STRATEGY file_copy".encode())
        session.execute("CHECKPOINT")
    return databases


def targets(path: Path, databases: list[Database], number: int) -> str:
    """The path of a file of so many targets, in turn each of the databases."""
    lines = ["hosts:"]
    for i in range(number):
        database = databases[i % len(databases)]
        lines.append(
            f"  db{i}: {{host: 127.0.0.1, port: {database.server.port}, dbname: {database.name}, user: monitor}}"
        )
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def launcher(environment: dict[str, str]) -> Callable[[list[list[str]]], Cost]:
    """What runs commands, which have to succeed, and tells their cost."""

    def run(commands: list[list[str]]) -> Cost:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", LAUNCHER],
            input=json.dumps(commands),
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            check=True,
        )
        cpu, wall, memory, worst = json.loads(done.stdout)
        if worst:
            raise SystemExit(f"{commands[0][:3]} gave {worst}")
        return Cost(cpu, wall, memory)

    return run


def median(costs: list[Cost]) -> Cost:
    """The median of each."""
    return Cost(*(statistics.median(getattr(c, name) for c in costs) for name in ("cpu", "wall", "memory")))


def reached(what: str, value: float, bound: float) -> bool:
    """Print whether the value is below its bound."""
    print(f"{what}, to reach: below {bound:g}: {'reached' if value < bound else 'NOT REACHED'}")
    return value < bound


if __name__ == "__main__":
    sys.exit(main())
