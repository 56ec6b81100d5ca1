"""A central and nodes in the test's own loop that trust by files, as in the field."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from central import app as central_app
from central.settings import CentralSettings
from cluster.exchange import AskT, Exchange, ReplyT
from cluster.handshakes import listening
from cluster.peer import Peer, open_session
from cluster.protocol import central
from cluster.protocol.views import NodeView
from cluster.server import base_url, bind, runner_of
from cluster.trust.member import Trust, open_tls, open_trust
from cluster.trust.settings import CallerSettings
from node import app as node_app
from node.settings import NodeSettings
from tests.program import until

POLL_S = 0.2


class Members:
    """Tokens are in `tokens/`; settings and files are given by the tests."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self.folder = folder
        self._stack = stack
        (folder / "tokens").mkdir()
        self.operator = self.token("operators", "an-operator-of-tests-0123456789")
        self.trust: dict[str, Trust] = {}
        self.url = ""

    def token(self, name: str, *lines: str) -> str:
        """A token file with these lines, or with one that is made; its path."""
        path = self.folder / "tokens" / name
        path.touch(mode=0o600)
        made = path.with_name(f"{name}.new")
        made.touch(mode=0o600)
        made.write_text("\n".join(lines or [secrets.token_hex(32)]) + "\n")
        made.replace(path)
        return str(path)

    async def central(self, **settings: Any) -> str:
        """Start central; its address."""
        settings = dict[str, Any](token_file=self.operator, poll_interval=POLL_S) | settings
        made = CentralSettings(data=str(self.folder / "central"), ntp_port=0, **settings)
        self.trust["central"] = trust = open_trust("central", made, {})
        self.url = await self._serve(trust, lambda _: central_app.build_app(made, trust))
        return self.url

    async def node(self, name: str, **settings: Any) -> str:
        """Start a node; its address."""
        settings = dict[str, Any](token_file=self.operator, central=self.url) | settings
        made = NodeSettings(name=name, data=str(self.folder / name), source="none", **settings)
        self.trust[name] = trust = open_trust("node", made, {})
        return await self._serve(trust, lambda url: node_app.build_app(made, trust, url))

    async def _serve(self, trust: Trust, build: Any) -> str:
        listener = bind("127.0.0.1", 0)
        url = base_url(listener, trust.tls.serving)
        runner = runner_of(build(url))
        self._stack.push_async_callback(runner.cleanup)
        await runner.setup()
        await self._stack.enter_async_context(listening(runner, listener, trust.tls.serving))
        return url

    async def peer(self, url: str, token: str, **files: str) -> Peer:
        """Somebody who asks, with a token and what TLS needs."""
        tls = open_tls(CallerSettings(**{f"tls_{name}": path for name, path in files.items()}))
        session = await self._stack.enter_async_context(open_session(tls.calling))
        return Peer(session, url, token)

    async def until_up(self, peer: Peer, name: str) -> NodeView:
        return await self.until(peer, name, lambda view: view.live == "up")

    async def until(self, peer: Peer, name: str, holds: Any) -> NodeView:
        """What central says of a node, once it says so."""
        views: list[NodeView] = []

        async def seen() -> bool:
            found = await ask(peer, central.NODES)
            views[:] = [view for view in found.nodes if view.name == name and holds(view)]
            return bool(views)

        await until(seen, f"central says so of {name}")
        return views[0]


async def ask(peer: Peer, exchange: Exchange[AskT, ReplyT], asked: Any = None) -> ReplyT:
    return await peer.call(exchange, asked or exchange.ask(), timeout_s=10)


@asynccontextmanager
async def members(folder: Path) -> AsyncIterator[Members]:
    async with AsyncExitStack() as stack:
        yield Members(folder, stack)
