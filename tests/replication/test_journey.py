"""One record's journey, both ways, with real processes and real files."""

import signal
import sqlite3
from pathlib import Path

import msgspec
import pytest

from cluster.exchange import Nothing
from cluster.protocol import central, node
from cluster.protocol.views import Delta, Snapshot
from tests.program import until
from tests.world import lines, world

pytestmark = pytest.mark.e2e

ROWS = 1_500
REPLACE = (
    "INSERT OR REPLACE INTO records (id, node, ts, stream, payload, hash) "
    "SELECT id, node, ts, stream, payload, {value} FROM records WHERE position = 7"
)


async def test_what_a_node_has_reaches_central_and_is_proven_equal(tmp_path: Path) -> None:
    """A pull brings every record, and the next poll proves it by the digests."""
    async with world(tmp_path) as w:
        await w.node("n1")
        await w.post("n1", lines(ROWS))

        before = await w.poll("n1")
        run = await w.pull("n1")
        after = await w.poll("n1")

        assert (before.data, before.records.missing_at_central) == ("behind", ROWS)
        assert (run.state, run.received, run.inserted, run.duplicate) == (
            "succeeded",
            ROWS,
            ROWS,
            0,
        )
        assert (after.data, after.records.missing_at_central) == ("in_sync", 0)
        assert w.verdict("n1").equal


async def test_a_second_pull_moves_only_what_is_new(tmp_path: Path) -> None:
    """Incremental means after the tidemark."""
    async with world(tmp_path) as w:
        await w.node("n1")
        await w.post("n1", lines(ROWS))
        await w.pull("n1")
        await w.post("n1", lines(10, start=ROWS))

        run = await w.pull("n1")

        assert (run.received, run.inserted) == (10, 10)
        assert w.verdict("n1").equal


@pytest.mark.fault(18)
async def test_a_full_pull_counts_what_is_there_as_duplicates(tmp_path: Path) -> None:
    """Repeating is safe: all is received, nothing is inserted twice."""
    async with world(tmp_path) as w:
        await w.node("n1")
        await w.post("n1", lines(ROWS))
        await w.pull("n1")

        run = await w.pull("n1", "full")

        assert (run.received, run.inserted, run.duplicate) == (ROWS, 0, ROWS)
        assert w.verdict("n1").equal


async def test_rows_deleted_behind_centrals_back_are_noticed_and_pulled_again(
    tmp_path: Path,
) -> None:
    """The digest no longer matches; the holes are found by windows, not by sending all."""
    async with world(tmp_path) as w:
        await w.node("n1")
        await w.post("n1", lines(ROWS))
        await w.pull("n1")
        gone = w.central.sql("DELETE FROM records WHERE position % 100 = 7")

        async def noticed() -> bool:
            view = await w.poll("n1")
            return view.records.missing_at_central == gone

        await until(noticed, "the view shows what is missing at central")
        run = await w.pull("n1")

        assert (run.received, run.inserted) == (gone, gone)
        assert (await w.poll("n1")).data == "in_sync"
        assert w.verdict("n1").equal


async def test_rows_deleted_behind_the_nodes_back_are_pushed_back(tmp_path: Path) -> None:
    """Push sends exactly what the node lacks."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        await w.post("n1", lines(ROWS))
        await w.pull("n1")
        gone = n1.sql("DELETE FROM records WHERE position % 50 = 3")

        run = await w.push("n1")

        assert (run.state, run.received, run.inserted) == ("succeeded", gone, gone)
        assert (await w.poll("n1")).data == "in_sync"
        assert w.verdict("n1").equal


async def test_a_node_that_lost_its_disk_is_refilled_by_a_push(tmp_path: Path) -> None:
    """New epoch, new records of its own, and all the old ones back; nothing is pulled twice."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        await w.post("n1", lines(ROWS))
        await w.pull("n1")
        n1.kill()
        n1.wipe()
        await n1.start()
        await w.until_live("n1", "up")
        await w.post("n1", lines(5, start=ROWS))

        push = await w.push("n1")
        pull = await w.pull("n1")

        assert (push.received, push.inserted) == (ROWS, ROWS)
        assert (pull.received, pull.inserted) == (5, 5)
        assert w.verdict("n1").equal
        journal = await w.central.call(central.JOURNAL, central.JournalAsk())
        assert "new-epoch" in {line.kind for line in journal.lines}


async def test_a_lost_disk_is_told_though_central_was_away_meanwhile(tmp_path: Path) -> None:
    """Also when central had just found that it lacks some: it remembers the epoch by that."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        await w.post("n1", lines(ROWS))
        await w.pull("n1")
        gone = w.central.sql("DELETE FROM records WHERE position % 100 = 7")

        async def noticed() -> bool:
            return (await w.poll("n1")).records.missing_at_central == gone

        await until(noticed, "central has compared the sets")
        w.central.kill()
        n1.kill()
        n1.wipe()
        await n1.start()
        await w.central.start()
        await w.until_live("n1", "up")

        async def told() -> bool:
            journal = await w.central.call(central.JOURNAL, central.JournalAsk(node="n1"))
            return "new-epoch" in {line.kind for line in journal.lines}

        await until(told, "the journal tells of another database")


@pytest.mark.long
async def test_central_that_lost_its_disk_gets_everything_again(tmp_path: Path) -> None:
    """The nodes say hello again, and a pull brings all."""
    async with world(tmp_path) as w:
        await w.node("n1")
        await w.post("n1", lines(ROWS))
        await w.pull("n1")
        w.central.kill()
        w.central.wipe()
        await w.central.start()
        await w.until_live("n1", "up", within_s=40)

        run = await w.pull("n1")

        assert (run.received, run.inserted) == (ROWS, ROWS)
        assert w.verdict("n1").equal


async def test_an_old_backup_of_a_node_heals_both_ways(tmp_path: Path) -> None:
    """Same epoch, smaller position, then other records at the same positions."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        await w.post("n1", lines(500))
        n1.kill(signal.SIGTERM)
        backup = (n1.folder / "node.db").read_bytes()
        await n1.start()
        await w.post("n1", lines(300, start=500))
        await w.pull("n1")
        n1.kill()
        for file in n1.folder.glob("node.db*"):
            file.unlink()
        (n1.folder / "node.db").write_bytes(backup)
        await n1.start()
        await w.post("n1", lines(400, start=900))

        push, between, pull = await w.push("n1"), w.verdict("n1"), await w.pull("n1")

        assert between.broken == []  # the tidemark does not promise what central lacks
        assert (pull.inserted, push.inserted) == (400, 300)
        assert (await w.poll("n1")).data == "in_sync"
        assert w.verdict("n1").equal


async def test_a_conflict_is_kept_out_and_reported(tmp_path: Path) -> None:
    """Same id, other content: both sides keep what they have, the rest goes through."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        row = (
            b'{"id":"01890a5d-ac96-774b-bcce-b302099a8057","stream":"t","ts":1,"payload":{"v":%d}}'
        )
        await w.post("n1", row % 1)
        await w.pull("n1")
        n1.sql("DELETE FROM records")
        await w.post("n1", row % 2 + b"\n" + lines(20))

        run = await w.pull("n1")
        again = await w.pull("n1")
        view = await w.poll("n1")
        page = await w.central.call(central.RECORDS, central.CentralRecordsAsk(limit=1))

        assert (run.state, run.inserted) == ("succeeded", 20)
        assert (again.received, again.inserted) == (0, 0)
        assert (view.data, view.conflicts) == ("diverged", 1)
        assert bytes(page.records[0].payload) == b'{"v":1}'


@pytest.mark.fault(80)
@pytest.mark.parametrize(
    ("damage", "code"),
    [
        ("payload = '{\"n\": 999}'", "hash_mismatch"),
        ("payload = 'not json'", "bad_payload"),
        ("payload = CAST(x'7b22ff227d' AS TEXT)", "bad_payload"),
        ("stream = 'Not A Stream'", "bad_value"),
        ("ts = 9223372036854775807", "bad_value"),
        ("hash = abs(hash - 1)", "hash_mismatch"),
    ],
)
async def test_a_row_damaged_on_the_nodes_disk_is_set_aside(
    tmp_path: Path, damage: str, code: str
) -> None:
    """It is kept out with its reason, and never blocks the rest."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        await w.post("n1", lines(50))
        n1.sql("DROP TRIGGER records_unchanged")  # a failing disk asks no trigger
        n1.sql(f"UPDATE records SET {damage} WHERE position = 20")

        run = await w.pull("n1")

        async def told() -> bool:
            return (await w.poll("n1")).data == "diverged"

        await until(told, "the sets are said to be diverged")
        assert (run.state, run.inserted) == ("succeeded", 49)
        assert run.rejected >= 1
        assert w.central.sql("UPDATE quarantine SET seen = seen WHERE code = ?", code) == 1


@pytest.mark.parametrize("side", ["node", "central"])
@pytest.mark.parametrize(
    "poke",
    [
        "UPDATE records SET payload = '{}' WHERE position = 1",
        "UPDATE records SET id = randomblob(16) WHERE position = 1",
        "UPDATE OR REPLACE records SET position = 2 WHERE position = 1",
    ],
)
async def test_a_record_cannot_be_changed_behind_anybodys_back(
    tmp_path: Path, side: str, poke: str
) -> None:
    """in_sync stays a proof: what would change a row is refused by the database itself."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        await w.post("n1", lines(3))
        await w.pull("n1")

        with pytest.raises(sqlite3.IntegrityError, match="a record is never"):
            (n1 if side == "node" else w.central).sql(poke)

        assert (await w.poll("n1")).data == "in_sync"
        assert w.verdict("n1").equal


@pytest.mark.parametrize("side", ["node", "central"])
async def test_a_record_replaced_by_itself_changes_nothing(tmp_path: Path, side: str) -> None:
    """It has only another position; the sets are proven to be equal still."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        await w.post("n1", lines(300))
        await w.pull("n1")

        (n1 if side == "node" else w.central).sql(REPLACE.format(value="hash"))
        view = await w.poll("n1")

        assert (view.data, view.records.node, view.records.central) == ("in_sync", 300, 300)
        assert w.verdict("n1").equal


@pytest.mark.parametrize("side", ["node", "central"])
async def test_a_record_replaced_by_another_is_noticed(tmp_path: Path, side: str) -> None:
    """in_sync stays a proof: the digest follows, and what differs is a conflict for a person."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        await w.post("n1", lines(300))
        await w.pull("n1")

        (n1 if side == "node" else w.central).sql(REPLACE.format(value="abs(hash - 1)"))

        async def noticed() -> bool:
            view = await w.poll("n1")
            return (view.data, view.conflicts) == ("diverged", 1)

        await until(noticed, "the conflict is told")
        assert [text[:2] for text in w.verdict("n1").broken] == ["I3"]  # and not I4


async def test_a_record_damaged_at_central_does_not_stop_a_push(tmp_path: Path) -> None:
    """The node refuses that one; all others arrive, and the sets are said to be diverged."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        await w.post("n1", lines(700))
        await w.pull("n1")
        w.central.sql("DROP TRIGGER records_unchanged")
        w.central.sql("UPDATE records SET payload = '{}' WHERE position = 20")
        n1.sql("DELETE FROM records")

        run = await w.push("n1")
        view = await w.poll("n1")
        await w.pull("n1")
        later = await w.poll("n1")

        assert (run.state, run.inserted, run.rejected) == ("succeeded", 699, 1)
        assert (view.data, later.data) == ("diverged", "diverged")


@pytest.mark.parametrize("side", ["node", "central"])
@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE digests SET sum = abs(sum - 1)",
        "UPDATE digests SET sum = abs(sum - 1) WHERE window = ''",
        "UPDATE digests SET count = count + 1 WHERE window <> ''",
        "DELETE FROM digests WHERE window <> ''",
        "DELETE FROM digests",
    ],
)
async def test_a_digest_damaged_on_a_disk_heals_and_stops_nothing(
    tmp_path: Path, side: str, damage: str
) -> None:
    """It says only what the rows say: nothing is missing, and that can be proven again."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        await w.post("n1", lines(600))
        await w.pull("n1")
        (n1 if side == "node" else w.central).sql(damage)

        pull, push = await w.pull("n1"), await w.push("n1")

        async def healed() -> bool:
            return (await w.poll("n1")).data == "in_sync" and w.verdict("n1").equal

        await until(healed, "the digest is that of the rows again")
        assert (pull.state, pull.inserted) == ("succeeded", 0)
        assert (push.state, push.inserted) == ("succeeded", 0)


async def test_a_digest_damaged_before_the_first_pull_stops_nothing(tmp_path: Path) -> None:
    """Central takes every record, and finds that it has them all."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        await w.post("n1", lines(600))
        n1.sql("UPDATE digests SET sum = abs(sum - 1)")

        pull = await w.pull("n1")

        async def healed() -> bool:
            return (await w.poll("n1")).data == "in_sync" and w.verdict("n1").equal

        await until(healed, "the digest is that of the rows again")
        assert (pull.state, pull.inserted) == ("succeeded", 600)


async def test_a_busy_node_is_compared_exactly_while_it_goes_on(tmp_path: Path) -> None:
    """A pull ends at the status's position; what comes later is the tail, not a difference."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1", "--rate", "500", source="synthetic")

        async def has_many() -> bool:
            return (await n1.call(node.STATUS, Nothing())).records.count > 300

        await until(has_many, "the source makes records")
        runs = [await w.pull("n1") for _ in range(5)]
        await n1.call(node.SOURCE, node.SourceChange(running=False))
        runs.append(await w.pull("n1"))

        assert {run.state for run in runs} == {"succeeded"}
        assert sum(run.duplicate for run in runs) == 0
        assert w.verdict("n1").equal


async def test_a_stream_shows_the_run_as_it_goes(tmp_path: Path) -> None:
    """A snapshot, then deltas with the node, the run and its journal lines."""
    async with world(tmp_path) as w:
        await w.node("n1")
        await w.post("n1", lines(ROWS))
        seen: set[str] = set()

        async with w.central.peer.stream(
            central.STREAM, central.StreamAsk(), connect_timeout_s=5, idle_s=10
        ) as events:
            name, content = await anext(events)
            snapshot = msgspec.json.decode(content, type=Snapshot)
            await w.central.call(central.PULL, central.PullAsk("n1"))
            async for _, content in events:
                delta = msgspec.json.decode(content, type=Delta)
                seen |= {line.kind for line in delta.journal}
                seen |= {run.state for run in delta.runs}
                seen |= {view.data for view in delta.nodes}
                if {"run-succeeded", "succeeded", "in_sync"} <= seen:
                    break

        assert name == "snapshot"
        assert [view.name for view in snapshot.nodes] == ["n1"]
