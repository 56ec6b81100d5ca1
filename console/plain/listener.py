"""Central's stream in the background, for commands that go on: the same feed as the screen's."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from cluster.backoff import Backoff
from cluster.peer import Peer
from console.feed import Feed
from console.store import Changes, Store

LOOK_S = 0.25
RETRY_FIRST_S, RETRY_MAX_S = 1.0, 30.0


class Refused(Exception):
    """Central refuses the token: nothing will come."""


class Listener:
    """What central says from now on."""

    def __init__(self, feed: Feed, store: Store) -> None:
        self._feed = feed
        self.store = store

    async def changes(self) -> AsyncIterator[tuple[Changes, str]]:
        """What has changed, several times a second, and why central is away ("": it is there).

        Refused when the token is not good.
        """
        while True:
            if self._feed.link == "refused":
                raise Refused(self._feed.reason)
            away = self._feed.reason if self._feed.link == "lost" else ""
            yield self.store.take_changes(), away
            await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def listening(peer: Peer) -> AsyncIterator[Listener]:
    """Listen for as long as it takes, also while central is away."""
    store = Store()
    feed = Feed(store, peer, Backoff(RETRY_FIRST_S, RETRY_MAX_S, random.Random()))
    task = asyncio.create_task(feed.run())
    try:
        yield Listener(feed, store)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
