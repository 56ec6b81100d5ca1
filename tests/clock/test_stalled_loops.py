"""A program that is busy half of the time still keeps time: the kernel's stamps do not wait for it.

Both event loops, the client's and the server's, each in a thread of its own, are stopped for 20 ms
after every 20 ms or so. The truth is 0: both read the clock of one machine.
"""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from random import Random

import pytest

from central.time_server import time_server
from cluster.clock.base import RealBase, tight_pair
from cluster.clock.client import NtpClient
from cluster.clock.cluster_clock import ClusterClock
from cluster.clock.sample import Server
from cluster.clock.stamps import ask_for_stamps
from tests.clock.impostor import LOOPBACK, PATIENCE_S

STALL_S = 0.02
CLIENTS, POLLS = 8, 40
MS = 1_000_000
P99_NS = MS // 5
TRIES = 3  # what else this machine does can only make it worse


def stall(random: Random) -> None:
    """Stop this thread's event loop, again and again; not in step with the other's."""
    time.sleep(STALL_S)
    asyncio.get_running_loop().call_later(random.uniform(0, 2 * STALL_S), stall, random)


@contextmanager
def stalled_central() -> Iterator[Server]:
    """A time server in a thread whose event loop is stalled half of the time."""
    started, ports = threading.Event(), list[int]()
    loop, done = asyncio.new_event_loop(), asyncio.Event()

    async def serve() -> None:
        clock = ClusterClock.reference(RealBase())
        async with time_server(clock, LOOPBACK, 0) as server:
            ports.append(server.port)
            started.set()
            stall(Random(2))
            await done.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert started.wait(PATIENCE_S)
        yield Server(LOOPBACK, ports[0])
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()


async def errors_ns(server: Server) -> list[tuple[int, int]]:
    """How wrong each of many polls was, and how long it took on the asker's clock."""
    base, random = RealBase(), Random(1)

    async def poll() -> list[tuple[int, int]]:
        client, seen = NtpClient(server, base, PATIENCE_S), list[tuple[int, int]]()
        for _ in range(POLLS):
            await asyncio.sleep(random.uniform(0, 2 * STALL_S))  # any moment is as good as another
            began_ns = time.perf_counter_ns()
            sample = await client.ask()
            took_ns = time.perf_counter_ns() - began_ns
            at_ns, true_ns = tight_pair(base.monotonic_ns, time.time_ns)
            seen.append((abs(sample.offset_ns - (true_ns - at_ns)), took_ns))
        return seen

    return list(chain(*await asyncio.gather(*(poll() for _ in range(CLIENTS)))))


async def test_two_stalled_loops_agree_to_a_fifth_of_a_millisecond() -> None:
    """99 of 100 polls, though many of them wait for milliseconds for one loop or the other."""
    with stalled_central() as server:
        if not _has_stamps():
            pytest.skip("this system does not stamp what arrives")
        asyncio.get_running_loop().call_soon(stall, Random(3))
        tried: list[int] = []
        while not tried or (tried[-1] > P99_NS and len(tried) < TRIES):
            errors, took = zip(*await errors_ns(server), strict=True)
            assert sorted(took)[len(took) * 3 // 4] > 5 * MS, "the loops were not stalled"
            tried.append(sorted(errors)[len(errors) * 99 // 100])

    assert min(tried) <= P99_NS, f"p99 {[one / MS for one in tried]} ms"


def _has_stamps() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        return ask_for_stamps(probe)
