"""Nodes with nothing of the product in them: raw servers that say what a test wants.

    async with raw_nodes() as nodes:
        await nodes.open("n1")                   # healthy: an empty node
        await nodes.open("liar", says(b"*" * 99))

Cheap by the dozen, all in the test's own loop.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

from cluster.background import Background, background

Say = Callable[[asyncio.StreamWriter], Awaitable[None]]


def status(name: str, **lies: Any) -> dict[str, Any]:
    """What an empty node says of itself, but for the lies."""
    honest = {
        "node": name,
        "epoch": "e",
        "boot": "b",
        "version": "0",
        "now": 0,
        "records": {"count": 0, "last_position": 0, "digest": "0" * 16},
        "clock": {"status": "UNSYNC"},
        "source": {"kind": "none", "running": False, "rate": 0.0, "made": 0},
        "uptime_s": 0.0,
        "disk": {"database_bytes": 0, "free_bytes": 0, "total_bytes": 0},
    }
    return honest | lies


def http(body: bytes, code: int = 200, length: int | None = None, **headers: str) -> bytes:
    """An answer, which may lie about its length."""
    fields = {"Content-Type": "application/json", "Content-Length": str(length or len(body))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
    return f"HTTP/1.1 {code} Said\r\n{head}\r\n".encode() + body


def good(name: str, **lies: Any) -> bytes:
    """A healthy node's whole answer."""
    return http(json.dumps(status(name, **lies)).encode())


def says(content: bytes, *, then: Callable[[asyncio.StreamWriter], object] | None = None) -> Say:
    """Send this, and `then` perhaps do something with the connection."""

    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(content)
        await writer.drain()
        if then is not None:
            then(writer)

    return say


class RawNodes:
    """All that were opened. Made by `raw_nodes`."""

    def __init__(self, tasks: Background) -> None:
        self._tasks = tasks
        self._servers: list[asyncio.Server] = []
        self.urls: dict[str, str] = {}
        self.asked: dict[str, list[bytes]] = {}  # the heads of all requests, by node
        self.asked_s: dict[str, list[float]] = {}  # and when they came, by the loop's clock

    async def open(self, name: str, say: Say | None = None) -> str:
        """Start to listen; the URL."""
        say = say or says(good(name))
        self.asked[name], self.asked_s[name] = [], []

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._tasks.start(self._answer(name, say, reader, writer), name)

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        self._servers.append(server)
        self.urls[name] = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return self.urls[name]

    async def _answer(
        self, name: str, say: Say, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """One connection, request after request."""
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    self.asked[name].append(await reader.readuntil(b"\r\n\r\n"))
                    self.asked_s[name].append(asyncio.get_running_loop().time())
                    await say(writer)
        finally:
            writer.transport.abort()

    def close(self) -> None:
        for server in self._servers:
            server.close()


@asynccontextmanager
async def raw_nodes() -> AsyncIterator[RawNodes]:
    """They go when the block is left; what went wrong in it comes out as it is."""
    stack = AsyncExitStack()
    nodes = RawNodes(await stack.enter_async_context(background()))
    try:
        yield nodes
    finally:
        nodes.close()
        await stack.aclose()
