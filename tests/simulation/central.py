"""A simulated central: the parts of `central.app` without HTTP, time server and watches."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any, cast

from central.board import Board
from central.context import Context
from central.fleet import Fleet
from central.journal import Journal
from central.pulse import TOLD_AFTER
from central.runs import Runs
from central.store import open_central_store
from cluster.background import background
from cluster.exchange import Exchange
from cluster.protocol.central import Hello
from cluster.protocol.views import JournalLine, NodeView, Run
from cluster.throttle import UNLIMITED
from tests.simulation.machine import Machine, Process
from tests.simulation.network import Line, Network, Trace

URL = "http://central:1"
POLL_EVERY_S = 30.0
PULL_EVERY_S = 180.0
RUNS_AT_ONCE = 4


class Central(Machine):
    """The machine on which central runs."""

    def __init__(self, network: Network, rng: Random) -> None:
        super().__init__("central", rng)
        self.network = network
        self.lives: list[CentralProcess] = []

    @property
    def process(self) -> "CentralProcess | None":
        return cast("CentralProcess | None", self.running)

    def new_process(self) -> "CentralProcess":
        self.lives.append(CentralProcess(self, Random(f"{self.rng.random()}")))
        return self.lives[-1]

    async def off(self) -> None:
        self.network.listening.pop(URL, None)
        await super().off()


class CentralProcess(Process):
    """One life of central. `board` remembers what it has shown."""

    def __init__(self, central: Central, rng: Random) -> None:
        super().__init__(rng)
        self._central = central
        self.board = WatchedBoard(self, central.network.trace)
        self.fleet: Fleet
        self.runs: Runs

    async def live(self) -> None:
        central, clock = self._central, self._central.clock()
        async with AsyncExitStack() as stack:
            store = await stack.enter_async_context(open_central_store(Path("/central")))
            journal = Journal(store.database, clock.now_us, self.board.show_line)
            await journal.load()
            stack.push_async_callback(self._last_lines, journal)
            tasks = await stack.enter_async_context(background())
            self.runs = Runs(store.database, self.board, journal, clock.now_us)
            context = Context(
                store,
                self.board,
                journal,
                self.runs,
                clock,
                tasks,
                asyncio.Semaphore(RUNS_AT_ONCE),
                RUNS_AT_ONCE,
                POLL_EVERY_S,
                self._peer,  # type: ignore[arg-type]
                pull_every_s=PULL_EVERY_S,
                rng=self.rng,
            )
            self.fleet = Fleet(context)
            tasks.start(journal.run(), "journal")
            journal.write("info", "central-started", "central started")
            await self.runs.load()
            self.board.loaded = True
            await self.fleet.load()
            central.network.listening[URL] = self
            self.ready.set()
            await self._end.wait()
            central.network.listening.pop(URL, None)
            journal.write("info", "central-stopping", "central stops")

    async def _last_lines(self, journal: Journal) -> None:
        if self.alive:
            await journal.close()

    def open_runs(self) -> list[Run]:
        return [run for node in self.fleet.lanes() for run in self.runs.open_of(node.name)]

    def _peer(self, url: str, name: str | None = None, throttle: object = UNLIMITED) -> Line:
        return Line(self._central.network, self, url.split("/")[2].split(":")[0], url)

    async def answer(
        self, exchange: Exchange[Any, Any], ask: Any, body: bytes | None, headers: Mapping[str, str]
    ) -> NodeView:
        """There is one question that a node has."""
        assert isinstance(ask, Hello)
        return (await self.fleet.greet(ask)).view()


class WatchedBoard(Board):
    """Remembers what consoles were shown."""

    def __init__(self, process: Process, trace: Trace) -> None:
        super().__init__()
        self.changes: list[tuple[str, str]] = []  # (name, kind of line), which is to be told once
        self.shown: set[int] = set()  # runs
        self.ended: list[Run] = []
        self.told: list[JournalLine] = []
        self.loaded = False  # what is shown before is of an earlier life
        self._process = process
        self._trace = trace

    def show_node(self, view: NodeView) -> None:
        before = self.nodes.get(view.name)
        super().show_node(view)
        if self._process.alive and before is not None and (word := _change(before, view)):
            self.changes.append((view.name, f"node-{word}"))

    def show_run(self, run: Run) -> None:
        super().show_run(run)
        self.shown.add(run.id)
        if self._process.alive and self.loaded and run.ended_already:
            self.ended.append(run)

    def show_line(self, line: JournalLine) -> None:
        super().show_line(line)
        if self._process.alive and self.loaded:
            self.told.append(line)
            self._trace.note(f"{line.seq} {line.kind} {line.node} {line.text}")


def _change(before: NodeView, now: NodeView) -> str | None:
    """What has become of a node and is worth a line, by what consoles see."""
    if now.flapping != before.flapping:
        return "flapping" if now.flapping else "steady"
    if now.flapping:
        return None
    if now.live == "up" != before.live:
        return "up" if before.live == "new" or before.failures >= TOLD_AFTER else None
    if now.live == "suspect" and before.failures < now.failures == TOLD_AFTER:
        return "suspect"
    return "down" if now.live == "down" != before.live else None
