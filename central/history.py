"""How a node's clock went: each poll of the last ten minutes, one a minute of the last day.

Kept in memory only, in flat arrays: a thousand nodes take 50 MB. Pure.
"""

from array import array
from collections.abc import Iterator

from cluster.protocol.views import ClockPoint

POLLS = 600
MINUTES = 24 * 60
MINUTE_US = 60_000_000
WIDTH = 3  # numbers a point


class History:
    """One node's points, the oldest first."""

    def __init__(self) -> None:
        self._polls = _Ring(POLLS)
        self._minutes = _Ring(MINUTES)
        self._next_minute_us = 0

    def add(self, point: ClockPoint) -> None:
        self._polls.add(point)
        if point.ts >= self._next_minute_us:
            self._minutes.add(point)
            self._next_minute_us = point.ts - point.ts % MINUTE_US + MINUTE_US

    def points(self, since: int = 0) -> list[ClockPoint]:
        """Every point from `since` on (microseconds): the minutes, then the latest polls."""
        polls = list(self._polls)
        begin = polls[0].ts if polls else 0
        older = [point for point in self._minutes if point.ts < begin]
        return [point for point in (*older, *polls) if point.ts >= since]


class _Ring:
    """The last `size` points."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._numbers = array("d")
        self._next = 0

    def add(self, point: ClockPoint) -> None:
        at = self._next * WIDTH
        self._numbers[at : at + WIDTH] = array("d", (point.ts, point.drift_ms, point.bound_ms))
        self._next = (self._next + 1) % self._size

    def __iter__(self) -> Iterator[ClockPoint]:
        count = len(self._numbers) // WIDTH
        first = self._next if count == self._size else 0
        for place in range(count):
            at = (first + place) % self._size * WIDTH
            ts, drift_ms, bound_ms = self._numbers[at : at + WIDTH]
            yield ClockPoint(int(ts), drift_ms, bound_ms)
