"""The feed: one stream from central into the store, opened again for as long as it takes.

The link is LIVE while central speaks, LATE after 7 s of silence, LOST after 12 s or when the
connection ends; then it is tried again after 1, 2, 4 … 30 s, drawn at random. A refused token is
not tried again until somebody asks. Nothing here ends the console.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Literal

import msgspec

from cluster.backoff import Backoff
from cluster.peer import Peer, PeerFailed
from cluster.protocol.central import STREAM, StreamAsk
from cluster.protocol.views import Delta, Snapshot
from console.store import Store

LinkState = Literal["connecting", "live", "late", "lost", "refused"]

LATE_S = 7.0
LOST_S = 12.0
CONNECT_S = 5.0

_SNAPSHOT = msgspec.json.Decoder(Snapshot)
_DELTA = msgspec.json.Decoder(Delta)


class Feed:
    """Keeps the store up to date and knows how well that goes."""

    def __init__(
        self,
        store: Store,
        peer: Peer,
        backoff: Backoff,
        *,
        address: str = "",
        lost_s: float = LOST_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._peer = peer
        self._backoff = backoff
        self.address = address
        self._lost_s = lost_s
        self._monotonic = monotonic
        self._state: LinkState = "connecting"
        self._heard_at = monotonic()
        self._retry_at = 0.0
        self._wake = asyncio.Event()
        self.reason = ""
        self.refusals = 0

    @property
    def link(self) -> LinkState:
        """How well central is heard: where nothing changes it sends a ping every 5 s."""
        if self._state == "live" and self.silent_s() > LATE_S:
            return "late"
        return self._state

    @property
    def up(self) -> bool:
        return self._state == "live"

    def silent_s(self) -> float:
        """Seconds since central said anything at all."""
        return self._monotonic() - self._heard_at

    def retry_in_s(self) -> float:
        """Seconds until the next try, while central is away."""
        return max(0.0, self._retry_at - self._monotonic())

    def retry_now(self) -> None:
        """Skip the wait."""
        self._wake.set()

    async def run(self) -> None:
        """Listen for ever."""
        while True:
            try:
                await self._listen()
                continue
            except PeerFailed as failure:
                refused = failure.reason == "auth"
                reason = failure.detail if refused else f"{failure.reason}: {failure.detail}"
            except msgspec.MsgspecError as error:
                refused, reason = False, f"not understood: {error}"
            self.refusals += refused
            self._lose("refused" if refused else "lost", reason)
            await self._wait(None if refused else self._backoff.next_s())
            if refused:
                self._state = "connecting"  # the try that somebody asked for is seen

    def failed(self, reason: str) -> None:
        """A bug ended `run`: say so, and wait to be started again."""
        self._lose("lost", reason)

    async def _listen(self) -> None:
        """Read one stream. Returns only to open another one at once: central began anew."""
        ask = StreamAsk(since=self._store.last_seq)
        async with self._peer.stream(
            STREAM, ask, connect_timeout_s=CONNECT_S, idle_s=self._lost_s
        ) as events:
            async for event, content in events:  # pings too
                self._heard_at = self._monotonic()
                if event == "snapshot":
                    whole = self._store.apply_snapshot(_SNAPSHOT.decode(content))
                    self._find()
                    if not whole:
                        return
                elif event == "delta":
                    self._store.apply_delta(_DELTA.decode(content))
        raise PeerFailed("reset", "central ended the stream")

    def _find(self) -> None:
        self._state, self.reason, self.refusals = "live", "", 0
        self._backoff.reset()
        self._store.mark_stale(False)

    def _lose(self, state: LinkState, reason: str) -> None:
        self._state, self.reason = state, reason
        self._store.mark_stale(True)

    async def _wait(self, wait_s: float | None) -> None:
        """Until the wait is over or somebody asks; None: only when somebody asks."""
        self._wake.clear()
        self._retry_at = self._monotonic() + (wait_s or 0.0)
        try:
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._retry_at = self._monotonic()
