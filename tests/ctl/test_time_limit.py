"""No command of jobmonctl waits for ever: for a server that says nothing, that is stopped, or whose tables are locked."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from check_jobmon.ctl import dispatch
from check_jobmon.demo.server import Server
from tests.database import Database
from tests.parsers import commands

ARGUMENTS = {
    "like": ["e"],
    "detail": ["etl"],
    "history": ["etl"],
    "report": ["-o", "-"],
    "cancel": ["-y", "1"],
    "clear": ["-y", "1 day"],
    "ack": ["-y", "etl"],
    "config services": ["--nagios"],
    "silence": ["etl", "1h", "-m", "why"],
    "unsilence": ["etl"],
    "partition": ["--every", "month"],
}
TIMED = [" ".join(words) for words in commands() if words not in (("run",), ("config", "check"))]
"""All commands that ask a server and have --timeout; `run` has limits of its own."""


@pytest.fixture
def jobs(tmp_path: Path) -> str:
    """A file for jobmonctl config."""
    file = tmp_path / "jobs.yml"
    file.write_text("jobs: {ETL: {warn: 2h, error: 3h}}\n")
    return str(file)


def given(command: str, jobs: str) -> list[str]:
    """The command's words and arguments, with a limit of a second."""
    file = [jobs] if command in ("config apply", "config diff") else []
    return [*command.split(), "--timeout", "1", *file, *ARGUMENTS.get(command, [])]


@pytest.fixture(scope="module")
def silent() -> Iterator[list[str]]:
    """The options for a server that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    taken.append(listener.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield ["-H", "127.0.0.1", "-p", str(listener.getsockname()[1]), "-d", "etl", "-U", "me"]
        for connection in taken:
            connection.close()


@pytest.mark.parametrize("command", TIMED)
def test_a_silent_server_is_given_up(
    silent: list[str], jobs: str, command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert dispatch.main([*given(command, jobs), *silent]) in (1, 2)
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"jobmonctl {command}: the server did not answer within 1s: ")
    assert printed.err.count("\n") == 1


def test_a_locked_table_is_given_up(
    database: Database, session: psycopg.Connection, jobs: str, capfd: pytest.CaptureFixture[str]
) -> None:
    session.execute("SELECT jobmon.fail_job(jobmon.add_job('etl'))")
    with database.connect(autocommit=False) as holder:
        holder.execute("LOCK TABLE jobmon.job_log, jobmon.job_check_config, jobmon.job_check_log")
        for command in TIMED:
            # the first two have limits of their own for locks, and name the holder; the third needs another schema; the fourth
            # lists what is in a table of its own
            if command not in ("bootstrap", "partition", "migrate", "bridge"):
                assert dispatch.main([*given(command, jobs), *database.options]) in (1, 2), command
                printed = capfd.readouterr()
                assert (printed.out, printed.err.count("\n")) == ("", 1), command
                assert "timeout" in printed.err or "locked" in printed.err, command


def test_a_stopped_backend_is_given_up(server: Server, database: Database, capfd: pytest.CaptureFixture[str]) -> None:
    """The postmaster is there, and no backend is started any more."""
    postmaster = int((server.data / "postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGSTOP)
    try:
        assert dispatch.main(["show", "--timeout", "1", *database.options]) == 1
    finally:
        os.kill(postmaster, signal.SIGCONT)
    assert capfd.readouterr().err.startswith("jobmonctl show: the server did not answer within 1s: ")
