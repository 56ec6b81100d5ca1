"""Page files: whatever a file holds, it is refused, or its rows are right, or are told to be wrong.

The files here are made by strangers: damaged at random, or built to mislead. Each goes the whole
way, through `append_page` into a real node store, whose rows and digests are looked at afterwards.
"""

import asyncio
import json
import re
import sqlite3
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster import arrival, page_file, windows
from cluster.arrival import CheckedPage, check
from cluster.clock.base import RealBase
from cluster.clock.cluster_clock import ClusterClock
from cluster.digest import EMPTY, MODULUS, Digest
from cluster.page_file import APPLICATION_ID, BYTES_MAX, TABLE, checksum
from cluster.problem import Refusal
from cluster.protocol.shared import PAGE_FILE_RECORDS_MAX, Receipt
from cluster.record import (
    PAYLOAD_BYTES_MAX,
    PAYLOAD_DEPTH_MAX,
    TS_MAX,
    TS_MIN,
    Record,
    hash_of,
    hash_of_bytes,
    make,
    next_id,
)
from cluster.records import Filter, insert_missing
from node.append import append_page
from node.store import Draft, NodeStore, Stored, open_node_store
from tests.page_files import page_of, rows_of
from tests.store.test_records import new_table

SIZE = 4096  # of a page of SQLite, in ours
ROW_CODES = {
    "bad_id",
    "wrong_node",
    "bad_value",
    "bad_payload",
    "payload_too_large",
    "too_deep",
    "hash_mismatch",
}
LOOSE = "CREATE TABLE records (position INTEGER PRIMARY KEY, id, node, ts, stream, payload, hash)"
#: What makes a schema look like ours, whatever is in the file.
DISGUISE = (
    "PRAGMA writable_schema = ON",
    f"UPDATE sqlite_schema SET sql = '{TABLE}' WHERE name = 'records'",
)


def fuzz(examples: int) -> settings:
    """One store serves all examples of a test; each begins with making it empty."""
    unusual = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=examples, deadline=None, suppress_health_check=unusual)


Raw = tuple[int, bytes, bytes, int, bytes, bytes, int]


def some(number: int, *, node: str = "n1", stream: str = "s", payload: str = "") -> Record:
    """A record of its own for each number."""
    text = payload or f'{{"n":{number}}}'
    return make(number.to_bytes(16, "big"), node, number, stream, text)


def several(count: int, start: int = 0) -> list[Record]:
    return [some(number) for number in range(start, start + count)]


def long(size: int) -> str:
    """A payload of exactly `size` bytes."""
    return '{"a":"' + "x" * (size - 8) + '"}'


def raw_rows(sql: sqlite3.Connection) -> list[Raw]:
    """Every row, its texts byte for byte."""
    return list(
        sql.execute(
            "SELECT position, id, CAST(node AS BLOB), ts, CAST(stream AS BLOB), "
            "CAST(payload AS BLOB), hash FROM records ORDER BY position"
        )
    )


def depth(value: Any) -> int:
    inner = (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    )
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


def is_right(row: Raw) -> bool:
    """Whether a row is a whole record of n1, worked out without the code under test."""
    _, record_id, node, ts, stream, payload, value = row

    def constant(name: str) -> None:
        raise ValueError(name)

    try:
        content = json.loads(payload.decode(), parse_constant=constant)
    except ValueError:
        return False
    return (
        len(record_id) == 16
        and node == b"n1"
        and TS_MIN <= ts <= TS_MAX
        and re.fullmatch(rb"[a-z0-9._-]{1,64}", stream) is not None
        and isinstance(content, dict)
        and depth(content) <= PAYLOAD_DEPTH_MAX
        and not set(payload) & set(b"\r\n")
        and len(payload) <= PAYLOAD_BYTES_MAX
        and value == hash_of_bytes(record_id, node, ts, stream, payload)
    )


def judge(checked: CheckedPage) -> None:
    """Each row of a page that was checked whole is right, or is listed with its code."""
    with closing(sqlite3.connect(":memory:")) as sql:
        sql.deserialize(checked.content)
        rows = raw_rows(sql)
    assert checked.count == len(rows)
    assert {row.code for row in checked.bad} <= ROW_CODES
    wrong = [index for index, row in enumerate(rows) if not is_right(row)]
    assert [row.index for row in checked.bad] == wrong
    good = [row for index, row in enumerate(rows) if index not in wrong]
    assert [row.id for row in checked.good_rows()] == [row[1] for row in good]


def in_store(store: NodeStore) -> list[Raw]:
    with closing(sqlite3.connect(f"{store.database.path.as_uri()}?mode=ro", uri=True)) as sql:
        return raw_rows(sql)


async def judge_store(store: NodeStore, *, hashes: bool = True) -> list[Raw]:
    """The rows of the store, after it was seen that they are a set with its own digest.

    `hashes`: whether each must be that of its row.
    """
    rows = in_store(store)
    assert len({row[1] for row in rows}) == len(rows)
    assert {row[2] for row in rows} <= {b"n1"}
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1)), "positions without gaps"
    if hashes:
        assert all(map(is_right, rows))
    whole = Digest(len(rows), sum(row[6] for row in rows) % MODULUS)
    assert await store.records.read_folded(lambda sql: windows.digest(sql, "n1")) == whole
    return rows


async def empty(store: NodeStore) -> None:
    """As new; positions begin with 1 again."""

    def work(sql: sqlite3.Connection) -> None:
        sql.execute("DELETE FROM records")
        windows.fold(sql)
        sql.execute("DELETE FROM sqlite_sequence")
        sql.execute("UPDATE folded SET position = 0")

    await store.database.write(work)


@contextmanager
def as_no_page() -> Iterator[None]:
    """What is done here may be refused, in one of the two ways; any other error comes through."""
    try:
        yield
    except Refusal as refusal:
        if refusal.problem.code not in ("bad_page", "too_large"):
            raise


async def append(store: NodeStore, content: bytes, given: str | None = None) -> Receipt | None:
    """What became of a page; None when it was refused as it should be, and changed nothing."""
    before, receipt = in_store(store), None
    with as_no_page():
        receipt = await append_page(store, content, given)
    if receipt is None:
        assert in_store(store) == before
        return None
    rejected, total = len(receipt.rejected), receipt.received
    assert receipt.inserted + receipt.duplicate + receipt.conflict + rejected == total
    assert len(receipt.conflicts) == receipt.conflict
    assert len(in_store(store)) == len(before) + receipt.inserted
    return receipt


async def assert_refused(store: NodeStore, content: bytes, code: str = "bad_page") -> None:
    """Refused with this code, and the store takes rows as before."""
    with pytest.raises(Refusal) as refused:
        check(content, "n1", None)
    assert refused.value.problem.code == code
    assert len(refused.value.problem.detail) < 500
    assert await append(store, content) is None
    assert (await store.store([Draft("s", "{}")])).inserted == 1
    assert await append(store, page_of([some(1)])) is not None


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[NodeStore]:
    """The store of the node n1, empty."""
    async with open_node_store(tmp_path, "n1", ClusterClock(RealBase())) as store:
        yield store


# --- damage


def small_pages() -> list[bytes]:
    """Good pages: one row, a few, one level of b-tree, two, rows that overflow."""
    return [
        page_of([some(0)]),
        page_of(several(7)),
        page_of(several(60)),
        page_of([some(number, payload=long(300)) for number in range(60)]),
        page_of([some(number, payload=long(9_000)) for number in range(3)]),
    ]


SMALL, LARGE = small_pages(), page_of(several(1_200))
Damage = Callable[[bytes], bytes]


def places(size: int) -> st.SearchStrategy[int]:
    """Offsets in a file, most of them where something is: header, schema, the ends of pages."""
    tails = st.builds(
        lambda page, back: min((page + 1) * SIZE, size) - 1 - back,
        st.integers(0, (size - 1) // SIZE),
        st.integers(0, 400),
    )
    return st.one_of(st.integers(0, 120), tails, st.integers(0, size - 1))


def flipped(page: bytes) -> st.SearchStrategy[bytes]:
    def flip(bits: list[tuple[int, int]]) -> bytes:
        content = bytearray(page)
        for place, bit in bits:
            content[place] ^= 1 << bit
        return bytes(content)

    bits = st.tuples(places(len(page)), st.integers(0, 7))
    return st.lists(bits, min_size=1, max_size=20).map(flip)


def overwritten(page: bytes) -> st.SearchStrategy[bytes]:
    """A run of bytes, or one number of the header, is another one."""

    def put(place: int, run: bytes) -> bytes:
        place = min(place, len(page) - len(run))
        return page[:place] + run + page[place + len(run) :]

    numbers = st.sampled_from([0, 1, 2, 3, 4, 255, 512, 2**16, 2**31 - 1, 2**31, 2**32 - 1])
    return st.one_of(
        st.builds(put, places(len(page)), st.binary(min_size=16, max_size=16)),
        st.builds(
            put,
            st.integers(4, 24).map(lambda n: n * 4),
            numbers.map(lambda n: n.to_bytes(4, "big")),
        ),
    )


def swapped(page: bytes) -> st.SearchStrategy[bytes]:
    """Two pages of SQLite in each other's place; or one twice."""
    last = len(page) // SIZE - 1

    def swap(one: int, other: int, *, twice: bool) -> bytes:
        parts = [page[start : start + SIZE] for start in range(0, len(page), SIZE)]
        parts[one], parts[other] = parts[other], parts[other] if twice else parts[one]
        return b"".join(parts)

    return st.builds(swap, st.integers(0, last), st.integers(0, last), twice=st.booleans())


def damaged(page: bytes) -> st.SearchStrategy[bytes]:
    """The page, damaged in one way; never as it was."""
    cut = st.integers(0, len(page) - 1).map(lambda end: page[:end])
    longer = st.binary(min_size=1, max_size=40).map(lambda more: page + more)
    ways = [flipped(page), flipped(page), overwritten(page), overwritten(page)]
    return st.one_of(*ways, cut, longer, swapped(page)).filter(lambda content: content != page)


@fuzz(180)
@given(content=st.sampled_from(SMALL).flatmap(damaged), held=st.sampled_from([0, 0, 2, 60]))
async def test_a_damaged_page_is_refused_or_its_rows_are_right(
    store: NodeStore, content: bytes, held: int
) -> None:
    """Never another error; what is stored is right, also beside rows that were there before."""
    await empty(store)
    await store.store(several(held))
    checked = None
    with as_no_page():
        checked = check(content, "n1", None)
        judge(checked)

    receipt = await append(store, content)

    assert (receipt is None) == (checked is None)
    if receipt is not None and checked is not None:
        assert [row.index for row in receipt.rejected] == [row.index for row in checked.bad]
    await judge_store(store)


@fuzz(50)
@given(content=damaged(LARGE), held=st.sampled_from([0, 20]))
async def test_a_damaged_large_page_is_refused_or_can_be_stored(
    store: NodeStore, content: bytes, held: int
) -> None:
    """What a sample misses may be stored, and is in the digest; never another error."""
    await empty(store)
    await store.store([some(number, stream="other") for number in range(held)])

    await append(store, content)

    await judge_store(store, hashes=False)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), page=st.sampled_from([*SMALL, LARGE]))
def test_with_its_checksum_no_change_of_a_page_goes_unnoticed(
    data: st.DataObject, page: bytes
) -> None:
    """Not one bit, whatever the size of the page."""
    content = data.draw(damaged(page))

    with pytest.raises(Refusal) as refused:
        check(content, "n1", checksum(page))

    assert refused.value.problem.code == "bad_page"
    assert check(page, "n1", checksum(page)).bad == []


@settings(max_examples=50, deadline=None)
@given(
    content=st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(SMALL[0][:16].__add__))
)
def test_what_is_no_database_at_all_is_refused(content: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        check(content, "n1", None)

    assert refused.value.problem.code == "bad_page"


@pytest.mark.parametrize("page", [*SMALL, LARGE], ids=len)
async def test_a_good_page_is_stored_whole(store: NodeStore, page: bytes) -> None:
    """Byte for byte, in its order; and once more it is all duplicates."""
    first = await append(store, page, checksum(page))
    again = await append(store, page, checksum(page))

    assert [row[1:] for row in await judge_store(store)] == [
        (one, node.encode(), ts, stream.encode(), payload.encode(), value)
        for _, one, node, ts, stream, payload, value in rows_of(page)
    ]
    assert first is not None
    assert again is not None
    assert (first.inserted, first.duplicate) == (again.duplicate, again.inserted)
    assert again.inserted == again.conflict == 0


# --- files that were built to mislead


@pytest.mark.parametrize(
    "statements",
    [
        ("CREATE TABLE more (x)",),
        ("CREATE VIEW more AS SELECT * FROM records",),
        ("CREATE INDEX more ON records (id)",),
        ("CREATE UNIQUE INDEX more ON records (node, id)",),
        ("CREATE TRIGGER more AFTER INSERT ON records BEGIN DELETE FROM records; END",),
        ("CREATE VIRTUAL TABLE more USING fts5 (x)",),
        ("CREATE TABLE more (x INTEGER PRIMARY KEY AUTOINCREMENT)", "DROP TABLE more"),
        ("ANALYZE",),
        ("ALTER TABLE records RENAME TO others",),
        ("ALTER TABLE records ADD COLUMN more TEXT",),
        ("ALTER TABLE records RENAME COLUMN payload TO content",),
        ("PRAGMA application_id = 1414024260",),
        ("PRAGMA application_id = 0",),
        ("DROP TABLE records",),
        ("DROP TABLE records", f"CREATE VIEW records AS SELECT 1 AS position, {'1, ' * 5} 1"),
        (DISGUISE[0], "UPDATE sqlite_schema SET type = 'view'"),
        (DISGUISE[0], "UPDATE sqlite_schema SET sql = CAST(sql AS BLOB)"),
        (DISGUISE[0], "UPDATE sqlite_schema SET sql = sql || ' '"),
        (DISGUISE[0], "UPDATE sqlite_schema SET sql = CAST(sql || x'ff' AS TEXT)"),
        (DISGUISE[0], "UPDATE sqlite_schema SET sql = replace(sql, 'NULL', CAST(x'ff' AS TEXT))"),
        (DISGUISE[0], "UPDATE sqlite_schema SET rootpage = 1"),
        (DISGUISE[0], "UPDATE sqlite_schema SET rootpage = 0"),
        (DISGUISE[0], "UPDATE sqlite_schema SET rootpage = 77"),
        (DISGUISE[0], "UPDATE sqlite_schema SET rootpage = NULL"),
        (DISGUISE[0], "INSERT INTO sqlite_schema SELECT * FROM sqlite_schema"),
        (DISGUISE[0], "INSERT INTO sqlite_schema VALUES (NULL, NULL, NULL, NULL, NULL)"),
    ],
    ids=lambda statements: statements[-1][:60],
)
async def test_a_file_with_more_or_less_than_our_table_is_refused(
    store: NodeStore, statements: tuple[str, ...]
) -> None:
    """Nothing but the one table with exactly our text is ever attached."""
    content = page_of(several(3), *statements)

    await assert_refused(store, content)


@pytest.mark.parametrize(
    "table",
    [
        LOOSE,
        TABLE.replace(" STRICT", ""),
        TABLE.replace(" STRICT", " STRICT, WITHOUT ROWID"),
        TABLE.replace("records", "Records"),
        TABLE.replace("payload TEXT", "payload ANY"),
        TABLE.replace("ts INTEGER NOT NULL, stream TEXT NOT NULL", "stream TEXT, ts INTEGER"),
        TABLE.replace("payload TEXT NOT NULL", "payload TEXT NOT NULL CHECK (payload <> '')"),
        TABLE.replace("payload TEXT NOT NULL", "payload TEXT NOT NULL COLLATE NOCASE"),
    ],
)
async def test_a_table_with_another_text_is_refused(store: NodeStore, table: str) -> None:
    """Another order, other types, other constraints: even where every row would fit."""
    rows = [] if "WITHOUT" in table else several(3)

    await assert_refused(store, page_of(rows, table=table))


FIRST = tuple(some(0))
WRONG_TYPES = {
    "id": ["text of 16 bytes", 5, 1.5, None],
    "node": [b"n1", 5, 1.5, None],
    "ts": ["1", b"1", 1.5, None],
    "stream": [b"s", 5, 1.5, None],
    "payload": [b"{}", 5, 1.5, None, bytes(100_000)],
    "hash": ["1", b"1", 1.5, 1e300, None],
}


@pytest.mark.parametrize("count", [1, 1_100])
@pytest.mark.parametrize(
    ("column", "value"),
    [(column, value) for column, values in WRONG_TYPES.items() for value in values],
    ids=lambda value: str(value)[:20],
)
async def test_a_value_of_a_wrong_type_is_refused(
    store: NodeStore, column: str, value: Any, count: int
) -> None:
    """However the schema reads, the values themselves are looked at, in every row."""
    wrong = tuple(
        value if name == column else own for name, own in zip(WRONG_TYPES, FIRST, strict=True)
    )
    content = page_of([*several(count, 1), wrong], *DISGUISE, table=LOOSE)

    await assert_refused(store, content)


async def test_rows_that_lack_columns_are_refused(store: NodeStore) -> None:
    """As after an ALTER TABLE: what is not in the row would be read as NULL."""
    content = page_of(
        [],
        "DROP TABLE records",
        "CREATE TABLE records (position INTEGER PRIMARY KEY, id, node, ts)",
        "INSERT INTO records VALUES (1, zeroblob(16), 'n1', 0)",
        *DISGUISE,
    )

    await assert_refused(store, content)


async def test_an_index_in_the_place_of_the_table_is_refused(store: NodeStore) -> None:
    """The b-tree must be of the kind that the schema says."""
    table = LOOSE + " WITHOUT ROWID"

    await assert_refused(store, page_of([], *DISGUISE, table=table))


@pytest.mark.parametrize("encoding", ["UTF-16le", "UTF-16be"])
@pytest.mark.parametrize("rows", [[], several(3), several(1_100)], ids=len)
async def test_a_file_in_another_encoding_is_refused(
    store: NodeStore, encoding: str, rows: list[Record]
) -> None:
    """Attached, it would make the writer's connection unusable, even without a row."""
    await assert_refused(store, made(f"PRAGMA encoding = '{encoding}'", rows))


@pytest.mark.parametrize("size", [512, 1024, 65536])
async def test_the_size_of_the_pages_inside_does_not_matter(store: NodeStore, size: int) -> None:
    """Another program may have written the file."""
    receipt = await append(store, made(f"PRAGMA page_size = {size}", several(60)))

    assert receipt is not None
    assert receipt.inserted == 60
    assert len(await judge_store(store)) == 60


async def test_a_page_that_may_not_be_written_harms_no_later_transaction(
    store: NodeStore,
) -> None:
    """A transaction begins in every attached file: a stranger's must not stay attached."""
    read_only = put(SMALL[1], 18, b"\x03\x01")

    await append(store, read_only)
    stored = await store.store([Draft("s", "{}")])

    assert stored.inserted == 1
    await judge_store(store)


async def test_a_file_that_vacuums_itself_harms_no_commit(store: NodeStore) -> None:
    """Its last page is none that SQLite would leave there, so a commit inside of it would fail."""
    await append(store, ending_on_a_map())

    assert (await store.store([Draft("s", "{}")])).inserted == 1
    await judge_store(store)


def ending_on_a_map() -> bytes:
    """A file with auto_vacuum, cut after one of the pages that say what the others are."""
    step = 512 // 5 + 1
    for count in range(600, 900, 3):
        content = made("PRAGMA page_size = 512; PRAGMA auto_vacuum = FULL", several(count))
        pages = len(content) // 512
        if pages % step == 1:
            return put(content + bytes(512), 28, struct.pack(">I", pages + 1))
    raise AssertionError("no such file")


async def test_a_page_without_rows_is_a_page(store: NodeStore) -> None:
    """Nothing is stored, nothing is wrong."""
    receipt = await append(store, page_of([]))

    assert receipt is not None
    assert (receipt.received, receipt.inserted) == (0, 0)
    assert await judge_store(store) == []


async def test_a_page_holds_so_many_rows_and_not_one_more(store: NodeStore) -> None:
    full, over = (page_of(several(PAGE_FILE_RECORDS_MAX + more)) for more in (0, 1))

    receipt = await append(store, full)

    assert receipt is not None
    assert receipt.inserted == PAGE_FILE_RECORDS_MAX
    await assert_refused(store, over, "too_large")


def made(pragma: str, rows: list[Record]) -> bytes:
    """A page whose file was begun in another way."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as sql:
        sql.executescript(pragma)
        sql.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        sql.execute(TABLE)
        names = "id, node, ts, stream, payload, hash"
        sql.executemany(f"INSERT INTO records ({names}) VALUES (?, ?, ?, ?, ?, ?)", rows)
        return sql.serialize()


def put(content: bytes, place: int, value: bytes) -> bytes:
    return content[:place] + value + content[place + len(value) :]


def with_free_pages() -> bytes:
    """A page with a freelist, which begins at the page named at byte 32."""
    return page_of(
        several(3),
        "CREATE TABLE more (x)",
        "INSERT INTO more VALUES (zeroblob(40000))",
        "DROP TABLE more",
    )


def freelist_loop() -> bytes:
    content = with_free_pages()
    trunk = content[32:36]
    return put(content, (int.from_bytes(trunk, "big") - 1) * SIZE, trunk)


def overflow_loop() -> bytes:
    """A payload whose chain of pages comes back to itself."""
    content = page_of([some(0, payload=long(60_000))])
    return put(content, 3 * SIZE, (4).to_bytes(4, "big"))


def knot(levels: int, ways: int = 100) -> bytes:
    """A schema of a few rows, reached on `ways` to the power of `levels` ways.

    Its statement may be run any number of times, so reading the schema hardly ever ends.
    """
    content = page_of(
        [],
        DISGUISE[0],
        "UPDATE sqlite_schema SET sql = 'CREATE TABLE IF NOT EXISTS records (x)'",
    )
    parts = [content[start : start + SIZE] for start in range(0, len(content), SIZE)]
    first = parts[0]
    cells = int.from_bytes(first[103:105], "big")
    leaf = first[100:108] + first[108 : 108 + 2 * cells]
    parts.append(leaf + first[len(leaf) :])
    for _ in range(levels - 1):
        parts.append(_branch(len(parts), ways, 0))
    parts[0] = put(first[:100] + _branch(len(parts), ways, 100), 28, struct.pack(">I", len(parts)))
    return b"".join(parts)


def _branch(child: int, ways: int, start: int) -> bytes:
    """The inner page of a b-tree from the byte `start` on, each of its cells the same child."""
    cells = [struct.pack(">IB", child, key) for key in range(ways)]
    content = SIZE - 5 * ways
    head = struct.pack(">BHHHBI", 5, 0, ways, content, 0, child)
    pointers = b"".join(struct.pack(">H", content + 5 * number) for number in range(ways))
    free = bytes(content - start - len(head) - len(pointers))
    return head + pointers + free + b"".join(cells)


BUILT: dict[str, Callable[[], bytes]] = {
    "WAL": lambda: put(SMALL[1], 18, b"\x02\x02"),
    "WAL to be read": lambda: put(SMALL[1], 19, b"\x02"),
    "another version": lambda: put(SMALL[1], 18, b"\x07\x07"),
    "encoding 0": lambda: put(SMALL[1], 56, bytes(4)),
    "encoding 4": lambda: put(SMALL[1], 56, b"\0\0\0\4"),
    "4 G pages": lambda: put(SMALL[1], 28, b"\xff\xff\xff\xff"),
    "4 G pages, valid": lambda: put(put(SMALL[1], 28, b"\xff" * 4), 92, SMALL[1][24:28]),
    "4 G free pages": lambda: put(SMALL[1], 36, b"\xff\xff\xff\xff"),
    "freelist loop": freelist_loop,
    "freelist elsewhere": lambda: put(with_free_pages(), 32, b"\x7f\xff\xff\xff"),
    "overflow loop": overflow_loop,
    "zeroblobs": lambda: page_of(
        [], "INSERT INTO records SELECT 1, zeroblob(16), 'n1', 0, 's', zeroblob(9000000), 0",
        *DISGUISE, table=LOOSE,
    ),
    "nothing": lambda: b"",
    "header only": lambda: SMALL[1][:100],
    "first page only": lambda: SMALL[1][:SIZE],
    "zeros": lambda: bytes(3 * SIZE),
    "a schema with an end": lambda: knot(1),
    "a schema without end": lambda: knot(12),
}  # fmt: skip


@pytest.mark.parametrize("name", BUILT)
async def test_a_file_that_is_no_sound_database_is_refused(store: NodeStore, name: str) -> None:
    """Whatever its header says, and even where reading it would never end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrival, "WORK_MAX", arrival.WORK_MAX // 10)

        await assert_refused(store, BUILT[name]())


# --- rows that are no records


def altered(**change: Any) -> Record:
    """A record with the hash of its whole new content, except where `change` has another one."""
    row = some(1)._replace(**change)
    if "hash" in change or len(row.id) != 16 or len(row.node) > 255:
        return row
    return row._replace(hash=hash_of(*row[:5]))


WRONG_ROWS = [
    (altered(id=bytes(15)), "bad_id"),
    (altered(id=bytes(17)), "bad_id"),
    (altered(id=b""), "bad_id"),
    (altered(node="n2"), "wrong_node"),
    (altered(node="N1"), "wrong_node"),
    (altered(node=""), "wrong_node"),
    (altered(node="n1\0"), "wrong_node"),
    (altered(ts=TS_MIN - 1), "bad_value"),
    (altered(ts=TS_MAX + 1), "bad_value"),
    (altered(ts=2**63 - 1), "bad_value"),
    (altered(ts=-(2**63)), "bad_value"),
    (altered(stream=""), "bad_value"),
    (altered(stream="S"), "bad_value"),
    (altered(stream="s\n"), "bad_value"),
    (altered(stream="s\0"), "bad_value"),
    (altered(stream="s" * 65), "bad_value"),
    (altered(payload=""), "bad_payload"),
    (altered(payload="{"), "bad_payload"),
    (altered(payload="[]"), "bad_payload"),
    (altered(payload="5"), "bad_payload"),
    (altered(payload='{"a":NaN}'), "bad_payload"),
    (altered(payload='{"a":"\0"}'), "bad_payload"),
    (altered(payload='{"a":\n1}'), "bad_payload"),
    (altered(payload='{"a":1}\r'), "bad_payload"),
    (altered(payload='{"a":' * 40 + "1" + "}" * 40), "too_deep"),
    (altered(payload=long(PAYLOAD_BYTES_MAX + 1)), "payload_too_large"),
    (altered(hash=some(1).hash ^ 1), "hash_mismatch"),
    (altered(hash=-1), "hash_mismatch"),
    (altered(hash=-(2**63)), "hash_mismatch"),
    (altered(hash=some(2).hash), "hash_mismatch"),
]


@pytest.mark.parametrize(
    ("row", "code"), WRONG_ROWS, ids=[f"{code} {row[:5]!r}"[:70] for row, code in WRONG_ROWS]
)
async def test_a_row_that_is_no_record_is_rejected_alone(
    store: NodeStore, row: Record, code: str
) -> None:
    """By its index and with its code; the rows around it are stored."""
    content = page_of([some(7), row, some(8)])

    judge(check(content, "n1", None))
    receipt = await append(store, content)

    assert receipt is not None
    assert [(one.index, one.code) for one in receipt.rejected] == [(1, code)]
    assert [one[1] for one in await judge_store(store)] == [some(7).id, some(8).id]


@pytest.mark.parametrize("column", ["node", "stream", "payload"])
async def test_a_text_that_is_not_utf_8_is_rejected_alone(store: NodeStore, column: str) -> None:
    """It cannot even be shown as it is, and must not hide the others."""
    change = f"UPDATE records SET {column} = CAST(x'7b22ff227d' AS TEXT) WHERE position = 2"
    content = page_of(several(3), change)

    receipt = await append(store, content)

    assert receipt is not None
    assert [one.index for one in receipt.rejected] == [1]
    assert len(await judge_store(store)) == 2


async def test_what_a_bad_row_says_is_told_short_and_visible(store: NodeStore) -> None:
    """A stranger's text neither steers a screen nor fills an answer."""
    row = altered(node="\x1b[2J\u202e" + "x" * 1_000_000)

    (bad,) = check(page_of([row]), "n1", None).bad

    assert bad.code == "wrong_node"
    assert bad.detail.isprintable()
    assert len(bad.detail) < 2_000


ODD = [
    (altered(hash=-1), None),
    (altered(payload=long(PAYLOAD_BYTES_MAX + 1)), "payload_too_large"),
    (altered(id=bytes(15)), "bad_id"),
    (altered(node="n2"), "wrong_node"),
    (altered(ts=TS_MAX + 1), "bad_value"),
    (altered(stream="S"), "bad_value"),
]


@pytest.mark.parametrize(("row", "code"), ODD, ids=["hash", "size", "id", "node", "ts", "stream"])
async def test_what_our_table_would_refuse_is_found_in_a_large_page_too(
    store: NodeStore, row: Record, code: str | None
) -> None:
    """One row among thousands: rejected alone, no sample needed."""
    content = page_of([*several(2_000, 10), row, *several(2_000, 4_000)])

    receipt = await append(store, content)

    assert receipt is not None
    assert [(one.index, one.code) for one in receipt.rejected] == [(2_000, code or "hash_mismatch")]
    assert len(await judge_store(store)) == 4_000


@pytest.mark.parametrize("positions", ["-position", "position * 8", "position * 8 - 3"])
def test_wrong_hashes_cannot_be_hidden_from_the_sample(positions: str) -> None:
    """Whoever makes a page chooses the positions, but not the sample."""
    rows = [row._replace(hash=1) for row in several(2_000)]
    content = page_of(
        rows,
        "UPDATE records SET position = position + 1000000",
        f"UPDATE records SET position = {positions.replace('position', '(position - 1000000)')}",
    )

    checked = check(content, "n1", None)

    assert len(checked.bad) == 2_000
    assert checked.good_rows() == []


async def test_what_the_sample_misses_does_no_harm_when_rows_are_looked_at(
    store: NodeStore,
) -> None:
    """A payload that is not UTF-8, in a large page with a conflict: both are told or stored."""
    change = "UPDATE records SET payload = CAST(x'7bff7d' AS TEXT) WHERE position = 2000"
    content = page_of(several(5_000), change)
    await store.store([some(77, stream="other")])

    receipt = await append(store, content)

    assert receipt is not None
    assert receipt.conflicts == [77]
    assert receipt.inserted + len(receipt.rejected) == 4_999
    await judge_store(store, hashes=False)


# --- the same id twice


def version(number: int, which: int) -> Record:
    return some(number, payload=f'{{"v":{which}}}')


@fuzz(40)
@given(
    pages=st.lists(
        st.lists(st.tuples(st.integers(0, 8), st.integers(0, 1)), max_size=8), max_size=4
    )
)
async def test_pages_in_any_order_and_number_add_up(
    store: NodeStore, pages: list[list[tuple[int, int]]]
) -> None:
    """New, duplicate or conflict, each told by its index; the first of an id is kept."""
    await empty(store)
    model: dict[bytes, Record] = {}
    for page in pages:
        rows = [version(number, which) for number, which in page]
        before = len(model)
        clashing = [index for index, row in enumerate(rows) if model.setdefault(row.id, row) != row]

        receipt = await append(store, page_of(rows))

        assert receipt is not None
        assert receipt.inserted == len(model) - before
        assert receipt.conflicts == clashing
        assert receipt.rejected == []

    assert [(row[1], row[6]) for row in await judge_store(store)] == [
        (row.id, row.hash) for row in model.values()
    ]


@pytest.mark.parametrize("number", [0, 700, 1_199], ids=["first", "middle", "last"])
async def test_a_large_page_with_an_id_twice_is_stored_once(store: NodeStore, number: int) -> None:
    """The same again is a duplicate, another content a conflict at its index."""
    rows = [*several(1_200), some(number), version(number, 1)]

    receipt = await append(store, page_of(rows))

    assert receipt is not None
    assert (receipt.inserted, receipt.duplicate, receipt.conflicts) == (1_200, 1, [1_201])
    assert len(await judge_store(store)) == 1_200


async def test_pages_that_are_committed_together_do_not_disturb_each_other(
    store: NodeStore,
) -> None:
    """Each is attached in the place of the one before, within one transaction."""
    pages = [check(page_of(several(50, start)), "n1", None) for start in range(0, 1_000, 25)]
    drafts = [store.store([Draft("s", "{}")]) for _ in pages]

    stored: list[Stored] = await asyncio.gather(*map(store.store_page, pages), *drafts)

    assert sum(one.inserted for one in stored) == 1_025 + len(pages)
    assert sum(one.duplicate for one in stored) == 975
    assert len(await judge_store(store)) == 1_025 + len(pages)


# --- pages that are built


@contextmanager
def reading(sql: sqlite3.Connection) -> Iterator[None]:
    """As a reader does: what was built is gone afterwards."""
    sql.execute("BEGIN")
    try:
        yield
    finally:
        sql.execute("ROLLBACK")


ROWS = st.lists(
    st.tuples(
        st.integers(0, 2**128 - 1) | st.integers(0, 300),
        st.sampled_from(["n1", "n2"]),
        st.sampled_from(["a", "b"]),
        st.integers(0, 9),
    ),
    max_size=40,
    unique_by=lambda row: row[:2],
)
FILTERS = st.builds(
    Filter,
    node=st.sampled_from([None, "n1", "n2", "n3"]),
    stream=st.sampled_from([None, "a", "b"]),
    since=st.none() | st.integers(0, 9),
    until=st.none() | st.integers(0, 10),
)


def filled(sql: sqlite3.Connection, rows: list[tuple[int, str, str, int]], gone: set[int]) -> None:
    """Store rows at the positions 1, 2, 3 and so on; then some are deleted."""
    for number, node, stream, ts in rows:
        insert_missing(sql, node, [make(number.to_bytes(16, "big"), node, ts, stream, "{}")])
    sql.executemany("DELETE FROM records WHERE position = ?", [(one,) for one in gone])


def as_positioned(sql: sqlite3.Connection) -> list[tuple[Any, ...]]:
    return list(
        sql.execute(
            "SELECT position, id, node, ts, stream, payload, hash FROM records ORDER BY position"
        )
    )


def wanted_of(row: tuple[Any, ...], wanted: Filter) -> bool:
    _, _, node, ts, stream, _, _ = row
    return (
        wanted.node in (None, node)
        and wanted.stream in (None, stream)
        and (wanted.since is None or ts >= wanted.since)
        and (wanted.until is None or ts < wanted.until)
    )


@settings(max_examples=40, deadline=None)
@given(
    rows=ROWS,
    gone=st.sets(st.integers(1, 40), max_size=10),
    after=st.integers(0, 45),
    limit=st.integers(1, 12),
    upto=st.integers(0, 45) | st.just(2**63 - 1),
    wanted=FILTERS,
    scan=st.sampled_from([3, 100_000]),
)
def test_built_pages_lead_through_all_that_is_wanted(
    rows: list[tuple[int, str, str, int]],
    gone: set[int],
    after: int,
    limit: int,
    upto: int,
    wanted: Filter,
    scan: int,
) -> None:
    """Following `next` while `more` brings just the rows of a search by hand, whole, in order."""
    with closing(new_table()) as sql, pytest.MonkeyPatch.context() as patch:
        patch.setattr(page_file, "SCAN_MAX", scan)
        filled(sql, rows, gone)
        expected = [
            row for row in as_positioned(sql) if after < row[0] <= upto and wanted_of(row, wanted)
        ]
        got, at, more = [], after, True
        while more:
            with reading(sql):
                page = page_file.build_after(sql, at, limit, wanted, upto)
            inside = rows_of(page.content)
            assert page.count == len(inside) <= limit
            assert page.next > at or not page.more
            got += inside
            at, more = page.next, page.more

        assert got == expected
        assert at >= max(after, min(len(rows), upto))


PREFIXES = st.one_of(
    st.text("0123456789abcdef", max_size=2),
    st.integers(0, 300).map(lambda number: f"{number:032x}"),
    st.integers(0, 18).map(lambda number: f"{number:031x}"),
)


@settings(max_examples=40, deadline=None)
@given(
    rows=ROWS,
    gone=st.sets(st.integers(1, 40), max_size=10),
    prefixes=st.sets(PREFIXES, min_size=1, max_size=8),
    first=st.sampled_from([0, 0, 150, 2**127]),
    limit=st.integers(1, 12),
    upto=st.integers(0, 45),
)
def test_built_windows_lead_through_all_that_is_inside(
    rows: list[tuple[int, str, str, int]],
    gone: set[int],
    prefixes: set[str],
    first: int,
    limit: int,
    upto: int,
) -> None:
    """Going on after the highest id while `more` brings just what is inside, in order of ids."""
    asked = sorted(
        one
        for one in prefixes
        if not any(one != other and one.startswith(other) for other in prefixes)
    )
    with closing(new_table()) as sql:
        filled(sql, rows, gone)
        at: bytes | None = first.to_bytes(16, "big")
        expected = sorted(
            (row for row in as_positioned(sql)
             if row[2] == "n1" and row[0] <= upto and row[1] >= at
             and row[1].hex().startswith(tuple(asked))),
            key=lambda row: row[1],
        )  # fmt: skip
        got: list[tuple[Any, ...]] = []
        while at is not None:
            with reading(sql):
                page = page_file.build_windows(sql, "n1", asked, at, limit, upto)
            inside = sorted(rows_of(page.content), key=lambda row: row[1])
            assert page.count == len(inside) <= limit
            assert inside or not page.more
            got += inside
            at = next_id(page.max_id) if page.more else None

        assert got == expected


async def test_pages_of_large_records_are_cut_and_lead_on(store: NodeStore) -> None:
    """By position and by windows: never over BYTES_MAX, nothing left out, nothing twice."""
    rows = [
        some(number, payload=long(PAYLOAD_BYTES_MAX if number % 3 else 100))
        for number in range(400)
    ]
    await store.store(rows)
    ids = [row.id for row in rows]
    by_position, by_window, sizes = [], [], []

    after, more = 0, True
    while more:
        page = await store.records.page_file(after, PAGE_FILE_RECORDS_MAX, Filter())
        by_position += [row.id for row in check(page.content, "n1", None).good_rows()]
        sizes.append(len(page.content))
        after, more = page.next, page.more
    first: bytes | None = bytes(16)
    while first is not None:
        asked = [f"{0:030x}", f"{1:030x}"]
        page = await store.records.window_file("n1", asked, first, PAGE_FILE_RECORDS_MAX)
        by_window += [row.id for row in check(page.content, "n1", None).good_rows()]
        sizes.append(len(page.content))
        first = next_id(page.max_id) if page.more else None

    assert by_position == ids
    assert by_window == ids
    assert max(sizes) <= BYTES_MAX
    assert len(sizes) < 20, "pages are not cut to crumbs"


async def test_what_is_built_passes_the_check_and_makes_the_same_set(
    store: NodeStore, tmp_path: Path
) -> None:
    """From one store into another by pages: the digests are equal."""
    await store.store(several(3_000))
    other_folder = tmp_path / "other"

    async with open_node_store(other_folder, "n1", ClusterClock(RealBase())) as other:
        page = await store.records.page_file(0, 2_000, Filter())
        await append(other, page.content, checksum(page.content))
        rest = await store.records.page_file(page.next - 500, 20_000, Filter())
        receipt = await append(other, rest.content, checksum(rest.content))

        assert receipt is not None
        assert (receipt.inserted, receipt.duplicate) == (1_000, 500)
        assert await other.counts() == await store.counts()
        assert (await other.counts()).as_digest() != EMPTY
        assert await judge_store(other) == in_store(store)
