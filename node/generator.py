"""The generator: takes readings from the node's source at its own pace and stores them.

Readings are made in ticks, so that a high rate becomes few commits. It waits for the clock's
first synchronisation, for a while, so that records are born with the right time; a database that
cannot store for the moment makes it wait, not stop.
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
from node.sources import Source
from node.store import Draft, NodeStore

log = logging.getLogger(__name__)

TICK_S = 0.1
BEHIND_S_MAX = 5.0  # what is not made within this is not made up for
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
        self._changed.set()
        log.info("source changed", extra={"event": "source", "state": str(self.state)})
        return self.state

    async def run(self, clock: ClusterClock, synced: asyncio.Event | None) -> None:
        """Generate for ever."""
        if self._source is None:
            return
        if synced is not None:
            await _wait_for_time(synced)
        patience = Backoff(base_s=TICK_S, cap_s=10.0, rng=Random())
        loop = asyncio.get_running_loop()
        due, last_s = 0.0, loop.time()
        while True:
            await self._until_due(due)
            now_s = loop.time()
            due = min(due + (now_s - last_s) * self._rate, self._rate * BEHIND_S_MAX + 1)
            last_s = now_s
            try:
                due -= await self._make(self._source, int(due), clock)
            except Refusal as refusal:
                log.warning(
                    "not stored, waits", extra={"event": "source-waits", "why": str(refusal)}
                )
                await asyncio.sleep(patience.next_s())
            else:
                patience.reset()

    async def _until_due(self, due: float) -> None:
        """One tick or, at a low rate, until the next reading; for ever while stopped."""
        self._changed.clear()
        if self._running and self._rate > 0:
            with contextlib.suppress(TimeoutError):
                tick_s = max(TICK_S, (1 - due) / self._rate)
                async with asyncio.timeout(tick_s):
                    await self._changed.wait()
        else:
            await self._changed.wait()

    async def _make(self, source: Source, count: int, clock: ClusterClock) -> int:
        """Take and store `count` readings; how many were made."""
        async with self._making:
            if count == 0 or not self._running:
                return 0
            readings = await asyncio.to_thread(
                lambda: [source.read(clock.now_us()) for _ in range(count)]
            )
            await self._store.store(
                [Draft(reading.stream, check_payload(reading.payload)) for reading in readings]
            )
            self._made += count
            return count


async def _wait_for_time(synced: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(FIRST_SYNC_S):
            await synced.wait()
    except TimeoutError:
        log.warning("no time server yet; records begin all the same", extra={"event": "unsynced"})
