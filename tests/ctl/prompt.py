"""jobmonctl as people run it: in pipes, or as the installed console script on a terminal."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from tests import warm
from tests.database import Database, Output, value

SCRIPT = Path(sys.executable).parent / "jobmonctl"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\r")


def _environment(more: dict[str, str]) -> dict[str, str]:
    left_out = ("NO_COLOR", "COLUMNS", "LINES")
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("PG") and name not in left_out}
    return {**inherited, **more}


def jobmonctl(database: Database, command: str, *arguments: str, **environment: str) -> Output:
    """Run a command, in pipes and with nothing to read."""
    return database.ctl(command, *arguments, **environment)


def refusal(output: Output) -> str:
    """The one line with which a command says that it is not done."""
    assert (output.status, output.stdout, output.stderr.count("\n")) == (1, "", 1), output
    return output.stderr.rstrip("\n")


class Terminal:
    """A command under way on a terminal of its own."""

    def __init__(self, process: "subprocess.Popen[bytes] | warm.OnTerminal", master: int) -> None:
        self.process = process
        self.raw = ""
        self._master = master

    @property
    def text(self) -> str:
        """What it has printed so far, without colour and cursor movements."""
        return ESCAPES.sub("", self.raw)

    def see(self, text: str, start: int = 0) -> None:
        """Wait until it has printed the text, after so many characters."""
        end = time.monotonic() + 30
        while text not in ESCAPES.sub("", self.raw[start:]):
            assert self._read(end), f"no {text!r} in {self.text!r}"

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self._master, text.encode())

    def insist(self, keys: str, text: str) -> None:
        """Press these keys until it has printed the text: a signal that comes just before a read waits for its end."""
        for _ in range(10):
            self.type(keys)
            end = time.monotonic() + 3
            while self._read(end):
                if text in self.text:
                    return
        raise AssertionError(f"no {text!r} in {self.text!r}")

    @property
    def modes(self) -> list[Any]:
        """The terminal's modes, as stty prints them."""
        return termios.tcgetattr(self._master)

    def resize(self, width: int) -> None:
        """Make the terminal narrower or wider."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))

    def end(self) -> int:
        """Wait for its end; its exit status."""
        end = time.monotonic() + 30
        while self._read(end):
            pass
        return self.process.wait(30)

    def _read(self, end: float) -> bool:
        """Take what is there, or wait for more; whether more can come."""
        ready, _, _ = select.select([self._master], [], [], max(0, end - time.monotonic()))
        try:
            data = os.read(self._master, 65536) if ready else b""
        except OSError:
            # Linux's way to say that nobody has the other side open
            data = b""
        self.raw += data.decode("utf-8", "replace")
        return bool(data)


@contextlib.contextmanager
def on_terminal(database: Database, command: str, *arguments: str, **environment: str) -> Iterator[Terminal]:
    """The command on a terminal of its own, of TERMINAL_WIDTH columns (default: 250); killed if the context ends before it."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, int(environment.get("TERMINAL_WIDTH", 250)), 0, 0))

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    words = [command, *database.options, *arguments]
    variables = _environment({"TERM": "xterm-256color", **environment})
    process: subprocess.Popen[bytes] | warm.OnTerminal
    if os.getcwd() == str(warm.ROOT) and warm.same_in_a_fork(sys.executable, words, variables):
        process = warm.OnTerminal(sys.executable, "check_jobmon.ctl", words, variables, slave)
    else:
        process = subprocess.Popen(
            [str(SCRIPT), *words], stdin=slave, stdout=slave, stderr=slave, env=variables, preexec_fn=take_terminal
        )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        os.close(master)


def a_run(session: psycopg.Connection, name: str, *steps: tuple[str, str, str], end: str = "close_job(%s)") -> int:
    """A run with these steps: action, status and message."""
    job = int(value(session, "SELECT jobmon.add_job(%s)", name))
    for action, status, message in steps:
        session.execute(
            "SELECT jobmon.update_step(jobmon.add_step(%s, %s), %s, %s)",
            [job, action, status, message],
        )
    if end:
        session.execute(f"SELECT jobmon.{end}".encode(), [job])
    return job
