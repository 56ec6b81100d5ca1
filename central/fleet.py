"""The fleet: every node's lane, and how nodes come and go."""

import asyncio
from contextlib import suppress

from central.context import Context
from central.lane import POLL_TIMEOUT_MAX_S, Lane
from central.link import Link, unreachable
from cluster.clock.verdict import word_of
from cluster.peer import PeerFailed
from cluster.problem import Refusal
from cluster.protocol.central import Gone, Hello, NodeChange, NodeFound
from cluster.protocol.views import Run, RunKind, StateCounts

REMOVED = "an operator removes the node"


class Fleet:
    """All lanes, by name."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lanes: dict[str, Lane] = {}
        self._twins: set[str] = set()  # told of already
        self._changing = asyncio.Lock()  # nodes come, go and are asked one by one

    async def load(self) -> None:
        """Start the lanes of the nodes that central knew before."""
        for name, url, pull_every_s in await self._context.store.nodes():
            self._start(name, url, pull_every_s)

    def lanes(self) -> list[Lane]:
        """By name."""
        return [lane for _, lane in sorted(self._lanes.items())]

    def lane(self, name: str) -> Lane:
        """Refusal `unknown_node` when there is none."""
        if name not in self._lanes:
            raise Refusal("unknown_node", f"no node {name} here; see GET /v1/nodes")
        return self._lanes[name]

    async def greet(self, hello: Hello) -> Lane:
        """A node is new, has moved, or is just there: poll it at once.

        Refusal `node_removed` when an operator removed it and none has added it again,
        `name_taken` while another node of this name is at its old address, and not yet down.
        """
        await self._ask_old_address(hello)
        async with self._changing:
            if hello.name not in self._lanes:
                await self._add(hello)
            lane = self._lanes[hello.name]
            if lane.url != hello.url:
                self._refuse_twin(lane, hello)
                await self._move(lane, hello.url)
            lane.wake()
            return lane

    async def change(self, change: NodeChange) -> Lane:
        """A node has another address, or is to be pulled at another pace."""
        async with self._changing:
            lane = self.lane(change.name)
            if change.url is not None:
                await self._move(lane, change.url)
            if change.pull_every is not None:
                await self._context.store.set_pull_every(lane.name, change.pull_every)
                lane.equality.pull_every_s = change.pull_every
                self._tell("pull-every", f"pulled every {change.pull_every:g} s", lane.name)
            lane.wake()
            return lane

    async def remove(self, name: str) -> Gone:
        """Stop polling a node and end its runs; its records stay."""
        async with self._changing:
            lane = self.lane(name)
            for run in self._context.runs.open_of(name):
                await lane.runner.cancel(run, why=REMOVED)
            kept = await self._context.store.remove_node(name)
            del self._lanes[name]  # first: whoever has asked it for a poll is told by its stop
            await lane.stop()
            self._context.board.drop_node(name)
            self._tell("node-removed", f"removed; {kept} records stay here", name)
            await self._context.runs.find_unknown(name)
            for run in self._context.runs.open_of(name):  # scheduled by a last poll
                await self._context.runs.end(run, state="cancelled", error=REMOVED)
            return Gone(name, kept)

    async def test(self, url: str) -> NodeFound:
        """Ask an address once who is there. Refusal `node_unreachable` when nobody answers so."""
        link = Link(self._context.peer(url), "")
        try:
            polled = await link.anybody(POLL_TIMEOUT_MAX_S)
        except PeerFailed as failure:
            raise unreachable(failure) from None
        status = polled.status
        limits = self._context.clock_limits
        return NodeFound(
            name=status.node,
            rtt_ms=round(polled.rtt_s * 1000, 3),
            version=status.version,
            epoch=status.epoch,
            records=status.records.count,
            drift_ms=status.clock.drift_ms,
            bound_ms=status.clock.bound_ms,
            clock_word=word_of(status.clock, status.uptime_s, limits),
            known_as=status.node if status.node in self._lanes else None,
        )

    async def ask_run(self, name: str, kind: RunKind, mode: str) -> Run:
        """Queue a run for a node."""
        async with self._changing:
            return await self._ask(self.lane(name), kind, mode)

    async def ask_all(self, kind: RunKind, mode: str) -> list[Run]:
        """Queue a run for each node."""
        async with self._changing:
            asked = [self._ask(lane, kind, mode) for lane in self.lanes()]
            # Together, as they share their commits; to the end, as none may outlive the lock.
            runs = await asyncio.gather(*asked, return_exceptions=True)
        for run in runs:
            if isinstance(run, BaseException):
                raise run
        return [run for run in runs if isinstance(run, Run)]

    async def cancel(self, run: Run) -> Run:
        """End a run that has not ended."""
        if run.node not in self._lanes:
            return await self._context.runs.end(run, state="cancelled")
        return await self._lanes[run.node].runner.cancel(run)

    async def _ask(self, lane: Lane, kind: RunKind, mode: str) -> Run:
        try:
            return await self._context.runs.ask(lane.name, kind, mode)
        finally:  # one that was refused before may have been found
            lane.runner.run_asked()

    async def _ask_old_address(self, hello: Hello) -> None:
        """Poll where the node was before. Others come and go meanwhile, and it may itself."""
        lane = self._lanes.get(hello.name)
        if lane is not None and lane.url != hello.url and hello.boot is not None:
            with suppress(Refusal):
                await lane.poll_now()

    def _refuse_twin(self, lane: Lane, hello: Hello) -> None:
        """Refusal `name_taken` unless the node at the old address is down, or the same."""
        if hello.boot is None:
            return  # an operator knows what he does
        if lane.live not in ("up", "suspect") or lane.boot in (None, hello.boot):
            return
        if lane.live == "up" and hello.url not in self._twins:
            self._twins.add(hello.url)
            text = f"another node of this name is at {hello.url}"
            self._context.journal.write("warning", "name-taken", text, lane.name)
        raise Refusal(
            "name_taken",
            f"{lane.name} is {lane.live} at {lane.url}; give --name another, or wait until it "
            "is down",
        )

    async def _add(self, hello: Hello) -> None:
        if hello.boot is not None and await self._context.store.is_removed(hello.name):
            raise Refusal("node_removed", f"add {hello.name} again to poll it")
        await self._context.store.add_node(hello.name, hello.url)
        self._tell("node-added", f"added at {hello.url}", hello.name)
        self._start(hello.name, hello.url)

    async def _move(self, lane: Lane, url: str) -> None:
        await self._context.store.add_node(lane.name, url)
        self._tell("node-moved", f"moved from {lane.url} to {url}", lane.name)
        lane.move(url)

    def counts(self) -> StateCounts:
        """Nodes by state."""
        lanes = self._lanes.values()
        live = [lane.live for lane in lanes]
        return StateCounts(
            live.count("new"),
            live.count("up"),
            live.count("suspect"),
            live.count("down"),
            sum(lane.equality.judgement.data == "in_sync" and lane.live == "up" for lane in lanes),
        )

    def _start(self, name: str, url: str, pull_every_s: float | None = None) -> None:
        self._lanes[name] = lane = Lane(self._context, name, url)
        if pull_every_s is not None:
            lane.equality.pull_every_s = pull_every_s
        lane.start()

    def _tell(self, kind: str, text: str, name: str) -> None:
        self._context.journal.write("info", kind, text, name)
