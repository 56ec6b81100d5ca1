"""Pages as SQLite files over HTTP: what a GET gave opens anywhere, and can be POSTed as it is.

Nothing of a body that is not wholly in order is stored, except the good rows of a sound file.
"""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from cluster.compression import WORTH_BYTES, compress, decompress
from cluster.exchange import MIB, SQLITE
from cluster.page_file import TABLE, checksum
from cluster.protocol.node import APPEND
from cluster.protocol.shared import PAGE_FILE_RECORDS_MAX
from cluster.record import Record, make
from node import app as node_app
from node.settings import NodeSettings
from tests.page_files import page_of, rows_of
from tests.protocol.conftest import TOKEN, Answer, Api, serving

TEXTS = ['{"a":1,"a":2}', '{"text":"comma, \\"quote\\", 😀"}', '{ "spaced" : [ 1.50 , -0 ] }', "{}"]


def some(number: int, payload: str = "{}") -> Record:
    """A record of n1 of its own for each number."""
    return make(number.to_bytes(16, "big"), "n1", number, "s", payload)


async def fill(node: Api, count: int = 60) -> None:
    """Store so many rows, their payloads TEXTS in turn."""
    rows = (f'{{"stream":"s","payload":{TEXTS[n % len(TEXTS)]}}}' for n in range(count))
    assert (await node.post_rows("\n".join(rows))).receipt().inserted == count


async def get_page(node: Api, query: str = "", **headers: str) -> Answer:
    return await node.ask("GET", f"/v1/records{query}", headers={"Accept": SQLITE, **headers})


async def post_page(node: Api, body: Any, **headers: str) -> Answer:
    """POST a body as a page; `_` in the names of headers stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await node.ask("POST", "/v1/records", body, content_type=SQLITE, headers=named)


async def assert_nothing_stored(node: Api) -> None:
    """And the node takes rows as before."""
    assert (await node.stored()).records == []
    assert (await post_page(node, page_of([some(1)]))).receipt().inserted == 1


@asynccontextmanager
async def another_n1(folder: Path, session: ClientSession) -> AsyncIterator[Api]:
    """An empty node of the same name."""
    settings = NodeSettings(name="n1", data=str(folder), source="none")
    async with serving(node_app.build_app(settings, TOKEN, "http://127.0.0.1:1")) as base:
        yield Api(session, base)


async def test_a_page_is_a_file_that_sqlite3_opens(node: Api) -> None:
    """One table with the rows of the JSON page, byte for byte; what a page needs is in headers."""
    await fill(node)

    answer = await get_page(node)

    page = await node.stored()
    assert answer.status == 200
    assert answer.headers["Content-Type"] == SQLITE
    assert answer.headers["Tidehold-Epoch"] == page.epoch
    assert answer.headers["Tidehold-Next"] == str(page.next) == "60"
    assert answer.headers["Tidehold-More"] == "false"
    assert answer.headers["Unencoded-Digest"] == checksum(answer.body)
    assert "Content-Encoding" not in answer.headers
    assert [
        (position, record_id.hex(), owner, ts, stream, payload, f"{value:016x}")
        for position, record_id, owner, ts, stream, payload, value in rows_of(answer.body)
    ] == [
        (
            *(one.position, one.id.replace("-", ""), one.node, one.ts, one.stream),
            *(bytes(one.payload).decode(), one.hash),
        )
        for one in page.records
    ]
    with closing(sqlite3.connect(":memory:")) as sql:
        sql.deserialize(answer.body)
        assert list(sql.execute("PRAGMA integrity_check")) == [("ok",)]
        assert list(sql.execute("SELECT sql FROM sqlite_schema")) == [(TABLE,)]


async def test_a_page_goes_through_curl_into_the_sqlite3_shell(node: Api, tmp_path: Path) -> None:
    """As the documents say: no program of ours is needed to read it."""
    missing = [tool for tool in ("curl", "sqlite3") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not installed: {' and '.join(missing)}")
    await fill(node)
    file = tmp_path / "page.db"

    fetched = await output(
        *("curl", "--silent", "--show-error", "--fail", "--output", str(file)),
        *("--header", f"Authorization: Bearer {TOKEN}", "--header", f"Accept: {SQLITE}"),
        f"{node.base}v1/records?limit=50",
    )
    told = await output(
        "sqlite3", str(file), "SELECT count(*), min(position), max(position), node FROM records"
    )

    assert fetched == ""
    assert told.strip() == "50|1|50|n1"


async def output(*command: str) -> str:
    """What a program that ends well prints."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    told, complaint = await process.communicate()
    assert process.returncode == 0, complaint
    return told.decode()


async def test_a_page_comes_compressed_when_the_client_can_unpack_it(node: Api) -> None:
    """The same file, smaller; its checksum is that of what is unpacked or not at all."""
    await fill(node, 500)
    plain = await get_page(node)

    packed = await get_page(node, **{"Accept-Encoding": "gzip, zstd"})

    assert packed.headers["Content-Encoding"] == "zstd"
    assert len(packed.body) < len(plain.body) / 2
    assert int(packed.headers["Content-Length"]) == len(packed.body)
    unpacked = decompress(packed.body, 16 * MIB)
    assert rows_of(unpacked) == rows_of(plain.body)
    assert packed.headers["Unencoded-Digest"] == checksum(unpacked)


async def test_pages_lead_on(node: Api) -> None:
    """`next` and `more` bring every record once, and filters hold."""
    await fill(node, 10)
    seen, after, more = [], "0", True

    while more:
        answer = await get_page(node, f"?limit=4&after={after}&stream=s&upto=9")
        seen += [row[0] for row in rows_of(answer.body)]
        after, more = answer.headers["Tidehold-Next"], answer.headers["Tidehold-More"] == "true"

    assert (seen, after) == (list(range(1, 10)), "9")
    assert rows_of((await get_page(node, "?stream=other")).body) == []


async def test_a_page_of_another_epoch_is_refused(node: Api) -> None:
    (await get_page(node, "?epoch=another")).problem("epoch_changed")


async def test_a_page_can_be_posted_to_an_empty_node_of_its_name(
    node: Api, session: ClientSession, tmp_path: Path
) -> None:
    """All of it is stored, with its checksum, compressed or not; again it is all duplicates."""
    await fill(node, 500)
    page = await get_page(node)
    proof = {"Unencoded_Digest": page.headers["Unencoded-Digest"]}

    async with another_n1(tmp_path / "other", session) as other:
        first = (await post_page(other, page.body, **proof)).receipt()
        again = (await post_page(other, page.body)).receipt()
        packed = await post_page(other, compress(page.body), Content_Encoding="zstd", **proof)
        copied = await other.stored()

    assert (first.received, first.inserted) == (500, 500)
    for receipt in (again, packed.receipt()):
        assert (receipt.received, receipt.inserted, receipt.duplicate) == (500, 0, 500)
    copies = {(one.id, one.hash, one.position, bytes(one.payload)) for one in copied.records}
    originals = (await node.stored()).records
    assert copies == {(one.id, one.hash, one.position, bytes(one.payload)) for one in originals}


async def test_a_page_is_not_for_a_node_of_another_name(node: Api) -> None:
    """Every row is rejected, as `rows_rejected` says, and nothing is stored."""
    rows = [make(bytes(15) + bytes([n]), "n2", n, "s", "{}") for n in range(3)]

    problem = (await post_page(node, page_of(rows))).problem("rows_rejected")

    assert [(row.index, row.code) for row in problem.rejected or ()] == [
        (0, "wrong_node"),
        (1, "wrong_node"),
        (2, "wrong_node"),
    ]
    await assert_nothing_stored(node)


async def test_a_row_with_a_wrong_hash_is_rejected_alone(node: Api) -> None:
    """By its index; the others are stored."""
    rows = [some(number) for number in range(5)]
    rows[3] = rows[3]._replace(hash=rows[3].hash ^ 1)

    receipt = (await post_page(node, page_of(rows))).receipt()

    assert (receipt.received, receipt.inserted) == (5, 4)
    assert [(row.index, row.code) for row in receipt.rejected] == [(3, "hash_mismatch")]
    assert [one.ts for one in (await node.stored()).records] == [0, 1, 2, 4]


async def test_conflicts_are_told_by_their_index_beside_rejected_rows(node: Api) -> None:
    """Duplicate, rejected, conflict, new and twice in one page: each index is that of the file."""
    await post_page(node, page_of([some(1), some(2)]))
    rows = [some(1), some(3)._replace(hash=1), some(2, '{"a":2}'), some(4), some(4)]

    receipt = (await post_page(node, page_of(rows))).receipt()

    assert (receipt.inserted, receipt.duplicate, receipt.conflicts) == (1, 2, [2])
    assert [(row.index, row.code) for row in receipt.rejected] == [(1, "hash_mismatch")]
    assert await node.payloads() == ["{}", "{}", "{}"]


async def test_an_id_twice_in_a_page_is_no_error_of_the_storage(node: Api) -> None:
    """The first is kept, as with rows in JSON."""
    rows = [some(1), some(1), some(1, '{"a":2}')]

    receipt = (await post_page(node, page_of(rows))).receipt()

    assert (receipt.inserted, receipt.duplicate, receipt.conflicts) == (1, 1, [2])


GOOD = page_of([some(number) for number in range(60)])
UNREADABLE = b"CREATE TABLE r\xff\xff\xff"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(b"", "bad_page", id="nothing"),
        pytest.param(b"garbage", "bad_page", id="garbage"),
        pytest.param(b'{"stream":"s","payload":{}}', "bad_page", id="JSON"),
        pytest.param(GOOD[: 4096 + 50], "bad_page", id="cut in a page"),
        pytest.param(GOOD[:4096], "bad_page", id="cut to one page"),
        pytest.param(GOOD[:16] + bytes(84) + GOOD[100:], "bad_page", id="no header"),
        pytest.param(
            GOOD.replace(b"CREATE TABLE records", UNREADABLE), "bad_page", id="schema is no text"
        ),
        pytest.param(compress(GOOD), "bad_page", id="compressed without a word"),
        pytest.param(page_of([some(1)], "CREATE TABLE more (x)"), "bad_page", id="two tables"),
        pytest.param(bytes(APPEND.body_max + 1), "too_large", id="too many bytes"),
    ],
)
async def test_what_is_no_page_is_refused_whole(node: Api, body: bytes, code: str) -> None:
    """A problem, never a crash; and nothing is stored."""
    (await post_page(node, body)).problem(code)

    await assert_nothing_stored(node)


async def test_a_page_of_too_many_rows_is_refused_whole(node: Api) -> None:
    """One more than there may be."""
    page = page_of(some(number) for number in range(PAGE_FILE_RECORDS_MAX + 1))

    (await post_page(node, page)).problem("too_large")

    await assert_nothing_stored(node)


@pytest.mark.parametrize(
    "given", [checksum(GOOD[:-1]), "sha-256=::", "sha-256", "", checksum(GOOD).upper()]
)
async def test_a_page_with_another_checksum_is_refused(node: Api, given: str) -> None:
    """However good its rows look."""
    (await post_page(node, GOOD, Unencoded_Digest=given)).problem("bad_page")

    await assert_nothing_stored(node)


async def test_a_compressed_page_that_unpacks_to_too_much_is_refused(node: Api) -> None:
    """A gibibyte of zeros is never unpacked."""
    bomb = compress(bytes(1 << 30))
    assert len(bomb) < 1 << 20, "it gets past the limit of the body"

    problem = (await post_page(node, bomb, Content_Encoding="zstd")).problem("bad_request")

    assert str(APPEND.body_max) in problem.detail
    await assert_nothing_stored(node)


PACKED = compress(GOOD)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(GOOD, id="not compressed"),
        pytest.param(PACKED[:-1], id="cut"),
        pytest.param(PACKED + b"x", id="more behind"),
        pytest.param(PACKED + PACKED, id="two frames"),
        pytest.param(b"\xff" + PACKED[1:], id="damaged"),
    ],
)
async def test_what_is_not_one_whole_zstd_frame_is_refused(node: Api, body: bytes) -> None:
    (await post_page(node, body, Content_Encoding="zstd")).problem("bad_request")

    await assert_nothing_stored(node)


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd, zstd", "nonsense", ""])
async def test_another_encoding_of_a_page_is_refused(node: Api, encoding: str) -> None:
    """415 whatever it holds: nothing is unpacked."""
    answer = await post_page(node, GOOD, Content_Encoding=encoding)

    assert "zstd" in answer.problem("unsupported_type").detail
    await assert_nothing_stored(node)


async def test_the_name_of_the_encoding_is_not_case_sensitive(node: Api) -> None:
    receipt = (await post_page(node, PACKED, Content_Encoding="ZSTD")).receipt()

    assert receipt.inserted == 60


async def test_pages_posted_at_the_same_time_do_not_disturb_each_other(node: Api) -> None:
    """They are committed together; each answer is that of its own page."""
    pages = [page_of(some(n) for n in range(start, start + 40)) for start in range(0, 400, 20)]
    bad = page_of([some(0)], "CREATE TABLE more (x)")

    async def post_all(bodies: Iterable[bytes]) -> list[Answer]:
        return await asyncio.gather(*(post_page(node, body) for body in bodies))

    answers = await post_all([*pages, bad])

    answers.pop().problem("bad_page")
    receipts = [answer.receipt() for answer in answers]
    assert sum(one.inserted for one in receipts) == 420
    assert sum(one.duplicate for one in receipts) == 380
    assert len((await node.stored()).records) == 420


async def test_small_answers_are_not_compressed(node: Api) -> None:
    """A receipt is shorter than what compression would save."""
    answer = await post_page(node, GOOD, Accept_Encoding="zstd")

    assert len(answer.body) < WORTH_BYTES
    assert "Content-Encoding" not in answer.headers
    assert answer.receipt().inserted == 60
