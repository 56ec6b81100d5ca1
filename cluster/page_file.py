"""Page files: pages of records as SQLite database files, the bulk road.

Rows go from one database into another by INSERT ... SELECT and never become Python objects: the
sender fills a table in an attached database in memory and serializes it, the receiver deserializes
it in the same place (`cluster.arrival`). A page file has one table, `records`, with the columns of
ours, and may be opened with sqlite3 by anybody.
"""

import hashlib
import sqlite3
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cluster.digest import bounds
from cluster.exchange import MIB
from cluster.records import POSITION_MAX, SCAN_MAX, Filter
from cluster.windows import last_position

CHECKSUM = "Unencoded-Digest"
APPLICATION_ID = 0x54485047  # "THPG"
BYTES_MAX = 8 * MIB
#: Ours are 4,096 bytes a page; a file grows by whole pages.
_FILE_PAGES_MAX = BYTES_MAX // 4096
TABLE = (
    "CREATE TABLE records (position INTEGER PRIMARY KEY, id BLOB NOT NULL, node TEXT NOT NULL, "
    "ts INTEGER NOT NULL, stream TEXT NOT NULL, payload TEXT NOT NULL, hash INTEGER NOT NULL) "
    "STRICT"
)
#: Before any page is built or read on a connection.
ATTACH = ("ATTACH ':memory:' AS page", f"PRAGMA page.max_page_count = {_FILE_PAGES_MAX}")

_COLUMNS = "id, node, ts, stream, payload, hash"
_FILL = f"INSERT INTO page.records SELECT position, {_COLUMNS} FROM main.records WHERE "


@dataclass(frozen=True, slots=True)
class PageFile:
    """A page as it is sent: a whole SQLite file of `count` rows.

    While `more`, go on after the position `next`, or in windows after the id `max_id`.
    """

    content: bytes
    count: int
    more: bool
    next: int = 0
    max_id: bytes = b""


def build_after(
    sql: sqlite3.Connection, after: int, limit: int, wanted: Filter, upto: int = POSITION_MAX
) -> PageFile:
    """Up to `limit` records after a position, as far as they fit into BYTES_MAX."""
    conditions, values = wanted.sql()
    last = min(last_position(sql), upto)
    end = min(after + SCAN_MAX, last)
    where = f"position > ? AND position <= ?{conditions} ORDER BY position"
    _create(sql)
    count = _fill(sql, where, (after, end, *values), limit)
    if count.full:
        (end,) = sql.execute("SELECT max(position) FROM page.records").fetchone()
    content = sql.serialize(name="page")
    return PageFile(content, count.rows, end < last, next=max(end, after))


def build_windows(
    sql: sqlite3.Connection,
    node: str,
    windows: Iterable[str],
    first: bytes,
    limit: int,
    upto: int = POSITION_MAX,
) -> PageFile:
    """The records inside of `windows`, which are disjoint and in order, from the id `first` on.

    `more` says that the page became full; go on with the id after the last one in it.
    """
    where = "node = ? AND id BETWEEN ? AND ? AND position <= ? ORDER BY id"
    count, more = 0, False
    _create(sql)
    for low, high in map(bounds, windows):
        if high >= first and not more:
            filled = _fill(sql, where, (node, max(low, first), high, upto), limit - count)
            count, more = count + filled.rows, filled.full
    (max_id,) = sql.execute("SELECT coalesce(max(id), x'') FROM page.records").fetchone()
    return PageFile(sql.serialize(name="page"), count, more, max_id=max_id)


def checksum(content: bytes) -> str:
    """The checksum of a file before any compression, written as in RFC 9530."""
    return f"sha-256=:{b64encode(hashlib.sha256(content).digest()).decode()}:"


class _Filled(NamedTuple):
    rows: int
    full: bool  # there may be more


def _create(sql: sqlite3.Connection) -> None:
    """A new page; whoever reads rolls it back."""
    sql.execute(f"PRAGMA page.application_id = {APPLICATION_ID}")
    sql.execute(TABLE.replace("TABLE records", "TABLE page.records"))


def _fill(
    sql: sqlite3.Connection, where: str, values: Sequence[str | int | bytes], limit: int
) -> _Filled:
    """Put up to `limit` rows into the page; fewer when they are large."""
    wanted = limit
    while wanted:
        try:
            rows = sql.execute(f"{_FILL}{where} LIMIT ?", (*values, wanted)).rowcount
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                raise
            wanted //= 4
        else:
            return _Filled(rows, rows == wanted)
    return _Filled(0, full=True)
