"""The node's store: its records, numbered in the order in which they were committed.

A position is given by SQLite inside the one writer's transaction, so positions grow in commit
order and a reader never sees a later one before an earlier one. The epoch is drawn when the file
is made: with another epoch, positions mean something else. New records get their ids inside the
same transaction, so ids and positions have one order.
"""

import secrets
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from cluster import arrival, records, windows
from cluster.arrival import CheckedPage
from cluster.clock.cluster_clock import ClusterClock
from cluster.database import Database, open_database
from cluster.disk import DiskWatch
from cluster.protocol.shared import RecordCounts, Span
from cluster.record import IdMaker, Record, make
from cluster.record_set import QUARANTINE, RecordSet, schema
from cluster.records import Inserted
from cluster.schema import DatabaseUnusable, ask_without_log, transaction
from node import unsynced
from node.unsynced import Unsynced

FILE = "node.db"
SCHEMA = schema(
    0x54484E44,  # "THND"
    ("CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID",),
    (QUARANTINE,),
    (unsynced.TABLE,),
)
_MOST = "SELECT node FROM records GROUP BY node ORDER BY count(*) DESC LIMIT 1"
_SET = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"


class Draft(NamedTuple):
    """A record to be born here: no id yet, and a ts only where the client gave its own."""

    stream: str
    payload: str
    ts: int | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a batch. `conflicts` and `dropped` are places in the batch.

    `dropped`: their window was given up after central had proven that it holds all of it.
    """

    inserted: int
    duplicate: int
    conflicts: list[int]
    dropped: list[int]


class NodeStore:
    """The records of one node in DIR/node.db. Made by `open_node_store`."""

    def __init__(
        self, database: Database, node: str, epoch: str, clock: ClusterClock, noted: Unsynced
    ) -> None:
        self.database = database
        self.records = RecordSet(database)
        self.disk = DiskWatch(database)
        self.node = node
        self.epoch = epoch
        self._clock = clock
        self._maker: IdMaker | None = None
        self._unsynced = noted

    async def store(self, batch: Sequence[Draft | Record]) -> Stored:
        """Store a batch in one transaction; returns after it is on disk.

        Refusal `not_ready` when the disk is nearly full.
        """
        self.disk.check_room()
        return await self.database.write(partial(self._store, batch))

    def _store(self, batch: Sequence[Draft | Record], sql: sqlite3.Connection) -> Stored:
        if self._maker is None:
            self._maker = IdMaker(_meta(sql).get("last_id"))
        now, synced = self._clock.stamp_us()  # one moment for the batch: it came together
        born, stamped = None, []
        rows: list[Record] = []
        for item in batch:
            if isinstance(item, Draft):
                born = self._maker.next(now)
                ts = now if item.ts is None else item.ts
                if not synced and item.ts is None:
                    stamped.append(born)
                item = make(born, self.node, ts, item.stream, item.payload)
            rows.append(item)
        if born is not None:
            sql.execute(_SET, ("last_id", born))
        brought = {place for place, item in enumerate(batch) if isinstance(item, Record)}
        if not brought:
            records.insert_new(sql, rows)
            self._unsynced.note(sql, self.node, stamped)
            return Stored(len(rows), 0, [], [])
        gone = brought & _dropped_places(sql, self.node, rows)
        kept = [row for place, row in enumerate(rows) if place not in gone] if gone else rows
        outcome = records.insert_missing(sql, self.node, kept)
        self._unsynced.note(sql, self.node, stamped)
        clashing = [place for place in _places(rows, outcome) if place not in gone]
        return Stored(outcome.inserted, outcome.duplicate, clashing, sorted(gone))

    async def store_page(self, page: CheckedPage) -> Stored:
        """Store a checked page in one transaction, as `store` does."""
        self.disk.check_room()
        return await self.database.write(partial(self._store_page, page))

    def _store_page(self, page: CheckedPage, sql: sqlite3.Connection) -> Stored:
        if page.rows is not None or windows.dropped(sql, self.node):
            return self._store(page.good_rows(), sql)
        outcome = arrival.insert(sql, self.node, page)
        clashing = _places(page.good_rows(), outcome) if outcome.conflicts else []
        return Stored(outcome.inserted, outcome.duplicate, clashing, [])

    async def correct_unsynced(self, correction_us: int) -> None:
        """The clock was set for the first time, `correction_us` later than it had been."""
        await self.database.write(partial(self._unsynced.correct, correction_us))

    async def unsynced(self, first: int, last: int) -> list[Span]:
        """Which records from `first` to `last`, by position, were stamped before that."""
        return await self.database.read(lambda sql: unsynced.spans(sql, first, last))

    @property
    def synced(self) -> bool:
        """Whether the clock was ever set."""
        return self._clock.synced

    def now_ms(self) -> int:
        """The cluster clock, as it is in ids."""
        return self._clock.now_us() // 1000

    async def counts(self) -> RecordCounts:
        """How many records, the last position and the digest, at one moment."""
        return await self.database.kept.get(
            self.node, lambda: self.records.read_folded(partial(_counts, self.node))
        )


def _places(rows: Sequence[Record], outcome: Inserted) -> list[int]:
    """Where the conflicts are."""
    return [place for place, row in enumerate(rows) if (row.id, row.hash) in outcome.conflicts]


def _dropped_places(sql: sqlite3.Connection, node: str, rows: Sequence[Record]) -> set[int]:
    """Which rows lie in windows that were dropped."""
    if not (gone := windows.dropped(sql, node)):
        return set()
    lengths = {len(window) for window in gone}
    return {
        place
        for place, row in enumerate(rows)
        if any(row.id.hex()[:length] in gone for length in lengths)
    }


def _meta(sql: sqlite3.Connection) -> dict[str, bytes]:
    return dict(sql.execute("SELECT key, value FROM meta"))


def _counts(node: str, sql: sqlite3.Connection) -> RecordCounts:
    digest = windows.digest(sql, node)
    return RecordCounts(digest.count, windows.folded(sql), digest.text, unsynced.count(sql))


@asynccontextmanager
async def open_node_store(folder: Path, node: str, clock: ClusterClock) -> AsyncIterator[NodeStore]:
    """Open DIR/node.db. DatabaseUnusable, also when the file belongs to another node."""
    path = folder / FILE
    async with open_database(path, SCHEMA) as database:
        owner, epoch, last = await database.write(partial(_identify, node))
        if owner != node:
            raise DatabaseUnusable(
                f"{path}: it holds the records of node {owner}, not of {node}; "
                "give another --data folder"
            )
        yield NodeStore(database, node, epoch, clock, Unsynced(last + 1))


def _identify(node: str, sql: sqlite3.Connection) -> tuple[str, str, int]:
    """The node's name and epoch in the file, drawn now if it is new, and its last position."""
    meta = dict(sql.execute("SELECT key, value FROM meta"))
    if "epoch" not in meta:
        meta = {"node": node, **meta, "epoch": secrets.token_hex(8)}
        sql.executemany(_SET, list(meta.items()))
    return meta["node"], meta["epoch"], windows.last_position(sql)


def rescue(sql: sqlite3.Connection, damaged: Path) -> list[str]:
    """Whose records were saved is remembered; others', from a log of another file, go.

    The epoch is not saved: positions are other ones now.
    """
    owner = ask_without_log(damaged, "SELECT value FROM meta WHERE key = 'node'")
    with transaction(sql):
        for (most,) in sql.execute(_MOST).fetchall():
            owner = owner if isinstance(owner, str) else most
            sql.execute(_SET, ("node", owner))
            sql.execute("DELETE FROM records WHERE node <> ?", (owner,))
        SCHEMA.after(sql)
    return []
