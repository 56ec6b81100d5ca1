"""When a node's next poll is due: pure, as whoever waits owns the clock.

A node that answers is asked at a phase of its own on an absolute grid: the polls of many nodes
spread, and a slot that was missed is let go, never made up for in a bunch. One that is down, or
refuses our token, is come back to with full-jitter backoff, for ever. A node that asks for time
(Retry-After) gets it, up to the backoff's cap.
"""

import hashlib
from random import Random

from central.liveness import Liveness
from cluster.backoff import Backoff

RETRY_CAP_S = 60.0
FIRST_WITHIN_S = 1.0
EARLY_S = 0.01  # more than a timer of the loop ever is


class Schedule:
    """One node's. Moments and spans are seconds of one monotonic clock."""

    def __init__(self, name: str, interval_s: float, rng: Random) -> None:
        digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
        self.phase_s = int.from_bytes(digest, "big") / 2**64 * interval_s
        self._interval_s = interval_s
        self._backoff = Backoff(interval_s, RETRY_CAP_S, rng)

    def first_s(self, now_s: float) -> float:
        """The moment of the first poll: soon, but not of all nodes at once."""
        return now_s + self.phase_s * min(1.0, FIRST_WITHIN_S / self._interval_s)

    def next_s(
        self, now_s: float, known: Liveness, retry_after_s: float = 0.0, slot_s: float = 0.0
    ) -> float:
        """The moment of the poll after one that ended at `now_s` and led to `known`.

        `slot_s`: the slot that it was for. Timers may be a millisecond early, and an answer that is
        there before its slot began must not be asked for again in it.
        """
        rested_s = now_s + min(retry_after_s, RETRY_CAP_S)
        if not known.failures:
            self._backoff.reset()
        elif known.live == "down" or known.reason == "auth":
            return max(rested_s, now_s + self._backoff.next_s())
        after_s = max(rested_s, slot_s + EARLY_S)
        return after_s + self._interval_s - (after_s - self.phase_s) % self._interval_s
