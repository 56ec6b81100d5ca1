"""A machine: a disk, a clock that may jump, and at most one process at a time.

What a process has begun ends with it. A kill is a kill: nothing that the process does afterwards,
such as its `finally`, reaches its disk or the network.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

from cluster.clock.cluster_clock import ClusterClock
from cluster.peer import PeerFailed
from cluster.problem import Refusal
from cluster.schema import Schema
from tests.simulation.disk import Disk, MemoryDatabase, serve

EXPECTED = (Refusal, PeerFailed)
EPOCH_NS = 1_800_000_000_000_000_000


class VirtualBase:
    """A machine's own time: the loop's, and a system time that somebody may set."""

    name = "virtual"
    suspends = 0

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.system_ahead_ns = 0

    def monotonic_ns(self) -> int:
        return int(self._loop.time() * 1e9) + 1_000_000_000_000

    def system_ns(self) -> int:
        return self.monotonic_ns() + EPOCH_NS + self.system_ahead_ns


class Process:
    """One life of a program on a machine."""

    def __init__(self, rng: Random) -> None:
        self.ended_well = False
        self.page_fuse: int | None = None
        self.frozen = False
        self.crash: BaseException | None = None
        self.rng = rng
        self.database: MemoryDatabase
        self._tasks: dict[asyncio.Future[Any], None] = {}  # in the order of their beginning
        self._main: asyncio.Task[None] | None = None
        self._end = asyncio.Event()
        self.ready = asyncio.Event()

    @property
    def alive(self) -> bool:
        """Whether anything that it does still counts."""
        return not self.ended_well and not self.database.killed.is_set()

    def got_page(self) -> None:
        """A page has come: here begins what a kill must not tear apart."""
        if self.page_fuse is not None:
            self.database.kill_at(self.page_fuse)
            self.page_fuse = None

    async def die(self) -> None:
        """At a moment that hurts: between the commits that a page, or anything else, leads to."""
        commit = self.rng.randrange(1, 5)
        if self.rng.random() < 0.5:
            self.page_fuse = commit
        else:
            self.database.kill_at(commit)
        await self.database.killed.wait()

    def start(self, work: Awaitable[Any]) -> asyncio.Future[Any]:
        """Work that ends with the process, whoever has asked for it."""
        task = asyncio.ensure_future(work)
        self._tasks[task] = None
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Future[Any]) -> None:
        del self._tasks[task]
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, EXPECTED) and self.alive:
            self.crash = self.crash or error

    async def live(self) -> None:
        """Open, serve until `end`, close."""
        raise NotImplementedError

    async def begin(self) -> None:
        self._main = asyncio.ensure_future(self.live())
        waiting = asyncio.ensure_future(self.ready.wait())
        await asyncio.wait([self._main, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()

    def check(self) -> None:
        """Raise what the process, or a part of it, has died of by itself."""
        if self.crash is not None:
            raise self.crash
        if self._main is not None and self._main.done() and not self._main.cancelled():
            error = self._main.exception()
            if error is not None:
                raise error

    async def end(self) -> None:
        """As after SIGTERM."""
        self._end.set()
        await self._leave()

    async def kill(self) -> None:
        """As after kill -9."""
        if self.alive:
            self.check()
        self.database.kill()
        assert self._main is not None
        self._main.cancel()
        await self._leave()

    async def _leave(self) -> None:
        assert self._main is not None
        tasks = list(self._tasks)
        if not self.alive:
            for task in tasks:
                task.cancel()
        await asyncio.wait([self._main])
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self.alive:
            self.check()
            self.ended_well = True
        elif not self._main.cancelled():
            self._main.exception()  # it was killed: whatever it said does not count


class Machine:
    """Where a process runs. `disk` outlives it."""

    def __init__(self, name: str, rng: Random) -> None:
        self.name = name
        self.rng = rng
        self.disk = Disk()
        self.base = VirtualBase(asyncio.get_running_loop())
        self.backup: sqlite3.Connection | None = None
        self.running: Process | None = None

    def clock(self) -> ClusterClock:
        """That of a process that begins now."""
        return ClusterClock.reference(self.base)

    @asynccontextmanager
    async def open_database(self, path: Path, schema: Schema) -> AsyncIterator[MemoryDatabase]:
        """In place of `cluster.database.open_database`."""
        assert self.running is not None
        database = MemoryDatabase(path, schema, self.disk, self.running.rng)
        self.running.database = database
        async with serve(database):
            yield database

    def new_process(self) -> Process:
        raise NotImplementedError

    async def on(self) -> None:
        """Start a process."""
        self.running = self.new_process()
        await self.running.begin()

    async def off(self) -> None:
        """Kill what runs here."""
        if self.running is not None:
            await self.running.kill()
            self.running = None

    def back_up(self) -> None:
        if not self.disk.is_empty:
            self.backup = self.disk.copy()

    def restore(self, schema: Schema) -> None:
        """The disk becomes what it was at the backup. Only while nothing runs."""
        assert self.backup is not None
        self.disk.restore(self.backup, schema)
