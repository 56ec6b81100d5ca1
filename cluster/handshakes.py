"""TLS handshakes: how many may be under way at a time, and for how long.

asyncio takes any number of connections and waits a minute for each to shake hands; aiohttp, and so
the door, hears of one only when it has. Whoever connected and said nothing would cost everybody
else a descriptor, from anywhere, without a token. So here the connections are taken one by one:
when too many are shaking hands, the one that has been at it for longest leaves.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from cluster import door
from cluster.background import Background, background
from cluster.door import DOOR, Door, address_of
from cluster.handler import Runner

HANDSHAKE_S = 10.0
SHAKING_MAX = 512
GONE = {errno.ECONNABORTED, errno.EPROTO}  # who came
DEAF = {errno.EBADF, errno.EINVAL, errno.ENOTSOCK}  # it does not listen
NO_ROOM_S = 0.5  # until it is tried again; the kernel keeps who waits


@asynccontextmanager
async def listening(
    runner: Runner, listener: socket.socket, tls: ssl.SSLContext | None
) -> AsyncIterator[None]:
    """Take connections in while open, over TLS if there is any. The runner closes them later."""
    if tls is None:
        await web.SockSite(runner, listener).start()
        yield
        return
    with listener:
        async with background() as tasks:
            tasks.start(Handshakes(runner, tls, tasks).take(listener), "handshakes")
            yield


class Handshakes:
    """Those of one service."""

    def __init__(self, runner: Runner, tls: ssl.SSLContext, tasks: Background) -> None:
        assert runner.server is not None, "it is set up before"
        self._server = runner.server
        self._door: Door = runner.app[DOOR]
        self._tls = tls
        self._tasks = tasks
        self._shaking: dict[asyncio.Task[None], str | None] = {}  # addresses; the oldest first

    async def take(self, listener: socket.socket) -> None:
        """Take who comes, for ever."""
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        while True:
            try:
                line, peer = await loop.sock_accept(listener)
            except OSError as error:
                if error.errno in DEAF:
                    raise
                await self._wait_for_room(error)
                continue
            self._make_room(address := address_of(peer))
            task = self._tasks.start(self._shake(line), "handshake")
            self._shaking[task] = address
            task.add_done_callback(lambda task: self._shaking.pop(task, None))
            await asyncio.sleep(0)  # while many wait, nothing above gives others their turn

    async def _wait_for_room(self, error: OSError) -> None:
        """Nobody could be taken in. What is not of one connection only may last."""
        if error.errno in GONE:
            await asyncio.sleep(0)
            return
        if self._shaking:
            self._let_leave(next(iter(self._shaking)))
        await asyncio.sleep(NO_ROOM_S)

    def _make_room(self, address: str | None) -> None:
        """See that one more may begin."""
        alike = [task for task, other in self._shaking.items() if other == address]
        crowded = address is not None and len(alike) >= door.ADDRESS_MAX
        if crowded or len(self._shaking) >= SHAKING_MAX:
            self._let_leave(alike[0] if crowded else next(iter(self._shaking)))

    def _let_leave(self, task: asyncio.Task[None]) -> None:
        del self._shaking[task]
        task.cancel()
        self._door.cut("made_room")

    async def _shake(self, line: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                self._server, line, ssl=self._tls, ssl_handshake_timeout=HANDSHAKE_S
            )
        except OSError:  # TLS's own errors are among these
            self._door.cut("handshake")
        except asyncio.CancelledError:
            line.close()
            raise
