"""A fleet of which a fifth is sick in every way: the healthy are polled on time, none left out."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from cluster.exchange import Nothing
from cluster.protocol import central
from cluster.protocol.shared import METRICS
from tests.program import ROOT, until
from tests.world import World, world

pytestmark = pytest.mark.e2e

#: Nodes, and how many times each is polled, once a second; more with TIDEHOLD_FLEET, _FLEET_POLLS.
FLEET = int(os.environ.get("TIDEHOLD_FLEET", "50"))
POLLS = int(os.environ.get("TIDEHOLD_FLEET_POLLS", "8"))
SICK = 5  # every fifth
#: 99 % begin within so much of their slot; a machine that runs other tests beside allows no less.
LATE_S = "0.05" if FLEET >= 1_000 else "0.25"


@asynccontextmanager
async def farm() -> AsyncIterator[list[tuple[str, int, str | None]]]:
    """(name, port, ailment) of each node of tests.farm, in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.farm", str(FLEET), str(SICK)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        limit=2**20,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield [tuple(node) for node in json.loads(await process.stdout.readline())]
    finally:
        process.stdin.close()
        await process.wait()


async def began(w: World, late_s: str) -> int:
    """How many polls began at most so late."""
    text = await w.central.call(METRICS, Nothing())
    found = re.search(rf'lateness_seconds_bucket{{le="{re.escape(late_s)}"}} ([0-9.]+)', text)
    assert found is not None
    return int(float(found[1]))


@pytest.mark.fault(20)
@pytest.mark.long
@pytest.mark.timeout(120 + 2 * POLLS)
async def test_healthy_nodes_are_polled_on_time_beside_sick_ones(tmp_path: Path) -> None:
    """None of their slots is left out, and each sick node is told to be down."""
    async with farm() as nodes, world(tmp_path, 1.0) as w:
        for name, port, _ in nodes:
            hello = central.Hello(name=name, url=f"http://127.0.0.1:{port}")
            await w.central.call(central.HELLO, hello)
        before, before_on_time = await began(w, "+Inf"), await began(w, LATE_S)
        healthy = [name for name, _, ailment in nodes if ailment is None]
        end_s = asyncio.get_running_loop().time() + POLLS

        async def enough() -> bool:  # of central's time nothing is taken
            return asyncio.get_running_loop().time() >= end_s

        await until(enough, f"{POLLS} seconds", within_s=60 + 2 * POLLS)
        polls, on_time = await began(w, "+Inf") - before, await began(w, LATE_S) - before_on_time
        views = {view.name: view for view in (await w.central.call(central.NODES, Nothing())).nodes}
        told = await w.journal("node-suspect", "node-down", "node-flapping")
        seen = [await slots(w, name) for name in healthy]

    assert polls >= 0.95 * (POLLS - 1) * len(healthy)
    late = f"{polls - on_time} of {polls} polls began over {LATE_S} s late"
    assert on_time / polls >= 0.99, late
    assert {views[name].live for name in healthy} == {"up"}
    assert {views[name].live for name, _, ailment in nodes if ailment} == {"down"}
    assert {line.split()[0] for line in told} == {name for name, _, ailment in nodes if ailment}
    assert max(seen) < 1.9, f"{sum(gap >= 1.9 for gap in seen)} nodes were left out in a slot"


async def slots(w: World, name: str) -> float:
    """The longest time between two polls of a node, in seconds."""
    ask = central.HistoryAsk(name)
    points = (await w.central.call(central.NODE_POLLS, ask)).points
    moments = [point.ts for point in points[-500:]]  # of earlier ones not all are kept
    return max((late - early) / 1e6 for early, late in pairwise(moments))
