"""The two readings every clock here is built on: a monotonic one and the wall clock.

Nothing else in the cluster's clock reads the machine's time, so a test drives it by hand and
`--skew` gives a process a clock that is wrong and drifts on purpose.
"""

import time
from collections.abc import Callable
from typing import Protocol

_RAW: int | None = getattr(time, "CLOCK_MONOTONIC_RAW", None)
_BOOT: int | None = getattr(time, "CLOCK_BOOTTIME", None)
SUSPEND_NS = 1_000_000  # two clocks apart by more were not read apart: the machine slept


class Base(Protocol):
    """A machine's own time, in integer nanoseconds."""

    @property
    def name(self) -> str:
        """Which clock it is. Readings of one boot and one name can be compared."""

    @property
    def suspends(self) -> int:
        """How often the machine was found to have slept; its time is counted, give or take."""

    def monotonic_ns(self) -> int:
        """Nanoseconds since some fixed instant; never steps, never goes back."""

    def system_ns(self) -> int:
        """The wall clock: nanoseconds since the Unix epoch; anyone may step it at any time."""


class RealBase:
    """This machine's time.

    CLOCK_MONOTONIC_RAW, as an NTP daemon on the machine slews the other clocks, plus the time
    that the machine slept, which it leaves out: CLOCK_BOOTTIME less CLOCK_MONOTONIC. Where the
    system has no such clocks: its monotonic clock.
    """

    def __init__(self) -> None:
        self.suspends = 0
        self._suspended_ns = _gap_ns()

    @property
    def name(self) -> str:
        if _RAW is None:
            return "monotonic"
        return "monotonic-raw" if _BOOT is None else "monotonic-raw+suspended"

    def monotonic_ns(self) -> int:
        """Nanoseconds since the machine's start, asleep or awake."""
        if _RAW is None:
            return time.monotonic_ns()
        if _BOOT is not None:
            # Whatever delays the program between the two readings makes the gap smaller, so a
            # larger one is a suspend, and no false alarm.
            gap_ns = time.clock_gettime_ns(_BOOT) - time.monotonic_ns()
            if gap_ns - self._suspended_ns > SUSPEND_NS:
                self._suspended_ns = gap_ns
                self.suspends += 1
        return time.clock_gettime_ns(_RAW) + self._suspended_ns

    def system_ns(self) -> int:
        """The machine's wall clock, Unix nanoseconds."""
        return time.time_ns()


def _gap_ns() -> int:
    """How long the machine has slept since its start: the largest of several readings."""
    if _BOOT is None:
        return 0
    return max(time.clock_gettime_ns(_BOOT) - time.monotonic_ns() for _ in range(5))


class SkewedBase:
    """A machine whose wall clock starts `offset_ms` off and whose oscillator runs `ppm` fast.

    Both readings come from the one oscillator, so both drift. Negative numbers are late and slow.
    """

    def __init__(self, offset_ms: float, ppm: float, inner: Base | None = None) -> None:
        self._inner: Base = RealBase() if inner is None else inner
        self._offset_ns = round(offset_ms * 1e6)
        self._rate = ppm / 1e6
        self._started_ns = self._inner.monotonic_ns()

    @property
    def name(self) -> str:
        if not self._rate:  # the same monotonic readings as without a skew
            return self._inner.name
        return f"{self._inner.name}{self._rate * 1e6:+g}ppm"

    @property
    def suspends(self) -> int:
        return self._inner.suspends

    def monotonic_ns(self) -> int:
        """The inner monotonic clock, `ppm` fast since the machine's start."""
        true_ns = self._inner.monotonic_ns()
        return true_ns + round(true_ns * self._rate)

    def system_ns(self) -> int:
        """The inner wall clock, `offset_ms` off when the program began, and `ppm` fast since."""
        gained_ns = round((self._inner.monotonic_ns() - self._started_ns) * self._rate)
        return self._inner.system_ns() + self._offset_ns + gained_ns


def tight_pair(
    monotonic_ns: Callable[[], int], wall_ns: Callable[[], int], tries: int = 5
) -> tuple[int, int]:
    """One instant on two clocks, both in nanoseconds: the closest-bracketed reading of `tries`.

    Anything may run between two readings; the smallest bracket had the least of it.
    """
    brackets = [(monotonic_ns(), wall_ns(), monotonic_ns()) for _ in range(tries)]
    before, wall, after = min(brackets, key=lambda bracket: bracket[2] - bracket[0])
    return (before + after) // 2, wall
