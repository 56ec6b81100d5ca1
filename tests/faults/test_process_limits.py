"""A process without descriptors, and one that runs for long: what it holds stays bounded."""

import asyncio
import os
import resource
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from cluster.exchange import Nothing
from cluster.protocol import central
from tests.faults.test_kill_cycles import pid_of
from tests.leaks import Held, settles
from tests.program import until
from tests.world import World, lines, world

pytestmark = pytest.mark.e2e

DESCRIPTORS = 64
CALLERS = 150
#: Polls over which the memory must not grow; more with TIDEHOLD_POLLS=N.
POLLS = int(os.environ.get("TIDEHOLD_POLLS", "300"))
GROWTH_MAX = 2 << 20  # bytes: the histories of a node fill up, and the allocator's arenas


@pytest.mark.fault(43)
@pytest.mark.parametrize("victim", ["central", "node"])
async def test_without_descriptors_callers_are_shed_and_nothing_else(
    tmp_path: Path, victim: str
) -> None:
    """It neither ends nor burns its core, and takes rows again as soon as there is room."""
    async with world(tmp_path, 0.2) as w:
        n1 = await w.node("n1")
        await w.post("n1", lines(100))
        program = w.central if victim == "central" else n1
        process = psutil.Process(pid_of(program))
        before = Held.by(process.pid)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))

        with ExitStack() as callers:
            for _ in range(CALLERS):
                one = callers.enter_context(socket.socket())
                one.setblocking(False)
                one.connect_ex(("127.0.0.1", program.port))
            await until(lambda: is_full(process), "it has no descriptor left")
            burnt_s = await cpu_s_of(process, during_s=0.5)

        assert burnt_s < 0.25, "a busy loop"
        await until(program.answers, "it answers again")
        await settles(process.pid, before)
        await w.until_live("n1", "up")
        assert (await w.post("n1", lines(100, 100))).inserted == 100
        assert (await w.pull("n1")).state == "succeeded"
        assert w.verdict("n1").equal
        program.kill(signal.SIGTERM)


async def cpu_s_of(process: psutil.Process, during_s: float) -> float:
    """CPU seconds that it uses in so many seconds."""
    before = sum(process.cpu_times()[:2])
    await asyncio.sleep(during_s)
    return float(sum(process.cpu_times()[:2]) - before)


async def is_full(process: psutil.Process) -> bool:
    return process.num_fds() >= DESCRIPTORS - 1


@pytest.mark.fault(49)
@pytest.mark.timeout(60 + POLLS / 50)
async def test_memory_does_not_grow_with_the_polls(tmp_path: Path) -> None:
    """Of central and of the node: what they remember of each other is bounded."""
    async with world(tmp_path, 60.0) as w:
        await w.node("n1")
        processes = [psutil.Process(pid_of(one)) for one in (w.central, w.nodes["n1"])]
        await polls(w, POLLS)
        before = [one.memory_info().rss for one in processes]

        await polls(w, POLLS)

        grown = [one.memory_info().rss - rss for one, rss in zip(processes, before, strict=True)]
        assert max(grown) < GROWTH_MAX, grown


async def polls(w: World, count: int) -> None:
    for _ in range(count):
        await w.poll("n1")
    assert (await w.central.call(central.STATUS, Nothing())).nodes.up == 1
