"""kill -9 in the middle of a pull or a push, at random moments: nothing acknowledged is lost,
nothing is there twice, and the run goes on by itself after the return."""

import asyncio
import os
import random
from pathlib import Path

import pytest

from cluster.peer import PeerFailed
from cluster.protocol import central
from cluster.protocol.views import Run
from cluster.record import IdMaker, id_text
from tests.program import until
from tests.world import World, world

pytestmark = pytest.mark.e2e

#: Kills that cut a run in two, of each of the four kinds; more with TIDEHOLD_KILLS=N.
HITS = int(os.environ.get("TIDEHOLD_KILLS", "1"))
TRIES = 6 * HITS  # a random moment may come before the run's beginning or after its end
BATCHES, BATCH = 8, 500
SLOW = ("--max-rate", "500000")  # or a run would be over before it can be cut


class Client:
    """Posts rows with ids of its own and remembers which were acknowledged."""

    def __init__(self, w: World) -> None:
        self._world = w
        self._ids = IdMaker()
        self.acknowledged: set[bytes] = set()

    async def post(self, count: int) -> None:
        """Post a batch, again and again until it is acknowledged: the same ids, so it is safe."""
        ids = [self._ids.next(1_760_000_000_000_000) for _ in range(count)]
        lines = b"".join(
            b'{"id":"%b","stream":"t","ts":1,"payload":{"reading":%d,"note":"%b"}}\n'
            % (id_text(one).encode(), number, b"x" * 80)
            for number, one in enumerate(ids)
        )
        while True:
            try:
                await self._world.post("n1", lines)
            except PeerFailed:
                await asyncio.sleep(0.05)
            else:
                self.acknowledged.update(ids)
                return


@pytest.mark.fault(16)
@pytest.mark.long
@pytest.mark.parametrize("victim", ["central", "node"])
@pytest.mark.timeout(max(150, 20 * HITS))
async def test_a_kill_in_the_middle_of_a_pull_costs_nothing(tmp_path: Path, victim: str) -> None:
    """The run that was cut is carried on to its end; the sets are equal afterwards."""
    async with world(tmp_path, 0.2, *SLOW) as w:
        await w.node("n1")
        client = Client(w)
        hits = 0
        for _ in range(TRIES):
            for _ in range(BATCHES):
                await client.post(BATCH)
            run = await w.central.call(central.PULL, central.PullAsk("n1"))
            posting = asyncio.create_task(client.post(BATCH))

            await kill_and_restart(w, victim, run)
            await posting
            ended = await w.ended(run)

            assert ended.state == "succeeded", ended
            assert w.verdict("n1", frozenset(client.acknowledged)).broken == []
            hits += ended.attempts > 1
            if hits == HITS:
                break
        await w.pull("n1")

        assert hits == HITS
        assert w.verdict("n1", frozenset(client.acknowledged)).equal


@pytest.mark.parametrize("victim", ["central", "node"])
@pytest.mark.timeout(max(150, 20 * HITS))
async def test_a_kill_in_the_middle_of_a_push_costs_nothing(tmp_path: Path, victim: str) -> None:
    """Half of the node's rows are gone; the push that was cut brings back every one."""
    async with world(tmp_path, 0.2, *SLOW) as w:
        n1 = await w.node("n1")
        client = Client(w)
        for _ in range(BATCHES):
            await client.post(BATCH)
        await w.pull("n1")
        hits = 0
        for _ in range(TRIES):
            n1.sql("DELETE FROM records WHERE abs(random()) % 2")
            run = await w.central.call(central.PUSH, central.PushAsk("n1"))

            await kill_and_restart(w, victim, run)
            ended = await w.ended(run)

            assert ended.state == "succeeded", ended
            verdict = w.verdict("n1", frozenset(client.acknowledged))
            assert verdict.equal, verdict.line()
            hits += ended.attempts > 1
            if hits == HITS:
                break

        assert hits == HITS


async def kill_and_restart(w: World, victim: str, run: Run) -> None:
    """At a random moment of the first tenths of a second of a run.

    A node comes back when central has missed it: what it has sent already is not cut.
    """
    program = w.central if victim == "central" else w.nodes["n1"]
    await asyncio.sleep(random.uniform(0.0, 0.15))
    program.kill()
    if victim == "node":
        await until(lambda: misses(w, run), "central misses the node")
    await program.start()


async def misses(w: World, run: Run) -> bool:
    latest = await w.central.call(central.RUN, central.RunId(run.id))
    return latest.state == "waiting" or latest.ended_already
