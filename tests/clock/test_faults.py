"""Servers that die, jump or come back, a machine that was paused: what the clock makes of it."""

import pytest

from central.time_server import time_server
from cluster.clock.base import RealBase, SkewedBase
from cluster.clock.cluster_clock import ClusterClock
from cluster.clock.follower import Follower
from cluster.clock.report import state_of
from cluster.clock.sample import NtpFailed, Server
from node.second_opinion import SecondOpinion
from tests.clock.hand import MS, SECOND, SERVER, HandBase, sample_of, settle
from tests.clock.test_follower import Site
from tests.clock.test_second_opinion import Central

LOOPBACK = "127.0.0.1"


class Hurried(Follower):
    """Tells that it was hurried."""

    hurried = False

    def hurry(self) -> None:
        super().hurry()
        self.hurried = True


@pytest.mark.parametrize("by_s", [-2, 30])
async def test_a_server_that_is_stepped_is_followed_and_nothing_goes_back(by_s: int) -> None:
    """Central comes back with its machine's clock set: forward at once, back only slowly."""
    clock = ClusterClock(RealBase())
    async with time_server(ClusterClock.reference(RealBase()), LOOPBACK, 0) as server:
        address = Server(LOOPBACK, server.port)
        follower = Follower(clock, [address])
        await follower.sync_now()
    before_ns = clock.now_ns()

    stepped = ClusterClock.reference(SkewedBase(by_s * 1000, 0))
    async with time_server(stepped, LOOPBACK, address.port):
        for _ in range(3):
            await follower.sync_now()

    state = state_of(clock)
    assert clock.now_ns() > before_ns
    assert state.status == "SYNC"
    if by_s > 0:
        assert state.steps == 1
        assert clock.now_ns() - stepped.now_ns() == pytest.approx(0, abs=5 * MS)
    else:
        assert (state.steps, state.slew_ppm) == (0, -80_000.0)
        assert state.slew_left_ms == pytest.approx(-2000, abs=100)


async def test_a_server_that_is_gone_and_back_is_followed_again() -> None:
    """On the same port; meanwhile the reason is told, and the clock goes on."""
    clock = ClusterClock(RealBase())
    async with time_server(ClusterClock.reference(RealBase()), LOOPBACK, 0) as server:
        address = Server(LOOPBACK, server.port)
        follower = Follower(clock, [address])
        await follower.sync_now()

    with pytest.raises(NtpFailed) as failed:
        await follower.sync_now()

    assert failed.value.reason in ("unreachable", "timeout")
    async with time_server(ClusterClock.reference(RealBase()), LOOPBACK, address.port):
        await follower.sync_now()
    [source] = state_of(clock).sources
    assert (source.reach, source.state) == ("005", "selected")


async def test_a_pause_of_two_minutes_is_over_ten_seconds_after_it() -> None:
    """Central polls every second, the server is asked when its schedule says so: virtual time."""
    base, central = HandBase(), Central(HandBase())
    clock = ClusterClock(base)
    follower = Hurried(clock, [Server("192.0.2.1")], client=Site(base).client)
    opinion, schedule = (
        SecondOpinion(clock, follower.synced, follower),
        clock.source(SERVER).schedule,
    )
    settle(clock, base, base)
    central.true.system = base.system + 120 * SECOND  # here, no time passed
    next_ask_s = 60.0  # the usual pace

    for second in range(60):
        central.poll(opinion, base)
        if follower.hurried:
            follower.hurried, next_ask_s = False, second
        if second >= next_ask_s:
            clock.adopt(sample_of(base, central.true.system))
            next_ask_s = second + schedule.next_s()
        if abs(clock.now_ns() - central.true.system) < MS:
            break

    assert second <= 10
    assert state_of(clock).steps == 1
