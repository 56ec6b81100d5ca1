"""Central's stream in the background, for commands that go on: the same feed as the screen's."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from cluster.backoff import Backoff
from cluster.peer import Peer
from console.changes import Changes
from console.feed import Feed
from console.store import Store

LOOK_S = 0.25
RETRY_FIRST_S, RETRY_MAX_S = 1.0, 30.0


class Refused(Exception):
    """Central refuses the token: nothing will come."""


class Listener:
    """What central says from now on. `away`: why it says nothing, empty while it does."""

    def __init__(self, feed: Feed, store: Store, listens: "asyncio.Task[None]") -> None:
        self._feed = feed
        self._listens = listens
        self.store = store
        self.away = ""

    async def changes(self, tell: Callable[[str], None]) -> AsyncIterator[Changes]:
        """What has changed, several times a second, for ever.

        `tell` hears when central goes away and comes back. Refused when the token is not good.
        """
        while True:
            if self._listens.done():
                self._listens.result()  # a bug ended it, and ends this
            if self._feed.link == "refused":
                raise Refused(self._feed.reason)
            was_away, self.away = self.away, self._feed.reason if self._feed.link == "lost" else ""
            if bool(was_away) is not bool(self.away):
                tell(f"central is away: {self.away}" if self.away else "central is back")
            yield self.store.take_changes()
            await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def listening(peer: Peer) -> AsyncIterator[Listener]:
    """Listen for as long as it takes, also while central is away."""
    store = Store()
    feed = Feed(store, peer, Backoff(RETRY_FIRST_S, RETRY_MAX_S, random.Random()))
    task = asyncio.create_task(feed.run())
    try:
        yield Listener(feed, store, task)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
