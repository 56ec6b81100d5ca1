"""The runner of a lane, with everything real but the node: turns, and cancels that hold."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from central.board import Board
from central.context import Context
from central.journal import Journal
from central.runner import Runner, is_fruitless
from central.runs import Runs
from central.store import open_central_store
from central.tally import Tally
from cluster.background import background
from cluster.clock.base import RealBase
from cluster.clock.cluster_clock import ClusterClock
from cluster.peer import Peer, PeerFailed
from cluster.protocol.views import Run
from tests.program import until

Move = Callable[[Tally], Awaitable[None]]


class SlowRuns(Runs):
    """Storing a cancel takes until `stored` is set, as on a busy disk."""

    stored = asyncio.Event()

    async def end(self, run: Run, **changes: Any) -> Run:
        if changes["state"] == "cancelled":
            await self.stored.wait()
        return await super().end(run, **changes)


class ScriptedReplication:
    """Moves what a test says."""

    def __init__(self, tally: Tally, move: Move) -> None:
        self._tally = tally
        self._move = move

    async def pull(self, mode: str) -> None:
        await self._move(self._tally)

    push = pull


def no_peer(url: str) -> Peer:
    raise AssertionError("nobody is asked here")


@asynccontextmanager
async def central(folder: Path, slots: int = 1) -> AsyncIterator[Context]:
    """What runners share."""
    clock, board = ClusterClock.reference(RealBase()), Board()
    async with open_central_store(folder) as store, background() as tasks:
        journal = Journal(store.database, clock.now_us, board.show_line)
        runs = SlowRuns(store.database, board, journal, clock.now_us)
        runs.stored = asyncio.Event()
        yield Context(
            store, board, journal, runs, clock, tasks, asyncio.Semaphore(slots), slots, 1.0, no_peer
        )


def runner_of(context: Context, name: str, move: Move, *, turn_s: float = 60.0) -> Runner:
    """A runner at work, whose node is up."""
    runner = Runner(
        context,
        name,
        lambda tally: ScriptedReplication(tally, move),  # type: ignore[arg-type,return-value]
        lambda: None,
        lambda: None,
        turn_s=turn_s,
    )
    runner.up.set()
    context.tasks.start(runner.work(), name)
    return runner


async def ended(context: Context, run: Run) -> Run:
    async def has_ended() -> bool:
        return (await context.runs.get(run.id)).ended_already

    await until(has_ended, f"run {run.id} ends")
    return await context.runs.get(run.id)


async def test_a_run_that_is_being_cancelled_when_its_turn_comes_is_not_begun(
    tmp_path: Path,
) -> None:
    """What was answered holds, however long storing it takes."""
    async with central(tmp_path) as context:
        begun: list[Tally] = []
        first_may_end = asyncio.Event()

        async def move(tally: Tally) -> None:
            begun.append(tally)
            await first_may_end.wait()

        runner = runner_of(context, "n1", move)
        first, second = [await context.runs.ask("n1", kind, "x") for kind in ("pull", "push")]
        runner.run_asked()
        cancel = asyncio.create_task(runner.cancel(second))
        first_may_end.set()
        one = await ended(context, first)
        context.runs.stored.set()  # type: ignore[attr-defined]
        other = await cancel

        assert (one.state, other.state) == ("succeeded", "cancelled")
        assert await context.runs.get(second.id) == other
        assert len(begun) == 1


async def test_a_run_under_way_is_cut_by_its_cancel(tmp_path: Path) -> None:
    """And the next one has its turn."""
    async with central(tmp_path) as context:
        context.runs.stored.set()  # type: ignore[attr-defined]
        begun: list[Tally] = []

        async def move(tally: Tally) -> None:
            begun.append(tally)
            if len(begun) == 1:
                await asyncio.Event().wait()

        runner = runner_of(context, "n1", move)
        first, second = [await context.runs.ask("n1", kind, "x") for kind in ("pull", "push")]
        runner.run_asked()

        async def is_begun() -> bool:
            return len(begun) == 1

        await until(is_begun, "the first has begun")
        cancelled = await runner.cancel(first, why="a test")

        assert (cancelled.state, cancelled.error) == ("cancelled", "a test")
        assert (await ended(context, second)).state == "succeeded"


async def test_a_long_run_gives_its_slot_to_others_and_goes_on_later(tmp_path: Path) -> None:
    """Four nodes with much to say must not keep the fifth waiting for hours."""
    async with central(tmp_path) as context:
        others_turn = asyncio.Event()

        async def go_on(tally: Tally) -> None:
            while not others_turn.is_set():
                tally.gained += 1
                tally.changed()
                await asyncio.sleep(0)

        async def be_short(tally: Tally) -> None:
            others_turn.set()

        long = await context.runs.ask("long", "pull", "incremental")
        short = await context.runs.ask("short", "pull", "incremental")
        runner_of(context, "long", go_on, turn_s=0.0)
        runner_of(context, "short", be_short)

        assert (await ended(context, short)).state == "succeeded"
        assert (await ended(context, long)).state == "succeeded"


@pytest.mark.parametrize(("mode", "gained"), [("incremental", 0), ("full", 1)])
async def test_a_run_that_would_begin_anew_keeps_its_slot(
    tmp_path: Path, mode: str, gained: int
) -> None:
    """A search that has found nothing yet, and a full one, would never come to an end."""
    async with central(tmp_path) as context:

        async def search(tally: Tally) -> None:
            tally.gained = gained
            for _ in range(100):
                tally.changed()
                await asyncio.sleep(0)

        run = await context.runs.ask("n1", "pull", mode)
        runner_of(context, "n1", search, turn_s=0.0)
        done = await ended(context, run)

        assert (done.state, done.attempts) == ("succeeded", 1)


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
