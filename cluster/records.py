"""The table `records`: how both sides keep sets of records.

Nodes and central use the same table, so the two sides cannot come to disagree about what a set
is. A row that is there cannot be changed, even by a person with the sqlite3 shell. The digests of
the rows are in `cluster.windows`. All functions here are plain work for `Database.write` and
`Database.read`.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cluster.digest import MODULUS, common_window
from cluster.record import Record
from cluster.windows import last_position

_TOP = MODULUS - 1
# In SQL a sum over 2^63 would silently become a float, hence the order of these operations.
_ADD = f"((sum - {_TOP} + new.hash) - 1) & {_TOP}"
_SUBTRACT = f"(sum - old.hash) & {_TOP}"

#: As of the first version of both schemas; the second has `windows.STATEMENTS`.
STATEMENTS = (
    """CREATE TABLE records (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        id       BLOB NOT NULL CHECK (length(id) = 16),
        node     TEXT NOT NULL CHECK (length(node) BETWEEN 1 AND 64),
        ts       INTEGER NOT NULL,
        stream   TEXT NOT NULL CHECK (length(stream) BETWEEN 1 AND 64),
        payload  TEXT NOT NULL CHECK (length(payload) <= 65536),
        hash     INTEGER NOT NULL CHECK (hash >= 0),
        UNIQUE (node, id)
    ) STRICT""",
    "CREATE TABLE digests (node TEXT PRIMARY KEY, count INTEGER NOT NULL, sum INTEGER NOT NULL) "
    "STRICT, WITHOUT ROWID",
    f"""CREATE TRIGGER records_added AFTER INSERT ON records BEGIN
        INSERT INTO digests VALUES (new.node, 1, new.hash)
        ON CONFLICT (node) DO UPDATE SET count = count + 1, sum = {_ADD};
    END""",
    f"""CREATE TRIGGER records_removed AFTER DELETE ON records BEGIN
        UPDATE digests SET count = count - 1, sum = {_SUBTRACT} WHERE node = old.node;
    END""",
    """CREATE TRIGGER records_unchanged BEFORE UPDATE ON records BEGIN
        SELECT RAISE(ABORT, 'a record is never changed');
    END""",
    # INSERT OR REPLACE would delete without a word to the trigger above it.
    """CREATE TRIGGER records_unreplaced BEFORE INSERT ON records
    WHEN EXISTS (SELECT 1 FROM records WHERE node = new.node AND id = new.id)
    BEGIN
        SELECT RAISE(ABORT, 'a record is never replaced');
    END""",
)

_COLUMNS = "id, node, ts, stream, payload, hash"
_INSERT = f"INSERT INTO records ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"
_HASHES = "SELECT id, hash FROM records WHERE node = ? AND id IN ({marks})"
# Two subqueries, as SQLite finds one minimum or maximum in an index, but reads all for both.
_SPAN = (
    "SELECT (SELECT min(id) FROM records WHERE node = ?1), "
    "(SELECT max(id) FROM records WHERE node = ?1)"
)
POSITION_MAX = MODULUS - 1
_CHUNK = 500  # values in one IN (...)
SCAN_MAX = 100_000  # positions looked at for one page
PAGE_BYTES_MAX = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Inserted:
    """What became of a batch; `conflicts` are the (id, hash) that clash with what is there."""

    inserted: int
    duplicate: int
    conflicts: frozenset[tuple[bytes, int]]


@dataclass(frozen=True, slots=True)
class Page:
    """Records with their positions; `next` is where to go on, while `more`."""

    rows: list[tuple[Record, int]]
    next: int
    more: bool


@dataclass(frozen=True, slots=True)
class Filter:
    """Which records of a page are wanted; None takes all."""

    node: str | None = None
    stream: str | None = None
    since: int | None = None  # microseconds, inclusive
    until: int | None = None  # microseconds, exclusive

    def sql(self) -> tuple[str, list[str | int]]:
        """Conditions with their values."""
        wanted = (
            ("node = ?", self.node),
            ("stream = ?", self.stream),
            ("ts >= ?", self.since),
            ("ts < ?", self.until),
        )
        chosen = [(text, value) for text, value in wanted if value is not None]
        return "".join(f" AND {text}" for text, _ in chosen), [value for _, value in chosen]


def insert_new(sql: sqlite3.Connection, rows: Sequence[Record]) -> None:
    """Insert records that are born now: nobody else can have their ids."""
    sql.executemany(_INSERT, rows)


def insert_missing(sql: sqlite3.Connection, node: str, records: Sequence[Record]) -> Inserted:
    """Insert what is not there; never overwrite. All `records` must be of `node`.

    What is there is looked up first: an insert that the database itself skips would still use
    up a position, and positions without gaps are what lets a poll count the tail.
    """
    held: dict[bytes, int] = {}
    for ids in _chunks([record.id for record in records]):
        held.update(sql.execute(_HASHES.format(marks=_marks(ids)), (node, *ids)))
    fresh: list[Record] = []
    clashing: list[tuple[bytes, int]] = []
    for record in records:
        if record.id not in held:
            held[record.id] = record.hash
            fresh.append(record)
        elif held[record.id] != record.hash:
            clashing.append((record.id, record.hash))
    insert_new(sql, fresh)
    return Inserted(len(fresh), len(records) - len(fresh) - len(clashing), frozenset(clashing))


def page_after(
    sql: sqlite3.Connection, after: int, limit: int, wanted: Filter, upto: int = POSITION_MAX
) -> Page:
    """Up to `limit` records after a position, and not much over PAGE_BYTES_MAX of payload.

    At most SCAN_MAX positions are looked at: a page may be empty and yet have `more`.
    """
    conditions, values = wanted.sql()
    last = min(last_position(sql), upto)
    end = min(after + SCAN_MAX, last)
    # Only the fixed texts of Filter.sql are put together here; values are bound.
    query = (
        f"SELECT {_COLUMNS}, position FROM records "
        f"WHERE position > ? AND position <= ?{conditions} "
        "ORDER BY position LIMIT ?"
    )
    rows: list[tuple[Record, int]] = []
    size = 0
    for *columns, position in sql.execute(query, (after, end, *values, limit + 1)):
        if len(rows) == limit or size > PAGE_BYTES_MAX:
            return Page(rows, rows[-1][1], more=True)
        rows.append((Record._make(columns), position))
        size += len(columns[4].encode())
    if end < last:
        return Page(rows, end, more=True)
    return Page(rows, rows[-1][1] if rows else after, more=False)


def span(sql: sqlite3.Connection, node: str) -> str | None:
    """The smallest window that holds the node's whole set; None when it is empty."""
    low, high = sql.execute(_SPAN, (node,)).fetchone()
    return None if low is None else common_window(low, high)


def _chunks(values: Sequence[bytes]) -> Iterable[Sequence[bytes]]:
    return (values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK))


def _marks(values: Sequence[bytes]) -> str:
    return ", ".join("?" * len(values))
