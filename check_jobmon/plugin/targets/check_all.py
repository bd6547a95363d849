"""Checks many databases at once, a limited number of them at a time, until one deadline.

All in one thread; tests/benchmarks/targets.py says why not in a thread for each target.
"""

import argparse
import asyncio
import contextlib
import functools
import resource
import time
import types
from collections.abc import Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from check_jobmon.config.config_file import Host
from check_jobmon.config.hosts import locate
from check_jobmon.connection import ExpectedError
from check_jobmon.connection.errors import DatabaseUnreachable
from check_jobmon.connection.session import Asking, Pinned
from check_jobmon.judging.result import CONNECTING, QUERYING, unanswered, unexpected
from check_jobmon.plugin.check_one import result_of
from check_jobmon.plugin.deadline import OUT_OF_MEMORY
from check_jobmon.plugin.targets.async_session import AsyncSession, Loop
from check_jobmon.text import clean

AT_ONCE = 20
"""Targets that are asked at the same time, as long as they answer."""
SILENT_AFTER = 1.0
"""Seconds after which a target no longer counts as one of these."""
STARTED_BY = 0.5
"""The part of the time by which each target has been asked, however many don't answer."""
SPARE_FILES = 64
"""File descriptors kept free of connections, or half of all where there are fewer than twice as many."""

T = TypeVar("T")


@dataclass
class Checks:
    """Checks all targets, or runs other queries there: those of `asking`, which gets the session, the schema and the deadline.

    `deadline` and `give_up` are of time.monotonic(): by when the servers have to have answered, and when the checks stop
    waiting. `on_result` is called with each target's number; what `asking` returned, or a Result that says why the target could
    not be asked; and the time at which its check began (seconds since 1970).
    """

    arguments: argparse.Namespace
    hosts: Sequence[Host]
    deadline: float
    give_up: float
    on_result: Callable[[int, Any, float], None]
    asking: Callable[[Pinned, str, float], Asking[Any]]
    began: dict[int, float] = field(default_factory=dict)
    stages: dict[int, tuple[str, str]] = field(default_factory=dict)
    busy: set[int] = field(default_factory=set)
    open: int = 0
    freed: asyncio.Event = field(default_factory=asyncio.Event)

    def run(self) -> None:
        """Check them all. Raises KeyboardInterrupt if told to stop, and what on_result raises."""
        _allow_files(len(self.hosts) + SPARE_FILES)
        loop = Loop()
        # Not asyncio.run(), which would wait for a resolver that never answers.
        try:
            loop.run_until_complete(self._check_all(loop))
        except KeyboardInterrupt:
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()  # and with it its query
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            raise

    async def _check_all(self, loop: asyncio.AbstractEventLoop) -> None:
        started = time.monotonic()
        pace = (self.give_up - started) * STARTED_BY / len(self.hosts)
        tasks = []
        for number, host in enumerate(self.hosts):
            await self._wait_for_turn(started + number * pace)
            if time.monotonic() >= self.give_up:
                break
            self.open += 1
            self.busy.add(number)
            tasks.append(loop.create_task(self._check(number, host)))
        if tasks:
            done, _ = await asyncio.wait(tasks, timeout=max(0, self.give_up - time.monotonic()))
            for task in done:
                task.result()  # raises what on_result has raised
        for number, host in enumerate(self.hosts):
            if number >= len(tasks) or not tasks[number].done():
                began = self.began.get(number, time.time())
                stage, where = self.stages.get(number, ("waiting for its turn", clean(host.name, 100)))
                error = DatabaseUnreachable(unanswered(round(time.time() - began, 1), stage, where))
                self.on_result(number, result_of(error, self.arguments), began)

    async def _wait_for_turn(self, due: float) -> None:
        """Wait until there is room for one more target, or until it is due although there is none."""
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        most = limit - min(SPARE_FILES, limit // 2)
        while True:
            until = self.give_up if self.open >= most else due if len(self.busy) >= AT_ONCE else 0
            left = until - time.monotonic()
            if left <= 0:
                return
            self.freed.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.freed.wait(), left)

    async def _check(self, number: int, host: Host) -> None:
        self.began[number] = began = time.time()
        silent = asyncio.get_running_loop().call_later(SILENT_AFTER, self._make_room, number)
        try:
            result = await _within_memory(self._result(number, host))
        except ExpectedError as error:
            result = result_of(error, self.arguments)
        except MemoryError:
            result = result_of(DatabaseUnreachable(OUT_OF_MEMORY), self.arguments)
        except Exception as error:
            result = unexpected(error, self.arguments.verbose)
        finally:
            silent.cancel()
            self.open -= 1
            self._make_room(number)
        self.on_result(number, result, began)

    def _make_room(self, number: int) -> None:
        self.busy.discard(number)
        self.freed.set()

    async def _result(self, number: int, host: Host) -> Any:
        named = argparse.Namespace(**{**vars(self.arguments), "host": host.name})
        location = locate(named, (host,)) if self.arguments.targets else locate(self.arguments)
        places = ((name, location.parameters.get(key)) for name, key in (("host", "host"), ("database", "dbname")))
        where = ", ".join(f"{name} {clean(str(value), 100)}" for name, value in places if value)
        self.stages[number] = (CONNECTING, where)
        session = AsyncSession(location.parameters)
        await session.connect()
        try:
            self.stages[number] = (QUERYING, where)
            return await self.asking(session, location.schema, self.deadline)
        finally:
            await session.close()


@types.coroutine
def _within_memory(work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """As `work`, but raises MemoryError in it once it has taken more memory than it leaves for all others.

    What is taken between two points at which `work` waits is its own, because all targets are checked in one thread.
    """
    taken, resume = 0, functools.partial(work.send, None)
    while True:
        before = _memory()
        try:
            awaited = resume()
        except StopIteration as end:
            result: T = end.value
            return result
        after = _memory()
        taken += after - before
        try:
            if taken > resource.getrlimit(resource.RLIMIT_DATA)[0] - after:
                taken = 0
                raise MemoryError
            resume = functools.partial(work.send, (yield awaited))
        except BaseException as error:
            resume = functools.partial(work.throw, error)


def _memory() -> int:
    """Bytes of this process that count for RLIMIT_DATA; 0 where the system doesn't say (proc(5), /proc/pid/statm)."""
    try:
        with open("/proc/self/statm", "rb", buffering=0) as figures:
            return int(figures.read().split()[5]) * resource.getpagesize()
    except OSError:
        return 0


def _allow_files(number: int) -> None:
    """Raise this process's limit of open files, as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = number if hard == resource.RLIM_INFINITY else min(number, hard)
    if soft != resource.RLIM_INFINITY and soft < enough:
        resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))
