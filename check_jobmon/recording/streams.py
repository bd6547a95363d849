"""A command's stdout and stderr: passed on unchanged, and their last lines kept for the log.

If stdout or stderr is a file, a terminal or a device, the command gets that itself, because it could tell the difference: a
file has a position and a full disk, a terminal has modes, and tar writes nothing if its stdout is /dev/null. What it wrote to
a file is read from there afterwards. A pipe or a socket is replaced by a pipe of ours, from which the data is copied to it. So
is /dev/null as stderr, because programs don't look at that, and the log gets the messages of a command that failed.
"""

import contextlib
import fcntl
import os
import select
import signal
import stat
import struct
import termios
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from check_jobmon.recording import reason
from check_jobmon.recording.output_tail import LINES, Tail
from check_jobmon.recording.signals import Signals

PIECE = 65536
STOP_SECONDS = 1
"""The longest that the thread needs to stop: it never blocks in a read, and in a write only if others fill the same pipe."""


@dataclass(eq=False)
class _Copy:
    """What the command writes to `source`, our pipe, goes to `to`, 1 or 2."""

    source: int
    to: int
    pending: bytes | memoryview = b""
    """Read from the source and not yet written."""
    left: int | None = None
    """Once the command has ended: how many bytes were in the pipe at that moment and aren't read yet."""


class Streams:
    """Copies in a thread of its own, and has `signals` look again when `drained` becomes true."""

    def __init__(self, signals: Signals, tail: int = LINES) -> None:
        self._signals = signals
        self._tail = Tail(tail)
        self.unread = ""
        """Why the log lacks some of the output; empty if it lacks none."""
        self.problem = ""
        """The same, if that is a failure that the user has to be told."""
        self.drained = True
        """Whether everything is copied that the command had written when it ended."""
        self._copies: list[_Copy] = []
        self._files: dict[int, int] = {}
        """The streams that are files, each with the position at which the command begins to write."""
        self._thread: threading.Thread | None = None

    def open(self) -> dict[int, int]:
        """Start to copy; returns the descriptors that the command gets as 1 and 2 in place of ours.

        If that fails, the command gets ours, and its output is missing in the log.
        """
        outputs: dict[int, int] = {}
        try:
            for number in (1, 2):
                if number == 2 and 1 in outputs and _same(1, 2):
                    outputs[2] = outputs[1]
                elif self._is_copied(number):
                    source, outputs[number] = os.pipe()
                    self._copies.append(_Copy(source, number))
            if outputs:
                self._requests, self._request = os.pipe()
                self._thread = threading.Thread(target=self._copy, daemon=True)
                self.drained = False  # before the thread starts, which ends at once if stdout has no reader
                self._thread.start()
        except (OSError, RuntimeError) as error:
            self._thread, self.drained = None, True
            for descriptor in {*(copy.source for copy in self._copies), *outputs.values()}:
                os.close(descriptor)
            self._copies, outputs = [], {}
            self.fail(error)
        return outputs

    def fail(self, error: Exception) -> None:
        """Note why nothing can be copied."""
        self.problem = self.unread = f"its output is not logged ({reason(error)})"

    def _is_copied(self, number: int) -> bool:
        """Whether the stream is replaced by a pipe. If not, notes where to read its output, or why that can't be read."""
        status = os.fstat(number)
        flags = fcntl.fcntl(number, fcntl.F_GETFL)
        # not inheritable: the stream was closed when we were started, and is so for the command
        if not os.get_inheritable(number) or flags & os.O_ACCMODE == os.O_RDONLY:
            return False
        if stat.S_ISREG(status.st_mode):
            if not (1 in self._files and _same(1, number)):
                appended = flags & os.O_APPEND
                self._files[number] = status.st_size if appended else os.lseek(number, 0, os.SEEK_CUR)
            return False
        null = number == 2 and stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(1, 3)
        if null or stat.S_ISFIFO(status.st_mode) or stat.S_ISSOCK(status.st_mode):
            return True
        self.unread = "its output went to the terminal" if os.isatty(number) else "its output went to a device"
        return False

    def ended(self) -> None:
        """The command has ended: `drained` becomes true when what it has written is copied, whatever others still write."""
        if self._thread is not None:
            os.write(self._request, b"e")

    def text(self) -> str:
        """The last lines of the output, for the log."""
        for number, start in self._files.items():
            with contextlib.suppress(OSError):
                end = max(os.lseek(other, 0, os.SEEK_CUR) for other in (1, 2) if _same(number, other))
                start = max(start, end - PIECE)
                with open(f"/proc/self/fd/{number}", "rb") as file:
                    file.seek(start)
                    self._tail.precede(file.read(max(0, end - start)))
        return self._tail.text()

    def stop(self) -> bool:
        """Stop copying; returns whether a process may still write to one of our pipes."""
        if self._thread is None:
            return False
        with contextlib.suppress(OSError):
            os.write(self._request, b"s")
        self._thread.join(STOP_SECONDS)
        return bool(self._copies) and not self._thread.is_alive()

    def leave_behind(self) -> None:
        """If processes that the command left behind have its output, fork a process that goes on copying until they end."""
        with contextlib.suppress(OSError):
            if self.stop() and os.fork() == 0:
                try:
                    # the database session above all, and any pipe whose end our caller waits for
                    _close_all_but({1, 2, *(copy.source for copy in self._copies), self._requests, self._request})
                    signal.pthread_sigmask(signal.SIG_SETMASK, self._signals.mask)
                    self._copy()
                finally:
                    os._exit(0)

    def _copy(self) -> None:
        while self._copies:
            poll = select.poll()
            poll.register(self._requests, select.POLLIN)
            for copy in self._copies:
                # with no events asked for, poll() still reports that the reader has gone
                poll.register(copy.to, select.POLLOUT if copy.pending else 0)
                if not copy.pending:
                    poll.register(copy.source, select.POLLIN)
            events = dict(poll.poll())
            for copy in list(self._copies):
                if events.get(copy.to, 0) & (select.POLLERR | select.POLLNVAL):
                    self._drop(copy)  # so that the command's next write fails, as it would on the stream itself
                elif copy.pending:
                    if copy.to in events:
                        self._write(copy)
                elif copy.source in events:
                    self._read(copy)
            if self._requests in events:
                if os.read(self._requests, 1) == b"s":
                    return
                for copy in self._copies:
                    copy.left = _readable(copy.source)
            if not self.drained and all(copy.left == 0 and not copy.pending for copy in self._copies):
                self.drained = True
                self._signals.wake()

    def _read(self, copy: _Copy) -> None:
        data = os.read(copy.source, PIECE)
        if not data:
            self._drop(copy)
            return
        if not self.drained:
            self._tail.feed(copy.to, data)
        if copy.left is not None:
            copy.left = max(0, copy.left - len(data))
        copy.pending = memoryview(data)

    def _write(self, copy: _Copy) -> None:
        try:
            # poll() promises room for PIPE_BUF bytes only, and nothing may block here
            copy.pending = copy.pending[os.write(copy.to, copy.pending[: select.PIPE_BUF]) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self._drop(copy)
        except OSError:
            copy.pending = b""

    def _drop(self, copy: _Copy) -> None:
        os.close(copy.source)
        self._copies.remove(copy)


def _same(one: int, other: int) -> bool:
    """Whether two descriptors are of one file, and both or neither are inherited by the command."""
    first, second = os.fstat(one), os.fstat(other)
    inheritable = os.get_inheritable(one) == os.get_inheritable(other)
    return inheritable and (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def _readable(source: int) -> int:
    """How many bytes are in a pipe."""
    number: int = struct.unpack("i", fcntl.ioctl(source, termios.FIONREAD, b"\0" * 4))[0]
    return number


def _close_all_but(kept: Iterable[int]) -> None:
    low = 0
    for number in sorted(kept):
        os.closerange(low, number)
        low = number + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))
