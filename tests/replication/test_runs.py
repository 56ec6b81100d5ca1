"""Runs are asked for, wait, are cancelled, and are then never carried out all the same."""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest

from central.runner import is_fruitless
from central.tally import Tally
from cluster.peer import PeerFailed
from cluster.protocol import central
from cluster.protocol.views import Run
from tests.world import World, lines, world

ROWS = 1_500


@pytest.mark.e2e
@pytest.mark.parametrize("kind", ["pull", "push"])
async def test_asking_twice_queues_one_run(tmp_path: Path, kind: str) -> None:
    """A queued run that is asked for again is the same run; it can be cancelled."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        n1.kill()
        await w.until_live("n1", "down")
        first, second = await _ask(w, kind), await _ask(w, kind)

        cancelled = await w.central.call(central.CANCEL, central.RunId(first.id))

        assert first.id == second.id
        assert cancelled.state == "cancelled"
        assert await w.central.call(central.RUNS, central.RunsAsk(open=True)) == central.RunList([])


async def _ask(w: World, kind: str) -> Run:
    if kind == "pull":
        return await w.central.call(central.PULL, central.PullAsk("n1"))
    return await w.central.call(central.PUSH, central.PushAsk("n1"))


@pytest.mark.e2e
async def test_a_cancelled_run_is_never_carried_out(tmp_path: Path) -> None:
    """Also one that waits behind another while that one is under way."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        await w.post("n1", lines(ROWS))
        n1.kill()
        await w.until_live("n1", "down")
        pull, push = await _ask(w, "pull"), await _ask(w, "push")
        await w.central.call(central.CANCEL, central.RunId(push.id))
        await n1.start()

        ended = await w.ended(pull)
        await w.pull("n1")  # whatever waited behind would have had its turn by now
        cancelled = await w.central.call(central.RUN, central.RunId(push.id))

        assert ended.state == "succeeded"
        assert (cancelled.state, cancelled.attempts) == ("cancelled", 0)


@pytest.mark.e2e
async def test_a_run_is_cancelled_at_the_moment_its_turn_comes(tmp_path: Path) -> None:
    """Whoever wins, what was answered is what holds."""
    async with world(tmp_path) as w:
        await w.node("n1")
        told: list[Run] = []
        for _ in range(40):
            await w.post("n1", lines(3))
            pull, push = await _ask(w, "pull"), await _ask(w, "push")
            with suppress(PeerFailed):  # it may have ended already
                told.append(await w.central.call(central.CANCEL, central.RunId(push.id)))
            await w.ended(pull)

        await w.pull("n1")  # whatever waited behind would have had its turn by now
        later = [await w.central.call(central.RUN, central.RunId(run.id)) for run in told]

        assert [run.ended_already for run in told] == [True] * len(told)
        assert later == told


@pytest.mark.e2e
async def test_a_cancel_that_cannot_be_stored_is_said_and_holds(tmp_path: Path) -> None:
    """A full or locked disk is just when people cancel."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        await w.post("n1", lines(10))
        n1.kill()
        await w.until_live("n1", "down")
        run = await w.waiting(await _ask(w, "pull"))

        with closing(sqlite3.connect(w.central.folder / "central.db", isolation_level=None)) as sql:
            sql.execute("BEGIN IMMEDIATE")
            with pytest.raises(PeerFailed) as refused:
                await w.central.call(central.CANCEL, central.RunId(run.id))
        await n1.start()
        ended = await w.ended(run)

        assert refused.value.problem is not None
        assert refused.value.problem.code == "storage_failed"
        assert (ended.state, ended.inserted) == ("cancelled", 0)


@pytest.mark.parametrize(
    ("failure", "gained", "fruitless"),
    [
        (PeerFailed("http_5xx", "503"), 0, True),
        (PeerFailed("reset", "cut"), 0, True),
        (PeerFailed("reset", "cut"), 7, False),
        (PeerFailed("internal", "our own disk is full"), 0, False),
        (None, 0, False),
    ],
)
def test_an_attempt_without_gain_is_fruitless_unless_it_is_our_own_fault(
    failure: PeerFailed | None, gained: int, fruitless: bool
) -> None:
    """Central's full disk may last a week; a node that always fails shall not."""
    assert is_fruitless(failure, Tally(gained=gained)) is fruitless
