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

from central.standing import Announced, Comparison, Head, Standing, Tidemark
from cluster import arrival, chain, records, windows
from cluster.arrival import CheckedPage
from cluster.connection import T
from cluster.damage import proven_digest
from cluster.database import Database, open_database
from cluster.digest import Digest
from cluster.disk import DiskWatch
from cluster.inside import list_window
from cluster.kept import ALL, NOTHING
from cluster.protocol.views import Loss
from cluster.record import Record
from cluster.record_set import QUARANTINE, RecordSet, schema
from cluster.schema import DatabaseUnusable, check_there, transaction

# Released: not even a space of these texts may change.
_FIRST = (
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
    QUARANTINE,
)
_SECOND = (
    "ALTER TABLE nodes ADD COLUMN head TEXT",
    "ALTER TABLE nodes ADD COLUMN announced TEXT",
    "ALTER TABLE nodes ADD COLUMN loss TEXT",
    "ALTER TABLE nodes ADD COLUMN pull_every REAL",
)
FILE = "central.db"
_FOURTH = (chain.COLUMN, chain.chain_all)
SCHEMA = schema(0x54484345, _FIRST, _SECOND, (), _FOURTH)  # "THCE"

_NODE = "SELECT tidemark_epoch, tidemark_position, comparison, head FROM nodes WHERE name = ?"
_NODES = "SELECT name, url, pull_every FROM nodes WHERE NOT removed ORDER BY name"
_ADD = (
    "INSERT INTO nodes (name, url) VALUES (?, ?) "
    "ON CONFLICT (name) DO UPDATE SET url = excluded.url, removed = 0"
)
_REMOVE = "UPDATE nodes SET removed = 1 WHERE name = ?"
_REMOVED = "SELECT 1 FROM nodes WHERE name = ? AND removed"
_SETTLE = (
    "UPDATE nodes SET tidemark_epoch = ?, tidemark_position = ?, comparison = ?, head = ? "
    "WHERE name = ?"
)
_ANNOUNCED = "SELECT announced, loss FROM nodes WHERE name = ?"
_ANNOUNCE = "UPDATE nodes SET announced = ?, loss = ? WHERE name = ?"
_NEWEST = "SELECT ts FROM records WHERE node = ? ORDER BY id DESC LIMIT 1"
_PULL_EVERY = "UPDATE nodes SET pull_every = ? WHERE name = ?"
_SET_ASIDE = "INSERT INTO quarantine VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
#: What a repair takes from a damaged file as it is; tidemarks would no longer be true.
_RESCUED = {
    "nodes": "INSERT INTO nodes (name, url, removed, pull_every) "
    "SELECT name, url, removed, pull_every FROM damaged.nodes",
    "runs": "INSERT INTO runs SELECT * FROM damaged.runs",
    "journal": "INSERT INTO journal SELECT * FROM damaged.journal",
    "rows set aside": "INSERT INTO quarantine SELECT * FROM damaged.quarantine",
}


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
        self.records = RecordSet(database)
        self.disk = DiskWatch(database)
        self.epoch = epoch

    async def nodes(self) -> list[tuple[str, str, float | None]]:
        """(name, url, pull_every) of every node that is polled."""
        return await self.database.read(lambda sql: list(sql.execute(_NODES)))

    async def add_node(self, name: str, url: str) -> None:
        await self.database.write(lambda sql: sql.execute(_ADD, (name, url)), about=name)

    async def remove_node(self, name: str) -> int:
        """Stop polling a node; how many of its records stay here."""
        await self.database.write(lambda sql: sql.execute(_REMOVE, (name,)), about=name)
        return (await self.database.read(lambda sql: windows.digest(sql, name))).count

    async def is_removed(self, name: str) -> bool:
        """True when an operator removed this node."""
        return bool(await self.database.read(lambda sql: sql.execute(_REMOVED, (name,)).fetchone()))

    async def standing(self, name: str) -> tuple[Digest, Standing]:
        """Central's digest of a node and what it remembers of it, at one moment.

        The very same object again as long as neither has changed.
        """
        return await self.database.kept.get(
            name,
            lambda: self.records.read_folded(
                lambda sql: (windows.digest(sql, name), _standing(sql, name))
            ),
        )

    def standing_kept(self, name: str) -> tuple[Digest, Standing] | None:
        """That object, if neither has changed since it was made."""
        return self.database.kept.find(name)

    async def settle(self, name: str, standing: Standing) -> None:
        """Remember a standing."""
        await self.database.write(partial(_settle, name, standing), about=name)

    async def announced(self, name: str) -> tuple[Announced | None, Loss | None]:
        """What the node announced last, and what it has lost."""
        row = await self.database.read(lambda sql: sql.execute(_ANNOUNCED, (name,)).fetchone())
        return (_readable(row[0], Announced), _readable(row[1], Loss)) if row else (None, None)

    async def announce(self, name: str, known: Announced, loss: Loss | None) -> None:
        values = (_text(known), _text(loss), name)
        await self.database.write(lambda sql: sql.execute(_ANNOUNCE, values), about=NOTHING)

    async def newest(self, name: str) -> int | None:
        """The ts of the node's record with the highest id here."""
        row = await self.database.read(lambda sql: sql.execute(_NEWEST, (name,)).fetchone())
        return row[0] if row else None

    async def set_pull_every(self, name: str, seconds: float | None) -> None:
        """How often the node is pulled by itself; None: as the setting says, 0: never."""
        values = (seconds, name)
        await self.database.write(lambda sql: sql.execute(_PULL_EVERY, values), about=NOTHING)

    async def take(
        self,
        name: str,
        page: CheckedPage,
        *,
        now_us: int,
        tidemark: Tidemark | None = None,
        head: Head | None = None,
    ) -> Taken:
        """Insert what is missing, set aside what is bad and move the marks, all in one.

        Refusal `not_ready` when the disk is nearly full.
        """
        self.disk.check_room()
        work = partial(_take, name, page, now_us, tidemark, head)
        return await self.database.write(work, about=name)

    async def lists(self, name: str, asked: Sequence[str]) -> list[dict[bytes, int]]:
        """The (id, hash) list of each window."""
        return await self.database.read(
            lambda sql: [list_window(sql, name, window) for window in asked]
        )

    async def proven_digest(self, name: str, window: str) -> Digest:
        """The digest of a window, every hash of it worked out anew from the record's content."""
        return await self.database.read(partial(proven_digest, name, window))

    async def count(self) -> int:
        """All records of all nodes."""
        return await self.database.kept.get(ALL, lambda: self.database.read(_count, quick=True))


def _count(sql: sqlite3.Connection) -> int:
    query = "SELECT coalesce(sum(count), 0) FROM digests WHERE window = ''"
    return int(sql.execute(query).fetchone()[0])


def _standing(sql: sqlite3.Connection, name: str) -> Standing:
    row = sql.execute(_NODE, (name,)).fetchone()
    if row is None:
        return Standing()
    epoch, position, comparison, head = row
    return Standing(
        Tidemark(epoch, position) if epoch is not None else None,
        _readable(comparison, Comparison),
        _readable(head, Head),
    )


def _readable(text: str | None, kind: type[T]) -> T | None:
    """None as well when another version wrote it: then it is found out anew."""
    try:
        return msgspec.json.decode(text, type=kind) if text is not None else None
    except msgspec.MsgspecError:
        return None


def _text(value: object | None) -> str | None:
    return msgspec.json.encode(value).decode() if value is not None else None


def _settle(name: str, standing: Standing, sql: sqlite3.Connection) -> None:
    mark = standing.tidemark
    texts = _text(standing.comparison), _text(standing.head)
    sql.execute(_SETTLE, (mark and mark.epoch, mark and mark.position, *texts, name))


def _take(
    name: str,
    page: CheckedPage,
    now_us: int,
    tidemark: Tidemark | None,
    head: Head | None,
    sql: sqlite3.Connection,
) -> Taken:
    if page.rows is None:
        outcome = arrival.insert(sql, name, page)
    else:
        outcome = records.insert_missing(sql, name, page.good_rows())
    clashing = [
        SetAside("conflict", _as_text(row), "central holds another content under this id")
        for row in (page.good_rows() if outcome.conflicts else ())
        if (row.id, row.hash) in outcome.conflicts
    ]
    bad = [SetAside(row.code, row.text, row.detail) for row in page.bad]
    sql.executemany(
        _SET_ASIDE,
        [(name, one.code, one.row, one.detail, now_us) for one in (*bad, *clashing)],
    )
    standing = _standing(sql, name)
    if tidemark is not None:
        standing = standing.moved(tidemark)
    if head is not None:
        standing = replace(standing, head=head)
    if tidemark is not None or head is not None:
        _settle(name, standing, sql)
    return Taken(outcome.inserted, outcome.duplicate, len(clashing))


def _as_text(row: Record) -> str:
    return msgspec.json.encode((row.id.hex(), *row[1:])).decode()


@asynccontextmanager
async def open_central_store(folder: Path) -> AsyncIterator[CentralStore]:
    """Open DIR/central.db. DatabaseUnusable with one clear line when it cannot serve."""
    async with open_database(folder / FILE, SCHEMA) as database:
        yield CentralStore(database, await database.write(_identify))


def _identify(sql: sqlite3.Connection) -> str:
    """Central's epoch, drawn when the file is made."""
    sql.execute(
        "INSERT INTO meta VALUES ('epoch', ?) ON CONFLICT DO NOTHING", (secrets.token_hex(8),)
    )
    return str(sql.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()[0])


def rescue(sql: sqlite3.Connection, damaged: Path) -> list[str]:
    """Take over what else can be read; the names of what cannot. Each is taken whole or not."""
    lost = []
    try:
        check_there(damaged)
        sql.execute("ATTACH ? AS damaged", (f"{damaged.absolute().as_uri()}?mode=ro",))
    except (sqlite3.Error, DatabaseUnusable) as error:
        return [f"{', '.join(_RESCUED)} ({error})"]
    for name, statement in _RESCUED.items():
        try:
            with transaction(sql):
                sql.execute(statement)
        except sqlite3.Error as error:
            lost.append(f"{name} ({error})")
    sql.execute("DETACH damaged")
    return lost
