"""Arrival: a page file from elsewhere is checked, then inserted.

Such a file is hostile. `check` opens it apart from every database of ours: one table with exactly
our text and nothing else in the schema, sound b-trees of the declared types, rows of this node
only. The hash of each row is worked out anew in a page of up to WHOLE_MAX rows, and of a random
sample in a larger one: Python hashes at half the speed of the bulk road, and `verify` finds later
what a sample has missed. Only then may `insert` attach it.
"""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field

import msgspec

from cluster.page_file import APPLICATION_ID, CHECKSUM, TABLE, checksum
from cluster.problem import Refusal
from cluster.protocol.shared import PAGE_FILE_RECORDS_MAX
from cluster.record import (
    PAYLOAD_BYTES_MAX,
    TS_MAX,
    TS_MIN,
    Record,
    RowError,
    check_content,
    is_stream,
)
from cluster.records import Inserted, insert_missing
from cluster.text import visible

#: Up to so many rows each is worked out anew on arrival; of a larger page a sample.
WHOLE_MAX, SAMPLE = 1_000, 250
#: Instructions of SQLite for checking a page; the largest good one needs a tenth. B-trees can be
#: knotted so that a small file has no end.
WORK_MAX = 20_000_000
_WORK_STEP = 10_000
# Of the header; PRAGMA encoding says UTF-8 for some wrong numbers, too.
_ENCODING, _UTF_8 = slice(56, 60), b"\0\0\0\1"
_TOLD_MAX = 200  # characters of what others have written

_COLUMNS = "id, node, ts, stream, payload, hash"
_SIZE = "SELECT count(*), coalesce(min(id), x''), coalesce(max(id), x'') FROM records"
_TOUCHES = "SELECT EXISTS (SELECT 1 FROM main.records WHERE node = ? AND id BETWEEN ? AND ?)"
_ADD = (
    f"INSERT INTO main.records ({_COLUMNS}) SELECT {_COLUMNS} FROM page.records ORDER BY position"
)
_ADD_MISSING = (
    f"INSERT INTO main.records ({_COLUMNS}) SELECT {_COLUMNS} FROM page.records AS new "
    "WHERE NOT EXISTS (SELECT 1 FROM main.records AS old "
    "WHERE old.node = new.node AND old.id = new.id) ORDER BY new.position"
)
_CLASHING = (
    "SELECT new.id, new.hash FROM page.records AS new JOIN main.records AS old "
    "ON old.node = new.node AND old.id = new.id WHERE old.hash <> new.hash"
)
_EXAMINED = (
    "SELECT id, CAST(node AS BLOB), ts, CAST(stream AS BLOB), CAST(payload AS BLOB), hash "
    "FROM records "
)
_ROWS = f"{_EXAMINED} ORDER BY position"
# Not by position: whoever made the page chose those.
_SAMPLED = f"{_EXAMINED} WHERE random() % ? = 0"
_ODD = (
    "SELECT coalesce(max(length(id) <> 16 OR node <> ? OR ts NOT BETWEEN ? AND ? OR hash < 0 "
    "OR length(CAST(payload AS BLOB)) > ?), 0) FROM records"
)
_Row = tuple[bytes, bytes, int, bytes, bytes, int]
_Bad = tuple[int, _Row, RowError]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row of a page that is no record of this node: why, and what can be shown of it."""

    index: int
    code: str
    detail: str
    text: str


@dataclass(frozen=True, slots=True)
class CheckedPage:
    """A page that may be inserted. When some rows are bad, `rows` are the others."""

    content: bytes
    count: int
    min_id: bytes
    max_id: bytes
    rows: list[Record] | None = None
    bad: list[BadRow] = field(default_factory=list)

    def good_rows(self) -> list[Record]:
        """All rows that are good, as records."""
        if self.rows is not None:
            return self.rows
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as sql:
            sql.deserialize(self.content)
            return _good_rows(sql, set())


def check(content: bytes, node: str, expected: str | None) -> CheckedPage:
    """The page, if it is one. Refusal `bad_page` when the file as a whole is none of ours.

    `expected`: the checksum that came with it.
    """
    if expected is not None and checksum(content) not in map(str.strip, expected.split(",")):
        raise Refusal("bad_page", f"damaged on its way: its {CHECKSUM} is another one")
    work = iter(range(WORK_MAX // _WORK_STEP))
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as sql:
        sql.set_progress_handler(lambda: next(work, None) is None, _WORK_STEP)
        try:
            sql.deserialize(content)
            for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "query_only = ON"):
                sql.execute(f"PRAGMA {pragma}")
            if content[_ENCODING] != _UTF_8:  # it could not be attached, not even without rows
                raise Refusal("bad_page", "its texts have to be UTF-8")
            _check_file(sql)
            count, min_id, max_id = sql.execute(_SIZE).fetchone()
            bad = _bad_rows(sql, node, count)
            rows = _good_rows(sql, {place for place, _, _ in bad}) if bad else None
        except UnicodeError:  # SQLite's own message quotes the file, byte for byte
            raise Refusal("bad_page", "not a sound page: its schema is no text") from None
        except (sqlite3.Error, MemoryError, OverflowError, TypeError) as error:
            told = visible(str(error))[:_TOLD_MAX]
            raise Refusal("bad_page", f"not a sound page: {told}") from None
    shown = [_shown(*one) for one in bad]
    return CheckedPage(content, count, min_id, max_id, rows, shown)


def insert(sql: sqlite3.Connection, node: str, page: CheckedPage) -> Inserted:
    """Insert the rows of a page without bad rows that are missing; never overwrite."""
    sql.deserialize(page.content, name="page")
    try:
        return _insert(sql, node, page)
    except sqlite3.IntegrityError:  # an id is in it twice
        return insert_missing(sql, node, page.good_rows())
    finally:  # BEGIN IMMEDIATE and COMMIT write in every attached file: theirs must not stay
        sql.deserialize(_BLANK, name="page")


def _insert(sql: sqlite3.Connection, node: str, page: CheckedPage) -> Inserted:
    if not sql.execute(_TOUCHES, (node, page.min_id, page.max_id)).fetchone()[0]:
        count = sql.execute(_ADD).rowcount
        return Inserted(count, page.count - count, frozenset())
    clashing = sql.execute(_CLASHING).fetchall()
    inserted = sql.execute(_ADD_MISSING).rowcount
    return Inserted(inserted, page.count - inserted - len(clashing), frozenset(clashing))


def _blank() -> bytes:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as sql:
        sql.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        return sql.serialize()


_BLANK = _blank()


def _check_file(sql: sqlite3.Connection) -> None:
    """Refusal unless the schema is exactly ours and the b-trees are sound."""
    schema = sql.execute("SELECT type, name, sql FROM sqlite_schema LIMIT 2").fetchall()
    (application_id,) = sql.execute("PRAGMA application_id").fetchone()
    if schema != [("table", "records", TABLE)] or application_id != APPLICATION_ID:
        raise Refusal("bad_page", "not a page of records: it needs one table `records`, like ours")
    ((problem,),) = sql.execute("PRAGMA quick_check(1)")
    if problem != "ok":
        raise Refusal("bad_page", f"the file is damaged: {visible(problem)}")
    (count,) = sql.execute("SELECT count(*) FROM records").fetchone()
    if count > PAGE_FILE_RECORDS_MAX:
        raise Refusal("too_large", f"at most {PAGE_FILE_RECORDS_MAX} rows a page")


def _bad_rows(sql: sqlite3.Connection, node: str, count: int) -> list[_Bad]:
    """Each row that is no whole record of `node`, with its place.

    In a large page only a random sample is looked at, unless something is odd.
    """
    if count > WHOLE_MAX and _looks_sound(sql, node):
        every = count // SAMPLE
        if not _examine(sql.execute(_SAMPLED, (every,)), node):
            return []
    return _examine(sql.execute(_ROWS), node)


def _looks_sound(sql: sqlite3.Connection, node: str) -> bool:
    """What SQL itself can tell quickly of all rows."""
    streams = [stream for (stream,) in sql.execute("SELECT DISTINCT stream FROM records")]
    odd = sql.execute(_ODD, (node, TS_MIN, TS_MAX, PAYLOAD_BYTES_MAX)).fetchone()[0]
    return not odd and all(map(is_stream, streams))


def _examine(rows: Iterable[_Row], node: str) -> list[_Bad]:
    bad = []
    for place, row in enumerate(rows):
        try:
            _check_row(row, node)
        except RowError as error:
            bad.append((place, row, error))
    return bad


def _check_row(row: _Row, node: str) -> None:
    """RowError with what is wrong with a row."""
    if row[1] != node.encode():
        owner = visible(row[1][:_TOLD_MAX].decode("utf-8", "replace"))
        raise RowError("wrong_node", f"belongs to {owner}, not to {node}")
    check_content(*row)


def _good_rows(sql: sqlite3.Connection, bad: set[int]) -> list[Record]:
    return [_record(*row) for place, row in enumerate(sql.execute(_ROWS)) if place not in bad]


def _record(
    record_id: bytes, node: bytes, ts: int, stream: bytes, payload: bytes, value: int
) -> Record:
    """A row that is good, or that no sample has hit: its payload need not even be UTF-8."""
    text = payload.decode("utf-8", "replace")
    return Record(record_id, node.decode(), ts, stream.decode(), text, value)


def _shown(place: int, row: _Row, error: RowError) -> BadRow:
    record_id, node, ts, stream, payload, value = row
    texts = (
        part[:PAYLOAD_BYTES_MAX].decode("utf-8", "replace") for part in (node, stream, payload)
    )
    node_text, stream_text, payload_text = texts
    shown = (record_id.hex(), node_text, ts, stream_text, payload_text, value)
    return BadRow(place, error.code, str(error), msgspec.json.encode(shown).decode())
