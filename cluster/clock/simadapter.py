"""The cluster clock for a simulator: the real class on a base that the simulator moves.

`make()` gives an object with `sample`, `lost`, `now`, `bound` and `next_poll`; times in and out
are float seconds: t1 and t4 of the base, t2 and t3 Unix.
"""

from typing import Protocol

from cluster.clock.cluster_clock import ClusterClock
from cluster.clock.sample import Sample


class Measurement(Protocol):
    """A simulator's sample: the four stamps and what the server says of itself."""

    server: str
    t1: float
    t2: float
    t3: float
    t4: float
    stratum: int
    leap: int
    root_delay: float
    root_disp: float
    precision: float


class _Moved:
    """A base whose time is set from outside."""

    name = "simulated"
    suspends = 0

    def __init__(self) -> None:
        self.at_ns = 0
        self.wall_ns = 0

    def monotonic_ns(self) -> int:
        return self.at_ns

    def system_ns(self) -> int:
        return self.wall_ns


class SimulatedClock:
    """One node's clock in a simulation."""

    def __init__(self) -> None:
        self._base = _Moved()
        self._clock = ClusterClock(self._base)

    def sample(self, seen: Measurement) -> None:
        """A reply arrived just now."""
        t1, t2, t3, t4 = (round(t * 1e9) for t in (seen.t1, seen.t2, seen.t3, seen.t4))
        self._base.at_ns = max(self._base.at_ns, t4)
        self._clock.adopt(
            Sample(
                source=seen.server,
                at_ns=t4,
                offset_ns=((t2 - t1) + (t3 - t4)) // 2,
                delay_ns=max(1, (t4 - t1) - (t3 - t2)),
                precision_ns=max(1000, round(seen.precision * 1e9)),
                root_delay_ns=round(seen.root_delay * 1e9),
                root_dispersion_ns=round(seen.root_disp * 1e9),
                stratum=seen.stratum,
                leap=seen.leap,
            )
        )

    def lost(self, server: str, mono: float) -> None:
        """A poll was not answered."""
        self._clock.miss(server, "timeout")

    def now(self, mono: float, wall: float) -> int:
        """What the clock shows, Unix nanoseconds."""
        self._base.at_ns, self._base.wall_ns = round(mono * 1e9), round(wall * 1e9)
        return self._clock.now_ns()

    def bound(self, mono: float) -> float | None:
        """How far that may be off, in seconds."""
        self._base.at_ns = round(mono * 1e9)
        bound_ns = self._clock.bound_ns()
        return None if bound_ns is None else bound_ns / 1e9

    def next_poll(self, server: str, mono: float) -> float | None:
        """In how many seconds an extra poll is wanted, if one is."""
        return self._clock.source(server).schedule.next_extra_s()


def make() -> SimulatedClock:
    """A clock that was never set."""
    return SimulatedClock()
