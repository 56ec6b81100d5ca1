"""The time across a network that delays, loses and is cut: a server far away, clients near.

The network is an emulator between two network namespaces: tests/clock/peers/network.py.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from central.time_server import time_server
from cluster.clock.cluster_clock import ClusterClock
from cluster.clock.sample import NtpFailed, Server
from tests.clock.peers.asking import answer, ask, asked, error_ns, refused, wrong_clock
from tests.clock.peers.chrony import chronyd, needs_chronyd
from tests.clock.peers.network import Network, Way, network
from tests.program import until

pytestmark = pytest.mark.e2e

MS = 1_000_000
FEW = 12
SLACK_NS = 300_000  # the served clock drifts while the last samples are waited for
FAST = Way(1, jitter_ms=0.2)


@asynccontextmanager
async def served_far(net: Network, clock: ClusterClock) -> AsyncIterator[Server]:
    """`clock`, served on the far side."""
    async with AsyncExitStack() as stack:
        with net.far.entered():
            server = await stack.enter_async_context(time_server(clock, net.far.address, 0))
        yield Server(net.far.address, server.port)


class TestOurClient:
    async def test_a_longer_way_back_shifts_the_time_by_half_of_it(self) -> None:
        """10 ms there and 20 ms back look like 5 ms less, which half a round trip allows for.

        What a busy machine adds to the way shows in the delay, and explains no more than half.
        """
        clock = wrong_clock()

        with network(there=Way(10), back=Way(20, loss=0.02)) as net:
            async with served_far(net, clock) as server:
                with net.near.entered():
                    samples = await asked(server, FEW)
                best = min(samples, key=lambda sample: sample.delay_ns)
                error = error_ns(best, clock)

        assert len(samples) > FEW // 2
        assert 30 * MS <= best.delay_ns < 35 * MS
        assert error == pytest.approx(-5 * MS, abs=(best.delay_ns - 30 * MS) / 2 + SLACK_NS)
        assert abs(error) <= best.delay_ns / 2

    async def test_heavy_loss_leaves_some_samples(self) -> None:
        """30 % lost each way is half of all answers: fewer samples, none of them worse."""
        clock, lossy = wrong_clock(), Way(1, loss=0.3)

        with network(lossy, lossy) as net:
            async with served_far(net, clock) as server:
                with net.near.entered():
                    samples = await asked(server, FEW)
                errors = [abs(error_ns(sample, clock)) for sample in samples]

        assert 0 < len(samples) < FEW
        for sample, error in zip(samples, errors, strict=True):
            assert error <= (sample.delay_ns - 2 * MS) / 2 + SLACK_NS

    async def test_a_pulled_cable_is_told_and_forgotten_once_it_is_back(self) -> None:
        """At our end nothing can be sent; at theirs nothing comes back."""
        with network(FAST, FAST) as net:
            async with served_far(net, wrong_clock()) as server:
                with net.near.entered():
                    net.near.unplug()
                    with pytest.raises(NtpFailed) as ours:
                        await ask(server)
                    net.near.plug_in()
                    await answer(server)

                    net.far.unplug()
                    with pytest.raises(NtpFailed) as theirs:
                        await ask(server)
                    net.far.plug_in()
                    await answer(server)

        assert (ours.value.reason, theirs.value.reason) == ("unreachable", "timeout")


@needs_chronyd
class TestChronyd:
    async def test_it_is_shifted_by_the_same_half(self, tmp_path: Path) -> None:
        """No client can see asymmetry. What chronyd makes of it is what we make of it."""
        clock = wrong_clock()

        with network(there=Way(10), back=Way(20, loss=0.02)) as net:
            async with served_far(net, clock) as server:
                source = f"server {server.host} port {server.port} iburst minpoll 0 maxpoll 0"
                with (
                    chronyd(tmp_path / "chrony", source, side=net.near) as peer,
                    net.near.entered(),
                ):

                    async def shifted() -> bool:
                        error = error_ns(await answer(peer.server, within_s=10), clock)
                        return abs(error + 5 * MS) < 1 * MS

                    await until(shifted, "chronyd is 5 ms late", 10)

    async def test_one_that_follows_us_is_refused(self, tmp_path: Path) -> None:
        """Two that follow each other would agree on anything. It names whom it follows."""
        with network(FAST, FAST) as net:
            async with served_far(net, wrong_clock()) as server:
                source = f"server {server.host} port {server.port} iburst minpoll 0 maxpoll 0"
                with (
                    chronyd(tmp_path / "chrony", source, side=net.near) as peer,
                    net.far.entered(),
                ):
                    await until(refused(peer.server, "looped"), "it is found to follow us", 10)
