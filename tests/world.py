"""The world that tests play in: real nodes and a real central as processes, and verbs to hurt them.

    async with world(tmp_path) as w:
        node = await w.node("n1", line=True)
        await w.pull("n1")
        w.lines["n1"].cut()
        node.kill()

Everything listens on free loopback ports.
"""

import asyncio
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from cluster.exchange import Nothing
from cluster.peer import Peer, PeerFailed, open_session
from cluster.protocol import central, node
from cluster.protocol.shared import Receipt
from cluster.protocol.views import NodeView, Run
from tests.invariants import Verdict, check
from tests.program import TOKEN, Program, free_port, until
from tests.toxic import Toxic, toxic_proxy


def lines(count: int, start: int = 0) -> bytes:
    """Rows to be posted as NDJSON, each another one."""
    return b"".join(
        b'{"stream":"t","ts":%d,"payload":{"n": %d, "text":"line  %d"}}\n' % (i, i, i)
        for i in range(start, start + count)
    )


class World:
    """One central and its nodes. Made by `world`."""

    def __init__(
        self,
        folder: Path,
        peers: Callable[[str], Peer],
        open_lines: AsyncExitStack,
        poll_interval_s: float,
        *central: str,
    ) -> None:
        self._folder = folder
        self._peers = peers
        self.ntp_port = free_port(socket.SOCK_DGRAM)
        self.central = Program(
            peers,
            "central",
            folder / "central",
            *("--ntp-port", str(self.ntp_port), "--poll-interval", str(poll_interval_s)),
            *central,
        )
        self.nodes: dict[str, Program] = {}
        self.lines: dict[str, Toxic] = {}  # between central and those nodes that have one
        self.clones: list[Program] = []
        self._open_lines = open_lines

    async def node(
        self,
        name: str,
        *args: str,
        source: str = "none",
        ntp: Sequence[str] = (),
        line: bool = False,
    ) -> Program:
        """Start a node, and return when central says that it is up.

        `ntp`: instead of central. `line`: central reaches it over `lines[name]`, to be hurt.
        """
        program = self._make(name, *args, source=source, ntp=ntp)
        if line:
            proxy = toxic_proxy(("127.0.0.1", program.port))
            self.lines[name] = await self._open_lines.enter_async_context(proxy)
            program.advertise(self.lines[name].url)
        self.nodes[name] = program
        await program.start()
        await self.until_live(name, "up")
        return program

    async def clone(self, name: str) -> Program:
        """Start a copy of a killed node's disk beside it: the same name, another address."""
        copy = self._make(name, folder=f"{name}-clone")
        await asyncio.to_thread(shutil.copytree, self.nodes[name].folder, copy.folder)
        self.clones.append(copy)
        await copy.start()
        return copy

    def _make(
        self,
        name: str,
        *args: str,
        folder: str | None = None,
        source: str = "none",
        ntp: Sequence[str] = (),
    ) -> Program:
        return Program(
            self._peers,
            "node",
            self._folder / (folder or name),
            *("--name", name, "--source", source, "--central", self.central.url),
            *(f"--ntp={server}" for server in ntp or [f"127.0.0.1:{self.ntp_port}"]),
            *args,
        )

    async def view(self, name: str) -> NodeView:
        return await self.central.call(central.NODE, central.Named(name))

    async def until_live(self, name: str, live: str, within_s: float = 20.0) -> None:
        async def reached() -> bool:
            try:
                return (await self.view(name)).live == live
            except PeerFailed:
                return False

        await until(reached, f"{name} is {live}", within_s)

    async def post(self, name: str, lines: bytes) -> Receipt:
        """POST rows as NDJSON to a node."""
        return await self.nodes[name].peer.call(node.APPEND, Nothing(), timeout_s=20, body=lines)

    async def poll(self, name: str) -> NodeView:
        return await self.central.call(central.POLL, central.Named(name))

    async def pull(self, name: str, mode: str = "incremental") -> Run:
        """Pull, and return the run when it has ended."""
        ask = central.PullAsk(name, mode)  # type: ignore[arg-type]  # a test may try any word
        return await self.ended(await self.central.call(central.PULL, ask))

    async def push(self, name: str, mode: str = "missing") -> Run:
        ask = central.PushAsk(name, mode)  # type: ignore[arg-type]  # a test may try any word
        return await self.ended(await self.central.call(central.PUSH, ask))

    async def ended(self, run: Run, within_s: float = 60.0) -> Run:
        """The run when it has ended, whatever happens to central meanwhile."""
        latest = run

        async def has_ended() -> bool:
            nonlocal latest
            try:
                latest = await self.central.call(central.RUN, central.RunId(run.id))
            except PeerFailed:
                return False
            return latest.ended_already

        await until(has_ended, f"{run.kind} {run.id} ends, is {latest.state}", within_s)
        return latest

    async def waiting(self, run: Run) -> Run:
        """The run, once its lane has seen that the node is down."""
        ask = central.RunId(run.id)

        async def waits() -> bool:
            return (await self.central.call(central.RUN, ask)).state == "waiting"

        await until(waits, f"{run.kind} {run.id} waits")
        return await self.central.call(central.RUN, ask)

    def verdict(self, name: str, acknowledged: frozenset[bytes] = frozenset()) -> Verdict:
        """What the invariants say of one node."""
        return check(
            name,
            self.nodes[name].folder / "node.db",
            self.central.folder / "central.db",
            acknowledged,
        )

    async def journal(self, *kinds: str) -> list[str]:
        """What central's journal says, oldest first: "node kind" of each line of these kinds."""
        asks = [central.JournalAsk(kind=kind, limit=5_000) for kind in kinds]
        pages = [await self.central.call(central.JOURNAL, ask) for ask in asks]
        lines = sorted((line for page in pages for line in page.lines), key=lambda line: line.seq)
        return [f"{line.node} {line.kind}" for line in lines]

    def stop(self) -> None:
        for program in (*self.nodes.values(), *self.clones, self.central):
            if program.process is not None:
                program.process.send_signal(signal.SIGCONT)
                program.kill()


@asynccontextmanager
async def world(folder: Path, poll_interval_s: float = 0.2, *central: str) -> AsyncIterator[World]:
    """A central with flags of its own, ready for nodes. Everything is killed at the end."""
    async with open_session() as session, AsyncExitStack() as open_lines:
        made = World(
            folder,
            lambda url: Peer(session, url, TOKEN),
            open_lines,
            poll_interval_s,
            *central,
        )
        try:
            await made.central.start()
            yield made
        finally:
            made.stop()
