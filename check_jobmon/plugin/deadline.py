"""The deadline: runs the check in a child process that the kernel ends on time, whatever it hangs in.

A Python signal handler isn't enough: it runs only between two instructions of the interpreter, and a resolver that never
answers keeps the interpreter inside a C call. The default action of the alarm signal needs no interpreter.
"""

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any, BinaryIO, NamedTuple, NoReturn

GRACE = 1
"""Seconds that a check has to cancel its query once it is told to stop."""
MEMORY = 160 * 2**20
"""Bytes that the work may take. A check of 5,000 failed jobs with all details takes less than 64 MiB."""
_OUT_OF_MEMORY = 12
"""The child's exit status if that was not enough."""
OUT_OF_MEMORY = (
    f"the answer doesn't fit into the {MEMORY >> 20} MiB of memory that a check may take: see that it comes from the right "
    "server, or select jobs with -j"
)
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""The signals by which a scheduler or a person stops a check. Some send them to the process, some to its whole group."""

Write = Callable[[bytes], None]


class Terminated(Exception):
    """The signal of this `number` told this process to stop, and the work was stopped, too. Says so in one line."""

    def __init__(self, text: str, number: int) -> None:
        super().__init__(text)
        self.number = number


class Outcome(NamedTuple):
    """What `read` returned in within(), and what libraries such as libpq wrote to the child process's standard error.

    If the child process didn't end by itself, it was either `late`, or `death` says in one line what ended it.
    """

    answer: Any
    stderr: str
    late: bool
    death: str


def within(seconds: float, work: Callable[[Write], None], read: Callable[[BinaryIO], Any]) -> Outcome:
    """Run `work` in a child process for at most so many seconds.

    `work` is called with a function that writes bytes, which `read` reads to their end in this process. KeyboardInterrupt is
    raised in `work` if it has to stop, and MemoryError if it takes more than MEMORY bytes, which makes OUT_OF_MEMORY its death.
    Raises Terminated. The child ends on time even if this process is killed.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # the scheduler may ignore it, and that is inherited
    stderr, stderr_writable = os.pipe()
    try:
        # It is read only after the work has ended, so the work must not wait for that: what doesn't fit is lost.
        os.set_blocking(stderr, False)
        os.set_blocking(stderr_writable, False)
        readable, writable = os.pipe()
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)  # until both processes know what to do about them
        child = os.fork()
        if child == 0:
            os.close(readable)
            os.close(stderr)
            os.dup2(stderr_writable, 2)
            _child(writable, seconds, work)
        os.close(writable)
        os.close(stderr_writable)
        try:
            _when_stopped(_terminate)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
            with os.fdopen(readable, "rb") as pipe:
                answer = read(pipe)
            _when_stopped(signal.SIG_IGN)  # there is an answer, so it is printed
            _, status = os.waitpid(child, 0)
        except Terminated:
            _stop(child)
            raise
        finally:
            _when_stopped(signal.SIG_DFL)  # while printing blocks, a signal may end the process
        said = _read(stderr)
    finally:
        os.close(stderr)
    code = os.waitstatus_to_exitcode(status)
    return Outcome(answer, said, code == -signal.SIGALRM, _death(code))


def _death(code: int) -> str:
    if code in (0, -signal.SIGALRM):
        return ""
    if code == _OUT_OF_MEMORY:
        return OUT_OF_MEMORY
    cause = f"signal {-code}" if code < 0 else f"status {code}"
    return f"the check ended with {cause} before it had an answer: look into this machine's kernel log"


def _read(stderr: int) -> str:
    try:
        return os.read(stderr, 10000).decode(errors="replace")
    except BlockingIOError:
        return ""  # nothing yet, but a process that could still write lives on


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    _when_stopped(signal.SIG_IGN)
    hint = "find out what sent it (the scheduler's own timeout?), or lower -t"
    raise Terminated(f"stopped by {signal.Signals(number).name} before there was an answer: {hint}", number)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    _when_stopped(signal.SIG_IGN)  # a second one would interrupt the cancelling of the query
    raise KeyboardInterrupt


def _when_stopped(handler: Callable[[int, FrameType | None], Any] | signal.Handlers) -> None:
    for number in STOPPING:
        signal.signal(number, handler)


def _stop(child: int) -> None:
    os.kill(child, signal.SIGINT)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    signal.setitimer(signal.ITIMER_REAL, GRACE)
    os.waitpid(child, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)


def _child(pipe: int, seconds: float, work: Callable[[Write], None]) -> None:
    status = 1
    try:
        _when_stopped(_interrupt)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM, *STOPPING})
        signal.setitimer(signal.ITIMER_REAL, seconds)
        _limit_memory()
        work(lambda data: write_all(pipe, data))
        status = 0
    except MemoryError:
        status = _OUT_OF_MEMORY
    finally:
        os._exit(status)


def _limit_memory() -> None:
    """Limit this process's memory, unless its limit is lower already. Libraries' code and shared memory don't count."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if soft == resource.RLIM_INFINITY or soft > MEMORY:
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, hard))


def write_all(pipe: int, data: bytes) -> None:
    """Write all of it, without a buffer. Raises OSError."""
    left = memoryview(data)  # a slice of it is no copy
    while left:
        left = left[os.write(pipe, left) :]
