"""A TCP proxy before a server that can fall silent: connections stay up and nothing passes any more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Proxy:
    """The way to a server; `silence` closes it without a word to either side."""

    def __init__(self, port: int) -> None:
        self._to = port
        self.port = 0
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.crossed = 0  # bytes, both ways

    def silence(self) -> None:
        """From now on nothing passes."""
        self._open.clear()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Takes a connection."""
        theirs = await asyncio.open_connection("127.0.0.1", self._to)
        ways = [self._pass(reader, theirs[1]), self._pass(theirs[0], writer)]
        self._tasks |= {asyncio.create_task(way) for way in ways}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError):
                while data := await reader.read(65536):
                    await self._open.wait()
                    self.crossed += len(data)
                    writer.write(data)
                    await writer.drain()
        finally:
            writer.close()

    async def close(self) -> None:
        """Ends all connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def proxy(port: int) -> AsyncIterator[Proxy]:
    """A proxy to a port of this machine, until the context ends."""
    made = Proxy(port)
    server = await asyncio.start_server(made.accept, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        try:
            yield made
        finally:
            await made.close()
