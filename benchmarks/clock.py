"""python -m benchmarks.clock [--live S]: how well the cluster clock keeps time, beside others.

Three tables: simulated days, ours beside a clock that takes the last offset as it is, as most
programs do; what a sample and a reading cost; and a live race on this machine, in which we, ntplib
and, where it is installed, a real `chronyd -x` follow one server for S seconds (default 90, 0: no
race), across an emulated network where root allows it, else on loopback.
"""

import argparse
import asyncio
import tempfile
import time
import timeit
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from math import sqrt
from pathlib import Path
from statistics import fmean

import ntplib
import pytest

from central.time_server import time_server
from cluster.clock.base import RealBase, SkewedBase, tight_pair
from cluster.clock.client import NtpClient
from cluster.clock.cluster_clock import ClusterClock
from cluster.clock.sample import NtpFailed, Sample, Server
from tests.clock.lab import Result, run
from tests.clock.peers.chrony import PROGRAM, chronyd
from tests.clock.peers.network import Way, network
from tests.clock.scenarios import HALF_DAY_S, SCENARIOS, Naive, Tidehold

SEEDS = (1, 2, 3)
LAN = Way(1, jitter_ms=0.2)
POLL_S = 2.0
READ_S = 0.5
SETTLED_S = 30.0
OFFSET_MS, PPM = 5000.0, 50.0  # what the race's server serves: it is this machine that is wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--live", type=float, default=90.0, metavar="S")
    asked = parser.parse_args()
    simulate()
    print_costs()
    if asked.live:
        asyncio.run(race(asked.live))


def simulate() -> None:
    """A day of each scenario, from the second hour on; means and worst of the seeds, in ms."""
    print(f"{'simulated day, ms':26} {'ours: rms  99 %  worst':>26} {'last offset: rms':>18} ratio")
    for scenario in SCENARIOS:
        ours = [run(scenario, Tidehold, seed) for seed in SEEDS]
        theirs = [run(scenario, Naive, seed) for seed in SEEDS]
        rms, naive_rms = (_mean(results, lambda result: result.rms) for results in (ours, theirs))
        p99 = _mean(ours, lambda result: result.p99)
        worst = max(result.worst for result in ours)
        line = f"{rms * 1e3:12.3f} {p99 * 1e3:6.3f} {worst * 1e3:6.3f}"
        print(f"{scenario.name:26} {line:>26} {naive_rms * 1e3:>18.3f} {rms / naive_rms:5.3f}")
        if scenario.jumps:
            back_s = max(result.back_under(1e-3, HALF_DAY_S) for result in ours)
            print(f"{'  right again after':26} {back_s:>24.0f} s")
        assert not any(result.backward for result in ours), "it went back"
        assert scenario.jumps or not any(r.unbounded for r in ours), "its bound did not hold"
    print("never back, and always within its bound (but for the pause, until it is found out)\n")


def _mean(results: list[Result], figure: Callable[[Result], float]) -> float:
    return sum(map(figure, results)) / len(results)


def print_costs() -> None:
    """What a sample and a reading cost, beside reading the machine's own clock."""
    base = RealBase()
    clock = ClusterClock(base)

    def adopt() -> None:
        at_ns = base.monotonic_ns()
        clock.adopt(Sample("a:123", at_ns, base.system_ns() - at_ns, 200_000))

    sample_us = _cost_us(adopt, 100)
    time.sleep(5)  # until the correction is over
    now_us, system_us = _cost_us(clock.now_ns, 10_000), _cost_us(time.time_ns, 10_000)
    print(f"a sample {sample_us:.0f} us   wanted: 100 us")
    print(
        f"now_ns() {now_us:.2f} us   {now_us / system_us:.0f} x time.time_ns() "
        f"({system_us:.3f} us)   wanted: 1 us\n"
    )


def _cost_us(work: Callable[[], object], times: int) -> float:
    return min(timeit.repeat(work, number=times, repeat=9)) / times * 1e6


async def race(length_s: float) -> None:
    """Follow one server for so long, and hold each against what it really serves.

    A mean that all share is the network's: a way that takes longer one way shows to nobody.
    """
    truth = ClusterClock.reference(SkewedBase(OFFSET_MS, PPM))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        async with _served(truth, stack) as (server, where):
            print(f"{where}, a poll every {POLL_S:g} s, from {SETTLED_S:g} to {length_s:g} s, ms")
            racers: list[Racer] = [Ours(server), LastOffset(server)]
            if PROGRAM is not None:
                racers.append(stack.enter_context(_chrony(server, folder)))
            await _run(racers, truth, length_s)
    rms = {type(racer): racer.rms_ms() for racer in racers}
    for racer in racers:
        mean, worst = fmean(racer.errors_ms), max(map(abs, racer.errors_ms))
        said = f"rms {rms[type(racer)]:8.4f}   mean {mean:8.4f}   worst {worst:8.4f}"
        print(f"{racer.name:26} {said}   ours is {rms[Ours] / rms[type(racer)]:5.2f} of it")
    if PROGRAM is None:
        print("chronyd is not installed: not in the race")


class Racer:
    """A clock in the race."""

    name = ""

    def __init__(self) -> None:
        self.errors_ms: list[float] = []

    async def poll(self) -> None:
        """Ask the server, if it is for us to do."""

    async def off_ns(self, truth: ClusterClock) -> int:
        """How far it is from the truth now."""
        raise NotImplementedError

    def rms_ms(self) -> float:
        return sqrt(sum(error * error for error in self.errors_ms) / len(self.errors_ms))


class Ours(Racer):
    name = "ours"

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._clock = ClusterClock(RealBase())
        self._client = NtpClient(server, self._clock.base)

    async def poll(self) -> None:
        try:
            self._clock.adopt(await self._client.ask())
        except NtpFailed as failed:
            self._clock.miss("", failed.reason)

    async def off_ns(self, truth: ClusterClock) -> int:
        shown_ns, truth_ns = tight_pair(self._clock.now_ns, truth.now_ns)
        return shown_ns - truth_ns


class LastOffset(Racer):
    name = "ntplib, last offset"

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server
        self._offset_ns = 0
        self._thread = ThreadPoolExecutor(1)  # of its own: it begins on our side of the network

    async def poll(self) -> None:
        ask = ntplib.NTPClient().request
        try:
            stats = await asyncio.get_running_loop().run_in_executor(
                self._thread,
                lambda: ask(self._server.host, version=4, port=self._server.port, timeout=1),
            )
        except ntplib.NTPException:
            return
        self._offset_ns = round(stats.offset * 1e9)

    async def off_ns(self, truth: ClusterClock) -> int:
        shown_ns, truth_ns = tight_pair(time.time_ns, truth.now_ns)
        return shown_ns + self._offset_ns - truth_ns


class Chrony(Racer):
    """It follows the server by itself; what it believes is what it serves."""

    name = "chronyd -x"

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._client = NtpClient(server, RealBase())

    async def off_ns(self, truth: ClusterClock) -> int:
        samples = [await self._client.ask() for _ in range(3)]
        best = min(samples, key=lambda sample: sample.delay_ns)
        at_ns, truth_ns = tight_pair(RealBase().monotonic_ns, truth.now_ns)
        return best.offset_ns - (truth_ns - at_ns)


@contextmanager
def _chrony(server: Server, folder: Path) -> Iterator[Chrony]:
    source = f"server {server.host} port {server.port} iburst minpoll 1 maxpoll 1"
    with chronyd(folder / "chrony", source) as peer:
        yield Chrony(peer.server)


@asynccontextmanager
async def _served(truth: ClusterClock, stack: ExitStack) -> AsyncIterator[tuple[Server, str]]:
    """`truth`, served across an emulated network where that can be had; who asks is inside."""
    try:
        net = stack.enter_context(network(LAN, LAN))
    except pytest.skip.Exception as reason:
        async with time_server(truth, "127.0.0.1", 0) as server:
            yield Server("127.0.0.1", server.port), f"race on loopback ({reason})"
        return
    with net.far.entered():
        served = time_server(truth, net.far.address, 0)
        server = await served.__aenter__()
    stack.enter_context(net.near.entered())
    try:
        yield Server(net.far.address, server.port), "race across an emulated LAN (1 + 0.2 ms)"
    finally:
        await served.__aexit__(None, None, None)


async def _run(racers: list[Racer], truth: ClusterClock, length_s: float) -> None:
    begin_s = time.monotonic()
    next_poll_s = begin_s
    while (now_s := time.monotonic()) < begin_s + length_s:
        if now_s >= next_poll_s:
            next_poll_s += POLL_S
            for racer in racers:
                await racer.poll()
        elif now_s >= begin_s + SETTLED_S:
            for racer in racers:
                try:
                    racer.errors_ms.append(await racer.off_ns(truth) / 1e6)
                except NtpFailed:
                    continue  # chronyd did not say: this reading is left out
        await asyncio.sleep(READ_S)


if __name__ == "__main__":
    main()
