"""Everything at once for an hour, with all that goes wrong: `python -m tests.benchmarks.soak --minutes 60`.

Eight SQL clients and 50 of `jobmonctl run` a minute log to a server of its own, while it is checked, cleared, silenced and
bootstrapped; random backends and commands are killed, the server is restarted, by `fast` and by `immediate` in turns, and its
disk is full for a minute (a small tmpfs, which takes root). In the end, what the functions acknowledged has to be in the log,
once; nobody may hold a lock or wait for one, and connections and memory have to be those of the beginning. Prints a line every
few minutes, and then what was found; exit status 1 if anything was lost.
"""

import argparse
import collections
import contextlib
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg

from check_jobmon.demo import server as demo_server
from check_jobmon.demo.server import EmbeddedServerError, Server
from tests.database import Database, bootstrap, value

CTL = [sys.executable, "-m", "check_jobmon.ctl"]
CLIENTS, SHELL_JOBS_A_MINUTE, DISK = 8, 50, "700m"


class Soak:
    """A server at work, and what it has acknowledged."""

    def __init__(self, database: Database, disk: Path | None, folder: Path) -> None:
        self.database, self.disk, self.folder = database, disk, folder
        self.over = threading.Event()
        self.begun: set[int] = set()
        self.ended: dict[int, str] = {}
        self.steps: dict[int, str | None] = {}
        self.shell_jobs: dict[str, subprocess.Popen[bytes]] = {}
        self.killed: set[str] = set()
        self.errors: collections.Counter[str] = collections.Counter()
        self.wrong: list[str] = []
        self.checks: collections.Counter[str] = collections.Counter()
        self.slowest = 0.0

    def sql_client(self, number: int) -> None:
        """Log one run after the other, each fifth in a transaction that is rolled back."""
        while not self.over.is_set():
            try:
                with self.database.connect(user="loader") as session:
                    while not self.over.wait(0.1):
                        self._sql_run(session, number)
            except psycopg.Error as error:
                self.errors[type(error).__name__] += 1
                self.over.wait(0.3)

    def _sql_run(self, session: psycopg.Connection, number: int) -> None:
        rolled_back, fails = random.random() < 0.2, random.random() < 0.05
        if rolled_back:
            session.execute("BEGIN")
        job = value(session, "SELECT jobmon.add_job(%s)", f"sql {number}")
        self.begun.add(job)
        step = value(session, "SELECT jobmon.add_step(%s, 'load')", job)
        self.steps[step] = None
        session.execute("SELECT jobmon.update_step(%s, 'OK', '42 rows')", [step])
        self.steps[step] = "OK"
        session.execute(f"SELECT jobmon.{'fail' if fails else 'close'}_job(%s)".encode(), [job])
        self.ended[job] = "CRITICAL" if fails else "OK"
        if rolled_back:
            session.execute("ROLLBACK")

    def shell_client(self) -> None:
        """Start a command each 1.2 seconds, and look after those that have ended."""
        number = 0
        while not self.over.wait(60 / SHELL_JOBS_A_MINUTE):
            number += 1
            name = f"SHELL {number:06}"
            options = [*self.database.options[:-1], "loader", "--spool", str(self.folder / "spool")]
            command = [*CTL, "run", name, *options, "--", "sh", "-c", "sleep 0.3; echo done"]
            self.shell_jobs[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            self.reap(wait=False)

    def reap(self, wait: bool) -> None:
        """See that the commands that have ended did so as they do without `jobmonctl run`."""
        for name, process in self.shell_jobs.items():
            status = process.wait(120) if wait else process.poll()
            if status and name not in self.killed:
                self.wrong.append(f"{name} ended with {status}")
                self.killed.add(name)

    def command(self, module: str, *arguments: str, may_fail: bool = True) -> str:
        """Run one of our programs. A traceback, or a status that it doesn't have, is wrong whatever happens to the server."""
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False, timeout=300
        )
        self.slowest = max(self.slowest, time.monotonic() - began)
        self.checks[f"{(module + ' ' + arguments[0]).split('.')[-1]} {done.returncode}"] += 1
        if done.returncode and module.endswith("ctl"):
            self.errors[done.stderr.strip()[:150]] += 1
        bug = "Traceback" in done.stderr or "a bug" in done.stderr or done.returncode not in range(4)
        if bug or (done.returncode and not may_fail):
            self.wrong.append(
                f"{module} {' '.join(arguments)}: {done.returncode} {done.stdout[:200]} {done.stderr[-300:]}"
            )
        return done.stdout

    def on_call(self) -> None:
        """Each minute a check by every way, a silence, and now and then a clear and a bootstrap."""
        options = self.database.options
        targets = self.folder / "targets.yml"
        where = ", ".join(f"{key}: {text}" for key, text in self.database.parameters.items())
        targets.write_text(f"hosts:\n  soak: {{{where}}}\n")
        for minute in range(10**6):
            self.command("check_jobmon", "-v", *options)
            self.command("check_jobmon", "--targets", str(targets))
            self.command("check_jobmon.ctl", "status", *options, "--json")
            self.command("check_jobmon.ctl", "silence", "sql 1", "1m", "-m", "soak", *options)
            if minute % 3 == 1:
                self.command("check_jobmon.ctl", "bootstrap", *options)
                with contextlib.suppress(psycopg.Error), self.database.connect() as session:
                    session.execute(
                        "INSERT INTO jobmon.job_log (owner, job_name, start_time, end_time, status, pid)"
                        " SELECT 'x', 'OLD', now() - interval '9 days', now() - interval '9 days', 'OK', 1"
                        " FROM generate_series(1, 1000)"
                    )
                self.command("check_jobmon.ctl", "clear", "2 days", "--yes", *options)
            if self.over.wait(60):
                return

    def killer(self) -> None:
        """Kill a random backend or command every ten seconds."""
        while not self.over.wait(10):
            with contextlib.suppress(psycopg.Error, IndexError):
                if random.random() < 0.3:
                    name = random.choice([name for name, one in list(self.shell_jobs.items()) if one.poll() is None])
                    self.killed.add(name)
                    self.shell_jobs[name].kill()
                else:
                    with self.database.connect() as session:
                        session.execute(
                            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                            " AND backend_type = 'client backend' ORDER BY random() LIMIT 1"
                        )

    def restart(self, mode: str) -> None:
        """Of the server. A restart that doesn't come up is tried again."""
        for _ in range(10):
            with contextlib.suppress(EmbeddedServerError):
                self.database.server.stop(mode)
            with contextlib.suppress(EmbeddedServerError):
                self.database.server.start()
                return
            time.sleep(1)
        self.wrong.append("the server doesn't start any more")

    def fill(self) -> None:
        """The disk is full for a minute. Where WAL can't be written, the server goes down: it is started again."""
        assert self.disk
        filler = self.disk / "filler"
        with contextlib.suppress(OSError), filler.open("wb") as file:
            while True:
                file.write(bytes(2**20))
        self.over.wait(60)
        filler.unlink()
        try:
            with self.database.connect() as session:
                session.execute("SELECT")
        except psycopg.Error:
            self.restart("immediate")


def figures(soak: Soak) -> dict[str, float]:
    """What has to stay flat."""
    with soak.database.connect() as session:
        activity = "FROM pg_stat_activity WHERE backend_type = 'client backend'"
        pids = [row[0] for row in session.execute(f"SELECT pid {activity}".encode())]
        size = value(session, "SELECT pg_database_size(current_database()) / 1048576")
        waiting = value(session, "SELECT count(*) FROM pg_locks WHERE NOT granted")
    memory = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            memory += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_Dirty"))
    return {
        "connections": len(pids),
        "MiB of each": memory / 1024 / len(pids),
        "MiB of the database": size,
        "waiting": waiting,
    }


def verify(soak: Soak) -> None:
    """Compare what was acknowledged with the log."""
    with soak.database.connect() as session:
        runs = {row[0]: row[1] for row in session.execute("SELECT job_id, status FROM jobmon.job_log")}
        steps = {row[0]: row[1] for row in session.execute("SELECT step_id, status FROM jobmon.job_detail")}
        names = "SELECT job_name, count(*) FROM jobmon.job_log WHERE job_name LIKE 'SHELL %' GROUP BY 1"
        shell = {row[0]: row[1] for row in session.execute(names)}
        locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' OR NOT granted"
        left = value(session, locks)
        open_locks = value(session, "SELECT count(*) FROM jobmon.job_lock")
    lost = [job for job in soak.begun if job not in runs]
    changed = [job for job, status in soak.ended.items() if runs.get(job) != status]
    lost_steps = [
        step for step, status in soak.steps.items() if step not in steps or (status and steps[step] != status)
    ]
    missing = [name for name in soak.shell_jobs if name not in shell and name not in soak.killed]
    doubled = [name for name, count in shell.items() if count > 1]
    for what, found in (
        ("runs were lost", lost),
        ("runs lost their end", changed),
        ("steps were lost", lost_steps),
        ("commands are not in the log", missing),
        ("commands are in it twice", doubled),
    ):
        if found:
            soak.wrong.append(f"{len(found)} {what}: {found[:5]}")
    if left or open_locks:
        soak.wrong.append(f"{left} advisory or waiting locks and {open_locks} locks of jobs are left")


@contextlib.contextmanager
def small_disk() -> Iterator[Path | None]:
    """A file system for the server alone, or None where that can't be had."""
    with tempfile.TemporaryDirectory(prefix="soak-", dir="/tmp") as folder:
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=755", "soak", folder]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            yield None
            return
        before, demo_server.FOLDERS = demo_server.FOLDERS, folder
        try:
            yield Path(folder)
        finally:
            demo_server.FOLDERS = before
            subprocess.run(["umount", "-l", folder], check=True)


def run(soak: Soak, minutes: float) -> None:
    """Have all of it happen for so many minutes."""
    works: list[Callable[[], None]] = [soak.shell_client, soak.on_call, soak.killer]
    works += [lambda number=number: soak.sql_client(number) for number in range(CLIENTS)]  # type: ignore[misc]
    threads = [threading.Thread(target=work, daemon=True) for work in works]
    for thread in threads:
        thread.start()
    began, told, restarts, full = time.monotonic(), 0.0, 0, False
    heads = (
        "minute",
        "runs",
        "commands",
        "connections",
        "MiB of each",
        "MiB of the database",
        "waiting",
        "slowest command",
    )
    print("  ".join(heads), flush=True)
    every = max(minutes / 12, 0.5)
    while time.monotonic() - began < minutes * 60:
        time.sleep(1)
        minute = (time.monotonic() - began) / 60
        if soak.disk and not full and minute > minutes / 2:
            full = True
            soak.fill()
        elif minute > (restarts + 1) * minutes / 7:
            soak.restart(("fast", "immediate")[restarts % 2])
            restarts += 1
        if minute > told + every:
            told = minute
            with contextlib.suppress(psycopg.Error):
                row = [round(minute), len(soak.ended), len(soak.shell_jobs), *figures(soak).values(), soak.slowest]
                print(
                    "  ".join(
                        f"{cell:{len(head)}.{0 if cell == int(cell) else 1}f}"
                        for head, cell in zip(heads, row, strict=True)
                    ),
                    flush=True,
                )
            soak.slowest = 0.0
    soak.over.set()
    for thread in threads:
        thread.join(300)
    soak.reap(wait=True)
    print(f"{restarts} restarts, the disk was full: {'for a minute' if full else 'no, that takes root'}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    arguments = parser.parse_args()
    with small_disk() as disk, tempfile.TemporaryDirectory() as folder:
        server = Server()
        try:
            server.create()
            server.start()
            database = Database(server, "postgres")
            with database.connect() as session:
                bootstrap(session, "jobmon")
                session.execute("CREATE ROLE loader LOGIN IN ROLE jobmon_log")
            soak = Soak(database, disk, Path(folder))
            run(soak, arguments.minutes)
            spool = ["--spool", f"{folder}/spool"]
            soak.command(
                "check_jobmon.ctl", "run", "--deliver", *database.options[:-1], "loader", *spool, may_fail=False
            )
            time.sleep(12)  # links that are kept for a while
            verify(soak)
            print(f"in the end: {figures(soak)}")
        finally:
            server.remove()
    print(f"{len(soak.begun)} runs of SQL, {len(soak.shell_jobs)} commands, {len(soak.killed)} of them killed")
    print(f"exit statuses: {dict(sorted(soak.checks.items()))}\nerrors that clients saw:")
    for error, count in soak.errors.most_common():
        print(f"{count:6}  {error}")
    print("\n".join(soak.wrong) or "nothing acknowledged was lost or doubled")
    return 1 if soak.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
