"""A bad line: a TCP proxy between central and a node, whose ailments a test sets while it runs.

    async with toxic_proxy(("127.0.0.1", port)) as line:
        line.slow(latency_s=0.2)
        line.cut()
        line.heal()

What is sent towards the node goes "up", what it sends comes "down".
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal

from cluster.background import Background, background

Way = Literal["up", "down"]
READ_BYTES = 64 * 1024
LINGER_NONE = struct.pack("ii", 1, 0)  # closing sends a reset, and nothing that waits to be sent


class Toxic:
    """The line. Made by `toxic_proxy`; sound until told otherwise."""

    def __init__(self, target: tuple[str, int], tasks: Background) -> None:
        self.port = 0
        self.connections = 0  # accepted so far
        self.replies_dropped = 0
        self._target = target
        self._tasks = tasks
        self._writers: set[asyncio.StreamWriter] = set()
        self._may_pass = asyncio.Event()
        self.heal()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def heal(self) -> None:
        """What was held back is sent now; broken connections stay broken."""
        self._latency_s, self._rate = 0.0, 0.0
        self._break_after: dict[Way, int] = {}
        self._garble_at: dict[Way, int] = {}
        self._replies_to_drop = 0
        self._may_pass.set()

    def slow(self, *, latency_s: float = 0.0, rate: float = 0.0) -> None:
        """Each piece comes later, and no more than `rate` bytes a second; 0: as fast as it can."""
        self._latency_s, self._rate = latency_s, rate

    def cut(self) -> None:
        """Half open: connections are accepted and stay, and nothing passes any more."""
        self._may_pass.clear()

    def break_after(self, count: int, way: Way = "down") -> None:
        """Every connection is reset once so many bytes of it have passed; open ones now."""
        self._break_after[way] = count
        self.reset()

    def garble(self, at: int, way: Way = "down") -> None:
        """This byte of every connection is another one; those that are open are reset."""
        self._garble_at[way] = at
        self.reset()

    def drop_reply(self, count: int = 1) -> None:
        """So many requests reach the node, and their senders see a reset instead of the reply."""
        self._replies_to_drop += count

    def reset(self) -> None:
        """Break all connections that are open; new ones are welcome."""
        for writer in list(self._writers):
            _reset(writer)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._tasks.start(self._carry(reader, writer), "connection")

    async def _carry(self, near: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        self._writers.add(answer)
        try:
            far, ask = await asyncio.open_connection(*self._target)
        except OSError:
            _reset(answer)
            self._writers.discard(answer)
            return
        pumps = (self._pump(near, ask, "up"), self._pump(far, answer, "down"))
        tasks = {self._tasks.start(pump, "pump") for pump in pumps}
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if any(task.result() == "broken" for task in ended):
                _reset(answer)
        finally:
            self._writers.discard(answer)
            for task in tasks:
                task.cancel()
            for writer in (ask, answer):
                writer.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way
    ) -> Literal["ended", "broken"]:
        """Pass on what comes this way."""
        passed = 0
        with suppress(ConnectionError):
            while piece := await reader.read(self._piece_bytes()):
                await asyncio.sleep(
                    self._latency_s + (len(piece) / self._rate if self._rate else 0)
                )
                await self._may_pass.wait()
                if way == "down" and self._replies_to_drop:
                    self._replies_to_drop -= 1
                    self.replies_dropped += 1
                    return "broken"
                left = self._break_after.get(way, passed + len(piece)) - passed
                writer.write(self._garbled(piece, passed, way)[: max(0, left)])
                await writer.drain()
                passed += len(piece)
                if left < len(piece) or passed == self._break_after.get(way):
                    return "broken"
        return "ended"

    def _piece_bytes(self) -> int:
        return max(1, int(self._rate / 20)) if self._rate else READ_BYTES

    def _garbled(self, piece: bytes, passed: int, way: Way) -> bytes:
        """The piece, which begins after so many bytes, with the byte that is to be another."""
        at = self._garble_at.get(way, -1) - passed
        if not 0 <= at < len(piece):
            return piece
        return piece[:at] + bytes([piece[at] ^ 0x01]) + piece[at + 1 :]


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset."""
    if not writer.is_closing():
        connection: socket.socket = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)
        writer.transport.abort()


@asynccontextmanager
async def toxic_proxy(target: tuple[str, int]) -> AsyncIterator[Toxic]:
    """A line to this address, on a free port of this machine."""
    async with background() as tasks:
        line = Toxic(target, tasks)
        server = await asyncio.start_server(line.accept, "127.0.0.1", 0)
        line.port = server.sockets[0].getsockname()[1]
        try:
            yield line
        finally:
            server.close()
