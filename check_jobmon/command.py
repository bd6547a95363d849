"""Runs a command: passes its output through, signals on to it, and bounds its time. Knows nothing of jobs and prints nothing.

One thread waits for signals (the child's end is one), so that nothing is missed while the other is writing to a reader that
is slow. Output is copied in pieces as it comes.
"""

import contextlib
import errno
import fcntl
import os
import pty
import select
import signal
import struct
import termios
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

KILL_AFTER = 10
"""Seconds from the TERM that a timeout sends to the KILL."""
DRAIN_SECONDS = 1
"""How long the command's output may be silent, after its end, before it is no longer waited for: a process that it left
behind may hold it open for ever."""
PIECE = 65536

TIMED_OUT, NOT_EXECUTABLE, NOT_FOUND = 124, 126, 127
"""Exit statuses as timeout(1) and the shell have them. A signal n is 128 + n."""

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_FROM_KERNEL = 0x80
"""si_code of a signal that a key or the end of the terminal has sent: to the command as well, so it is not passed on."""


@dataclass(frozen=True)
class End:
    """How a command ended: the exit status to pass on, and in words where that isn't all."""

    status: int
    how: str
    regular: bool
    """It ended by itself, with an exit status of its own."""


def block_signals() -> set[signal.Signals]:
    """Have the signals that are to be passed on wait until then; to call before any thread is started."""
    wanted = {number for number in PASSED_ON if signal.getsignal(number) != signal.SIG_IGN}
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, {*wanted, signal.SIGCHLD, signal.SIGWINCH})
    return wanted


def open_standard_streams() -> None:
    """Have /dev/null where stdin, stdout or stderr is closed, or the next file to be opened would take its place."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def run(
    argv: Sequence[str], signals: set[signal.Signals], timeout: float | None, feed: Callable[[int, bytes], None]
) -> End:
    """Run a command to its end. `signals` are those that block_signals() gave, `feed` gets all output as it is copied."""
    waiting = signal.sigpending() & signals
    if waiting:
        number = min(waiting)
        return End(128 + number, f"not run: {signal.Signals(number).name}", False)
    child = _Child(signals, timeout, feed)
    try:
        child.start(argv)
    except OSError as error:
        found = error.errno not in (errno.ENOENT, errno.ENOTDIR)
        return End(NOT_EXECUTABLE if found else NOT_FOUND, f"not run: {argv[0]}: {error.strerror}", False)
    return child.wait()


class _Child:
    def __init__(self, signals: set[signal.Signals], timeout: float | None, feed: Callable[[int, bytes], None]) -> None:
        self._signals = signals
        self._timeout = timeout
        self._feed = feed
        self._timed_out = False
        self._status: int | None = None
        self._ended, self._end = os.pipe()
        # what is read from where, and where it goes
        self._streams: dict[int, int] = {}
        self._terminal: int | None = None
        # Without a terminal the command leads a process group, so that its children get the signals too. With one it stays
        # in ours, or it could not read from the terminal.
        self._leads = not _has_terminal()

    def start(self, argv: Sequence[str]) -> None:
        """Start it with its output in pipes; raises OSError."""
        outputs = self._outputs()
        group: dict[str, Any] = {"setpgroup": 0} if self._leads else {}
        try:
            self._pid = os.posix_spawnp(
                argv[0],
                list(argv),
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, output, number) for number, output in outputs.items()],
                setsigmask=[],
                # Python ignores these two, and that would be inherited
                setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
                **group,
            )
        finally:
            for output in set(outputs.values()):
                os.close(output)
        threading.Thread(target=self._watch, daemon=True).start()

    def _outputs(self) -> dict[int, int]:
        """The command's stdout and stderr: a terminal where ours is one, else a pipe; one for both where both are one."""
        outputs: dict[int, int] = {}
        for number in (1, 2):
            if number == 2 and _same(1, 2):
                outputs[2] = outputs[1]
            elif os.isatty(number):
                source, outputs[number] = pty.openpty()
                _set_raw(outputs[number])
                _copy_size(number, source)
                self._streams[source] = number
                self._terminal = source
            else:
                source, outputs[number] = os.pipe()
                self._streams[source] = number
        return outputs

    def _watch(self) -> None:
        """Pass signals on, end what takes too long, and reap."""
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        awaited = {*self._signals, signal.SIGCHLD, signal.SIGWINCH}
        while True:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._status = status
                os.write(self._end, b"x")
                return
            if deadline is None:
                info = signal.sigwaitinfo(awaited)
            else:
                found = signal.sigtimedwait(awaited, max(0, deadline - time.monotonic()))
                if found is None:
                    self._send(signal.SIGKILL if self._timed_out else signal.SIGTERM)
                    if not self._timed_out:
                        self._send(signal.SIGCONT)
                    deadline = time.monotonic() + KILL_AFTER
                    self._timed_out = True
                    continue
                info = found
            if info.si_signo == signal.SIGWINCH:
                if self._terminal is not None:
                    _copy_size(self._streams.get(self._terminal, 1), self._terminal)
            elif info.si_signo != signal.SIGCHLD and (self._leads or info.si_code != _FROM_KERNEL):
                self._send(info.si_signo)

    def _send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._leads:
                os.killpg(self._pid, number)
            else:
                os.kill(self._pid, number)

    def wait(self) -> End:
        """Copy its output until it has ended, and its output too."""
        ended = False
        open_streams = dict(self._streams)
        while open_streams or not ended:
            awaited = [*open_streams, *([] if ended else [self._ended])]
            ready, _, _ = select.select(awaited, [], [], DRAIN_SECONDS if ended else None)
            if not ready:
                break
            for source in ready:
                if source == self._ended:
                    ended = True
                elif not self._copy(source, open_streams[source]):
                    os.close(source)
                    del open_streams[source]
        return self._how()

    def _copy(self, source: int, to: int) -> bool:
        """Copy a piece; False when there is no more, or nobody who reads it."""
        try:
            data = os.read(source, PIECE)
        except OSError as error:
            if error.errno == errno.EIO:  # the end of a terminal
                return False
            raise
        self._feed(to, data)
        if not data:
            return False
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(to, view) :]
            except BlockingIOError:
                select.select([], [to], [])
            except OSError:
                # as without us: the command is told by its next write
                return False
        return True

    def _how(self) -> End:
        assert self._status is not None
        if self._timed_out:
            return End(TIMED_OUT, f"timed out after {self._timeout:g} s", False)
        if os.WIFSIGNALED(self._status):
            number = os.WTERMSIG(self._status)
            name = next((known.name for known in signal.Signals if known == number), "")
            return End(128 + number, f"killed by signal {number}{f' ({name})' if name else ''}", False)
        return End(os.WEXITSTATUS(self._status), f"exit status {os.WEXITSTATUS(self._status)}", True)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _same(one: int, other: int) -> bool:
    first, second = os.fstat(one), os.fstat(other)
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def _set_raw(terminal: int) -> None:
    """Leave the output as it is: it is the real terminal that turns \\n into \\r\\n."""
    attributes = termios.tcgetattr(terminal)
    attributes[1] &= ~termios.OPOST
    attributes[3] &= ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSANOW, attributes)


def _copy_size(of: int, to: int) -> None:
    with contextlib.suppress(OSError):
        size = fcntl.ioctl(of, termios.TIOCGWINSZ, struct.pack("HHHH", 0, 0, 0, 0))
        fcntl.ioctl(to, termios.TIOCSWINSZ, size)
