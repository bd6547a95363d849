"""The deadline: runs the check in a child process that the kernel ends on time, whatever it hangs in.

A Python signal handler isn't enough: it runs only between two instructions of the interpreter, and a resolver that never
answers keeps the interpreter inside a C call. The default action of the alarm signal needs no interpreter.
"""

import os
import signal
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any, NamedTuple, NoReturn

GRACE = 1
"""Seconds that a check has to cancel its query once it is told to stop."""
MEMORY = 160 * 2**20
"""Bytes that the work may take. A check of 5,000 failed jobs with all details takes less than 64 MiB."""
_OUT_OF_MEMORY = 12
"""The child's exit status if that was not enough."""
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""The signals by which a scheduler or a person stops a check. Some send them to the process, some to its whole group."""


class DeadlineExceeded(Exception):
    """The work did not end in time. `stage` is the last one it reported, empty if none."""

    def __init__(self, stage: str) -> None:
        super().__init__(stage)
        self.stage = stage


class Died(Exception):
    """The work ended without an answer, for example because it was killed. One line."""


class OutOfMemory(Died):
    """The work needs more than MEMORY. One line."""

    def __init__(self) -> None:
        much = f"the answer doesn't fit into the {MEMORY >> 20} MiB of memory that a check may take"
        super().__init__(f"{much}: see that it comes from the right server, or select jobs with -j")


class Terminated(Exception):
    """This process was told to stop by a signal, and so was the work. One line."""

    def __init__(self, signal_name: str) -> None:
        hint = "find out what sent it (the scheduler's own timeout?), or lower -t"
        super().__init__(f"stopped by {signal_name} before there was an answer: {hint}")


class Answer(NamedTuple):
    """What the work returned, and what libraries such as libpq wrote to its standard error."""

    text: str
    stderr: str


def within(seconds: float, work: Callable[[Callable[[str], None]], str]) -> Answer:
    """Run `work` in a child process for at most so many seconds, and return the text that it returns.

    `work` gets a function to report its stage, and a KeyboardInterrupt if it has to stop. It may take MEMORY bytes; beyond
    that it gets a MemoryError. Raises DeadlineExceeded, Died, OutOfMemory or Terminated. The child ends on time even if
    this process is killed.
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
            _handle(STOPPING, _terminate)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
            with os.fdopen(readable, "rb") as pipe:
                stages, answered, answer = pipe.read().partition(b"\0")
            _handle(STOPPING, signal.SIG_IGN)  # there is an answer, so it is printed
            _, status = os.waitpid(child, 0)
        except Terminated:
            _stop(child)
            raise
        finally:
            _handle(STOPPING, signal.SIG_DFL)  # while printing blocks, a signal may end the process
        written = _written(stderr)
    finally:
        os.close(stderr)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
        raise DeadlineExceeded(stages.decode().rpartition("\n")[2])
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == _OUT_OF_MEMORY:
        raise OutOfMemory
    if not answered or status != 0:
        cause = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"status {os.WEXITSTATUS(status)}"
        raise Died(f"the check ended with {cause} before it had an answer: look into this machine's kernel log")
    return Answer(answer.decode("utf-8", "surrogatepass"), written)


def _written(stderr: int) -> str:
    try:
        return os.read(stderr, 10000).decode(errors="replace")
    except BlockingIOError:
        return ""  # nothing yet, but a process that could still write lives on


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    _handle(STOPPING, signal.SIG_IGN)
    raise Terminated(signal.Signals(number).name)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    _handle(STOPPING, signal.SIG_IGN)  # a second one would interrupt the cancelling of the query
    raise KeyboardInterrupt


def _handle(
    numbers: Iterable[signal.Signals], handler: Callable[[int, FrameType | None], Any] | signal.Handlers
) -> None:
    for number in numbers:
        signal.signal(number, handler)


def _stop(child: int) -> None:
    os.kill(child, signal.SIGINT)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    signal.setitimer(signal.ITIMER_REAL, GRACE)
    os.waitpid(child, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)


def _child(pipe: int, seconds: float, work: Callable[[Callable[[str], None]], str]) -> None:
    status = 1
    try:
        _handle(STOPPING, _interrupt)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM, *STOPPING})
        signal.setitimer(signal.ITIMER_REAL, seconds)
        _limit_memory()
        answer = work(lambda stage: write_all(pipe, b"\n" + stage.encode()))
        write_all(pipe, b"\0" + answer.encode("utf-8", "surrogatepass"))
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
    while data:
        data = data[os.write(pipe, data) :]
