"""Throttle: never more than the rate lets through, and nothing is owed after a rest."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster import throttle as module
from cluster.throttle import BURST_S, UNLIMITED, Throttle

RATE = 1_000.0
FLOWS = st.lists(st.tuples(st.integers(1, 5_000), st.floats(0, 3)), min_size=1, max_size=30)


class Time:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def time() -> Iterator[Time]:
    with pytest.MonkeyPatch.context() as patch:
        yield patched(patch)


def patched(patch: pytest.MonkeyPatch) -> Time:
    time = Time()
    patch.setattr(module, "time", time)
    patch.setattr(module, "asyncio", time)
    return time


@given(FLOWS, st.floats(1_000, 1e6))
def test_never_more_flows_than_the_rate_and_one_burst(
    flows: list[tuple[int, float]], rate: float
) -> None:
    """At every moment, whatever pauses there were."""

    async def flow(time: Time) -> None:
        throttle, begun_s, moved = Throttle(rate), time.now_s, 0
        for size, pause_s in flows:
            await throttle.spend(size)
            moved += size
            assert moved <= rate * (time.now_s - begun_s + BURST_S) * (1 + 1e-6)
            time.now_s += pause_s

    with pytest.MonkeyPatch.context() as patch:
        asyncio.run(flow(patched(patch)))


async def test_a_line_that_is_always_busy_moves_all_that_it_may(time: Time) -> None:
    """A limit is not a brake: the rate is reached, whatever the size of the pieces."""
    throttle, begun_s = Throttle(RATE), time.now_s

    for size in [1, 700, 30] * 100:
        await throttle.spend(size)

    assert time.now_s - begun_s == pytest.approx(73_100 / RATE, abs=BURST_S + 1e-6)


@pytest.mark.parametrize("rest_s", [1.0, 3_600.0])
async def test_a_rest_earns_one_burst_and_no_more(time: Time, rest_s: float) -> None:
    """After an idle hour the line is as free as after a second."""
    throttle = Throttle(RATE)
    await throttle.spend(5_000)
    time.now_s += rest_s
    rested_s = time.now_s

    await throttle.spend(int(RATE * BURST_S))
    at_once_s = time.now_s
    await throttle.spend(500)

    assert at_once_s == rested_s
    assert time.now_s - rested_s == pytest.approx(0.5)


async def test_a_rest_leaves_no_debt(time: Time) -> None:
    """What was waited for is paid, and is not waited for again."""
    throttle = Throttle(RATE)
    await throttle.spend(100_000)
    paid_s = time.now_s

    await throttle.spend(1)

    assert time.now_s - paid_s <= 1 / RATE + 1e-6


async def test_two_that_share_a_throttle_share_the_rate(time: Time) -> None:
    """A head beside a backlog does not double what a node's line carries."""
    throttle, begun_s, asleep = Throttle(RATE), time.now_s, list[float]()

    async def sleep(seconds: float) -> None:
        asleep.append(seconds)

    time.sleep = sleep  # type: ignore[method-assign]  # both ask at the same moment
    await throttle.spend(1_000)
    await throttle.spend(1_000)

    assert time.now_s == begun_s
    assert asleep == pytest.approx([1 - BURST_S, 2 - BURST_S])


async def test_without_a_limit_nothing_waits(time: Time) -> None:
    begun_s = time.now_s

    await UNLIMITED.spend(10**12)

    assert time.now_s == begun_s
    assert not UNLIMITED.limited
