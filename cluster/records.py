"""The table `records`: how both sides keep sets of records, and the digests of them.

Nodes and central use the same table, so the two sides cannot come to disagree about what a set
is. Triggers keep the digest of each node's set in the transaction of every change, even of one
that a person makes with the sqlite3 shell: a row that goes missing is a digest that no longer
matches, and a row that is there cannot be changed or replaced. All functions here are plain work
for `Database.write` and `Database.read`.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cluster.digest import EMPTY, MODULUS, Digest, bounds, common_window
from cluster.record import Record

_TOP = MODULUS - 1
# In SQL a sum over 2^63 would silently become a float, hence the order of these operations.
_ADD = f"((sum - {_TOP} + new.hash) - 1) & {_TOP}"
_SUBTRACT = f"(sum - old.hash) & {_TOP}"

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
_BY_ID = (
    f"SELECT {_COLUMNS}, position FROM records WHERE node = ? AND id IN ({{marks}}) ORDER BY id"
)
_ELEMENTS = (
    "SELECT id, hash FROM records "
    "WHERE node = ? AND id BETWEEN ? AND ? AND position <= ? ORDER BY id LIMIT ?"
)
_DIGEST = "SELECT count, sum FROM digests WHERE node = ?"
_SPAN = "SELECT min(id), max(id) FROM records WHERE node = ?"
_LAST = "SELECT seq FROM sqlite_sequence WHERE name = 'records'"
# Halves of 32 bits, because SUM() of whole hashes would overflow: exact up to 2^31 rows.
_BY_BYTE = (
    "SELECT substr(id, ?, 1), count(*), sum(hash >> 32), sum(hash & 4294967295) "
    "FROM records WHERE node = ? AND id BETWEEN ? AND ? AND position <= ? GROUP BY 1"
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
    sql.executemany(_INSERT, fresh)
    return Inserted(len(fresh), len(records) - len(fresh) - len(clashing), frozenset(clashing))


def page_after(sql: sqlite3.Connection, after: int, limit: int, wanted: Filter) -> Page:
    """Up to `limit` records after a position, and not much over PAGE_BYTES_MAX of payload.

    At most SCAN_MAX positions are looked at: a page may be empty and yet have `more`.
    """
    conditions, values = wanted.sql()
    end = min(after + SCAN_MAX, POSITION_MAX)
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
    if end < last_position(sql):
        return Page(rows, end, more=True)
    return Page(rows, rows[-1][1] if rows else after, more=False)


def fetch(
    sql: sqlite3.Connection, node: str, ids: Sequence[bytes]
) -> tuple[list[tuple[Record, int]], bool]:
    """The records of these ids that are there, and whether the page became full before the end."""
    rows: list[tuple[Record, int]] = []
    size = 0
    for chunk in _chunks(ids):
        for *columns, position in sql.execute(_BY_ID.format(marks=_marks(chunk)), (node, *chunk)):
            if size > PAGE_BYTES_MAX:
                return rows, True
            rows.append((Record._make(columns), position))
            size += len(columns[4].encode())
    return rows, False


def digest(sql: sqlite3.Connection, node: str) -> Digest:
    """The digest of a node's whole set, as the triggers keep it."""
    row = sql.execute(_DIGEST, (node,)).fetchone()
    return Digest(*row) if row else EMPTY


def last_position(sql: sqlite3.Connection) -> int:
    """The highest position ever given; 0 when there was none."""
    row = sql.execute(_LAST).fetchone()
    return int(row[0]) if row else 0


def span(sql: sqlite3.Connection, node: str) -> str | None:
    """The smallest window that holds the node's whole set; None when it is empty."""
    low, high = sql.execute(_SPAN, (node,)).fetchone()
    return None if low is None else common_window(low, high)


def child_digests(
    sql: sqlite3.Connection, node: str, window: str, upto: int = POSITION_MAX
) -> dict[str, Digest]:
    """The digests of the window's children that are not empty, computed from the rows.

    Rows stored after the position `upto` do not count. SQL groups by the next whole byte, which
    needs no text; the digit is taken from it here.
    """
    digests: dict[str, Digest] = {}
    place, odd = len(window) // 2 + 1, len(window) % 2
    for byte, count, high, low in sql.execute(_BY_BYTE, (place, node, *bounds(window), upto)):
        child = window + byte.hex()[odd]
        part = Digest(count, ((high << 32) + low) % MODULUS)
        digests[child] = digests.get(child, EMPTY) + part
    return digests


def elements(
    sql: sqlite3.Connection,
    node: str,
    window: str,
    *,
    first: bytes = b"",
    limit: int = -1,
    upto: int = POSITION_MAX,
) -> dict[bytes, int]:
    """The (id, hash) list of a window in the order of ids, from the id `first` on."""
    low, high = bounds(window)
    return dict(sql.execute(_ELEMENTS, (node, max(low, first), high, upto, limit)))


def _chunks(values: Sequence[bytes]) -> Iterable[Sequence[bytes]]:
    return (values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK))


def _marks(values: Sequence[bytes]) -> str:
    return ", ".join("?" * len(values))
