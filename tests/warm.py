"""Runs the package's programs in forks of a Python that has loaded the libraries and the package: most of what a short run takes.

The plugin's own modules are loaded by each fork, because they set hooks for imports. Tests of what is imported, of signals and of
memory start programs by themselves. That each command has all modules that it needs, test_streams.py shows, by ctl/cold.py.
"""

import atexit
import contextlib
import fcntl
import functools
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
LIBRARIES = (
    *("argparse", "asyncio", "difflib", "importlib.metadata", "logging", "traceback", "uuid"),
    *("nagiosplugin", "psycopg", "psycopg.conninfo", "yaml", "rich.console", "rich.table", "rich.text"),
)
PADDING = "JOBMON_PADDING"
"""A variable that the parent is started with, so that the kernel has room for any fork's environment."""
HARMLESS = ("PG", "TZ", "XDG_", "CHECK_JOBMON_", "JOBMON_", "PYTEST_", "HOME", "COLUMNS", "LINES", "NO_COLOR", "TERM")
"""How the variables begin that neither Python nor the libraries look at while they are loaded."""


def same_in_a_fork(python: str, arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether the program can't tell a fork from a process of its own. `jobmonctl run` reads /proc/self/environ."""
    return (list(arguments[:1]) != ["run"] or all(_place_of_environment())) and (
        _while_loading(environment) == _while_loading(_parent(python)[1])
    )


def run(
    python: str,
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    seconds: float,
    closed: Sequence[int] = (),
) -> tuple[int, bytes, bytes]:
    """`python -m module arguments`, nothing on stdin: the exit status, as subprocess has it, stdout and stderr.

    `closed`: the streams, 0 to 2, that are closed when it starts.
    """
    stdout, stderr = os.pipe(), os.pipe()
    with _start(python, module, arguments, environment, (stdout[1], stderr[1]), closed) as ours:
        os.close(stdout[1])
        os.close(stderr[1])
        said = {stdout[0]: b"", stderr[0]: b"", ours.fileno(): b""}
        poll, end = select.poll(), time.monotonic() + seconds
        for file in said:
            poll.register(file, select.POLLIN)
        still_open = len(said)
        while still_open:
            for file, _ in poll.poll(max(0, end - time.monotonic()) * 1000):
                data = os.read(file, 65536)
                said[file] += data
                if not data:
                    poll.unregister(file)
                    still_open -= 1
            if still_open and time.monotonic() > end:
                with contextlib.suppress(ProcessLookupError, ValueError):
                    os.kill(int(said[ours.fileno()].split()[0]), signal.SIGKILL)
                raise subprocess.TimeoutExpired([module, *arguments], seconds)
        _, status = said[ours.fileno()].split()
    os.close(stdout[0])
    os.close(stderr[0])
    return int(status), said[stdout[0]], said[stderr[0]]


class OnTerminal:
    """The same, under way on a terminal of its own, whose file is given: what subprocess.Popen has of a process."""

    def __init__(
        self, python: str, module: str, arguments: Sequence[str], environment: Mapping[str, str], terminal: int
    ) -> None:
        self._told = _start(python, module, arguments, environment, (terminal, terminal), on_terminal=True)
        self._pid = self._status = b""
        while not self._pid.endswith(b" "):
            self._pid += self._told.recv(1)

    def wait(self, seconds: float) -> int:
        """Its exit status, once it has ended."""
        if not self._status:
            ended, _, _ = select.select([self._told], [], [], seconds)
            if not ended:
                raise subprocess.TimeoutExpired("on a terminal", seconds)
            self._status = self._told.recv(10)
            self._told.close()
        return int(self._status)

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        if not self._status:
            os.kill(int(self._pid), number)


def _start(
    python: str,
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    streams: tuple[int, int],
    closed: Sequence[int] = (),
    on_terminal: bool = False,
) -> socket.socket:
    """Start it with these two files as stdout and stderr: a socket that says its pid, a space and, at its end, its status."""
    ours, theirs = socket.socketpair()
    socket.send_fds(_parent(python)[0], [b"."], [*streams, theirs.fileno()])
    theirs.close()
    ours.sendall("\n".join(map(json.dumps, ([module, *arguments], dict(environment), [*closed], on_terminal))).encode())
    ours.shutdown(socket.SHUT_WR)
    return ours


@functools.cache
def _parent(python: str) -> tuple[socket.socket, dict[str, str]]:
    """The socket to the Python that forks, and the environment that it was started in. It ends with this process."""
    ours, theirs = socket.socketpair()
    with theirs:
        command = [python, "-m", "tests.warm", str(theirs.fileno())]
        environment = {**os.environ, PADDING: "x" * 16384}
        # pipes, as the forks' own: Python looks at its start whether a stream can seek
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[theirs.fileno()],
            env=environment,
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours, dict(os.environ)


def _while_loading(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith(HARMLESS)}


def _place_of_environment() -> tuple[int, int]:
    """Where in this process's memory the kernel finds what it shows in /proc/self/environ; 0 where that isn't known."""
    begin, end = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[47:49]
    return int(begin), int(end)


def _show_environment() -> None:
    """Have /proc/self/environ show os.environ. Nothing else refers to that memory once os.environ has been set anew."""
    begin, end = _place_of_environment()
    variables = b"".join(b"%s=%s\0" % variable for variable in os.environb.items())
    assert len(variables) <= end - begin
    with open("/proc/self/mem", "r+b", buffering=0) as memory:
        memory.seek(begin)
        memory.write(variables.ljust(end - begin, b"\0"))


def _forks(requests: socket.socket) -> str | None:
    """In each fork returns the module that it is to run; where there are no more requests, nothing."""
    ended, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([requests.fileno(), ended], [], [])
        if ended in ready:
            os.read(ended, 100)
            for program in [*running]:
                gone, status = os.waitpid(program, os.WNOHANG)
                if gone:
                    _tell(running[program], os.waitstatus_to_exitcode(status), b"")
                    os.close(running.pop(program))
        if requests.fileno() in ready:
            data, files, _, _ = socket.recv_fds(requests, 1, 3)
            if not data:
                return None
            program = os.fork()
            if program == 0:
                break
            os.close(files[0])
            os.close(files[1])
            running[program] = files[2]
            _tell(files[2], program, b" ")
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    client = socket.socket(fileno=files[2])
    argv, environment, closed, on_terminal = (json.loads(line) for line in client.makefile("rb"))
    os.dup2(files[0], 1)
    os.dup2(files[1], 2)
    if on_terminal:
        _take_terminal()
    client.detach()
    requests.detach()
    os.closerange(3, 100)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    if argv[1:2] == ["run"]:
        _show_environment()
    for number in closed:
        os.close(number)
        name = ("stdin", "stdout", "stderr")[number]
        setattr(sys, name, None)  # as Python has it where it finds them closed
        setattr(sys, f"__{name}__", None)
    sys.argv = argv
    return str(argv[0])


def _tell(client: int, number: int, end: bytes) -> None:
    """Tell the test, if it is still waiting."""
    with contextlib.suppress(OSError):
        os.write(client, b"%d%s" % (number, end))


def _take_terminal() -> None:
    """Lead a session on the terminal that is stdout, with streams as Python has them at its start there."""
    os.setsid()
    fcntl.ioctl(1, termios.TIOCSCTTY, 0)
    os.dup2(1, 0)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        mode = "w" if number else "r"
        stream = open(number, mode, encoding=stream.encoding, errors=stream.errors, closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _end_at_once(status: object) -> None:
    """End as Python does, without tidying up: to take down what the fork shares with its parent is half of a short run's CPU.

    What Python would say about its end is left to it, and threads are.
    """
    if not isinstance(status, int | None) or threading.active_count() > 1:
        return
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):
        return
    os._exit((status or 0) & 0xFF)


if __name__ == "__main__":
    package = [
        name for _, name, _ in pkgutil.walk_packages([str(ROOT / "check_jobmon")], "check_jobmon.", lambda _: None)
    ]
    for module in (*LIBRARIES, *(name for name in package if ".plugin" not in name and "__main__" not in name)):
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    gc.freeze()
    if program := _forks(socket.socket(fileno=int(sys.argv[1]))):
        try:
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        except SystemExit as end:
            _end_at_once(end.code)
            raise
