"""Runs a command as if nobody did: its environment, descriptors, signals and place in the terminal's job control are those that
this process was started with. Passes on the signals that come, and bounds its time. Knows nothing of jobs and prints nothing.

The main thread waits for signals (the command's end is one, and other threads send one when they are through), so that none
is missed; streams.py copies the output meanwhile.
"""

import contextlib
import errno
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from check_jobmon.recording.output_tail import Tail
from check_jobmon.recording.signals import FROM_KERNEL, HURRY, Signals, signal_name
from check_jobmon.recording.streams import Streams

KILL_AFTER = 10
"""Seconds from the TERM that a timeout sends to the KILL, and from that until it is given up."""
AGAIN = 0.1
"""Seconds from one KILL to the next, for what is started in the meantime."""

TIMED_OUT, NOT_EXECUTABLE, NOT_FOUND = 124, 126, 127
"""Exit statuses as timeout(1) and the shell have them. A signal n is 128 + n."""

NO_PROCESS = (errno.EAGAIN, errno.ENOMEM)
_PR_SET_CHILD_SUBREAPER = 36
ADOPTED = -1
"""Any child, for waitpid(): there are others than the command only where what it leaves behind is adopted."""


@dataclass(frozen=True)
class End:
    """How a command ended: the exit status to pass on, and in words where that isn't all."""

    status: int
    how: str
    signal: int = 0
    """That has killed it."""
    regular: bool = False
    """It ended by itself, with an exit status of its own."""

    def leave(self) -> int:
        """End this process as the command has ended: by the same signal, which shells treat differently. Or give the status."""
        if self.signal:
            import resource

            resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
            with contextlib.suppress(OSError):
                signal.signal(self.signal, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [self.signal])
            os.kill(os.getpid(), self.signal)
        return self.status


class Command:
    """One run of a command."""

    def __init__(self, argv: Sequence[str], signals: Signals, timeout: float | None) -> None:
        self._argv = list(argv)
        self._signals = signals
        self._timeout = timeout
        self._until: float | None = None
        self._status: int | None = None
        self._streams = Streams(Tail(), signals.wake)
        # With a terminal it stays in our process group, and without in the one that we leave: what is sent to the group,
        # it gets as without us. Only a leader can't leave its group, so then the command leads another.
        self._has_terminal = _has_terminal()
        self._group = os.getpgrp()
        self._leads = not self._has_terminal and self._group == os.getpid()

    def start(self) -> End | None:
        """Start it; gives its end if it can't be. Raises OSError if no process can be had at all."""
        self._signals.wait(lambda: False, 0)
        if self._signals.came:
            number = self._signals.came
            return End(128 + number, f"not run: {signal_name(number)}", number)
        if self._timeout is not None:
            self._until = time.monotonic() + self._timeout
            _adopt()
        outputs = self._streams.open()
        try:
            try:
                self._pid = self._spawned(outputs)
            except OSError as error:
                if error.errno not in NO_PROCESS or not outputs:
                    raise
                # the thread that copies may be the one process too many
                self._streams.stop()
                self._streams = Streams(Tail(), self._signals.wake)
                self._streams.fail(error)
                self._pid = self._spawned({})
        except OSError as error:
            self._streams.stop()
            if error.errno in NO_PROCESS:
                raise
            found = error.errno not in (errno.ENOENT, errno.ENOTDIR)
            status = NOT_EXECUTABLE if found else NOT_FOUND
            return End(status, f"not run: {self._argv[0]}: {error.strerror}")
        finally:
            for output in set(outputs.values()):
                os.close(output)
        return None

    def _spawned(self, outputs: Mapping[int, int]) -> int:
        group: dict[str, Any] = {"setpgroup": 0} if self._leads else {}
        if not self._has_terminal and not self._leads:
            with contextlib.suppress(OSError):
                os.setpgid(0, 0)
                os.killpg(self._group, 0)  # or there is nobody left in it, and it is no more
                group = {"setpgroup": self._group}

        def spawned(argv: list[str]) -> int:
            return os.posix_spawnp(
                argv[0],
                argv,
                _environment(),
                file_actions=[(os.POSIX_SPAWN_DUP2, output, number) for number, output in outputs.items()],
                setsigmask=self._signals.mask,
                # Python ignores these two, whatever they were, and that would be inherited
                setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
                **group,
            )

        return self._by_shell(spawned)

    def become(self) -> None:
        """Where there is no process to be had, this one is the command from now on: its work is done, and that is all.

        Raises OSError.
        """
        with contextlib.suppress(OSError):
            os.setpgid(0, self._group)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._signals.mask)
        self._by_shell(lambda argv: os.execvpe(argv[0], argv, _environment()))

    def _by_shell(self, execute: Callable[[list[str]], int]) -> int:
        argv = self._argv
        if self._signals.children_ignored:
            # which can't be asked of posix_spawn()
            argv = ["/bin/sh", "-c", 'trap "" CHLD; exec "$@"', "sh", *argv]
        try:
            return execute(argv)
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            import shutil

            # a script without #!, as execvp(3) runs it
            return execute(["/bin/sh", shutil.which(argv[0]) or argv[0], *argv[1:]])

    def wait(self) -> End:
        """Wait until it has ended, and what it has written is read by whoever reads it."""
        while not self._reaped():
            info = self._signals.next(self._reaped, self._until)
            if info is None and not self._reaped():
                return self._timed_out()
            if info is not None:
                self._pass_on(info)
        end = self._how()
        # without us it would be in its last write still, unless it was killed
        until = time.monotonic() + HURRY if end.signal else self._until
        number = self._signals.deadly(lambda: self._streams.drained, until)
        if number:
            return End(128 + number, f"{end.how}, then {signal_name(number)}, before its output was read", number)
        return end if self._streams.drained or end.signal else self._timed_out()

    def _timed_out(self) -> End:
        left = self._end_all()
        return End(
            TIMED_OUT,
            f"timed out after {self._timeout:g} s" + (f", and {left} of its processes live on" if left else ""),
        )

    def text(self) -> str:
        """The last lines of its output."""
        return self._streams.text()

    @property
    def unread(self) -> str:
        """Why there is output that text() doesn't have."""
        return self._streams.unread

    @property
    def problem(self) -> str:
        """Why its output could not be copied, where it should have been."""
        return self._streams.problem

    def leave_behind(self) -> None:
        """What it left behind keeps its output."""
        self._streams.leave_behind(self._signals.mask)

    def _reaped(self) -> bool:
        self._reap()
        return self._status is not None

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(self._pid if self._timeout is None else ADOPTED, os.WNOHANG | os.WUNTRACED)
                if not pid:
                    return
                if pid != self._pid:
                    continue
                if os.WIFSTOPPED(status):
                    self._stopped(os.WSTOPSIG(status))
                else:
                    self._status = status
                    self._streams.ended()

    def _stopped(self, number: int) -> None:
        if self._has_terminal:
            # or the shell would not know that it can have the terminal; who continues the job continues both
            if _state(self._pid)[0] == b"T":
                os.kill(os.getpid(), signal.SIGSTOP)
        elif number != signal.SIGSTOP:
            # it has this parent of the same session to thank for that: nothing else stops what nobody could continue
            os.kill(self._pid, signal.SIGCONT)

    def _pass_on(self, info: Any) -> None:
        """Send it what it would have been sent in our place, and has not been sent already, as a process of our group."""
        number = info.si_signo
        if self._status is not None:
            return
        if info.si_code == FROM_KERNEL:
            hung_up = number in (signal.SIGHUP, signal.SIGCONT) and os.getsid(0) == os.getpid()
            if not hung_up and number != signal.SIGALRM:
                return
        elif self._has_terminal:
            # fg and bg continue a whole group; and what it has sent to its own, it has got
            continued = number == signal.SIGCONT and _state(self._pid)[0] != b"T"
            if continued or info.si_pid == self._pid:
                return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._leads:
                os.killpg(self._pid, number)
            else:
                os.kill(self._pid, number)

    def _end_all(self) -> int:
        """End all its processes; how many live on nevertheless."""
        for number, every in ((signal.SIGTERM, KILL_AFTER), (signal.SIGKILL, AGAIN)):
            until = time.monotonic() + KILL_AFTER
            while _descendants() and time.monotonic() < until:
                for pid in _descendants():
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, number)
                        os.kill(pid, signal.SIGCONT)
                pause = min(until, time.monotonic() + every)
                while info := self._signals.next(self._nothing_lives, pause):
                    self._pass_on(info)
        self._signals.deadly(lambda: self._streams.drained, time.monotonic() + HURRY)
        return len(_descendants())

    def _nothing_lives(self) -> bool:
        self._reap()
        return not _descendants()

    def _how(self) -> End:
        assert self._status is not None
        if os.WIFSIGNALED(self._status):
            number = os.WTERMSIG(self._status)
            name = signal_name(number)
            return End(128 + number, f"killed by signal {number}{f' ({name})' if name[:3] == 'SIG' else ''}", number)
        status = os.WEXITSTATUS(self._status)
        return End(status, f"exit status {status}", regular=True)


def _environment() -> dict[bytes, bytes]:
    """The environment that this process was started with: Python adds LC_CTYPE to it where the locale is C (PEP 538)."""
    try:
        with open("/proc/self/environ", "rb") as file:
            entries = file.read().split(b"\0")
    except OSError:
        return dict(os.environb)
    environment: dict[bytes, bytes] = {}
    for entry in entries:
        name, found, value = entry.partition(b"=")
        if name and found:
            environment.setdefault(name, value)
    return environment


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _adopt() -> None:
    """Have this process be the parent of what its descendants leave behind, so that a timeout finds it."""
    with contextlib.suppress(Exception):
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _state(pid: int) -> tuple[bytes, int]:
    """A process's state, as proc(5) has it, and its parent; of one that is no more, as of a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, parent = file.read().rpartition(b")")[2].split()[:2]
    except OSError:
        return b"Z", 0
    return state, int(parent)


def _descendants() -> list[int]:
    """The processes that descend from this one and live."""
    children: dict[int, list[int]] = {}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        state, parent = _state(pid)
        if state not in (b"Z", b"X"):
            children.setdefault(parent, []).append(pid)
    found: list[int] = []
    parents = [os.getpid()]
    while parents:
        mine = children.get(parents.pop(), [])
        found += mine
        parents += mine
    return found
