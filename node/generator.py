"""The generator: takes readings from the node's source at its own pace and stores them.

It waits for the clock's first synchronisation, for a while, so that records are born with the
right time; a database that cannot store for the moment makes it wait, not stop.
"""

import asyncio
import contextlib
import logging
from random import Random

from cluster.backoff import Backoff
from cluster.clock.cluster_clock import ClusterClock
from cluster.problem import Refusal
from cluster.protocol.node import SourceChange, SourceKind, SourceState
from cluster.record import check_payload
from node.pace import TICK_S, Pace
from node.sources import Source
from node.store import Draft, NodeStore

log = logging.getLogger(__name__)

FIRST_SYNC_S = 5.0


class Generator:
    """Paces one source. `state` and `change` are what the API shows and steers."""

    def __init__(
        self, kind: SourceKind, source: Source | None, rate: float, store: NodeStore
    ) -> None:
        self._kind = kind
        self._source = source
        self._store = store
        self._rate = rate
        self._running = source is not None
        self._made = 0
        self._pace = Pace(0.0, 0.0)
        self._changed = asyncio.Event()
        self._making = asyncio.Lock()

    @property
    def state(self) -> SourceState:
        return SourceState(self._kind, self._running, self._rate, self._made)

    async def change(self, change: SourceChange) -> SourceState:
        """Start, stop or pace; in force when this returns. Refusal when the node has no source."""
        if self._source is None:
            raise Refusal("no_source", "it was started with --source none; POST records instead")
        async with self._making:
            if change.rate is not None:
                self._rate = change.rate
            if change.running is not None:
                self._running = change.running
            self._set_pace()
        log.info("source changed", extra={"event": "source", "state": str(self.state)})
        return self.state

    async def run(self, clock: ClusterClock, synced: asyncio.Event | None) -> None:
        """Generate for ever."""
        if self._source is None:
            return
        if synced is not None:
            await _wait_for_time(synced)
        self._pace = Pace(0.0, 0.0)  # whatever was changed meanwhile: nothing is due yet
        self._set_pace()
        patience = Backoff(base_s=TICK_S, cap_s=10.0, rng=Random())
        while True:
            await self._until_due()
            try:
                await self._make(self._source, clock)
            except Refusal as refusal:
                log.warning(
                    "not stored, waits", extra={"event": "source-waits", "why": str(refusal)}
                )
                await asyncio.sleep(patience.next_s())
            else:
                patience.reset()

    def _set_pace(self) -> None:
        rate = self._rate if self._running else 0.0
        self._pace.set(rate, asyncio.get_running_loop().time())
        self._changed.set()

    async def _until_due(self) -> None:
        """Until the next tick or reading, or until something was changed."""
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._pace.wait_s()):
                await self._changed.wait()

    async def _make(self, source: Source, clock: ClusterClock) -> None:
        """Take and store what is due."""
        async with self._making:
            count = self._pace.due(asyncio.get_running_loop().time())
            if not count:
                return
            readings = await asyncio.to_thread(
                lambda: [source.read(clock.now_us()) for _ in range(count)]
            )
            await self._store.store(
                [Draft(reading.stream, check_payload(reading.payload)) for reading in readings]
            )
            self._pace.made(count)
            self._made += count


async def _wait_for_time(synced: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(FIRST_SYNC_S):
            await synced.wait()
    except TimeoutError:
        log.warning("no time server yet; records begin all the same", extra={"event": "unsynced"})
