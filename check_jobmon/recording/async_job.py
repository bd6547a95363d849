"""Other ways to write `with job`: `async with async_job`, and the decorator `logged`. python_job.py decides what is logged."""

import asyncio
import functools
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeVar

from check_jobmon.recording.python_job import Step, job

T = TypeVar("T")
Function = TypeVar("Function", bound=Callable[..., Any])


class _InThread(Generic[T]):
    """A context manager as an asynchronous one: it is entered and left in a thread, so that the event loop goes on."""

    def __init__(self, manager: AbstractContextManager[T], thread: ThreadPoolExecutor) -> None:
        self._manager, self._thread = manager, thread

    async def __aenter__(self) -> T:
        try:
            entered: T = await self._call(self._manager.__enter__)
        except asyncio.CancelledError as error:
            await self.__aexit__(type(error), error, None)  # the thread may have entered it, or be about to
            raise
        return entered

    async def __aexit__(self, *error: Any) -> None:
        await self._call(self._manager.__exit__, *error)

    async def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call it in the thread. If the task is cancelled meanwhile, the call is completed all the same."""
        called = asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)
        try:
            return await asyncio.shield(called)
        except asyncio.CancelledError:
            await asyncio.wait([called])
            raise


# lower case, as job
class async_job(job):  # noqa: N801
    """job() for asyncio: `async with check_jobmon.async_job("NIGHTLY ETL", conninfo) as job`, and `async with job.step(...)`.

    The log is written in a thread of its own, one call at a time, so that the event loop isn't blocked. Several tasks may have
    steps of the job under way at the same time. If its task is cancelled, the job has failed; if the run is
    cancelled, so is the task.
    """

    def __init__(self, name: object, conninfo: str = "", **options: Any) -> None:
        super().__init__(name, conninfo, **options)
        self._in_thread = functools.partial(_InThread[Any], thread=ThreadPoolExecutor(1, "check_jobmon"))

    async def __aenter__(self) -> "async_job":
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        self._cancel = functools.partial(loop.call_soon_threadsafe, task.cancel) if task else lambda _: None
        await self._in_thread(self).__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._in_thread(self).__aexit__(*error)

    def _interrupt(self, thread: int) -> None:
        self._cancel("the run was cancelled")

    def step(self, action: object) -> _InThread[Step]:  # type: ignore[override]
        """Logs the body of an `async with` statement as a step of the run."""
        return self._in_thread(super().step(action))


def logged(name: object, conninfo: str = "", **options: Any) -> Callable[[Function], Function]:
    """A decorator: each call of the function, or coroutine function, is a run of the job, of one step named after it."""
    if inspect.isroutine(name):
        raise TypeError('logged() needs the job\'s name: @check_jobmon.logged("NIGHTLY ETL", conninfo)')

    def decorate(function: Any) -> Any:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"a call of {function.__qualname__} only makes a generator: use job() within it")

        def call(*args: Any, **kwargs: Any) -> Any:
            with job(name, conninfo, **options) as run, run.step(function.__qualname__):
                return function(*args, **kwargs)

        async def call_async(*args: Any, **kwargs: Any) -> Any:
            async with async_job(name, conninfo, **options) as run, run.step(function.__qualname__):
                return await function(*args, **kwargs)

        return functools.wraps(function)(call_async if inspect.iscoroutinefunction(function) else call)

    return decorate
