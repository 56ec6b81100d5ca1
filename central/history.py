"""How a node went: each poll of the last ten minutes, one a minute of the last day.

Kept in memory only, in flat arrays of doubles: a thousand nodes take 120 MB. Pure.
"""

from array import array
from collections.abc import Iterator

from cluster.protocol.views import ClockPoint, PollPoint

POLLS = 600
MINUTES = 24 * 60
MINUTE_US = 60_000_000
UNKNOWN = float("nan")

Row = tuple[float, ...]  # a moment in microseconds, then what is told of it


class Track:
    """Rows of `width` numbers, the oldest first."""

    def __init__(self, width: int) -> None:
        self._polls = _Ring(POLLS, width)
        self._minutes = _Ring(MINUTES, width)
        self._next_minute_us = 0.0

    def add(self, *row: float) -> None:
        self._polls.add(row)
        if row[0] >= self._next_minute_us:
            self._minutes.add(row)
            self._next_minute_us = row[0] - row[0] % MINUTE_US + MINUTE_US

    def rows(self, since_us: int = 0) -> list[Row]:
        """From then on: the minutes, then the latest polls."""
        polls = list(self._polls)
        begin = polls[0][0] if polls else 0
        older = [row for row in self._minutes if row[0] < begin]
        return [row for row in (*older, *polls) if row[0] >= since_us]


class ClockHistory:
    """Of a node's clock."""

    def __init__(self) -> None:
        self._track = Track(3)

    def add(self, point: ClockPoint) -> None:
        self._track.add(point.ts, point.drift_ms, point.bound_ms)

    def points(self, since_us: int = 0) -> list[ClockPoint]:
        return [ClockPoint(int(ts), *rest) for ts, *rest in self._track.rows(since_us)]


class PollHistory:
    """Of a node's polls, the missed ones too."""

    def __init__(self) -> None:
        self._track = Track(4)

    def add(self, point: PollPoint) -> None:
        rtt_ms = UNKNOWN if point.rtt_ms is None else point.rtt_ms
        at_node = UNKNOWN if point.at_node is None else float(point.at_node)
        self._track.add(point.ts, rtt_ms, at_node, point.at_central)

    def points(self, since_us: int = 0) -> list[PollPoint]:
        return [
            PollPoint(int(ts), _known(rtt_ms), _count(at_node), int(at_central))
            for ts, rtt_ms, at_node, at_central in self._track.rows(since_us)
        ]


def _known(number: float) -> float | None:
    return None if number != number else number  # only NaN is not itself


def _count(number: float) -> int | None:
    return None if number != number else int(number)


class _Ring:
    """The last `size` rows."""

    def __init__(self, size: int, width: int) -> None:
        self._size, self._width = size, width
        self._numbers = array("d")
        self._next = 0

    def add(self, row: Row) -> None:
        at = self._next * self._width
        self._numbers[at : at + self._width] = array("d", row)
        self._next = (self._next + 1) % self._size

    def __iter__(self) -> Iterator[Row]:
        count = len(self._numbers) // self._width
        first = self._next if count == self._size else 0
        for place in range(count):
            at = (first + place) % self._size * self._width
            yield tuple(self._numbers[at : at + self._width])
