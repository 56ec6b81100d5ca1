"""What central takes from a node over the wire: what was asked for and adds up, nothing else."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpServer

from central.link import Link
from cluster.compression import compress
from cluster.exchange import SQLITE
from cluster.page_file import CHECKSUM, PageFile, checksum
from cluster.peer import Peer, PeerFailed, open_session
from cluster.record import id_text, make
from tests.page_files import page_of

ROWS = [make(n.to_bytes(16, "big"), "n1", n, "s", "{}") for n in range(1, 6)]
PAGE = page_of(ROWS)
SUM = sum(row.hash for row in ROWS[:2]) % 2**63
LISTED = [[id_text(row.id), f"{row.hash:016x}"] for row in ROWS[:2]]


def headers(**other: str | None) -> dict[str, str]:
    """Those of the page that was asked for, but for the lies."""
    usual: dict[str, str | None] = {
        "Tidehold-Epoch": "e",
        "Tidehold-Next": "5",
        "Tidehold-More": "false",
        CHECKSUM: None,
    }
    lies = {name.replace("_", "-"): text for name, text in other.items()}
    return {name: text for name, text in (usual | lies).items() if text is not None}


def page_reply(
    page: bytes = PAGE, content_type: str = SQLITE, **other: str | None
) -> Callable[[], web.Response]:
    return lambda: web.Response(body=page, content_type=content_type, headers=headers(**other))


def view_reply(**view: Any) -> Callable[[], web.Response]:
    """A window that differs from a true one in some members."""
    usual = {"window": "0", "count": 2, "digest": f"{SUM:016x}", "elements": LISTED}
    told = {name: value for name, value in (usual | view).items() if value is not None}
    body = msgspec.json.encode({"epoch": "e", "windows": [told]})
    return lambda: web.Response(body=body, content_type="application/json")


@asynccontextmanager
async def link_to(server: AiohttpServer, reply: Callable[[], web.Response]) -> AsyncIterator[Link]:
    """A node that answers everything with this."""

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return reply()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    running = await server(app)
    async with open_session() as session:
        yield Link(Peer(session, f"http://{running.host}:{running.port}", "token"), "n1")


PAGE_LIES = [
    pytest.param({"page": b""}, id="nothing"),
    pytest.param({"page": b"SQLite format 3\0" + b"\xa5" * 10_000}, id="noise"),
    pytest.param({"page": page_of(ROWS, "CREATE TABLE more (x)")}, id="more than a page"),
    pytest.param({CHECKSUM: checksum(PAGE[:-1])}, id="another checksum"),
    pytest.param({"Tidehold-Next": None}, id="no end"),
    pytest.param({"Tidehold-Next": "soon"}, id="an end that is no number"),
    pytest.param({"Tidehold-Next": str(2**63)}, id="an end beyond all"),
    pytest.param({"Tidehold-Next": "9" * 5_000}, id="an end of 5,000 digits"),
    pytest.param({"content_type": "application/json"}, id="another type"),
    pytest.param({"Content-Encoding": "gzip"}, id="another encoding"),
    pytest.param({"Content-Encoding": "zstd"}, id="not compressed"),
    pytest.param(
        {"page": compress(bytes(32 << 20)), "Content-Encoding": "zstd"}, id="32 MB out of one kB"
    ),
]


@pytest.mark.fault(18, 24)
@pytest.mark.parametrize(
    "lies",
    [
        *PAGE_LIES,
        pytest.param({"Tidehold-Next": "-5"}, id="leads back"),
        pytest.param({"Tidehold-Next": "1"}, id="ends before it begins"),
        pytest.param({"Tidehold-Next": "2", "Tidehold-More": "true"}, id="leads nowhere"),
        pytest.param({"page": page_of([*ROWS, ROWS[0]._replace(id=bytes(16))])}, id="too many"),
    ],
)
async def test_a_page_that_is_none_is_not_taken(
    aiohttp_server: AiohttpServer, lies: Mapping[str, Any]
) -> None:
    """The node has failed, for a reason of the closed set."""
    async with link_to(aiohttp_server, page_reply(**lies)) as link:
        with pytest.raises(PeerFailed) as failed:
            await link.page("e", 2, 5, 100)

    assert failed.value.reason in ("bad_schema", "bad_http", "too_large")


@pytest.mark.parametrize(
    "lies",
    [
        *PAGE_LIES,
        pytest.param({"page": page_of([*ROWS, ROWS[0]._replace(id=bytes(16))])}, id="too many"),
        pytest.param({"page": page_of([make(b"x" * 16, "n1", 1, "s", "{}")])}, id="another window"),
        pytest.param({"page": page_of([make(bytes(16), "n1", 1, "s", "{}")])}, id="before first"),
        pytest.param({"page": page_of([]), "Tidehold-More": "true"}, id="leads nowhere"),
    ],
)
async def test_what_was_not_fetched_is_not_taken(
    aiohttp_server: AiohttpServer, lies: Mapping[str, Any]
) -> None:
    """Only what is inside of the windows, from the first id on."""
    async with link_to(aiohttp_server, page_reply(**lies)) as link:
        with pytest.raises(PeerFailed) as failed:
            await link.fetch("e", ["00", "01"], ROWS[0].id, 5, 100)

    assert failed.value.reason in ("bad_schema", "bad_http", "too_large")


async def test_a_page_as_it_should_be_is_taken(aiohttp_server: AiohttpServer) -> None:
    """With and without a checksum, compressed or as it is: otherwise nothing above is proven."""
    packed = {"page": compress(PAGE), "Content-Encoding": "zstd"}
    for how in ({}, {CHECKSUM: checksum(PAGE)}, packed):
        async with link_to(aiohttp_server, page_reply(**how)) as link:
            arrived = await link.page("e", 0, 5, 100)
            fetched = await link.fetch("e", ["00", "01"], ROWS[0].id, 5, 100)

        for one in (arrived, fetched):
            assert one.page.good_rows() == ROWS
            assert (one.next, one.more, one.page.bad) == (5, False, [])


async def test_a_page_of_another_database_is_told_apart(aiohttp_server: AiohttpServer) -> None:
    """Its positions mean something else."""
    async with link_to(aiohttp_server, page_reply(Tidehold_Epoch="f")) as link:
        with pytest.raises(PeerFailed) as of_page:
            await link.page("e", 0, 5, 100)
        with pytest.raises(PeerFailed) as of_fetch:
            await link.fetch("e", [""], bytes(16), 5, 100)

    assert {of_page.value.reason, of_fetch.value.reason} == {"epoch_changed"}


async def test_a_bad_row_of_a_page_is_set_apart(aiohttp_server: AiohttpServer) -> None:
    """It never blocks the rest."""
    altered = ROWS[2]._replace(payload='{"a":1}')
    page = page_of([*ROWS[:2], altered, *ROWS[3:]])
    async with link_to(aiohttp_server, page_reply(page)) as link:
        arrived = await link.page("e", 0, 5, 100)

    assert arrived.page.good_rows() == [*ROWS[:2], *ROWS[3:]]
    assert [(bad.index, bad.code) for bad in arrived.page.bad] == [(2, "hash_mismatch")]


HALF = [1, LISTED[0][1]]
TWICE = {"count": 3, "digest": f"{(SUM + ROWS[0].hash) % 2**63:016x}"}


@pytest.mark.parametrize(
    "view",
    [
        pytest.param({"window": "1"}, id="another window"),
        pytest.param({"count": 3}, id="another count"),
        pytest.param({"digest": "0" * 16}, id="another sum"),
        pytest.param({"elements": LISTED[:1]}, id="one is left out"),
        pytest.param({"elements": [*LISTED, LISTED[0]], **TWICE}, id="one comes twice"),
        pytest.param({"elements": [[id_text(b"x" * 16), LISTED[0][1]]]}, id="of elsewhere"),
        pytest.param({"elements": None}, id="a sum of nothing"),
        pytest.param({"elements": None, "children": [HALF] * 15}, id="15 children"),
        pytest.param({"elements": None, "children": [HALF] * 16}, id="too much in children"),
        pytest.param({"elements": None, "children": [[-1, "0" * 16]] * 16}, id="less than none"),
        pytest.param({"count": -1}, id="count -1"),
    ],
)
async def test_a_window_that_does_not_add_up_is_not_believed(
    aiohttp_server: AiohttpServer, view: Mapping[str, Any]
) -> None:
    """A node can lie about what it holds, but not so that there is no end of comparing."""
    async with link_to(aiohttp_server, view_reply(**view)) as link:
        with pytest.raises(PeerFailed) as failed:
            await link.digest("e", ["0"], 100)

    assert failed.value.reason == "bad_schema"


async def test_one_record_has_nothing_inside(aiohttp_server: AiohttpServer) -> None:
    """Below the 32 digits of an id no window can be asked for."""
    window = ROWS[0].id.hex()
    whole = [1, LISTED[0][1]]
    reply = view_reply(
        window=window,
        count=1,
        digest=whole[1],
        elements=None,
        children=[whole, *[None] * 15],
    )
    async with link_to(aiohttp_server, reply) as link:
        with pytest.raises(PeerFailed) as failed:
            await link.digest("e", [window], 100)

    assert failed.value.reason == "bad_schema"


async def test_a_window_as_it_should_be_is_opened(aiohttp_server: AiohttpServer) -> None:
    async with link_to(aiohttp_server, view_reply()) as link:
        (opened,) = await link.digest("e", ["0"], 100)

    assert opened.elements == {row.id: row.hash for row in ROWS[:2]}
    assert (opened.digest.count, opened.digest.sum) == (2, SUM)


@pytest.mark.parametrize(
    "receipt",
    [
        pytest.param((4, 4, 0, 0), id="not all"),
        pytest.param((5, 4, 0, 0), id="one is nowhere"),
        pytest.param((5, 5, 1, 0), id="one too many"),
        pytest.param((6, 6, 0, 0), id="more than were sent"),
        pytest.param((-5, -5, 0, 0), id="less than none"),
    ],
)
async def test_a_receipt_that_does_not_add_up_is_not_believed(
    aiohttp_server: AiohttpServer, receipt: tuple[int, int, int, int]
) -> None:
    """Each row that was sent is inserted, duplicate, in conflict or rejected."""
    names = ("received", "inserted", "duplicate", "conflict")
    body = msgspec.json.encode({**dict(zip(names, receipt, strict=True)), "rejected": []})
    async with link_to(
        aiohttp_server, lambda: web.Response(body=body, content_type="application/json")
    ) as link:
        with pytest.raises(PeerFailed) as failed:
            await link.append(PageFile(PAGE, len(ROWS), more=False))

    assert failed.value.reason == "bad_schema"
