"""Our time server and our NTP client, each against a stranger that the world believes.

Everything is on 127.0.0.1. The machine's own clock is set by nobody: chronyd runs with -x.
"""

import asyncio
import time
from pathlib import Path

import ntplib
import pytest

from central.time_server import time_server
from cluster.clock.base import RealBase, tight_pair
from tests.clock.peers.asking import OFFSET_MS, PPM, answer, error_ns, refused, wrong_clock
from tests.clock.peers.chrony import chronyd, needs_chronyd
from tests.program import until

LOOPBACK = "127.0.0.1"
US, MS = 1_000, 1_000_000
PATIENCE_S = 5.0


class TestNtplib:
    async def test_it_believes_a_clock_that_is_off(self) -> None:
        """The plainest client there is finds the 5 s, to within half of the way there."""
        clock = wrong_clock()

        async with time_server(clock, LOOPBACK, 0) as server:
            stats = await asyncio.to_thread(
                ntplib.NTPClient().request, LOOPBACK, version=4, port=server.port, timeout=5
            )

        assert stats.offset == pytest.approx(OFFSET_MS / 1000, abs=stats.delay / 2 + 0.001)
        assert (stats.mode, stats.leap, stats.version) == (4, 0, 4)
        assert 1 <= stats.stratum <= 15


@needs_chronyd
class TestChronyd:
    @pytest.mark.e2e
    @pytest.mark.long
    async def test_it_finds_a_clock_that_is_off_and_drifts(self, tmp_path: Path) -> None:
        """5 s and 50 ppm, within 0.1 ms and 0.5 ppm, once it is sure itself: 10 to 25 polls.

        One poll a second; minsamples because a steady clock is no reason to forget the first ones.
        """
        clock = wrong_clock()

        async with time_server(clock, LOOPBACK, 0) as server:
            source = f"server {LOOPBACK} port {server.port} minpoll 0 maxpoll 0 minsamples 32"
            with chronyd(tmp_path / "chrony", source) as peer:
                began_ns = tight_pair(time.time_ns, clock.now_ns)

                async def found() -> bool:
                    rate = peer.frequency()
                    if rate is None or rate.skew_ppm > 0.5 or abs(rate.slow_ppm - PPM) > 0.5:
                        return False
                    return abs(error_ns(await answer(peer.server), clock)) < 100 * US

                await until(found, "chronyd finds the clock", 50)
                ended_ns = tight_pair(time.time_ns, clock.now_ns)

        system_ns, clock_ns = (
            ended - began for began, ended in zip(began_ns, ended_ns, strict=True)
        )
        assert (clock_ns / system_ns - 1) * 1e6 == pytest.approx(PPM, abs=1)
        assert ended_ns[1] - ended_ns[0] == pytest.approx(OFFSET_MS * MS, abs=10 * MS)

    async def test_our_client_believes_it(self, tmp_path: Path) -> None:
        """It serves the machine's time as stratum 8, and so we read it, to half a round trip."""
        base = RealBase()

        with chronyd(tmp_path / "chrony", "local stratum 8") as peer:
            sample = await answer(peer.server)

        at_ns, system_ns = tight_pair(base.monotonic_ns, base.system_ns)
        assert abs(sample.offset_ns - (system_ns - at_ns)) <= sample.delay_ns // 2 + 100 * US
        assert 0 <= sample.delay_ns < 100 * MS
        assert sample.stratum == 8

    async def test_one_without_a_source_is_refused(self, tmp_path: Path) -> None:
        """It says that it is not synchronised, and is taken at its word."""
        with chronyd(tmp_path / "chrony") as peer:
            await until(refused(peer.server, "unsynchronised"), "it has no time", PATIENCE_S)
