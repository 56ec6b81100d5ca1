"""Where a value certainly lies, and where a majority of such claims agree.

Pure. The region is Marzullo's (1984; the select algorithm of RFC 5905, section 11.2.1): who lies
outside of it is wrong about the time or about its own error, whatever its statistics say.
"""

from collections.abc import Sequence
from typing import NamedTuple


class Interval(NamedTuple):
    """From `lo` to `hi`, both included, in nanoseconds."""

    lo: int
    hi: int

    def meets(self, other: "Interval") -> bool:
        """Whether there is a point in both."""
        return self.lo <= other.hi and other.lo <= self.hi

    def within(self, other: "Interval") -> "Interval":
        """What lies in both; only for two that meet."""
        return Interval(max(self.lo, other.lo), min(self.hi, other.hi))

    def gap(self, other: "Interval") -> int:
        """How far apart the two are; 0 when they meet."""
        return max(0, self.lo - other.hi, other.lo - self.hi)

    def widened(self, by: float) -> "Interval":
        """`by` more on either side."""
        return Interval(self.lo - round(by), self.hi + round(by))

    def moved(self, by: float) -> "Interval":
        """The same, `by` further on."""
        return Interval(self.lo + round(by), self.hi + round(by))

    @property
    def width(self) -> int:
        return self.hi - self.lo


def majority_of(count: int) -> int:
    """How many of `count` must agree: so many that fewer than half may lie."""
    return count - (count - 1) // 2


def region(intervals: Sequence[Interval], needed: int) -> Interval | None:
    """The hull of all points that lie in at least `needed` of them; None when there is none."""
    edges = sorted(
        [(interval.lo, 0) for interval in intervals] + [(interval.hi, 1) for interval in intervals]
    )
    depth, lo, hi = 0, None, None
    for at, is_end in edges:
        if is_end:
            if depth >= needed:
                hi = at
            depth -= 1
        else:
            depth += 1
            if depth >= needed and lo is None:
                lo = at
    return None if lo is None or hi is None else Interval(lo, hi)
