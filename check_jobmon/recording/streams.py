"""What a command writes to stdout and stderr, for the log: copied on its way through a pipe, or read afterwards from a file.

The command gets our own descriptor wherever it could tell the difference: a file can be full, and has a position; a terminal
has modes; tar reads no file where stdout is /dev/null. Only a pipe and a socket are replaced by a pipe, and /dev/null as
stderr: nothing looks at what that is, and a failed command says there why. Prints nothing.
"""

import contextlib
import errno
import fcntl
import os
import select
import signal
import stat
import struct
import termios
import threading
from collections.abc import Callable

from check_jobmon.recording.output_tail import Tail

PIECE = 65536
STOP_SECONDS = 1
"""How long the thread may take to stop. It never waits in a read or a write, unless others write to the same pipe."""


class Streams:
    """Copies in a thread of its own. `wake` is called when `drained` has become true."""

    def __init__(self, tail: Tail, wake: Callable[[], None]) -> None:
        self._tail = tail
        self._wake = wake
        self.unread = ""
        """Why there is output that is not in the log."""
        self.problem = ""
        """The same, where it should be."""
        self.drained = True
        """Whether all is copied that the command had written by its end."""
        # what is read from where, where it goes, and what of it is read and not yet written
        self._to: dict[int, int] = {}
        self._pending: dict[int, memoryview] = {}
        self._files: dict[int, int] = {}
        self._left: dict[int, int] | None = None
        self._thread: threading.Thread | None = None

    def open(self) -> dict[int, int]:
        """Begin; gives what the command is to have as 1 and 2 in place of ours. What can't be had costs the log alone."""
        outputs: dict[int, int] = {}
        try:
            for number in (1, 2):
                if number == 2 and 1 in outputs and _same(1, 2):
                    outputs[2] = outputs[1]
                elif self._is_copied(number):
                    source, outputs[number] = os.pipe()
                    self._to[source] = number
            if outputs:
                self._asked, self._ask = os.pipe()
                self._thread = threading.Thread(target=self._copy, daemon=True)
                self.drained = False  # before the thread begins: where nobody reads, it has ended at once
                self._thread.start()
        except (OSError, RuntimeError) as error:
            self._thread, self.drained = None, True
            for descriptor in {*self._to, *outputs.values()}:
                os.close(descriptor)
            self._to, outputs = {}, {}
            self.fail(error)
        return outputs

    def fail(self, error: Exception) -> None:
        """Nothing is copied, because that isn't possible here."""
        self.problem = self.unread = f"its output is not logged ({getattr(error, 'strerror', None) or error})"

    def _is_copied(self, number: int) -> bool:
        mode = os.fstat(number)
        flags = fcntl.fcntl(number, fcntl.F_GETFL)
        # not inheritable where it was closed: then it is for the command, too
        if not os.get_inheritable(number) or flags & os.O_ACCMODE == os.O_RDONLY:
            return False
        if stat.S_ISREG(mode.st_mode):
            appended = flags & os.O_APPEND
            if not (1 in self._files and _same(1, number)):
                self._files[number] = mode.st_size if appended else os.lseek(number, 0, os.SEEK_CUR)
            return False
        null = number == 2 and stat.S_ISCHR(mode.st_mode) and mode.st_rdev == os.makedev(1, 3)
        if null or stat.S_ISFIFO(mode.st_mode) or stat.S_ISSOCK(mode.st_mode):
            return True
        self.unread = "its output went to the terminal" if os.isatty(number) else "its output went to a device"
        return False

    def ended(self) -> None:
        """The command has ended: what it has written is to be copied; others may go on writing."""
        if self._thread is not None:
            os.write(self._ask, b"e")

    def text(self) -> str:
        """The last lines, for the log."""
        for number, start in self._files.items():
            with contextlib.suppress(OSError):
                end = max(os.lseek(other, 0, os.SEEK_CUR) for other in (1, 2) if _same(number, other))
                start = max(start, end - PIECE)
                with open(f"/proc/self/fd/{number}", "rb") as file:
                    file.seek(start)
                    self._tail.precede(file.read(max(0, end - start)))
        return self._tail.text()

    def stop(self) -> bool:
        """Copy no more. Gives whether there is somebody who may still write."""
        if self._thread is None:
            return False
        with contextlib.suppress(OSError):
            os.write(self._ask, b"s")
        self._thread.join(STOP_SECONDS)
        return bool(self._to) and not self._thread.is_alive()

    def leave_behind(self, mask: set[int | signal.Signals]) -> None:
        """Where the command left processes that have its output, go on copying it in a process of its own, as long as they do."""
        with contextlib.suppress(OSError):
            if self.stop() and os.fork() == 0:
                try:
                    # above all the session, and what the caller may wait to be released
                    _close_all_but({1, 2, *self._to, self._asked, self._ask})
                    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
                    self._copy()
                finally:
                    os._exit(0)

    def _copy(self) -> None:
        while self._to:
            poll = select.poll()
            poll.register(self._asked, select.POLLIN)
            for source, to in self._to.items():
                # an error of the reader's side is told unasked
                poll.register(to, select.POLLOUT if source in self._pending else 0)
                if source not in self._pending:
                    poll.register(source, select.POLLIN)
            events = dict(poll.poll())
            for source, to in list(self._to.items()):
                if events.get(to, 0) & (select.POLLERR | select.POLLNVAL):
                    self._drop(source)  # as without us: the command is told by its next write
                elif source in self._pending:
                    if to in events:
                        self._write(source, to)
                elif source in events:
                    self._read(source, to)
            if self._asked in events:
                if os.read(self._asked, 1) == b"s":
                    return
                self._left = {source: _readable(source) for source in self._to}
            if self._left is not None and not self.drained and not self._pending and not any(self._left.values()):
                self._over()
        self._over()

    def _over(self) -> None:
        if not self.drained:
            self.drained = True
            self._wake()

    def _read(self, source: int, to: int) -> None:
        data = os.read(source, PIECE)
        if not data:
            self._drop(source)
            return
        if not self.drained:
            self._tail.feed(to, data)
        if self._left is not None:
            self._left[source] = max(0, self._left[source] - len(data))
        self._pending[source] = memoryview(data)

    def _write(self, source: int, to: int) -> None:
        data = self._pending[source]
        try:
            # That a pipe is ready is a promise for so many bytes only, and nothing may wait here.
            data = data[os.write(to, data[: select.PIPE_BUF]) :]
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno == errno.EPIPE:
                self._drop(source)
                return
            data = data[:0]
        if data:
            self._pending[source] = data
        else:
            del self._pending[source]

    def _drop(self, source: int) -> None:
        os.close(source)
        del self._to[source]
        self._pending.pop(source, None)
        if self._left is not None:
            self._left.pop(source, None)


def _same(one: int, other: int) -> bool:
    first, second = os.fstat(one), os.fstat(other)
    inheritable = os.get_inheritable(one) == os.get_inheritable(other)
    return inheritable and (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def _readable(source: int) -> int:
    """How many bytes are in a pipe."""
    number: int = struct.unpack("i", fcntl.ioctl(source, termios.FIONREAD, b"\0" * 4))[0]
    return number


def _close_all_but(kept: set[int]) -> None:
    low = 0
    for number in sorted(kept):
        os.closerange(low, number)
        low = number + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))
