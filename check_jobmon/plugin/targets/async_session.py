"""Queries many databases at once in one thread: an asyncio loop whose name lookups don't block it, and a session for the loop."""

import asyncio
import os
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg

from check_jobmon.connection.session import Pinned, Rows, is_answer

RESOLVERS = 256
"""Host names that can be looked up at the same time; each lookup that is not answered holds a thread."""
STACK = 256 * 1024
"""Bytes of such a thread's stack, all of which count for deadline.MEMORY; the default would be 8 MiB."""


class Loop(asyncio.SelectorEventLoop):
    """Looks up each host name once, in so many threads that a lookup without an answer hinders no other."""

    def __init__(self) -> None:
        super().__init__()
        threading.stack_size(STACK)
        self.set_default_executor(ThreadPoolExecutor(RESOLVERS))
        self._lookups: dict[Any, asyncio.Future[Any]] = {}

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        """As in asyncio's loops."""
        key = (host, port, *options.values())
        if key not in self._lookups:
            self._lookups[key] = self.create_task(super().getaddrinfo(host, port, **options))
        return await asyncio.shield(self._lookups[key])


class AsyncSession(Pinned):
    """As connection.session.Session, but with methods to await."""

    _connection: "psycopg.AsyncConnection"

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        super().__init__(_with_host_of_service(parameters))

    async def connect(self) -> None:
        with self.connecting() as parameters:
            self._connection = await psycopg.AsyncConnection.connect(**parameters)

    async def close(self) -> None:
        await self._connection.close()

    async def fetch(self, script: str) -> list[Rows]:
        rows: list[Rows] = []
        cursor = await self._connection.execute(self._begun(script))
        while True:
            if is_answer(cursor):
                rows.append(await cursor.fetchall())
            if not cursor.nextset():
                return rows


def _with_host_of_service(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters, with the host of their service, so that psycopg looks it up.

    libpq would look it up itself, and all other targets would wait meanwhile.
    """
    found = dict(parameters)
    inherited = os.environ.get("PGSERVICE")
    service = found.get("service", inherited)
    if not service or found.keys() & {"host", "hostaddr", "conninfo"}:
        return found
    os.environ["PGSERVICE"] = service
    try:
        defaults = psycopg.pq.Conninfo.get_defaults()
    finally:
        if inherited is None:
            del os.environ["PGSERVICE"]
        else:
            os.environ["PGSERVICE"] = inherited
    for option in defaults:
        keyword = option.keyword.decode()
        if keyword in ("host", "hostaddr", "port") and option.val:
            found.setdefault(keyword, option.val.decode())
    return found
