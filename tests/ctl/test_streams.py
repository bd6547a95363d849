"""jobmonctl with closed and full streams: the work's own exit status, and one line where there is somewhere to write it."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from check_jobmon.demo.server import Server
from tests import warm
from tests.ctl.test_run import JOBMONCTL
from tests.database import Database, new_database
from tests.parsers import commands

CLOSE = ("<&-", ">&-", "2>&-")
STDOUT = (1,)
CLOSED = [(0,), STDOUT, (2,), (0, 1), (0, 1, 2)]
WITH_ALL = ("status",)
"""The commands that a shell starts with each of them: a fork takes a fifth of the CPU, but closes the streams by itself.

`run` is in test_as_without.py, with what its command sees of them.
"""
CHANGING = ("migrate", "partition", "uninstall", "bridge", "clear")
"""Those that leave another database than they have found."""
ARGUMENTS = {
    "like": ["e"],
    "detail": ["etl"],
    "history": ["etl"],
    "report": ["-o", "-"],
    "cancel": ["-y", "1"],
    "clear": ["-y", "1 day"],
    "ack": ["-y", "etl"],
    "config services": ["--nagios"],
    "config apply": ["-"],
    "config diff": ["-"],
    "config check": ["-"],
    "run": ["etl", "--", "true"],
}


def _shell(redirection: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", f'"$@" {redirection}', "sh", JOBMONCTL, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def _fork(closed: tuple[int, ...], *arguments: str, module: str = "check_jobmon.ctl") -> tuple[int, str]:
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PG")}
    status, _, stderr = warm.run(sys.executable, module, arguments, environment, 60, closed)
    return status, stderr.decode()


def _cold(closed: tuple[int, ...], *arguments: str) -> tuple[int, str]:
    return _fork(closed, *arguments, module="tests.ctl.cold")


def _process(closed: tuple[int, ...], *arguments: str) -> tuple[int, str]:
    done = _shell(" ".join(CLOSE[number] for number in closed), *arguments)
    return done.returncode, done.stderr


COMMANDS = [" ".join(words) for words in commands() if words not in (("demo",), ("bootstrap",))]


@pytest.fixture(scope="module")
def shared(server: Server, template: str) -> Iterator[Database]:
    """A database for all commands that leave it as it is, or as good."""
    with new_database(server, template) as database:
        yield database


@pytest.mark.parametrize("command", COMMANDS)
def test_closed_streams_change_no_exit_status(request: pytest.FixtureRequest, command: str) -> None:
    """Each with a closed stdout, and with all its modules still to be loaded, with other streams in turn; one with all.

    Whatever a command prints, and however it ends, goes through code that all of them share.
    """
    database: Database = request.getfixturevalue("database" if command in CHANGING else "shared")
    at = [] if command == "config check" else database.options
    given = [*command.split(), *at, *ARGUMENTS.get(command, [])]
    # a file that is read from a stdin which is closed is another matter
    those = [closed for closed in CLOSED if "-" not in given or 0 not in closed]
    others = [closed for closed in those if closed != STDOUT]
    in_turn = others[COMMANDS.index(command) % len(others)]
    open_status, _ = _fork((), *given)
    processes = [(_process, closed) for closed in those] if command in WITH_ALL else []
    for start, closed in [(_fork, STDOUT), (_cold, in_turn), *processes]:
        status, stderr = start(closed, *given)
        assert (status, "bug" in stderr) == (open_status, False), (closed, stderr)


def test_a_file_from_a_stdin_that_is_closed_is_told(database: Database) -> None:
    done = _shell("<&-", "config", "diff", *database.options, "-")
    assert "standard input is closed" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["show", "--help"]])
def test_a_full_stdout_is_no_success(arguments: list[str]) -> None:
    done = _shell(">/dev/full", *arguments)
    assert (done.returncode, done.stderr) == (1, "jobmonctl: No space left on device\n")


@pytest.mark.parametrize("stderr", ["2>/dev/full", "2>&-"])
def test_a_stderr_that_takes_nothing_changes_no_exit_status(stderr: str) -> None:
    assert _shell(stderr, "--nonsense").returncode == 2
    assert _shell(stderr, "show", "-H", "127.0.0.1", "-p", "1").returncode == 1
    assert _shell(f">/dev/full {stderr}", "--help").returncode == 1
