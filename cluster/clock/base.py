"""The two readings every clock here is built on: a monotonic one and the wall clock.

Nothing else in the cluster's clock reads the machine's time, so a test drives it by hand and
`--skew` gives a process a clock that is wrong and drifts on purpose.
"""

import time
from collections.abc import Callable
from typing import Protocol

_RAW: int | None = getattr(time, "CLOCK_MONOTONIC_RAW", None)


class Base(Protocol):
    """A machine's own time, in integer nanoseconds."""

    def monotonic_ns(self) -> int:
        """Nanoseconds since some fixed instant; never steps, never goes back."""

    def system_ns(self) -> int:
        """The wall clock: nanoseconds since the Unix epoch; anyone may step it at any time."""


class RealBase:
    """This machine's time."""

    def monotonic_ns(self) -> int:
        """CLOCK_MONOTONIC_RAW where there is one: an NTP daemon on the machine slews the other."""
        return time.monotonic_ns() if _RAW is None else time.clock_gettime_ns(_RAW)

    def system_ns(self) -> int:
        """The machine's wall clock, Unix nanoseconds."""
        return time.time_ns()


class SkewedBase:
    """A machine whose wall clock starts `offset_ms` off and whose oscillator runs `ppm` fast.

    Both readings come from the one oscillator, so both drift. Negative numbers are late and slow.
    """

    def __init__(self, offset_ms: float, ppm: float, inner: Base | None = None) -> None:
        self._inner: Base = RealBase() if inner is None else inner
        self._offset_ns = round(offset_ms * 1e6)
        self._rate = ppm / 1e6
        self._started_ns = self._inner.monotonic_ns()

    def monotonic_ns(self) -> int:
        """The inner monotonic clock, `ppm` fast."""
        true_ns = self._inner.monotonic_ns()
        return true_ns + self._gained_ns(true_ns)

    def system_ns(self) -> int:
        """The inner wall clock, `offset_ms` off at the start and `ppm` fast since."""
        gained_ns = self._gained_ns(self._inner.monotonic_ns())
        return self._inner.system_ns() + self._offset_ns + gained_ns

    def _gained_ns(self, true_ns: int) -> int:
        return round((true_ns - self._started_ns) * self._rate)


def tight_pair(
    monotonic_ns: Callable[[], int], wall_ns: Callable[[], int], tries: int = 5
) -> tuple[int, int]:
    """One instant on two clocks, both in nanoseconds: the closest-bracketed reading of `tries`.

    Anything may run between two readings; the smallest bracket had the least of it.
    """
    brackets = [(monotonic_ns(), wall_ns(), monotonic_ns()) for _ in range(tries)]
    before, wall, after = min(brackets, key=lambda bracket: bracket[2] - bracket[0])
    return (before + after) // 2, wall
