"""Windows that were dropped: only old ones go, and their digests stay right ever after."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster import windows
from cluster.clock.base import RealBase
from cluster.clock.cluster_clock import ClusterClock
from cluster.digest import EMPTY, Digest
from cluster.inside import open_windows
from cluster.record import Record, id_text, make
from node import retention
from node.retention import Limits, Retention
from node.store import Draft, NodeStore, open_node_store
from tests.store.test_records import new_table

CLOCK = ClusterClock.reference(RealBase())
START_MS = 1_735_689_600_000  # 2025-01-01
INSERT = "INSERT INTO records (id, node, ts, stream, payload, hash) VALUES (?, ?, ?, ?, ?, ?)"


def old(number: int) -> Record:
    """A record of last year, a minute after the one before."""
    record_id = (START_MS + number * 60_000).to_bytes(6, "big") + bytes(6) + number.to_bytes(4)
    return make(record_id, "n1", number, "t", "{}")


def digest_of(rows: Sequence[Record]) -> Digest:
    return sum((Digest(1, row.hash) for row in rows), EMPTY)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[NodeStore]:
    async with open_node_store(tmp_path, "n1", CLOCK) as opened:
        yield opened


async def read(store: NodeStore) -> tuple[int, Digest]:
    """How many rows there are, and the digest that is kept."""
    (rows,) = await store.database.read(
        lambda sql: sql.execute("SELECT count(*) FROM records").fetchone()
    )
    return rows, (await store.counts()).as_digest()


async def test_a_small_set_gives_up_its_old_records_too(store: NodeStore) -> None:
    """Some hundred records lie in one window with the new ones, but for those above a leaf."""
    await store.store([*map(old, range(300)), *(Draft("t", "{}") for _ in range(300))])
    kept = Retention(store, Limits(days=30))
    before = await read(store)

    count = await kept.drop(await kept.look())

    assert count == 300
    assert await read(store) == (300, before[1])
    assert (kept.state.due, kept.state.dropped) == (False, 300)


async def test_by_bytes_no_more_goes_than_is_too_much(store: NodeStore) -> None:
    """The oldest, and not a whole large window for a few records."""
    payload = '{"text":"' + "x" * 500 + '"}'
    rows = [make(old(number).id, "n1", 0, "t", payload) for number in range(4_000)]
    await store.store(rows)
    kept = Retention(store, Limits(bytes=2_000_000))
    rounds = 0
    while due := await kept.look():
        await kept.drop(due)
        rounds += 1

    left = await store.database.read(
        lambda sql: [row[0] for row in sql.execute("SELECT id FROM records ORDER BY id")]
    )
    size = await store.database.read(used_bytes)

    assert rounds > 0
    assert left == [row.id for row in rows[-len(left) :]]
    assert 1_700_000 < size <= 2_000_000


def used_bytes(sql: sqlite3.Connection) -> int:
    pages, free, size = (
        sql.execute(f"PRAGMA main.{name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


async def test_windows_that_were_dropped_become_one(
    store: NodeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left of them stays small, however long a node goes on."""
    monkeypatch.setattr(retention, "WINDOW_RECORDS_MAX", 300)
    await store.store([*map(old, range(3_000)), *(Draft("t", "{}") for _ in range(300))])
    kept = Retention(store, Limits(days=30))
    before = await read(store)
    first = await kept.look()
    await kept.drop(first)
    monkeypatch.undo()

    while due := await kept.look():
        await kept.drop(due)

    left = await store.database.read(lambda sql: windows.dropped(sql, "n1"))
    assert len(left) < len(first) / 3
    assert sum(one.count for one in left.values()) == 3_000
    assert await read(store) == (300, before[1])


async def test_what_is_stored_while_a_window_is_dropped_is_not_lost(store: NodeStore) -> None:
    """Both commit together, and only what was proven may go."""
    await store.store([*map(old, range(300)), *(Draft("t", "{}") for _ in range(300))])
    kept = Retention(store, Limits(days=30))
    ((window, digest),) = (await kept.look()).items()
    new = old(300)
    assert id_text(new.id).replace("-", "").startswith(window)

    stored, count = await asyncio.gather(
        store.store([new]),
        store.database.write(lambda sql: retention._drop("n1", window, digest, sql)),
    )

    assert (stored.inserted, count) == (1, 0)
    assert (await read(store))[0] == 601


async def test_an_old_moment_of_a_dropped_window_is_opened_without_what_came_since(
    store: NodeStore,
) -> None:
    """It says the same of a window as the windows above it do."""
    await store.store([*map(old, range(300)), *(Draft("t", "{}") for _ in range(300))])
    kept = Retention(store, Limits(days=30))
    due = await kept.look()
    await kept.drop(due)
    (window,) = due
    position = (await store.counts()).last_position
    await store.database.write(lambda sql: sql.execute(INSERT, old(400)))

    (then,) = await store.records.open("n1", [window], position)
    (now,) = await store.records.open("n1", [window])

    assert (then.digest, then.dropped) == (due[window], True)
    assert now.digest == due[window] + digest_of([old(400)])


@settings(deadline=None, max_examples=30)
@given(
    numbers=st.sets(st.integers(0, 20_000), min_size=300, max_size=900),
    drops=st.lists(st.integers(0, 200), max_size=3),
    later=st.sets(st.integers(0, 20_000), max_size=300),
)
def test_digests_that_are_worked_out_anew_are_those_that_were_kept(
    numbers: set[int], drops: list[int], later: set[int]
) -> None:
    """Also with dropped windows, and with rows that came into them afterwards."""
    sql = new_table()
    sql.executemany(INSERT, map(old, sorted(numbers)))
    windows.fold_new(sql)
    for nth in drops:
        query = "SELECT window FROM digests WHERE state <> 'dropped' AND window <> ''"
        kept = [one for (one,) in sql.execute(query)]
        if kept:
            windows.drop(sql, "n1", kept[nth % len(kept)])
    sql.executemany(INSERT, map(old, sorted(later - numbers)))
    windows.fold_new(sql)
    expected = digest_of([old(number) for number in numbers | later])
    gone = windows.dropped(sql, "n1")

    windows.rebuild(sql, "n1")

    assert windows.digest(sql, "n1") == expected
    assert windows.dropped(sql, "n1") == gone
    split = [one for (one,) in sql.execute("SELECT window FROM digests WHERE state <> 'dropped'")]
    for opened in open_windows(sql, "n1", split):  # Inconsistent unless each is its children's sum
        assert not opened.dropped
