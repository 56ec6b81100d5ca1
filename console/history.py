"""How a node went: its drift and its counts over time, as central remembers and as they come.

A missed poll is a point without a value, so that a plot shows a gap and not a healthy line.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from cluster.protocol.views import ClockPoint, NodeView, PollPoint
from console.format import SECOND_US
from console.plot import Point

POINTS = 4_000
#: Points further apart than this have a gap between them.
GAP_US = 150 * SECOND_US
SPARK_BUCKETS, SPARK_BUCKET_US = 16, 15 * SECOND_US


class Counts(NamedTuple):
    """The records of a node at both sides at one poll; None at the node: the poll was missed."""

    ts: int
    at_node: int | None
    at_central: int


class History:
    """One node's past, the oldest first."""

    def __init__(self) -> None:
        self._drift: deque[Point] = deque(maxlen=POINTS)
        self._counts: deque[Counts] = deque(maxlen=POINTS)
        self._failures = 0

    @classmethod
    def of(cls, clock: Iterable[ClockPoint], polls: Iterable[PollPoint]) -> "History":
        """What central remembers."""
        history = cls()
        for poll in polls:
            history._counts.append(Counts(poll.ts, poll.at_node, poll.at_central))
        missed = [(poll.ts, None) for poll in history._counts if poll.at_node is None]
        points: list[Point] = [*((one.ts, one.drift_ms) for one in clock), *missed]
        history._drift.extend(sorted(points, key=lambda point: point[0]))
        return history

    def take(self, view: NodeView, now_us: int) -> None:
        """A newer view of the node: it has answered again, or missed a poll."""
        seen, last = view.last_seen, self._counts[-1].ts if self._counts else 0
        if view.live in ("up", "suspect") and view.failures == 0 and seen and seen > last:
            self._counts.append(Counts(seen, view.records.node, view.records.central))
            self._drift.append((seen, view.clock.drift_ms if view.clock is not None else None))
        elif view.failures > self._failures and now_us > last:
            self._counts.append(Counts(now_us, None, view.records.central))
            self._drift.append((now_us, None))
        self._failures = view.failures

    def drift_ms(self, since_us: int) -> list[Point]:
        """System clock minus cluster clock."""
        return [point for point in self._drift if point[0] >= since_us]

    def missed(self, since_us: int) -> tuple[int, int]:
        """How many polls were answered, and how many not."""
        answered = [one.at_node is not None for one in self._counts if one.ts >= since_us]
        return sum(answered), len(answered) - sum(answered)

    def made_per_s(self, since_us: int) -> list[Point]:
        """Records a second that came into being at the node."""
        return _rates([(one.ts, one.at_node) for one in self._counts if one.ts >= since_us])

    def kept_per_s(self, since_us: int) -> list[Point]:
        """Records a second that came to central."""
        return _rates([(one.ts, one.at_central) for one in self._counts if one.ts >= since_us])


def _rates(counts: Sequence[tuple[int, int | None]]) -> list[Point]:
    """Per second between two polls; None beside a missed one, and where records went away."""
    rates: list[Point] = []
    for (before_us, before), (after_us, after) in pairwise(counts):
        known = before is not None and after is not None and after >= before
        gap = not known or not 0 < after_us - before_us < GAP_US
        if gap or before is None or after is None:
            rates.append((after_us, None))
        else:
            rates.append((after_us, (after - before) * SECOND_US / (after_us - before_us)))
    return rates


class Spark:
    """The drift of the last minutes in few numbers: the last value of each quarter of a minute."""

    __slots__ = ("_bucket", "_values")

    def __init__(self) -> None:
        self._values: deque[float | None] = deque(maxlen=SPARK_BUCKETS)
        self._bucket = 0

    def add(self, now_us: int, drift_ms: float | None) -> None:
        bucket = now_us // SPARK_BUCKET_US
        if self._values and bucket == self._bucket:
            self._values[-1] = drift_ms
            return
        if self._values:
            silent = min(bucket - self._bucket - 1, SPARK_BUCKETS)
            self._values.extend([None] * silent)
        self._values.append(drift_ms)
        self._bucket = bucket

    def values(self) -> tuple[float | None, ...]:
        """The oldest first; None: nothing was heard."""
        return tuple(self._values)
