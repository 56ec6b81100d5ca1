"""When the clock is first set, the records that were made before it are told by how much."""

import asyncio
from random import Random

from cluster.backoff import Backoff
from cluster.clock.cluster_clock import ClusterClock
from cluster.problem import Refusal
from node.store import NodeStore


async def tell_at_first_sync(clock: ClusterClock, store: NodeStore, synced: asyncio.Event) -> None:
    """Wait for it, tell the store, and return; a database that cannot store is waited for."""
    patience = Backoff(base_s=0.1, cap_s=10.0, rng=Random())
    await synced.wait()
    while clock.first_step_us is not None:  # None: it went on from before a restart
        try:
            await store.correct_unsynced(clock.first_step_us)
        except Refusal:
            await asyncio.sleep(patience.next_s())
        else:
            return
