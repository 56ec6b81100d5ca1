"""A simulated node: the real store, append, retention and greeter, and clients that write.

Each record has a number of its own, so it is known later which of them was acknowledged.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any, cast

from cluster.exchange import Exchange
from cluster.problem import Refusal
from cluster.protocol import node as protocol
from node.hello import Greeter
from node.retention import Limits
from node.store import Draft, NodeStore, open_node_store
from tests.near import NearNode
from tests.simulation.machine import Machine, Process
from tests.simulation.network import Line, Network

WRITE_EVERY_S = 90.0  # on average


class Node(Machine):
    """A machine on which a node runs."""

    def __init__(self, name: str, network: Network, rng: Random, limits: Limits) -> None:
        super().__init__(name, rng)
        self.network = network
        self.limits = limits
        self.written = 0
        self.acknowledged: set[str] = set()  # payloads
        self.faithful = True  # its disk was never another one
        self.quiet = False  # its clients write no more
        self._port = 1

    @property
    def url(self) -> str:
        return f"http://{self.name}:{self._port}"

    @property
    def process(self) -> "NodeProcess | None":
        return cast("NodeProcess | None", self.running)

    def new_process(self) -> "NodeProcess":
        return NodeProcess(self, Random(f"{self.rng.random()}"))

    async def off(self) -> None:
        self.network.listening.pop(self.url, None)
        await super().off()

    def move(self) -> None:
        """It will listen elsewhere."""
        self._port += 1


class NodeProcess(Process):
    """One life of a node."""

    def __init__(self, node: Node, rng: Random) -> None:
        super().__init__(rng)
        self._node = node
        self._near: NearNode
        self._greeter: Greeter

    async def live(self) -> None:
        node, clock = self._node, self._node.clock()
        async with AsyncExitStack() as stack:
            opening = open_node_store(Path(f"/{node.name}"), node.name, clock)
            store = await stack.enter_async_context(opening)
            boot = f"{self.rng.getrandbits(32):08x}"
            self._near = NearNode(store, clock, limits=node.limits, boot=boot)
            to_central = Line(node.network, self, node.name, "http://central:1")
            self._greeter = Greeter(
                to_central,  # type: ignore[arg-type]
                node.name,
                node.url,
                boot,
                self.rng,
            )
            node.network.listening[node.url] = self
            self.start(self._greeter.run())
            self.start(self._write_now_and_then(store))
            self.ready.set()
            await self._end.wait()
            node.network.listening.pop(node.url, None)

    async def answer(
        self, exchange: Exchange[Any, Any], ask: Any, body: bytes | None, headers: Mapping[str, str]
    ) -> Any:
        if exchange is protocol.STATUS:
            self._greeter.polled()
        return await self._near.answer(exchange, ask, body, headers)

    async def _write_now_and_then(self, store: NodeStore) -> None:
        while not self._node.quiet:
            await self.write(store, 1 + int(self.rng.expovariate(0.3)))
            await asyncio.sleep(self.rng.expovariate(1 / WRITE_EVERY_S))

    async def write(self, store: NodeStore, count: int) -> None:
        """Rows of a client, which remembers those that were acknowledged."""
        node = self._node
        first, node.written = node.written, node.written + count
        payloads = [f'{{"n":"{node.name}-{n}"}}' for n in range(first, node.written)]
        try:
            await store.store([Draft("t", payload) for payload in payloads])
        except Refusal:
            return
        if self.alive:
            node.acknowledged.update(payloads)

    async def burst(self, count: int) -> None:
        """Many rows at once."""
        await self.write(self._near.store, count)
