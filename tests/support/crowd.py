"""Many connections at once, on an event loop: what threads would be too heavy for."""

from __future__ import annotations

import asyncio
import contextlib
import re
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

DEADLINE = 120.0
Result = TypeVar("Result")


def allow_files(count: int) -> None:
    """Raises this process's limit of open files, which a server started from it inherits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        assert hard == resource.RLIM_INFINITY or hard >= count, f"the hard limit of open files is {hard}"
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


class Client:
    """One connection of a crowd."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def read_response(self) -> tuple[int, bytes]:
        """Status and body of a response with a Content-Length."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        status = re.match(rb"HTTP/1\.1 ([0-9]{3}) ", head)
        length = re.search(rb"(?i)\r\ncontent-length: *([0-9]+)\r\n", head)
        assert status is not None and length is not None, head
        return int(status[1]), await self._reader.readexactly(int(length[1]))

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        await self.send(request)
        return await self.read_response()

    async def is_open(self) -> bool:
        """Whether the server has neither closed nor sent anything."""
        return not self._reader.at_eof()

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


@contextlib.asynccontextmanager
async def crowd(port: int, count: int, at_once: int = 200) -> AsyncIterator[list[Client]]:
    """Opens this many connections, and closes them at the end."""
    turn = asyncio.Semaphore(at_once)

    async def connect() -> Client:
        async with turn:
            return Client(*await asyncio.open_connection("127.0.0.1", port))

    clients = await asyncio.gather(*(connect() for _ in range(count)))
    try:
        yield clients
    finally:
        await asyncio.gather(*(client.close() for client in clients))


def run(story: Callable[[], Awaitable[Result]]) -> Result:
    """Runs a story to its end, which must come before the deadline."""

    async def bounded() -> Result:
        return await asyncio.wait_for(_awaited(story), DEADLINE)

    return asyncio.run(bounded())


async def _awaited(story: Callable[[], Awaitable[Result]]) -> Result:
    return await story()
