"""A simulated cluster: central, its nodes, and the network between, made from one seed.

Real: the stores with their SQLite, lanes, runners, runs, replication, standing, lineage, fleet,
journal, board, link, retention, greeter, the checks of pages and the messages. Simulated: time,
the network, disks and fsync, threads, and the machines' clocks. Left out: HTTP, TLS, tokens, NTP.
"""

import asyncio
import logging
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest

import central.lane
import central.store
import central.tally
import cluster.disk
import node.hello
import node.store
from central import page_size
from central.replication import Replication
from cluster import windows
from cluster.clock.base import tight_pair
from node.retention import Limits
from tests.near import NO_LIMITS
from tests.sides import BACKLOG, small_sizes
from tests.simulation.central import POLL_EVERY_S, Central
from tests.simulation.machine import Machine
from tests.simulation.network import Network, Trace
from tests.simulation.node import Node

NODES = 20
ROOM = shutil._ntuple_diskusage(1 << 40, 0, 1 << 40)
SPLITS = (16, 64, 256)  # records in a window
KEEP_DAYS = 120 / 86_400  # two minutes, where a node gives up what is old


class World:
    """All machines. `lost`: what went with a disk, by node."""

    def __init__(self, seed: str, trace: Trace) -> None:
        self.rng = Random(seed)
        self.trace = trace
        self.network = Network(Random(f"{seed} network"), trace)
        self.central = Central(self.network, Random(f"{seed} central"))
        self.prunes = self.rng.random() < 0.3
        self.nodes = [
            Node(f"n{number}", self.network, Random(f"{seed} n{number}"), self._limits(number))
            for number in range(NODES)
        ]
        self.broken: list[str] = []  # what was found on the way
        self.lost: dict[str, set[str]] = {one.name: set() for one in self.nodes}

    def _limits(self, number: int) -> Limits:
        return Limits(days=KEEP_DAYS) if self.prunes and number % 4 == 0 else NO_LIMITS

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Small sizes, and whatever would be of this machine is of this world."""
        machines: dict[str, Machine] = {f"/{one.name}": one for one in self.nodes}
        machines["/central"] = self.central
        chance = Random(f"{self.rng.random()}")
        loop = asyncio.get_running_loop()

        def open_database(path: Path, schema: object) -> object:
            return machines[str(path.parent)].open_database(path, schema)  # type: ignore[arg-type]

        with small_sizes(), pytest.MonkeyPatch.context() as patch:
            patch.setattr(windows, "SPLIT_ABOVE", self.rng.choice(SPLITS))
            for module in (node.store, central.store):
                patch.setattr(module, "open_database", open_database)
            patch.setattr(secrets, "token_hex", lambda size: chance.randbytes(size).hex())
            patch.setattr(secrets, "token_bytes", chance.randbytes)
            patch.setattr(secrets, "randbits", chance.getrandbits)
            patch.setattr(cluster.disk, "shutil", SimpleNamespace(disk_usage=lambda path: ROOM))
            patch.setattr(tight_pair, "__defaults__", (1,))  # all readings of a moment are alike
            patch.setattr(central.tally, "time", SimpleNamespace(monotonic=loop.time))
            patch.setattr(central.lane, "Replication", partial(Replication, backlog=BACKLOG))
            patch.setattr(page_size, "FIRST", 16)
            patch.setattr(page_size, "MOST", 64)
            patch.setattr(node.hello, "QUIET_S", POLL_EVERY_S * 3)
            patch.setattr(node.hello, "LOOK_EVERY_S", POLL_EVERY_S)
            level = logging.root.manager.disable
            logging.disable()
            try:
                yield
            finally:
                logging.disable(level)

    async def begin(self) -> None:
        await self.central.on()
        for one in self.nodes:
            await one.on()

    async def end(self) -> None:
        """Everything stops as after SIGTERM."""
        for machine in (self.central, *self.nodes):
            if machine.running is not None:
                await machine.running.end()
                machine.running = None

    @contextmanager
    def losing(self) -> Iterator[None]:
        """A disk becomes another one: what is on none any more cannot be asked for."""
        before = [payloads(one) | payloads(self.central, one.name) for one in self.nodes]
        yield
        for one, held in zip(self.nodes, before, strict=True):
            self.lost[one.name] |= held - payloads(one) - payloads(self.central, one.name)


def payloads(machine: Machine, name: str | None = None) -> set[str]:
    """What is stored on a disk, of one node or of all."""
    if machine.disk.is_empty:
        return set()
    query = "SELECT payload FROM records" + (" WHERE node = ?" if name else "")
    return {text for (text,) in machine.disk.sql.execute(query, (name,) if name else ())}


def ids(machine: Machine, name: str) -> set[bytes]:
    """Of a node's records on a disk."""
    rows = machine.disk.sql.execute("SELECT id FROM records WHERE node = ?", (name,))
    return {record_id for (record_id,) in rows}
