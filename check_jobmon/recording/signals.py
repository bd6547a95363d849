"""Signals that this process is sent: blocked, then taken one by one. Doesn't decide what is done about them."""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

HURRY = 1
"""Seconds that anything is still waited for after a deadly signal that could not be passed on."""
FROM_KERNEL = 0x80
"""si_code of a signal that no process has sent: a key at the terminal, a timer, or a terminal that hung up."""

_BLOCKED = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
_NOT_DEADLY = {signal.Signals[f"SIG{name}"] for name in ("CHLD", "CONT", "URG", "WINCH", "TSTP", "TTIN", "TTOU")}
"""Signals whose default action does not end a process."""


class Signals:
    """Blocks every signal that can be blocked; to be made before the first thread is started.

    Ignored signals are blocked, too: the command may handle them, and the kernel does not drop an ignored signal that is
    blocked.
    """

    def __init__(self) -> None:
        ignored = {number for number in _BLOCKED if signal.getsignal(number) == signal.SIG_IGN}
        self._deadly = _BLOCKED - _NOT_DEADLY - ignored
        self.children_ignored = signal.SIGCHLD in ignored
        if self.children_ignored:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
        """The signals that were blocked before."""
        self.came: int = 0
        """A deadly signal that came during wait(), or 0."""
        self._late: Any = None

    def wake(self) -> None:
        """Have the methods below call `over` again; for other threads, after something that it looks at has changed."""
        os.kill(os.getpid(), signal.SIGCHLD)

    def next(self, over: Callable[[], object], until: float | None = None) -> Any:
        """Wait for the next signal; returns its siginfo, or None when `over()` is true or at `until` by the monotonic clock.

        SIGCHLD for an ended child and wake() only have `over` called again; neither is returned. A signal that comes when
        `over()` is true already is kept for the next call.
        """
        while not over():
            info, self._late = self._late, None
            if info is None:
                if until is None:
                    info = signal.sigwaitinfo(_BLOCKED)
                else:
                    info = signal.sigtimedwait(_BLOCKED, max(0, until - time.monotonic()))
                if info is None:
                    return None
            sent = info.si_code <= 0 and info.si_pid != os.getpid()
            if sent or (info.si_code == FROM_KERNEL and info.si_signo != signal.SIGCHLD):
                if not over():
                    return info
                self._late = info
        return None

    def deadly(self, over: Callable[[], object], until: float | None) -> int:
        """Like next(), but drops signals that would not have ended this process; returns the signal's number, or 0."""
        while info := self.next(over, until):
            if info.si_signo in self._deadly:
                return int(info.si_signo)
        return 0

    def wait(self, over: Callable[[], object], seconds: float) -> bool:
        """Wait until `over()`, at most so many seconds, and HURRY seconds once a deadly signal has come; returns `over()`."""
        until = time.monotonic() + (min(seconds, HURRY) if self.came else seconds)
        while number := self.deadly(over, until):
            self.came = number
            until = min(until, time.monotonic() + HURRY)
        return bool(over())


def signal_name(number: int) -> str:
    """SIGTERM for 15; `signal 40` for a real-time signal, which has no name.

    >>> signal_name(15), signal_name(40)
    ('SIGTERM', 'signal 40')
    """
    names = {known.value: known.name for known in signal.Signals}
    return names.get(number, f"signal {number}")
