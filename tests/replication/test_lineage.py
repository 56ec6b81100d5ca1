"""Lineage: a node that comes back with another database is told from one that comes back."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from cluster.protocol import central
from cluster.protocol.views import JournalLine, NodeView
from cluster.record import Record
from tests.program import Program, until
from tests.world import World, world

pytestmark = pytest.mark.e2e


def new_lines(count: int, word: str = "a") -> bytes:
    """Rows that are born now."""
    return b"".join(
        b'{"stream":"t","payload":{"%s":%d}}\n' % (word.encode(), number) for number in range(count)
    )


async def until_view(w: World, holds: Callable[[NodeView], bool], what: str) -> NodeView:
    """The node's view, once it is so."""
    seen: list[NodeView] = []

    async def reached() -> bool:
        seen[:] = [await w.view("n1")]
        return holds(seen[0])

    await until(reached, what)
    return seen[0]


def is_known(view: NodeView) -> bool:
    return view.live == "up" and view.data != "unknown"


async def told(w: World, kind: str) -> JournalLine:
    """The one line of this kind, once it is there."""
    found: list[JournalLine] = []

    async def reached() -> bool:
        ask = central.JournalAsk(node="n1")
        lines = (await w.central.call(central.JOURNAL, ask)).lines
        found[:] = [line for line in lines if line.kind == kind]
        return bool(found)

    await until(reached, f"{kind} is journaled")
    assert len(found) == 1
    return found[0]


async def kinds(w: World) -> set[str]:
    lines = (await w.central.call(central.JOURNAL, central.JournalAsk(node="n1"))).lines
    return {line.kind for line in lines}


async def announced(w: World, count: int) -> None:
    """Wait until central has written down that the node has so many."""

    async def stored() -> bool:
        with closing(sqlite3.connect(w.central.folder / "central.db", timeout=10)) as sql:
            (text,) = sql.execute("SELECT announced FROM nodes WHERE name = 'n1'").fetchone()
        return text is not None and bool(msgspec.json.decode(text)["count"] == count)

    await until(stored, f"{count} are written down")


def copy_of(node: Program, to: Path) -> Path:
    """A copy of a stopped node's file, with its log."""
    with closing(sqlite3.connect(node.folder / "node.db")) as sql:
        sql.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(node.folder / "node.db", to)
    return to


def put_back(node: Program, copy: Path) -> None:
    """A copy takes the place of a stopped node's file."""
    for file in node.folder.glob("node.db*"):
        file.unlink()
    shutil.copy(copy, node.folder / "node.db")


async def backed_up(node: Program, to: Path) -> Path:
    """A copy of the node as it is now; it goes on."""
    node.kill()
    copy = copy_of(node, to)
    await node.start()
    return copy


async def come_back_as(node: Program, copy: Path) -> None:
    """The node starts again from a copy of it, or of another."""
    node.kill()
    put_back(node, copy)
    await node.start()


async def healed(w: World) -> NodeView:
    """The view after a pull and a push, which bring everything to both sides."""
    before = w.verdict("n1")
    await w.pull("n1")
    await w.push("n1")
    after, view = w.verdict("n1"), await w.poll("n1")

    assert after.equal, after.line()
    assert after.node.rows == {**before.node.rows, **before.central.rows}
    assert view.data == "in_sync"
    return view


async def lossy(w: World) -> Program:
    """n1 with 40 records that were pulled, and 60 that were announced since."""
    n1 = await w.node("n1")
    await w.post("n1", new_lines(40))
    await w.pull("n1")
    await w.post("n1", new_lines(60, "b"))
    await until_view(w, lambda view: view.records.missing_at_central == 60, "60 are missed")
    return n1


async def restart_empty(w: World, n1: Program) -> None:
    n1.kill()
    n1.wipe()
    await n1.start()


@pytest.mark.fault(17)
async def test_what_is_lost_with_a_disk_is_told(tmp_path: Path) -> None:
    """How many were never pulled, how many can be restored, and when the lost ones were born."""
    async with world(tmp_path) as w:
        n1 = await lossy(w)
        rows = list(sql_rows(n1))
        first_lost, last_lost = rows[40].ts, rows[-1].ts

        await restart_empty(w, n1)

        line = await told(w, "new-epoch")
        loss = (await until_view(w, lambda view: view.loss is not None, "it is shown")).loss
        assert loss is not None
        assert (loss.records, loss.restorable) == (60, 40)
        assert loss.since is not None
        assert loss.since < first_lost <= last_lost < loss.until
        assert (line.level, "60 of the 100" in line.text, "holds 40" in line.text) == (
            "error",
            True,
            True,
        )
        assert (await healed(w)).records.node == 40


def sql_rows(node: Program) -> list[Record]:
    query = "SELECT id, node, ts, stream, payload, hash FROM records ORDER BY position"
    with closing(sqlite3.connect(node.folder / "node.db")) as sql:
        return [Record(*row) for row in sql.execute(query)]


async def test_nothing_lost_is_told_more_quietly(tmp_path: Path) -> None:
    """All had been pulled: a warning, no loss, and a push brings everything back."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        await w.post("n1", new_lines(40))
        await w.pull("n1")
        await until_view(w, lambda view: view.data == "in_sync", "it is proven")

        await restart_empty(w, n1)

        assert (await told(w, "new-epoch")).level == "warning"
        assert (await healed(w)).loss is None


async def test_what_was_pulled_after_the_last_announcement_is_not_called_lost(
    tmp_path: Path,
) -> None:
    """It told of 40 that central lacked, and a pull has brought them since."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        await w.post("n1", new_lines(40))
        await w.pull("n1")
        w.central.kill()
        n1.kill()
        forget_what_came_after(w, 40)
        n1.wipe()
        await n1.start()
        await w.central.start()

        line = await told(w, "new-epoch")

        assert line.level == "warning"
        assert (await w.view("n1")).loss is None


async def test_a_loss_is_told_over_a_restart_of_central(tmp_path: Path) -> None:
    """What was announced is written down, also when nothing has come for long."""
    async with world(tmp_path) as w:
        n1 = await lossy(w)
        await announced(w, 100)
        w.central.kill()
        n1.kill()
        n1.wipe()
        await w.central.start()
        await n1.start()

        line = await told(w, "new-epoch")
        loss = (await until_view(w, lambda view: view.loss is not None, "it is shown")).loss
        w.central.kill()
        await w.central.start()

        assert line.level == "error"
        assert loss is not None
        assert (loss.records, loss.restorable) == (60, 40)
        again = await until_view(w, is_known, "it is polled again")
        assert again.loss == loss
        assert await told(w, "new-epoch") == line


@pytest.mark.fault(16)
async def test_an_old_backup_is_told_and_healed_both_ways(tmp_path: Path) -> None:
    """Positions ran backwards, and more was born since."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        await w.post("n1", new_lines(40))
        backup = await backed_up(n1, tmp_path / "backup.db")
        await w.post("n1", new_lines(60, "b"))
        await w.pull("n1")
        await until_view(w, lambda view: view.records.node == 100, "100 are announced")

        await come_back_as(n1, backup)

        assert (await told(w, "rolled-back")).level == "warning"
        await w.post("n1", new_lines(5, "c"))
        view = await until_view(
            w, lambda view: view.records.node == 45 and is_known(view), "the difference is known"
        )
        assert (view.records.missing_at_central, view.records.missing_at_node) == (5, 60)
        assert (await healed(w)).records.node == 105


@pytest.mark.fault(16)
async def test_a_backup_that_has_outgrown_its_old_position_is_told(tmp_path: Path) -> None:
    """Central was down meanwhile: the same positions hold other records, and no count misleads."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        await w.post("n1", new_lines(40))
        backup = await backed_up(n1, tmp_path / "backup.db")
        await w.post("n1", new_lines(60, "b"))
        await w.pull("n1")
        await announced(w, 100)
        w.central.kill()
        await come_back_as(n1, backup)
        await w.post("n1", new_lines(160, "c"))

        await w.central.start()

        assert (await told(w, "forked")).level == "warning"
        view = await until_view(w, is_known, "the difference is known")
        assert (view.records.missing_at_central, view.records.missing_at_node) == (160, 60)
        assert (await healed(w)).records.node == 260


@pytest.mark.fault(16)
async def test_a_fork_behind_what_was_written_down_last_is_told_by_the_tidemark(
    tmp_path: Path,
) -> None:
    """A pull may have gone further than the announcement that a crash of central has left."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        await w.post("n1", new_lines(40))
        await announced(w, 40)
        backup = await backed_up(n1, tmp_path / "backup.db")
        await w.post("n1", new_lines(60, "b"))
        await w.pull("n1")
        w.central.kill()
        n1.kill()
        forget_what_came_after(w, 40)
        await come_back_as(n1, backup)
        await w.post("n1", new_lines(160, "c"))

        await w.central.start()

        assert (await told(w, "forked")).level == "warning"
        view = await until_view(w, is_known, "the difference is known")
        assert (view.records.missing_at_central, view.records.missing_at_node) == (160, 60)
        await healed(w)


def forget_what_came_after(w: World, position: int) -> None:
    """As if central had crashed before it wrote its later announcements down."""
    node = w.nodes["n1"]
    with closing(sqlite3.connect(node.folder / "node.db")) as sql:
        (epoch,) = sql.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
        hashes = [row[0] for row in sql.execute("SELECT hash FROM records LIMIT ?", (position,))]
    early = {
        "epoch": epoch,
        "boot": "before",
        "position": position,
        "count": position,
        "digest": f"{sum(hashes) % 2**63:016x}",
        "missing": position,
        "seen": 0,
        "held": 0,
    }
    w.central.sql("UPDATE nodes SET announced = ?", msgspec.json.encode(early).decode())


@pytest.mark.fault(16, 17)
async def test_a_clone_and_the_original_after_it_are_told_and_healed(tmp_path: Path) -> None:
    """Two databases of one epoch take turns; what either was given ends up in both sides."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        await w.post("n1", new_lines(40))
        clone = await backed_up(n1, tmp_path / "clone.db")
        await w.post("n1", new_lines(20, "b"))
        await w.pull("n1")
        await until_view(w, lambda view: view.records.node == 60, "60 are announced")
        n1.kill()
        original = copy_of(n1, tmp_path / "original.db")

        await come_back_as(n1, clone)
        first = await told(w, "rolled-back")
        await w.post("n1", new_lines(20, "c"))
        await until_view(w, lambda view: view.records.node == 60 and is_known(view), "60 again")
        await w.pull("n1")
        await until_view(
            w,
            lambda view: (view.records.central, view.records.missing_at_node) == (80, 20),
            "what the clone lacks is known",
        )
        await come_back_as(n1, original)
        second = await told(w, "forked")

        view = await until_view(w, is_known, "the difference is known")
        assert (first.level, second.level) == ("warning", "warning")
        assert (view.records.missing_at_central, view.records.missing_at_node) == (0, 20)
        assert (await healed(w)).records.node == 80


async def test_rows_deleted_while_it_was_stopped_are_not_called_a_copy(tmp_path: Path) -> None:
    """Fewer records at the same positions: they are counted as missing at the node."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        await w.post("n1", new_lines(100))
        await w.pull("n1")
        await until_view(w, lambda view: view.data == "in_sync", "it is proven")
        n1.kill()
        n1.sql("DELETE FROM records WHERE position % 10 = 0")
        await n1.start()
        await w.post("n1", new_lines(7, "b"))

        view = await until_view(
            w, lambda view: view.records.node == 97 and is_known(view), "the difference is known"
        )

        assert (view.records.missing_at_central, view.records.missing_at_node) == (7, 10)
        assert not await kinds(w) & {"forked", "rolled-back", "new-epoch"}
        assert (await healed(w)).records.node == 107


async def test_a_plain_restart_is_nothing_to_tell(tmp_path: Path) -> None:
    """The same database with another process, also when it has grown meanwhile."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        await w.post("n1", new_lines(40))
        await w.pull("n1")
        await announced(w, 40)
        w.central.kill()
        n1.kill()
        await n1.start()
        await w.post("n1", new_lines(30, "b"))
        await w.central.start()

        view = await until_view(
            w, lambda view: view.records.node == 70 and is_known(view), "it is polled again"
        )

        assert (view.records.missing_at_central, view.records.missing_at_node) == (30, 0)
        assert not await kinds(w) & {"forked", "rolled-back", "new-epoch"}
