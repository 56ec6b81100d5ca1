"""A node that lies: central keeps answering, polls the others on time, and can be restarted."""

from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpServer

from cluster.compression import compress
from cluster.exchange import SQLITE, Nothing
from cluster.protocol import central
from cluster.protocol.shared import READY
from cluster.record import make
from tests.page_files import page_of
from tests.program import until
from tests.world import World, world

pytestmark = pytest.mark.e2e

Reply = Callable[[web.Request], Awaitable[dict[str, Any] | web.Response]]
HUGE = 2**63 - 1


def status(**lies: Any) -> dict[str, Any]:
    """A status that fits its type, but for the lies."""
    counts = {"count": 500, "last_position": 500, "digest": "0" * 15 + "7"} | lies
    return {
        "node": "liar",
        "epoch": "e",
        "boot": "b",
        "version": "0",
        "now": 0,
        "records": counts,
        "clock": {"status": "UNSYNC"},
        "source": {"kind": "none", "running": False, "rate": 0.0, "made": 0},
        "uptime_s": 0.0,
        "disk": {"database_bytes": 0, "free_bytes": 0, "total_bytes": 0},
    }


async def endless_windows(request: web.Request) -> dict[str, Any]:
    """Every window differs, and so do two of its children, without end."""
    children = [[250, f"{3:016x}"], *[None] * 14, [250, f"{4:016x}"]]
    views = [
        {"window": window, "count": 500, "digest": f"{7:016x}", "children": children}
        for window in (await request.json())["windows"]
    ]
    return {"epoch": "e", "windows": views}


def sent(
    page: bytes, following: int, *, more: bool = False, encoding: str = "identity"
) -> web.Response:
    """A page as a node sends it."""
    headers = {
        "Tidehold-Epoch": "e",
        "Tidehold-Next": str(following),
        "Tidehold-More": str(more).lower(),
        "Content-Encoding": encoding,
    }
    return web.Response(body=page, content_type=SQLITE, headers=headers)


async def endless_pages(request: web.Request) -> web.Response:
    return sent(page_of([]), int(request.query["after"]) + 1, more=True)


async def bad_rows(request: web.Request) -> web.Response:
    rows: list[tuple[Any, ...]] = [
        (b"", "", 0, "", "", 0),
        (b"x" * 10_000, "liar", HUGE, "s", "{}", -1),
        (bytes(16), "honest", 0, "s", "{}", 0),
        (bytes(16), "liar", 0, "\x1b[2J", '{"a":"</script>"}', 0),
        (bytes(16), "liar", 0, "s", "[" * 60_000, 0),
        (bytes(16), "liar", 0, "s", "{}", 0),
    ]
    return sent(page_of(rows), HUGE)


async def no_text(request: web.Request) -> web.Response:
    """Bytes that are no UTF-8, in columns of texts."""
    row = (bytes(16), "liar", 0, "s", "{}", 0)
    bytes_of = "CAST(x'ff00fe' AS TEXT)"
    page = page_of([row], f"UPDATE records SET stream = {bytes_of}, payload = {bytes_of}")
    return sent(page, 1)


async def a_page_of_the_others(request: web.Request) -> web.Response:
    """Sound records, of a node that it is not."""
    rows = [make(n.to_bytes(16, "big"), "honest", n, "s", "{}") for n in range(2_000)]
    return sent(page_of(rows), 500)


async def a_trap(request: web.Request) -> web.Response:
    """A file that would do something when it is read or written."""
    trigger = "CREATE TRIGGER t AFTER INSERT ON records BEGIN DELETE FROM records; END"
    return sent(page_of([], trigger), 500)


@cache
def gigabyte() -> bytes:
    """So much of nothing, in some kilobytes."""
    return compress(bytes(1 << 30))


async def a_bomb(request: web.Request) -> web.Response:
    return sent(gigabyte(), 500, encoding="zstd")


async def negative_receipt(request: web.Request) -> dict[str, Any]:
    return {"received": -5, "inserted": -5, "duplicate": 0, "conflict": 0, "rejected": []}


def liar(
    lies: dict[str, Any], replies: dict[str, Reply], asked: set[str] | None = None
) -> web.Application:
    """A node called `liar`. `asked` is told what it was asked for."""
    told: set[str] = set() if asked is None else asked

    async def answer(request: web.Request) -> web.Response:
        told.add(f"{request.method} {request.path}")
        if request.path == "/v1/status":
            return web.json_response(status(**lies))
        reply = await replies[f"{request.method} {request.path}"](request)
        return reply if isinstance(reply, web.Response) else web.json_response(reply)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    return app


@pytest.mark.fault(22, 24)
@pytest.mark.parametrize(
    ("lies", "replies"),
    [
        ({}, {"POST /v1/digest": endless_windows, "GET /v1/records": endless_pages}),
        ({"last_position": HUGE}, {"GET /v1/records": endless_pages}),
        (
            {"count": HUGE, "last_position": HUGE},
            {"GET /v1/records": bad_rows, "POST /v1/digest": endless_windows},
        ),
        ({}, {"GET /v1/records": no_text}),
        ({}, {"GET /v1/records": a_page_of_the_others}),
        ({}, {"GET /v1/records": a_trap}),
        ({}, {"GET /v1/records": a_bomb}),
        ({"count": -1}, {}),
        ({"digest": "not hex"}, {}),
        (
            {},
            {
                "GET /v1/records": bad_rows,
                "POST /v1/digest": endless_windows,
                "POST /v1/records": negative_receipt,
            },
        ),
    ],
    ids=[
        "endless",
        "far position",
        "huge",
        "no text",
        "records of others",
        "trap",
        "bomb",
        "negative",
        "no digest",
        "bad rows",
    ],
)
async def test_a_lying_node_harms_nobody_but_itself(
    tmp_path: Path,
    aiohttp_server: AiohttpServer,
    lies: dict[str, Any],
    replies: dict[str, Reply],
) -> None:
    """Its runs fail or wait; the honest node is pulled; central restarts with what it stored."""
    asked: set[str] = set()
    server = await aiohttp_server(liar(lies, replies, asked))

    async def lied() -> bool:
        return "GET /v1/records" in asked or "GET /v1/records" not in replies

    async with world(tmp_path) as w:
        hello = central.Hello(name="liar", url=f"http://{server.host}:{server.port}")
        await w.central.call(central.HELLO, hello)
        await w.node("honest")
        await w.post("honest", b'{"stream":"t","payload":{}}\n' * 100)
        await w.central.call(central.PULL_ALL, central.PullAllAsk())
        await w.central.call(central.PUSH_ALL, central.PushAllAsk())

        run = await w.pull("honest")
        await until(lambda: in_sync(w, "honest"), "the honest node is in sync")
        await until(lied, "the liar was asked for a page")
        w.central.kill()
        await w.central.start()
        await w.until_live("honest", "up")

        assert run.state == "succeeded"
        assert w.verdict("honest").equal
        assert (await w.central.call(READY, Nothing())).ok
        assert (await w.central.call(central.RUNS, central.RunsAsk())).runs
        assert {view.name for view in (await w.central.call(central.NODES, Nothing())).nodes} == {
            "honest",
            "liar",
        }


async def test_a_node_whose_position_never_stands_still_is_polled_at_its_pace(
    tmp_path: Path, aiohttp_server: AiohttpServer
) -> None:
    """Each poll proves the sets equal at another position; a proof is no reason to poll again."""
    asked = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        empty = {"count": 0, "last_position": asked, "digest": "0" * 16}
        return web.json_response(status(**empty))

    app = web.Application()
    app.router.add_get("/v1/status", answer)
    server = await aiohttp_server(app)
    async with world(tmp_path, poll_interval_s=600.0) as w:
        hello = central.Hello(name="liar", url=f"http://{server.host}:{server.port}")
        await w.central.call(central.HELLO, hello)
        await w.until_live("liar", "up")
        polls = [await w.poll("liar") for _ in range(3)]
        await w.node("honest")  # takes a while, in which much can be asked

        assert {view.data for view in polls} == {"in_sync"}
        assert asked <= 2 * (2 + len(polls))  # the hello's, perhaps one of its phase, and ours


async def in_sync(w: World, name: str) -> bool:
    return (await w.poll(name)).data == "in_sync"
