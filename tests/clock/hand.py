"""Time driven by hand, and samples made up: what the tests of the clock are played with."""

from dataclasses import dataclass

from cluster.clock.base import Base
from cluster.clock.cluster_clock import ClusterClock
from cluster.clock.sample import Sample

MS = 1_000_000
SECOND = 1_000_000_000
TRUE_START = 1_800_000_000 * SECOND
SERVER = "192.0.2.1:123"


@dataclass
class HandBase:
    """A base whose time passes only when a test says so."""

    monotonic: int = 5 * SECOND
    system: int = TRUE_START
    suspends: int = 0
    name: str = "by hand"

    def monotonic_ns(self) -> int:
        return self.monotonic

    def system_ns(self) -> int:
        return self.system

    def advance(self, ns: int) -> None:
        self.monotonic += ns
        self.system += ns


def sample_of(
    base: Base,
    true_ns: int,
    *,
    error_ns: int = 0,
    delay_ns: int = 2 * MS,
    source: str = SERVER,
) -> Sample:
    """What a server knowing `true_ns` would say to `base` now, wrong by `error_ns`."""
    at_ns = base.monotonic_ns()
    return Sample(source, at_ns, true_ns - at_ns + error_ns, delay_ns, addr="192.0.2.1")


def synced(base: HandBase, true_ns: int) -> ClusterClock:
    """A clock that has just been set to `true_ns`."""
    clock = ClusterClock(base)
    clock.adopt(sample_of(base, true_ns))
    return clock


def settle(clock: ClusterClock, base: HandBase, true: HandBase, *sources: str) -> None:
    """Twenty quiet samples from each, 16 s apart: the clock knows its oscillator."""
    for _ in range(20):
        true.advance(16 * SECOND)
        if base is not true:
            base.advance(16 * SECOND)
        for source in sources or (SERVER,):
            clock.adopt(sample_of(base, true.system, source=source))
