"""Runs a command so that it can't tell the difference: with the environment, descriptors, signals and place in the terminal's
job control that this process was started with. Passes on signals, and ends the command at a timeout. Knows nothing of jobs.

The main thread waits for signals, so that none is missed: the end of the command is one (SIGCHLD), and other threads send one
when they have finished something. Meanwhile streams.py copies the output.
"""

import contextlib
import errno
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from check_jobmon.recording.output_tail import LINES
from check_jobmon.recording.process_tree import adopt_orphans, descendants, process_state
from check_jobmon.recording.signals import FROM_KERNEL, HURRY, Signals, signal_name
from check_jobmon.recording.streams import Streams

KILL_AFTER = 10.0
"""Seconds from a timeout's SIGTERM to its SIGKILL, and from that until the processes that are left are given up."""
KILL_INTERVAL = 0.1
"""Seconds from one SIGKILL to the next, for processes that were started in the meantime."""

TIMED_OUT, NOT_EXECUTABLE, NOT_FOUND = 124, 126, 127
"""Exit statuses, as timeout(1) and the shell have them."""
NO_PROCESS = (errno.EAGAIN, errno.ENOMEM)
"""The errors of a machine or a user that can't have another process."""
ANY_CHILD = -1
"""For waitpid(): there are children other than the command only if orphans are adopted."""


@dataclass(frozen=True)
class End:
    """How a command ended: with an exit status, or by a signal."""

    how: str
    """For the log: `exit status 3`."""
    status: int
    """The exit status for our caller; if a signal ended the command, 128 + its number, as the shell has it."""
    signal: int = 0
    """The signal that ended the command, or 0."""
    regular: bool = False
    """Whether the command itself exited with this status."""

    @classmethod
    def by_signal(cls, number: int, how: str) -> "End":
        """The end by a signal."""
        return cls(how, 128 + number, number)

    def leave(self) -> int:
        """End this process by the signal that ended the command, because shells treat that differently; or return the status."""
        if self.signal:
            import resource

            # no core dump of ours
            resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
            with contextlib.suppress(OSError):
                signal.signal(self.signal, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [self.signal])
            os.kill(os.getpid(), self.signal)
        return self.status


class Command:
    """One run of a command. `streams` has its output."""

    def __init__(self, argv: Sequence[str], signals: Signals, timeout: float | None, tail: int = LINES) -> None:
        self._argv = list(argv)
        self._signals = signals
        self._timeout = timeout
        self._adopts = timeout is not None
        self._until: float | None = None
        self._status: int | None = None
        self.streams = Streams(signals, tail)
        # With a terminal the command stays in our process group, without one in the group that we leave: so it gets the
        # signals that are sent to the group. A group's leader can't leave it; then the command leads a group of its own.
        self._has_terminal = _has_terminal()
        self._group = os.getpgrp()
        self._leads = not self._has_terminal and self._group == os.getpid()

    def start(self) -> End | None:
        """Start the command; returns its end if it can't be run. Raises OSError if no process can be created at all."""
        self._signals.wait(lambda: False, 0)
        if number := self._signals.came:
            return End.by_signal(number, f"not run: {signal_name(number)}")
        if self._timeout is not None:
            self._until = time.monotonic() + self._timeout
        if self._adopts:
            adopt_orphans()
        outputs = self.streams.open()
        try:
            try:
                self._pid = self._spawned(outputs)
            except OSError as error:
                if error.errno not in NO_PROCESS or not outputs:
                    raise
                # perhaps the thread that copies is what exceeds the limit
                self.streams.stop()
                self.streams = Streams(self._signals)
                self.streams.fail(error)
                self._pid = self._spawned({})
        except OSError as error:
            self.streams.stop()
            if error.errno in NO_PROCESS:
                raise
            missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
            return End(f"not run: {self._argv[0]}: {error.strerror}", NOT_FOUND if missing else NOT_EXECUTABLE)
        finally:
            for output in set(outputs.values()):
                os.close(output)
        return None

    def _spawned(self, outputs: Mapping[int, int]) -> int:
        group: dict[str, Any] = {"setpgroup": 0} if self._leads else {}
        if not self._has_terminal and not self._leads:
            with contextlib.suppress(OSError):
                os.setpgid(0, 0)
                os.killpg(self._group, 0)  # raises if we were the last in the group, which then no longer exists
                group = {"setpgroup": self._group}

        def spawned(argv: list[str]) -> int:
            return os.posix_spawnp(
                argv[0],
                argv,
                _environment(),
                file_actions=[(os.POSIX_SPAWN_DUP2, output, number) for number, output in outputs.items()],
                setsigmask=self._signals.mask,
                # Python has these two ignored at its start, which the command would inherit
                setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
                **group,
            )

        return self._executed(spawned)

    def become(self) -> None:
        """Replace this process by the command, where no second process can be created. Raises OSError."""
        with contextlib.suppress(OSError):
            os.setpgid(0, self._group)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._signals.mask)
        self._executed(lambda argv: os.execvpe(argv[0], argv, _environment()))

    def _executed(self, execute: Callable[[list[str]], int]) -> int:
        """Call `execute` with the command, or with a shell that runs it, where only a shell can."""
        argv = self._argv
        if self._signals.children_ignored:
            # posix_spawn() can't have a signal ignored
            argv = ["/bin/sh", "-c", 'trap "" CHLD; exec "$@"', "sh", *argv]
        try:
            return execute(argv)
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            import shutil

            # a script without #!: as execvp(3) does
            return execute(["/bin/sh", shutil.which(argv[0]) or argv[0], *argv[1:]])

    def wait(self, cancelled: Callable[[], object]) -> End:
        """Wait until the command has ended, and its output is written to our streams.

        The command is ended at the timeout, or if `cancelled()`, which is called again after each Signals.wake().
        """
        while not self._has_ended():
            info = self._signals.next(lambda: self._has_ended() or cancelled(), self._until)
            if info is not None:
                self._pass_on(info)
            elif not self._has_ended():
                return self._end_all(cancelled())
        end = self._end()
        # A command that writes to a slow reader directly can't end before its last write, so we don't either; but one that
        # was killed would be gone.
        until = time.monotonic() + HURRY if end.signal else self._until
        if number := self._signals.deadly(lambda: self.streams.drained, until):
            return End.by_signal(number, f"{end.how}, then {signal_name(number)}, before its output was read")
        return end if self.streams.drained or end.signal else self._end_all()

    def _end(self) -> End:
        assert self._status is not None
        if os.WIFSIGNALED(self._status):
            number = os.WTERMSIG(self._status)
            name = signal_name(number)
            return End.by_signal(number, f"killed by signal {number}{f' ({name})' if name[:3] == 'SIG' else ''}")
        status = os.WEXITSTATUS(self._status)
        return End(f"exit status {status}", status, regular=True)

    def _end_all(self, cancelled: object = False) -> End:
        """At the timeout, or when the run was cancelled, end the command and its descendants."""
        if not self._adopts:  # what has been orphaned before is only found in the command's own group
            adopt_orphans()
            self._adopts = True
        sent = signal.SIGTERM
        for number, interval in ((signal.SIGTERM, KILL_AFTER), (signal.SIGKILL, KILL_INTERVAL)):
            until = time.monotonic() + KILL_AFTER
            # at least once, however long it takes to find them
            while living := self._living():
                sent = number
                for pid in living:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, number)
                        os.kill(pid, signal.SIGCONT)
                pause = time.monotonic() + interval
                while info := self._signals.next(self._none_lives, pause):
                    self._pass_on(info)
                if time.monotonic() >= until:
                    break
        self._signals.deadly(lambda: self.streams.drained, time.monotonic() + HURRY)
        left = len(self._living())
        more = f", and {left} of its processes live on" if left else ""
        if cancelled:
            return End(f"ended by {sent.name}{more}", 128 + signal.SIGTERM)
        return End(f"timed out after {self._timeout:g} s{more}", TIMED_OUT)

    def _none_lives(self) -> bool:
        self._has_ended()
        return not self._living()

    def _living(self) -> list[int]:
        return descendants(self._pid if self._leads else None)

    def _has_ended(self) -> bool:
        """Whether the command has ended. Collects the children that have ended or stopped."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(ANY_CHILD if self._adopts else self._pid, os.WNOHANG | os.WUNTRACED)
                if not pid:
                    break
                if pid == self._pid and os.WIFSTOPPED(status):
                    self._stopped(os.WSTOPSIG(status))
                elif pid == self._pid:
                    self._status = status
                    self.streams.ended()
        return self._status is not None

    def _stopped(self, number: int) -> None:
        if self._has_terminal:
            # stop, too, or the shell would not take back the terminal; fg and bg continue both of us
            if process_state(self._pid)[0] == b"T":
                os.kill(os.getpid(), signal.SIGSTOP)
        elif number != signal.SIGSTOP:
            # Without a terminal the kernel lets these signals stop a process only if its parent is in another group of the
            # same session, as we are: without us it would not have stopped.
            os.kill(self._pid, signal.SIGCONT)

    def _pass_on(self, info: Any) -> None:
        """Send the command a signal that it would have got without us, unless it has got it as a member of our group."""
        number = info.si_signo
        if self._status is not None:
            return
        if info.si_code == FROM_KERNEL:
            hung_up = number in (signal.SIGHUP, signal.SIGCONT) and os.getsid(0) == os.getpid()
            if not hung_up and number != signal.SIGALRM:
                return
        elif self._has_terminal:
            # fg and bg continue the whole group; and a signal that the command sends to its own group, it gets itself
            continued = number == signal.SIGCONT and process_state(self._pid)[0] != b"T"
            if continued or info.si_pid == self._pid:
                return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._leads:
                os.killpg(self._pid, number)
            else:
                os.kill(self._pid, number)


def _environment() -> dict[bytes, bytes]:
    """The environment that this process was started with: in a C locale Python adds LC_CTYPE to its own (PEP 538)."""
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
