"""The signals that this process is sent: held back, to be taken one by one. Knows nothing of who is to get them."""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

HURRY = 1
"""Seconds that are still waited for anything once a deadly signal came that was not passed on."""
FROM_KERNEL = 0x80
"""si_code of what no process has sent: a key, a timer, or the end of the terminal."""

_HELD_BACK = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
_NOT_DEADLY = {
    signal.SIGCHLD,
    signal.SIGCONT,
    signal.SIGURG,
    signal.SIGWINCH,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
}
"""What ends no process, whether or not it does anything about it."""


class Signals:
    """Holds back all that can be, from its making; to be made before any thread is started.

    That includes what is ignored, for the command may do otherwise: what is held back is not dropped.
    """

    def __init__(self) -> None:
        ignored = {number for number in _HELD_BACK if signal.getsignal(number) == signal.SIG_IGN}
        self._deadly = _HELD_BACK - _NOT_DEADLY - ignored
        self.children_ignored = signal.SIGCHLD in ignored
        if self.children_ignored:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
        """What was held back before."""
        self.came: int = 0
        """A deadly one that came and was not passed on."""

    def release(self) -> None:
        """Hold them back no longer."""
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)

    def wake(self) -> None:
        """Have those that wait look again whether it is over; for other threads."""
        os.kill(os.getpid(), signal.SIGCHLD)

    def next(self, over: Callable[[], object], until: float | None = None) -> Any:
        """Wait until it is over or so late; give the signal that comes earlier, if one does.

        Neither the end of a child is one, nor what this process has caused itself.
        """
        while not over():
            if until is None:
                info = signal.sigwaitinfo(_HELD_BACK)
            else:
                found = signal.sigtimedwait(_HELD_BACK, max(0, until - time.monotonic()))
                if found is None:
                    return None
                info = found
            sent = info.si_code <= 0 and info.si_pid != os.getpid()
            if sent or (info.si_code == FROM_KERNEL and info.si_signo != signal.SIGCHLD):
                return info
        return None

    def deadly(self, over: Callable[[], object], until: float | None) -> int:
        """As next(), but the number of one that would have ended a process without us, or 0."""
        while info := self.next(over, until):
            if info.si_signo in self._deadly:
                return int(info.si_signo)
        return 0

    def wait(self, over: Callable[[], object], seconds: float) -> bool:
        """Wait until it is over, so long at most, and not much longer once a deadly signal has come; whether it is over."""
        until = time.monotonic() + (min(seconds, HURRY) if self.came else seconds)
        while number := self.deadly(over, until):
            self.came = number
            until = min(until, time.monotonic() + HURRY)
        return bool(over())


def signal_name(number: int) -> str:
    """SIGTERM for 15; the real-time signals have a number only."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
