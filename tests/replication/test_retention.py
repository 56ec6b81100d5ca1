"""Retention: a node gives old records up, but only what central is proven to hold."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from cluster.exchange import Nothing
from cluster.peer import PeerFailed
from cluster.protocol import central, node
from cluster.protocol.views import NodeView, Run
from cluster.record import make
from tests.program import until
from tests.world import World, lines, world

pytestmark = pytest.mark.e2e

LAST_YEAR_MS = 1_735_689_600_000  # 2025-01-01
KEEP = ("--keep-days", "90")


def old_id(number: int) -> str:
    """A UUIDv7 of last year, a minute after the one before."""
    ms = f"{LAST_YEAR_MS + number * 60_000:012x}"
    return f"{ms[:8]}-{ms[8:]}-7000-8000-{number:012x}"


def old_lines(count: int, start: int = 0, text: str = "") -> bytes:
    """Rows of last year as NDJSON."""
    return b"".join(
        b'{"id":"%s","ts":%d,"stream":"t","payload":{"n":%d,"text":"%s"}}\n'
        % (old_id(number).encode(), number, number, text.encode())
        for number in range(start, start + count)
    )


def ids_of(folder: Path) -> set[bytes]:
    """The ids in a node's file."""
    with closing(sqlite3.connect(folder / "node.db")) as sql:
        return {record_id for (record_id,) in sql.execute("SELECT id FROM records")}


async def until_view(w: World, holds: Callable[[NodeView], bool], what: str) -> NodeView:
    """The node's view, once it is so."""
    seen: list[NodeView] = []

    async def reached() -> bool:
        seen[:] = [await w.view("n1")]
        return holds(seen[0])

    await until(reached, what)
    return seen[0]


async def dropped(w: World, count: int) -> NodeView:
    """The view once the node has dropped so many and a poll has proven the rest."""
    await look_is_due(w)  # or it would look only some seconds later
    return await until_view(
        w,
        lambda view: view.records.dropped == count and view.data == "in_sync",
        f"{count} are dropped and the sets agree",
    )


async def pruned(w: World) -> NodeView:
    """A node n1 with 300 records of last year, dropped after a pull, and 50 new ones."""
    await w.node("n1", *KEEP)
    await w.post("n1", old_lines(300))
    await w.post("n1", lines(50))
    await w.pull("n1")
    return await dropped(w, 300)


async def look_is_due(w: World) -> bool:
    """Whether the node itself says that it would like to drop something."""
    return bool((await w.nodes["n1"].call(node.DUE, Nothing())).windows)


async def test_old_records_are_dropped_only_after_central_holds_them(tmp_path: Path) -> None:
    """Before a pull nothing goes; after it the counts add up and both sides agree."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1", *KEEP)
        await w.post("n1", old_lines(300))
        await w.post("n1", lines(50))
        assert await look_is_due(w)
        await w.poll("n1")
        await w.poll("n1")
        before = len(ids_of(n1.folder))

        await w.pull("n1")
        view = await dropped(w, 300)

        assert before == 350
        assert len(ids_of(n1.folder)) == 50
        assert (view.records.node, view.records.central) == (350, 350)
        assert (view.records.missing_at_central, view.records.missing_at_node) == (0, 0)
        assert w.verdict("n1").equal


async def test_without_a_limit_everything_is_kept(tmp_path: Path) -> None:
    """Retention is off by default, however old the records are."""
    async with world(tmp_path) as w:
        await w.node("n1")
        await w.post("n1", old_lines(300))
        await w.pull("n1")

        due = await look_is_due(w)

        assert not due
        assert (await w.poll("n1")).records.dropped == 0
        assert len(ids_of(w.nodes["n1"].folder)) == 300


async def test_a_push_brings_nothing_back_that_was_dropped(tmp_path: Path) -> None:
    """Neither of what is missing nor of all; it is no failure either."""
    async with world(tmp_path) as w:
        await pruned(w)

        runs = [await w.push("n1", mode) for mode in ("missing", "full")]

        assert [(run.state, run.inserted, run.rejected) for run in runs] == [
            ("succeeded", 0, 0),
            ("succeeded", 0, 0),
        ]
        assert len(ids_of(w.nodes["n1"].folder)) == 50
        assert (await w.poll("n1")).data == "in_sync"


async def test_an_old_record_is_told_that_its_window_was_dropped(tmp_path: Path) -> None:
    """With the others of its request stored as ever."""
    async with world(tmp_path) as w:
        await pruned(w)

        receipt = await w.post("n1", lines(1) + old_lines(1) + lines(1, 1))

        assert [(row.index, row.code) for row in receipt.rejected] == [(1, "dropped")]
        assert receipt.inserted == 2
        with pytest.raises(PeerFailed) as refused:
            await w.post("n1", old_lines(1))
        assert refused.value.problem is not None
        assert refused.value.problem.code == "rows_rejected"


async def test_a_restart_and_new_records_change_nothing_of_it(tmp_path: Path) -> None:
    """What was dropped stays so, and what is born later comes and goes as ever."""
    async with world(tmp_path) as w:
        await pruned(w)
        n1 = w.nodes["n1"]
        n1.kill()
        await n1.start()

        await w.post("n1", lines(40, 50))
        behind = await until_view(w, lambda view: view.records.node == 390, "they are announced")
        run = await w.pull("n1")

        assert behind.records.missing_at_central == 40
        assert (run.received, run.inserted) == (40, 40)
        assert (await dropped(w, 300)).records.central == 390
        with pytest.raises(PeerFailed, match="422"):
            await w.post("n1", old_lines(1))
        assert w.verdict("n1").equal


async def test_windows_that_central_holds_otherwise_are_kept(tmp_path: Path) -> None:
    """A row that was deleted at central has to come back there before it may go here."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        await w.post("n1", old_lines(600))
        await w.pull("n1")
        n1.kill()
        w.central.sql("DELETE FROM records WHERE position = 1")
        again = await w.node("n1", *KEEP)

        await until_view(w, lambda view: view.records.missing_at_central == 1, "it is missed")
        assert await look_is_due(w)
        await w.poll("n1")
        kept = len(ids_of(again.folder))
        await w.pull("n1")

        assert kept == 600
        assert (await dropped(w, 600)).records.central == 600
        assert w.verdict("n1").equal


async def test_by_bytes_the_oldest_go_first_and_the_file_grows_no_more(tmp_path: Path) -> None:
    """Free pages are used again, so that the limit holds for ever."""
    text = "x" * 800
    async with world(tmp_path) as w:
        n1 = await w.node("n1", "--keep-bytes", "1000000")
        sizes = []
        for start in range(0, 6_000, 1_000):
            await w.post("n1", old_lines(1_000, start, text))
            await w.pull("n1")
            view = await until_settled(w)
            n1_ids = ids_of(n1.folder)
            sizes.append((n1.folder / "node.db").stat().st_size)
            newest = {bytes.fromhex(old_id(start + 999).replace("-", ""))}

            assert newest <= n1_ids
            assert n1_ids == set(sorted(all_ids(start + 1_000))[-len(n1_ids) :])
            assert view.records.dropped == start + 1_000 - len(n1_ids)

        assert max(sizes) < 3_000_000, "all of it would be twice that"
        assert 200 < len(n1_ids) < 1_400
        assert w.verdict("n1").equal


def all_ids(count: int) -> list[bytes]:
    return [bytes.fromhex(old_id(number).replace("-", "")) for number in range(count)]


async def until_settled(w: World) -> NodeView:
    """The view once all is in sync and nothing is due any more."""

    async def settled() -> bool:
        view = await w.poll("n1")
        return view.data == "in_sync" and not await look_is_due(w)

    await until(settled, "nothing is due any more")
    return await w.poll("n1")


@pytest.mark.long
async def test_what_central_loses_after_a_drop_is_told_and_not_searched_for_ever(
    tmp_path: Path,
) -> None:
    """What the node still has is pulled, the rest is no longer missing: it is gone."""
    async with world(tmp_path) as w:
        await pruned(w)
        w.central.kill()
        w.central.wipe()
        await w.central.start()
        await w.until_live("n1", "up")
        early = await until_view(w, lambda view: view.data != "unknown", "it is compared")

        first, second = await w.pull("n1"), await w.pull("n1")
        pushed = await w.push("n1")

        assert early.records.missing_at_central == 50
        assert (first.state, first.received, second.received) == ("succeeded", 50, 0)
        assert (pushed.state, pushed.received) == ("succeeded", 0)
        view = await w.poll("n1")
        assert view.data == "diverged"
        assert view.records == msgspec.structs.replace(
            view.records, node=350, central=50, missing_at_central=0, missing_at_node=0, dropped=300
        )
        assert comparison(w)["gone"] == 300
        ran, known = await runs(w), comparison(w)
        assert {(await w.poll("n1")).data for _ in range(10)} == {"diverged"}
        assert (await runs(w), comparison(w)) == (ran, known)
        await w.post("n1", lines(7, 50))
        assert (await w.pull("n1")).inserted == 7
        assert (await w.poll("n1")).records.missing_at_central == 0


def comparison(w: World) -> dict[str, int]:
    """What central remembers of the last comparison."""
    with closing(sqlite3.connect(w.central.folder / "central.db")) as sql:
        (text,) = sql.execute("SELECT comparison FROM nodes").fetchone()
    known: dict[str, int] = msgspec.json.decode(text)
    return known


async def runs(w: World) -> list[Run]:
    return (await w.central.call(central.RUNS, central.RunsAsk())).runs


async def test_a_row_put_into_a_dropped_window_by_hand_is_pulled(tmp_path: Path) -> None:
    """It is a new record like any other: both sides hold it in the end."""
    async with world(tmp_path) as w:
        await pruned(w)
        put(w, bytes.fromhex(old_id(7).replace("-", ""))[:-1] + b"\xff")
        await until_view(w, lambda view: view.records.node == 351, "it is noticed")

        run = await w.pull("n1")

        assert run.inserted == 1
        await until_view(w, lambda view: view.data == "in_sync", "both have it")
        assert w.verdict("n1").equal


async def test_a_dropped_row_put_back_by_hand_is_told_until_it_is_taken_away(
    tmp_path: Path,
) -> None:
    """Nobody can know that it counts twice, but it stops nothing and can be undone."""
    async with world(tmp_path) as w:
        await pruned(w)
        put(w, bytes.fromhex(old_id(7).replace("-", "")))
        await until_view(w, lambda view: view.records.node == 351, "it is noticed")

        run = await w.pull("n1")
        await until_view(w, lambda view: view.data == "diverged", "it is told")
        await w.post("n1", lines(3, 50))
        more = await w.pull("n1")
        told = await w.poll("n1")
        w.nodes["n1"].sql("DELETE FROM records WHERE position = 351")

        assert (run.state, run.inserted, more.inserted, told.data) == (
            "succeeded",
            0,
            3,
            "diverged",
        )
        await until_view(w, lambda view: view.data == "in_sync", "it is taken away")
        assert w.verdict("n1").equal


def put(w: World, record_id: bytes) -> None:
    """Put the old row of this id into the node's file with the sqlite3 shell."""
    number = record_id[-1]
    record = make(record_id, "n1", number, "t", f'{{"n":{number},"text":""}}')
    w.nodes["n1"].sql(
        "INSERT INTO records (id, node, ts, stream, payload, hash) VALUES (?, ?, ?, ?, ?, ?)",
        *record,
    )
