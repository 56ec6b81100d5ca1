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

from cluster import records
from cluster.clock.cluster_clock import ClusterClock
from cluster.database import Database, open_database
from cluster.digest import EMPTY, Digest
from cluster.protocol.node import LIST_MAX, WindowDigest, WindowView
from cluster.protocol.shared import RecordCounts
from cluster.record import IdMaker, Record, id_text, make
from cluster.records import Filter, Page
from cluster.schema import DatabaseUnusable, Schema

SCHEMA = Schema(
    application_id=0x54484E44,  # "THND"
    migrations=(
        (
            *records.STATEMENTS,
            "CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID",
        ),
    ),
)
_SET = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"


class Draft(NamedTuple):
    """A record to be born here: no id yet, and a ts only where the client gave its own."""

    stream: str
    payload: str
    ts: int | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a batch. `conflicts` are places in the batch."""

    inserted: int
    duplicate: int
    conflicts: list[int]


class NodeStore:
    """The records of one node in DIR/node.db. Made by `open_node_store`."""

    def __init__(self, database: Database, node: str, epoch: str, clock: ClusterClock) -> None:
        self.database = database
        self.node = node
        self.epoch = epoch
        self._clock = clock
        self._maker: IdMaker | None = None

    async def store(self, batch: Sequence[Draft | Record]) -> Stored:
        """Store a batch in one transaction; returns after it is on disk."""
        return await self.database.write(partial(self._store, batch))

    def _store(self, batch: Sequence[Draft | Record], sql: sqlite3.Connection) -> Stored:
        if self._maker is None:
            self._maker = IdMaker(_meta(sql).get("last_id"))
        born = last = None
        rows: list[Record] = []
        for item in batch:
            if isinstance(item, Draft):
                now = self._clock.now_us()
                born = last = self._maker.next(now)
                ts = now if item.ts is None else item.ts
                item = make(last, self.node, ts, item.stream, item.payload)
            rows.append(item)
        if born is not None:
            sql.execute(_SET, ("last_id", born))
        outcome = records.insert_missing(sql, self.node, rows)
        clashing = [
            index for index, row in enumerate(rows) if (row.id, row.hash) in outcome.conflicts
        ]
        return Stored(outcome.inserted, outcome.duplicate, clashing)

    async def counts(self) -> RecordCounts:
        """How many records, the last position and the digest, at one moment."""
        return await self.database.read(partial(_counts, self.node), quick=True)

    async def page(self, after: int, limit: int, wanted: Filter) -> Page:
        return await self.database.read(lambda sql: records.page_after(sql, after, limit, wanted))

    async def fetch(self, ids: Sequence[bytes]) -> tuple[list[tuple[Record, int]], bool]:
        return await self.database.read(lambda sql: records.fetch(sql, self.node, ids))

    async def windows(self, windows: Sequence[str], upto: int) -> list[WindowView]:
        """Each window with its children's digests or, when it is small, its list."""
        return await self.database.read(
            lambda sql: [_view(sql, self.node, window, upto) for window in windows]
        )


def _meta(sql: sqlite3.Connection) -> dict[str, bytes]:
    return dict(sql.execute("SELECT key, value FROM meta"))


def _counts(node: str, sql: sqlite3.Connection) -> RecordCounts:
    digest = records.digest(sql, node)
    return RecordCounts(digest.count, records.last_position(sql), digest.text)


def _view(sql: sqlite3.Connection, node: str, window: str, upto: int) -> WindowView:
    parts = records.child_digests(sql, node, window, upto) if len(window) < 32 else {}
    total = sum(parts.values(), EMPTY)
    if len(window) == 32 or total.count <= LIST_MAX:
        listed = records.elements(sql, node, window, upto=upto)
        total = sum((Digest(1, value) for value in listed.values()), EMPTY)
        return WindowView(
            window=window,
            count=total.count,
            digest=total.text,
            elements=[(id_text(key), f"{value:016x}") for key, value in listed.items()],
        )
    return WindowView(
        window=window,
        count=total.count,
        digest=total.text,
        children=[
            WindowDigest(child, part.count, part.text) for child, part in sorted(parts.items())
        ],
    )


@asynccontextmanager
async def open_node_store(folder: Path, node: str, clock: ClusterClock) -> AsyncIterator[NodeStore]:
    """Open DIR/node.db. DatabaseUnusable, also when the file belongs to another node."""
    path = folder / "node.db"
    async with open_database(path, SCHEMA) as database:
        owner, epoch = await database.write(partial(_identify, node))
        if owner != node:
            raise DatabaseUnusable(
                f"{path}: it holds the records of node {owner}, not of {node}; "
                "give another --data folder"
            )
        yield NodeStore(database, node, epoch, clock)


def _identify(node: str, sql: sqlite3.Connection) -> tuple[str, str]:
    """The node's name and epoch in the file, drawn now if the file is new."""
    meta = dict(sql.execute("SELECT key, value FROM meta"))
    if "epoch" not in meta:
        meta = {"node": node, "epoch": secrets.token_hex(8)}
        sql.executemany(_SET, list(meta.items()))
    return meta["node"], meta["epoch"]
