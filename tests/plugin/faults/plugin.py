"""Runs the plugin where something is wrong, and holds what is true of every fault."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from tests import warm
from tests.database import Database, Output, run_module, until, value

TIMEOUT = 4
"""The plugin's -t, in seconds: short, but enough to load its libraries on a busy machine."""
MARGIN = 10
"""Seconds that a busy machine may take beyond the deadline. That it is kept, the plugin's own words say."""
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'check_jobmon'"
WAITING = SESSIONS + " AND wait_event_type = 'Lock'"


def alert(*arguments: str, timeout: float = TIMEOUT, **environment: str) -> Output:
    """Run the plugin, which must not say OK, nor anything on stderr or that only a programmer understands."""
    output = at_once(*arguments, timeout=timeout, **environment)
    assert output.status in (1, 2, 3)
    return output


def at_once(*arguments: str, timeout: float = TIMEOUT, **environment: str) -> Output:
    """Run the plugin, whatever it says, as long as it ends in time."""
    started = time.monotonic()
    output = run_module("check_jobmon", *arguments, "-t", f"{timeout:g}", **environment)
    assert time.monotonic() - started < timeout + MARGIN
    assert "Traceback" not in output.stdout
    assert "a bug" not in output.stdout
    assert output.stderr == ""
    return output


def one_line(status: int, text: str) -> Output:
    """The whole output of a check that could not be done."""
    return Output(status, f"JOBMON {('OK', 'WARNING', 'CRITICAL', 'UNKNOWN')[status]} - {text}\n", "")


def gone(session: psycopg.Connection) -> None:
    """The server does nothing for the plugin any more, within its deadline and some time to notice."""
    until(lambda: value(session, SESSIONS) == 0, TIMEOUT + MARGIN)


@contextlib.contextmanager
def locked(database: Database, table: str) -> Iterator[psycopg.Connection]:
    """An ACCESS EXCLUSIVE lock on a table of the schema, in a session of its own."""
    with database.connect(application_name="reorganizer") as holder, holder.transaction():
        holder.execute(f"LOCK TABLE jobmon.{table}".encode())
        yield holder


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that is there but does nothing (SIGSTOP)."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


class Running:
    """The plugin in a process group of its own, for what happens to it meanwhile."""

    def __init__(self, *arguments: str, timeout: float = TIMEOUT, **environment: str) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "check_jobmon", *arguments, "-t", f"{timeout:g}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**inherited, **environment},
            cwd=Path(__file__).parents[3],
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The process that the scheduler knows."""
        return self.process.pid

    @property
    def children(self) -> list[int]:
        """The processes that it has started."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def output(self) -> Output:
        """What it left behind, when it has ended."""
        stdout, stderr = self.process.communicate(timeout=60)
        return Output(self.process.returncode, stdout, stderr)

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.communicate()


def measured(module: str, *arguments: str, seconds: float = 60, **environment: str) -> tuple[Output, int]:
    """`python -m module arguments` within these seconds, and the most memory that it or a process of its had: KiB."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    python = os.environ.get("JOBMON_TEST_PYTHON", sys.executable) if module == "check_jobmon" else sys.executable
    with tempfile.NamedTemporaryFile() as peak:
        command = [peak.name, module, *arguments]
        ended = warm.run(python, "tests.plugin.faults.measured", command, {**inherited, **environment}, seconds)
        status, stdout, stderr = ended
        return Output(status, stdout.decode(), stderr.decode()), int(Path(peak.name).read_text())


def bounded(*arguments: str, timeout: float = 6, **environment: str) -> Output:
    """As `at_once`, of a plugin that stays below 200 MiB."""
    words = (*arguments, "-t", f"{timeout:g}")
    output, peak = measured("check_jobmon", *words, seconds=timeout + MARGIN, **environment)
    assert peak < 200 * 2**10
    assert output.stderr == ""
    assert "Traceback" not in output.stdout
    assert "a bug" not in output.stdout
    return output
