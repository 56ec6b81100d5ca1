"""Says hello to central: at the start, and again whenever central seems not to know this node.

Central polls the nodes it knows, so silence is the sign: after a few missing polls (central lost
its database, or knows an old address) the node tells its address again, with full-jitter backoff.
A node needs no central to work; nothing here can stop it.
"""

import asyncio
import logging
from collections import deque
from random import Random

from cluster.backoff import Backoff
from cluster.peer import Peer, PeerFailed
from cluster.protocol import central

log = logging.getLogger(__name__)

TIMEOUT_S = 5.0
QUIET_S = 10.0  # without a poll for this long, central may not know us
POLLS_MISSED = 3  # or for so long as usually are between them, where that is longer
REMINDER_S = 300.0  # others may be asking our status: do not rely on that alone
RETRY_CAP_S = 60.0
LOOK_EVERY_S = 1.0


class Greeter:
    """Tells central where this node is. `polled` is called at each poll."""

    def __init__(
        self, peer: Peer, name: str, url: str, boot: str, rng: Random | None = None
    ) -> None:
        self._peer = peer
        self._rng = rng or Random()
        self._hello = central.Hello(name=name, url=url, boot=boot)
        self._last_poll = self._last_hello = float("-inf")
        self._gaps_s = deque([0.0], maxlen=2)  # between polls; a hello may have led to every other
        self._told = ""

    def polled(self) -> None:
        """Somebody asked for our status just now."""
        now = asyncio.get_running_loop().time()
        if self._last_poll > float("-inf"):
            self._gaps_s.append(min(now - self._last_poll, REMINDER_S))
        self._last_poll = now

    async def run(self) -> None:
        """Watch for silence, for ever."""
        backoff = Backoff(base_s=1.0, cap_s=RETRY_CAP_S, rng=self._rng)
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            quiet = now - self._last_poll > max(QUIET_S, POLLS_MISSED * max(self._gaps_s))
            if now - self._last_hello > (QUIET_S if quiet else REMINDER_S):
                if await self._say():
                    self._last_hello = loop.time()
                    backoff.reset()
                else:
                    await asyncio.sleep(backoff.next_s())
                    continue
            await asyncio.sleep(LOOK_EVERY_S)

    async def _say(self) -> bool:
        """Say it once; log only what is new."""
        try:
            await self._peer.call(central.HELLO, self._hello, timeout_s=TIMEOUT_S)
        except PeerFailed as failure:
            word = "says no" if failure.problem else "does not answer"
            self._tell(f"central {word}: {failure.reason}", failure.detail)
            return False
        self._tell("central knows this node", self._hello.url)
        return True

    def _tell(self, text: str, detail: str) -> None:
        if text != self._told:
            self._told = text
            level = logging.WARNING if "says no" in text else logging.INFO
            log.log(level, text, extra={"event": "hello", "detail": detail})
