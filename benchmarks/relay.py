"""A relay that counts: every byte between central and a node, by what it was for."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Relay:
    """Forwards TCP connections to a port and counts bytes, headers included, by path."""

    def __init__(self, port: int) -> None:
        self.bytes: Counter[str] = Counter()
        self.port = 0
        self._target = port

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to_there = await asyncio.open_connection("127.0.0.1", self._target)
        path = ["?"]

        async def forward(
            source: asyncio.StreamReader, target: asyncio.StreamWriter, *, asks: bool
        ) -> None:
            while chunk := await source.read(256 * 1024):
                if asks and chunk.split(b" ", 1)[0] in (b"GET", b"POST"):
                    path[0] = chunk.split(b" ", 2)[1].partition(b"?")[0].decode()
                self.bytes[path[0]] += len(chunk)
                target.write(chunk)
                await target.drain()
            target.close()

        await asyncio.gather(
            forward(reader, to_there, asks=True),
            forward(there, writer, asks=False),
            return_exceptions=True,
        )


@asynccontextmanager
async def relay(port: int) -> AsyncIterator[Relay]:
    """A relay to a port of this machine, on a port of its own."""
    counting = Relay(port)
    server = await asyncio.start_server(counting.serve, "127.0.0.1", 0)
    counting.port = server.sockets[0].getsockname()[1]
    try:
        yield counting
    finally:
        server.close()
