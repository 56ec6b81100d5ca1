"""The days that are lived through in the laboratory, and the clocks that live through them."""

from typing import Any

from cluster.clock.cluster_clock import ClusterClock
from cluster.clock.sample import Sample
from tests.clock.hand import HandBase
from tests.clock.lab import EPOCH_NS, SECOND, Exchange, Scenario, Site, crowded, steady


class Tidehold:
    """The cluster clock itself."""

    def __init__(self) -> None:
        self._base = HandBase()
        self.clock = ClusterClock(self._base)

    def hear(self, exchange: Exchange) -> None:
        self._base.monotonic = max(self._base.monotonic, exchange.heard_ns)
        self.clock.adopt(
            Sample(
                source=str(exchange.site),
                at_ns=exchange.heard_ns,
                offset_ns=exchange.offset_ns,
                delay_ns=max(1, exchange.delay_ns),
            )
        )

    def miss(self, site: int) -> None:
        self.clock.miss(str(site), "timeout")

    def wait_s(self, site: int) -> float:
        return self.clock.source(str(site)).schedule.next_s()

    def now_ns(self, base_ns: int) -> int:
        self._base.monotonic = base_ns
        return self.clock.now_ns()

    def bound_ns(self, base_ns: int) -> int | None:
        self._base.monotonic = base_ns
        return self.clock.bound_ns()


class Naive:
    """What most programs do: the last offset, added to the machine's time; asked like the rest."""

    def __init__(self) -> None:
        self._offset_ns = EPOCH_NS - 5 * SECOND
        self._pace = Tidehold()

    def hear(self, exchange: Exchange) -> None:
        self._offset_ns = exchange.offset_ns

    def miss(self, site: int) -> None:
        pass

    def wait_s(self, site: int) -> float:
        return self._pace.wait_s(site)

    def now_ns(self, base_ns: int) -> int:
        return base_ns + self._offset_ns

    def bound_ns(self, base_ns: int) -> int | None:
        return None


def _lan(**more: Any) -> Site:
    return Site(steady(1e-3, 2e-4), steady(1e-3, 2e-4), **more)


def _wan(base_s: float = 20e-3, **more: Any) -> Site:
    way = crowded(base_s, 1e-3)
    return Site(way, steady(base_s, 1e-3), **{"loss": 0.02, **more})


HALF_DAY_S = 43_200.0
SCENARIOS = (
    Scenario("lan", (_lan(),)),
    Scenario("lan, bad crystal", (_lan(),), wander=5.0, ppm=-400.0),
    Scenario("wan, full at times", (_wan(),)),
    Scenario("wan, queues one way only", (Site(steady(20e-3, 2e-5), steady(20e-3, 5e-3)),)),
    Scenario("one of three lies", (_lan(), _lan(lies=lambda at_s: 0.5), _lan())),
    Scenario(
        "one of two jumps",
        (_lan(lies=lambda at_s: 0.5 if at_s > HALF_DAY_S else 0.0), _lan()),
    ),
    Scenario("no server for an hour", (_lan(away=((HALF_DAY_S, HALF_DAY_S + 3600),)),)),
    Scenario("paused unseen for 120 s", (_lan(),), jumps=((HALF_DAY_S, -120.0),)),
)
