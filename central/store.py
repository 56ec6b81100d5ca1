"""Central's store: every node's records, and what is remembered of each node.

A page's rows and the tidemark that they lead to are committed together, so a crash at any moment
means only that the page is asked for again. Rows that cannot be taken are set aside in
`quarantine` with their reason, and never block the rest.
"""

import secrets
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import msgspec

from central.standing import Comparison, Standing, Tidemark
from cluster import records
from cluster.database import Database, open_database
from cluster.digest import Digest
from cluster.record import Record
from cluster.records import Filter, Page
from cluster.schema import Schema

SCHEMA = Schema(
    application_id=0x54484345,  # "THCE"
    migrations=(
        (
            *records.STATEMENTS,
            "CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID",
            """CREATE TABLE nodes (
                name TEXT PRIMARY KEY,
                url TEXT NOT NULL,
                removed INTEGER NOT NULL DEFAULT 0,
                tidemark_epoch TEXT,
                tidemark_position INTEGER,
                comparison TEXT
            ) STRICT""",
            """CREATE TABLE runs (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                node TEXT NOT NULL,
                state TEXT NOT NULL,
                run TEXT NOT NULL
            ) STRICT""",
            "CREATE INDEX runs_open ON runs (id) WHERE state IN ('queued', 'waiting', 'running')",
            "CREATE INDEX runs_of_node ON runs (node, id)",
            """CREATE TABLE journal (
                seq INTEGER PRIMARY KEY AUTOINCREMENT,
                ts INTEGER NOT NULL,
                level TEXT NOT NULL CHECK (level IN ('info', 'warning', 'error')),
                kind TEXT NOT NULL,
                node TEXT,
                text TEXT NOT NULL
            ) STRICT""",
            "CREATE INDEX journal_of_node ON journal (node, seq)",
            """CREATE TABLE quarantine (
                node TEXT NOT NULL,
                code TEXT NOT NULL,
                row TEXT NOT NULL,
                detail TEXT NOT NULL,
                seen INTEGER NOT NULL,
                PRIMARY KEY (node, code, row)
            ) STRICT""",
        ),
    ),
)

_NODE = "SELECT tidemark_epoch, tidemark_position, comparison FROM nodes WHERE name = ?"
_NODES = "SELECT name, url FROM nodes WHERE NOT removed ORDER BY name"
_ADD = (
    "INSERT INTO nodes (name, url) VALUES (?, ?) "
    "ON CONFLICT (name) DO UPDATE SET url = excluded.url, removed = 0"
)
_REMOVE = "UPDATE nodes SET removed = 1 WHERE name = ?"
_REMOVED = "SELECT 1 FROM nodes WHERE name = ? AND removed"
_SETTLE = (
    "UPDATE nodes SET tidemark_epoch = ?, tidemark_position = ?, comparison = ? WHERE name = ?"
)
_SET_ASIDE = "INSERT INTO quarantine VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"


@dataclass(frozen=True, slots=True)
class SetAside:
    """A row that central cannot take: kept as it came, with the reason."""

    code: str
    row: str
    detail: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of the rows of one page."""

    inserted: int
    duplicate: int
    conflict: int


class CentralStore:
    """DIR/central.db. Made by `open_central_store`."""

    def __init__(self, database: Database, epoch: str) -> None:
        self.database = database
        self.epoch = epoch

    async def nodes(self) -> list[tuple[str, str]]:
        """(name, url) of every node that is polled."""
        return await self.database.read(lambda sql: list(sql.execute(_NODES)))

    async def add_node(self, name: str, url: str) -> None:
        await self.database.write(lambda sql: sql.execute(_ADD, (name, url)))

    async def remove_node(self, name: str) -> int:
        """Stop polling a node; how many of its records stay here."""
        await self.database.write(lambda sql: sql.execute(_REMOVE, (name,)))
        return (await self.database.read(lambda sql: records.digest(sql, name))).count

    async def is_removed(self, name: str) -> bool:
        """True when an operator removed this node."""
        return bool(await self.database.read(lambda sql: sql.execute(_REMOVED, (name,)).fetchone()))

    async def standing(self, name: str) -> tuple[Digest, Standing]:
        """Central's digest of a node and what it remembers of it, at one moment."""
        return await self.database.read(
            lambda sql: (records.digest(sql, name), _standing(sql, name)), quick=True
        )

    async def settle(self, name: str, standing: Standing) -> None:
        """Remember a standing."""
        await self.database.write(partial(_settle, name, standing))

    async def take(
        self,
        name: str,
        rows: Sequence[Record],
        aside: Sequence[SetAside] = (),
        *,
        now_us: int,
        tidemark: Tidemark | None = None,
    ) -> Taken:
        """Insert what is missing, set aside what is bad and move the tidemark, all in one."""
        return await self.database.write(partial(_take, name, rows, aside, now_us, tidemark))

    async def span(self, name: str) -> str | None:
        return await self.database.read(lambda sql: records.span(sql, name))

    async def child_digests(self, name: str, window: str) -> dict[str, Digest]:
        return await self.database.read(lambda sql: records.child_digests(sql, name, window))

    async def elements(self, name: str, window: str, first: bytes, limit: int) -> dict[bytes, int]:
        return await self.database.read(
            lambda sql: records.elements(sql, name, window, first=first, limit=limit)
        )

    async def fetch(self, name: str, ids: Sequence[bytes]) -> list[Record]:
        """The records of these ids, as many as fit a page; ask again for the others."""
        rows, _ = await self.database.read(lambda sql: records.fetch(sql, name, ids))
        return [record for record, _ in rows]

    async def page(self, after: int, limit: int, wanted: Filter) -> Page:
        return await self.database.read(lambda sql: records.page_after(sql, after, limit, wanted))

    async def count(self) -> int:
        """All records of all nodes."""
        query = "SELECT coalesce(sum(count), 0) FROM digests"
        return await self.database.read(
            lambda sql: int(sql.execute(query).fetchone()[0]), quick=True
        )


def _standing(sql: sqlite3.Connection, name: str) -> Standing:
    row = sql.execute(_NODE, (name,)).fetchone()
    if row is None:
        return Standing()
    epoch, position, comparison = row
    return Standing(
        Tidemark(epoch, position) if epoch is not None else None,
        _comparison(comparison),
    )


def _comparison(text: str | None) -> Comparison | None:
    """None as well when another version wrote it: then the sets are compared anew."""
    try:
        return msgspec.json.decode(text, type=Comparison) if text is not None else None
    except msgspec.MsgspecError:
        return None


def _settle(name: str, standing: Standing, sql: sqlite3.Connection) -> None:
    mark, comparison = standing.tidemark, standing.comparison
    text = msgspec.json.encode(comparison).decode() if comparison is not None else None
    sql.execute(_SETTLE, (mark and mark.epoch, mark and mark.position, text, name))


def _take(
    name: str,
    rows: Sequence[Record],
    aside: Sequence[SetAside],
    now_us: int,
    tidemark: Tidemark | None,
    sql: sqlite3.Connection,
) -> Taken:
    outcome = records.insert_missing(sql, name, rows)
    clashing = [
        SetAside("conflict", _as_text(row), "central holds another content under this id")
        for row in rows
        if (row.id, row.hash) in outcome.conflicts
    ]
    sql.executemany(
        _SET_ASIDE,
        [(name, bad.code, bad.row, bad.detail, now_us) for bad in (*aside, *clashing)],
    )
    if tidemark is not None:
        _settle(name, _moved(_standing(sql, name), tidemark), sql)
    return Taken(outcome.inserted, outcome.duplicate, len(clashing))


def _moved(standing: Standing, tidemark: Tidemark) -> Standing:
    """The tidemark moves; a comparison made at the old one holds at the new one as well."""
    old, comparison = standing.tidemark, standing.comparison
    if old is not None and old.epoch == tidemark.epoch and old.position > tidemark.position:
        return standing  # a full pull begins anew; what was held before is held still
    if comparison is not None and old == Tidemark(comparison.epoch, comparison.position):
        comparison = replace(comparison, epoch=tidemark.epoch, position=tidemark.position)
    return Standing(tidemark, comparison)


def _as_text(row: Record) -> str:
    return msgspec.json.encode((row.id.hex(), *row[1:])).decode()


@asynccontextmanager
async def open_central_store(folder: Path) -> AsyncIterator[CentralStore]:
    """Open DIR/central.db. DatabaseUnusable with one clear line when it cannot serve."""
    async with open_database(folder / "central.db", SCHEMA) as database:
        yield CentralStore(database, await database.write(_identify))


def _identify(sql: sqlite3.Connection) -> str:
    """Central's epoch, drawn when the file is made."""
    sql.execute(
        "INSERT INTO meta VALUES ('epoch', ?) ON CONFLICT DO NOTHING", (secrets.token_hex(8),)
    )
    return str(sql.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()[0])
