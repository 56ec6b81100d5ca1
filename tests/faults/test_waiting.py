"""Waiting for a node that does not answer: seen, counted down, come back to, caught up."""

import asyncio
from pathlib import Path

import pytest

from cluster.protocol import central
from tests.program import until
from tests.world import world

pytestmark = pytest.mark.e2e


@pytest.mark.fault(3, 15)
@pytest.mark.long
@pytest.mark.timeout(120)
async def test_a_node_stopped_for_thirty_seconds_is_waited_for_and_caught_up(
    tmp_path: Path,
) -> None:
    """Suspect, then down with a time for the next try; the queued pull runs after its return."""
    async with world(tmp_path, poll_interval_s=1.0) as w:
        n1 = await w.node("n1")
        await w.post("n1", b'{"stream":"t","payload":{"n":1}}\n' * 100)
        back = asyncio.get_running_loop().time() + 30
        n1.freeze()

        await w.until_live("n1", "suspect", within_s=5)
        await w.until_live("n1", "down", within_s=8)
        run = await w.central.call(central.PULL, central.PullAsk("n1"))
        down = await w.view("n1")
        waiting = await w.waiting(run)
        await until(lambda: _is_after(back), "thirty seconds have passed", 35)
        n1.thaw()
        ended = await w.ended(run, within_s=62)  # the longest backoff; a hello comes sooner

        assert down.reason == "timeout"
        assert down.failures >= 3
        assert down.next_try is not None
        assert waiting.state == "waiting"
        assert waiting.reason == "waits until the node is up"
        assert (ended.state, ended.inserted) == ("succeeded", 100)
        assert w.verdict("n1").equal


async def _is_after(moment: float) -> bool:
    return asyncio.get_running_loop().time() >= moment


@pytest.mark.fault(1)
async def test_a_dead_node_holds_up_nobody_else(tmp_path: Path) -> None:
    """The others are polled and pulled while one is down."""
    async with world(tmp_path) as w:
        dead = await w.node("dead")
        await w.node("n2")
        await w.post("n2", b'{"stream":"t","payload":{"n":1}}\n' * 50)
        dead.kill()
        await w.until_live("dead", "down")
        runs = (await w.central.call(central.PULL_ALL, central.PullAllAsk())).runs

        ended = [await w.ended(run) for run in runs if run.node == "n2"]
        still = [await w.waiting(run) for run in runs if run.node == "dead"]

        assert [run.state for run in ended] == ["succeeded"]
        assert {run.state for run in still} == {"waiting"}
        assert (await w.view("n2")).live == "up"


async def test_a_node_that_comes_back_is_polled_at_once(tmp_path: Path) -> None:
    """It says hello at its start, so nobody waits for the backoff to end."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        n1.kill()
        await w.until_live("n1", "down")
        await n1.start()

        await w.until_live("n1", "up", within_s=3)


async def test_a_node_runs_on_without_central(tmp_path: Path) -> None:
    """It collects and serves; when central is back, it is caught up."""
    async with world(tmp_path) as w:
        await w.node("n1")
        w.central.kill()
        receipt = await w.post("n1", b'{"stream":"t","payload":{"n":1}}\n' * 200)
        await w.central.start()
        await w.until_live("n1", "up")

        run = await w.pull("n1")

        assert receipt.inserted == 200
        assert run.inserted == 200


@pytest.mark.fault(17)
async def test_another_node_at_the_same_address_is_told_apart(tmp_path: Path) -> None:
    """wrong_node: its records are never taken for the other's."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        impostor = central.Hello(name="n2", url=n1.url)
        await w.central.call(central.HELLO, impostor)

        await w.until_live("n2", "down")
        view = await w.view("n2")

        assert view.reason == "wrong_node"
        assert (await w.view("n1")).live == "up"
