"""Runs are asked for, wait, are cancelled, and are then never carried out all the same."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from central.board import Board
from central.journal import Journal
from central.runs import Runs
from central.store import open_central_store
from cluster.connection import Work
from cluster.database import Database
from cluster.peer import PeerFailed
from cluster.problem import Refusal
from cluster.protocol import central
from cluster.protocol.views import Run
from tests.world import World, lines, world

pytestmark = pytest.mark.e2e

ROWS = 1_500


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


@asynccontextmanager
async def all_runs(folder: Path) -> AsyncIterator[tuple[Runs, Database]]:
    async with open_central_store(folder) as store:
        board = Board()
        journal = Journal(store.database, lambda: 1, board.show_line)
        yield Runs(store.database, board, journal, lambda: 1), store.database


def failing_afterwards(database: Database, patch: pytest.MonkeyPatch) -> None:
    """Each write is done, and said to have failed: nobody knows what has reached the disk."""
    write = database.write

    async def fails(work: Work[Run], *, about: str) -> Run:
        await write(work, about=about)
        raise Refusal("storage_failed", "disk I/O error")

    patch.setattr(database, "write", fails)


async def test_a_run_that_was_stored_though_it_was_refused_is_the_one_that_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with all_runs(tmp_path) as (runs, database):
        with monkeypatch.context() as patch:
            failing_afterwards(database, patch)
            with pytest.raises(Refusal):
                await runs.ask("n1", "pull", "full")
        assert runs.open_of("n1") == []

        again = await runs.ask("n1", "pull", "full")

        assert runs.open_of("n1") == [again]
        assert len(await runs.list(central.RunsAsk())) == 1


async def test_a_run_whose_asker_has_gone_is_found(tmp_path: Path) -> None:
    """It is committed all the same; a node that is removed has none left over."""
    async with all_runs(tmp_path) as (runs, _):
        asking = asyncio.create_task(runs.ask("n1", "pull", "full", scheduled=True))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])

        await runs.find_unknown("n1")

        assert [run.mode for run in runs.open_of("n1")] == ["full"]


async def test_a_run_that_ends_while_others_are_looked_for_stays_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with all_runs(tmp_path) as (runs, database):
        first = await runs.ask("n1", "pull", "full")
        with monkeypatch.context() as patch:
            failing_afterwards(database, patch)
            with pytest.raises(Refusal):
                await runs.ask("n1", "push", "full")

        looking = asyncio.create_task(runs.find_unknown("n1"))
        await asyncio.sleep(0)
        await asyncio.gather(looking, runs.end(first, state="cancelled"))

        assert [run.kind for run in runs.open_of("n1")] == ["push"]
