"""A real central and real nodes in the test's own loop, on real files and sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from aiohttp import web

from central import app as central_app
from central.settings import CentralSettings
from cluster.exchange import AskT, Exchange, Nothing, ReplyT
from cluster.peer import Peer, open_session
from cluster.protocol import central
from cluster.protocol import node as node_protocol
from cluster.protocol.views import NodeView
from cluster.server import base_url, bind, runner_of
from cluster.trust.member import Trust
from node import app as node_app
from node.settings import NodeSettings
from tests.program import TOKEN, until
from tests.world import lines

POLL_S = 0.4  # its timeout is 0.32 s: less would be missed on a busy machine


class Fleet:
    """Its nodes' records are made by hand, so that every count is known."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._servers: dict[str, web.AppRunner] = {}
        self.urls: dict[str, str] = {}
        self.url = ""

    async def open(self, viewer_token: str | None = None) -> None:
        """Start central."""
        self._session = await self._stack.enter_async_context(open_session())
        settings = CentralSettings(
            data=str(self._folder / "central"), ntp_port=0, poll_interval=POLL_S
        )
        self.url = await self._serve(
            "central", central_app.build_app(settings, Trust.of(TOKEN, viewer_token))
        )
        self._peer = Peer(self._session, self.url, TOKEN)

    async def node(self, name: str, records: int = 0, *, hello: bool = True) -> str:
        """Start a node with so many records; return its address when central has seen them."""
        listener = bind("127.0.0.1", 0)
        url = base_url(listener)
        settings = NodeSettings(
            name=name,
            data=str(self._folder / name),
            central=self.url if hello else None,
            source="synthetic",
            rate=0.0,
            ntp=(f"127.0.0.1:{await self._ntp_port()}",),
        )
        app = node_app.build_app(settings, TOKEN, url)
        self.urls[name] = await self._serve(name, app, listener)
        if hello:
            await self.until(lambda view: view.live == "up", name)
        if records:
            await self.post(name, records)
            if hello:
                await self.until(lambda view: view.records.node == records, name)
        return url

    async def post(self, name: str, records: int) -> None:
        peer = Peer(self._session, self.urls[name], TOKEN)
        await peer.call(node_protocol.APPEND, Nothing(), timeout_s=10, body=lines(records))

    async def stop(self, name: str) -> None:
        """It is gone: nobody listens there any more."""
        await self._servers.pop(name).cleanup()

    async def call(self, exchange: Exchange[AskT, ReplyT], ask: AskT) -> ReplyT:
        return await self._peer.call(exchange, ask, timeout_s=10)

    async def view(self, name: str) -> NodeView:
        return await self.call(central.NODE, central.Named(name))

    async def until(self, holds, name: str, within_s: float = 10.0) -> None:  # type: ignore[no-untyped-def]
        """Until central says so of this node."""

        async def seen() -> bool:
            found = await self.call(central.NODES, Nothing())
            return any(view.name == name and holds(view) for view in found.nodes)

        await until(seen, f"central sees {name} so", within_s)

    async def _ntp_port(self) -> int:
        return (await self.call(central.STATUS, Nothing())).time.port

    async def _serve(self, name: str, app: web.Application, listener=None) -> str:  # type: ignore[no-untyped-def]
        listener = listener or bind("127.0.0.1", 0)
        runner = runner_of(app)
        self._servers[name] = runner
        await runner.setup()
        await web.SockSite(runner, listener).start()
        return base_url(listener)

    async def close(self) -> None:
        await asyncio.gather(*(runner.cleanup() for runner in reversed(self._servers.values())))


@asynccontextmanager
async def real_fleet(folder: Path, viewer_token: str | None = None) -> AsyncIterator[Fleet]:
    """A central without nodes yet."""
    async with AsyncExitStack() as stack:
        fleet = Fleet(folder, stack)
        try:
            await fleet.open(viewer_token)
            yield fleet
        finally:
            await fleet.close()
