"""Real nodes behind bad lines, and other hard luck: what was acknowledged is there once."""

import asyncio
import os
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from cluster.protocol import central
from cluster.protocol.views import Run
from node.store import Draft, open_node_store
from tests.program import until
from tests.sides import CLOCK
from tests.world import World, lines, world

pytestmark = pytest.mark.e2e

#: Records that a node has gathered while it was down; more with TIDEHOLD_BACKLOG=N.
BACKLOG = int(os.environ.get("TIDEHOLD_BACKLOG", "20000"))


async def is_hindered(w: World, run: Run) -> bool:
    """Whether the line is felt: a poll was missed, or an attempt has failed.

    Or it is over: the one byte that is garbled may be a digit of a status, which is none the worse.
    """
    latest = await w.central.call(central.RUN, central.RunId(run.id))
    waits = latest.state == "waiting" and latest.attempts > 0
    return waits or latest.ended_already or (await w.view("n1")).failures > 0


@pytest.mark.fault(6, 7, 18)
async def test_runs_get_over_every_bad_line(tmp_path: Path) -> None:
    """Broken, garbled, half open and slow: a run goes on when the line is sound, nothing twice."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1", line=True)
        line = w.lines["n1"]
        ailments: tuple[Callable[[], None], ...] = (
            partial(line.break_after, 2_000),
            partial(line.garble, 2_000),
            line.cut,
            partial(line.slow, rate=1_000),
        )
        for number, ail in enumerate(ailments):
            await w.post("n1", lines(2_000, start=2_000 * number))
            ail()
            run = await w.central.call(central.PULL, central.PullAsk("n1"))
            await until(partial(is_hindered, w, run), "the line is felt")
            line.heal()
            ended = await w.ended(run)

            assert ended.state == "succeeded", ended
            assert w.verdict("n1").equal

        n1.sql("DELETE FROM records WHERE position % 2")
        line.drop_reply(3)
        push = await w.push("n1")

        assert push.state == "succeeded"
        assert line.replies_dropped == 3
        assert w.verdict("n1").equal


@pytest.mark.fault(13, 52)
async def test_a_central_that_was_stopped_makes_up_for_no_poll(tmp_path: Path) -> None:
    """SIGSTOP for 15 intervals: nobody is down by it, and one poll follows, not fifteen."""
    async with world(tmp_path) as w:
        await w.node("n1")
        await w.node("n2")
        before = len(await moments_us(w))
        w.central.freeze()
        await asyncio.sleep(3.0)  # the stall is what is tested
        w.central.thaw()
        await until(partial(has_polled, w, before + 6), "polls go on")
        moments = await moments_us(w)
        views = [await w.view(name) for name in ("n1", "n2")]
        told = await w.journal("node-suspect", "node-down")

    gap_us, at = max((late - early, at) for at, (early, late) in enumerate(pairwise(moments)))
    assert gap_us > 2_500_000
    assert len([ts for ts in moments[at + 1 :] if ts < moments[at + 1] + 100_000]) <= 2
    assert {view.live for view in views} == {"up"}
    assert told == []


async def moments_us(w: World) -> list[int]:
    """When n1 was polled."""
    polls = await w.central.call(central.NODE_POLLS, central.HistoryAsk("n1"))
    return [point.ts for point in polls.points]


async def has_polled(w: World, count: int) -> bool:
    return len(await moments_us(w)) >= count


@pytest.mark.fault(16, 17)
async def test_a_clone_of_a_node_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    """The same name and the same disk at another address: told once; the first goes on."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        await w.post("n1", lines(500))
        n1.kill()
        await w.until_live("n1", "down")
        clone = await w.clone("n1")
        await w.until_live("n1", "up")
        taken_over = (await w.view("n1")).url
        await n1.start()
        await until(lambda: is_told(w), "the twin is told of")
        pull = await w.pull("n1")

        assert taken_over == clone.url  # the node was down, and this is its disk
        assert (await w.view("n1")).url == clone.url
        assert (pull.state, pull.inserted) == ("succeeded", 500)
        assert await w.journal("name-taken") == ["n1 name-taken"]


async def is_told(w: World) -> bool:
    return bool(await w.journal("name-taken"))


@pytest.mark.fault(15)
@pytest.mark.timeout(300)
async def test_a_node_that_returns_with_a_backlog_is_caught_up_beside_the_others(
    tmp_path: Path,
) -> None:
    """All its records, each once; the other node misses no poll meanwhile."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        await w.node("n2")
        n1.kill()
        await w.until_live("n1", "down")
        async with open_node_store(n1.folder, "n1", CLOCK) as store:
            for start in range(0, BACKLOG, 10_000):
                drafts = [Draft("t", f'{{"n":{start + n}}}') for n in range(10_000)]
                await store.store(drafts[: BACKLOG - start])
        await n1.start()
        run = await w.pull("n1")
        other = await w.central.call(central.NODE_POLLS, central.HistoryAsk("n2"))

        assert (run.state, run.inserted, run.duplicate) == ("succeeded", BACKLOG, 0)
        assert w.verdict("n1").equal
        assert [point for point in other.points if point.rtt_ms is None] == []


@pytest.mark.fault(51)
async def test_a_node_whose_clock_jumps_is_polled_on_and_told_of(tmp_path: Path) -> None:
    """Ten minutes: its drift shows, and its records are taken."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        await w.post("n1", lines(10))
        await n1.jump_clock(600_000)
        await w.until_live("n1", "up")
        await until(lambda: is_off(w, 600_000), "its drift is seen")
        pull = await w.pull("n1")

        assert pull.inserted == 10


async def is_off(w: World, drift_ms: float) -> bool:
    clock = (await w.view("n1")).clock
    return clock is not None and clock.drift_ms is not None and abs(clock.drift_ms) > drift_ms / 2
