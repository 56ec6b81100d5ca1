"""A line: a bare TCP connection, on which anything can be said at any pace."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from tests.protocol.conftest import TOKEN, Answer, Api

HOST = b"Host: localhost\r\n"
AUTH = HOST + f"Authorization: Bearer {TOKEN}\r\n".encode()
#: How long a test waits for what should come at once, on a machine that has much else to do.
PATIENCE_S = 15.0


def get(path: str) -> bytes:
    """A whole request."""
    return f"GET {path} HTTP/1.1\r\n".encode() + AUTH + b"\r\n"


class Line:
    """One connection to a service."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, content: bytes) -> None:
        self._writer.write(content)
        async with asyncio.timeout(PATIENCE_S):
            await self._writer.drain()

    def send_some(self, content: bytes) -> None:
        """Without waiting for the other side to take it."""
        self._writer.write(content)

    async def answer(self) -> Answer:
        """The next whole answer."""
        async with asyncio.timeout(PATIENCE_S):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.split("\r\n")
            headers: Mapping[str, str] = dict(line.split(": ", 1) for line in lines if line)
            body = await self._reader.readexactly(int(headers.get("Content-Length", 0)))
        assert b"Traceback" not in body
        return Answer(int(first.split()[1]), headers, body)

    async def take(self, size: int) -> bytes:
        """At most so many bytes of whatever comes."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._reader.read(size)

    async def is_closed(self) -> bool:
        """True once the other side has closed; nothing may come before that."""
        try:
            return not await self.take(1)
        except ConnectionError:
            return True


@asynccontextmanager
async def line(api: Api, *, own: str | None = None, room: int | None = None) -> AsyncIterator[Line]:
    """A line to a service, from the address `own`, which takes about `room` bytes unread."""
    with socket.socket() as sock:
        sock.setblocking(False)
        if room is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        if own is not None:
            sock.bind((own, 0))
        await asyncio.get_running_loop().sock_connect(sock, (api.base.host, api.base.port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=room or 2**16)
        try:
            yield Line(reader, writer)
        finally:
            writer.transport.abort()
