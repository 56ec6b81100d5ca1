"""kill -9 of central, the node or both, again and again, while rows come in and runs move them."""

import asyncio
import os
import random
from pathlib import Path

import pytest

from cluster.protocol import central
from tests.faults.test_kill import Client
from tests.leaks import Held, settles
from tests.program import Program
from tests.world import World, world

#: How often, each of the three victims in turn; more with TIDEHOLD_CYCLES=N.
CYCLES = int(os.environ.get("TIDEHOLD_CYCLES", "20"))
BATCH = 60
VICTIMS = ("central",), ("n1",), ("central", "n1")


@pytest.mark.e2e
@pytest.mark.long
@pytest.mark.fault(40, 47)
@pytest.mark.timeout(max(120, 10 * CYCLES))
async def test_kills_under_load_cost_nothing(tmp_path: Path) -> None:
    """After each: nothing acknowledged is lost, nothing is there twice, both sets are equal.

    The locks of the killed are there, and keep nobody out; and whoever has come back holds no
    more descriptors, threads or children than at the first time.
    """
    async with world(tmp_path, 0.2) as w:
        await w.node("n1")
        client = Client(w)
        held = {program: Held.by(pid_of(program)) for program in (w.central, w.nodes["n1"])}
        for number in range(CYCLES):
            w.nodes["n1"].sql("DELETE FROM records WHERE abs(random()) % 4 = 0")  # for the push
            posting = asyncio.gather(*(client.post(BATCH) for _ in range(3)))
            runs = [
                await w.central.call(central.PULL, central.PullAsk("n1")),
                await w.central.call(central.PUSH, central.PushAsk("n1")),
            ]
            await asyncio.sleep(random.uniform(0.0, 0.06))
            await kill_and_restart(w, VICTIMS[number % len(VICTIMS)])
            await posting
            ended = [await w.ended(run) for run in runs]
            last = await w.pull("n1")

            assert {run.state for run in (*ended, last)} == {"succeeded"}, (ended, last)
            verdict = w.verdict("n1", frozenset(client.acknowledged))
            assert verdict.equal, f"cycle {number}: {verdict.line()}"

        assert len(client.acknowledged) == 3 * BATCH * CYCLES
        for program, before in held.items():
            await settles(pid_of(program), before)


async def kill_and_restart(w: World, victims: tuple[str, ...]) -> None:
    programs = [w.central if name == "central" else w.nodes[name] for name in victims]
    for program in programs:
        program.kill()
    await asyncio.gather(*(program.start() for program in programs))


def pid_of(program: Program) -> int:
    assert program.process is not None
    return program.process.pid
