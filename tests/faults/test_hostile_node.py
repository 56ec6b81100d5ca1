"""A node that lies: central keeps answering, polls the others on time, and can be restarted."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpServer

from cluster.exchange import Nothing
from cluster.protocol import central
from cluster.protocol.shared import READY
from tests.world import World, until, world

pytestmark = pytest.mark.e2e

Reply = Callable[[web.Request], Awaitable[dict[str, Any]]]
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
    views = [
        {
            "window": window,
            "count": 500,
            "digest": f"{7:016x}",
            "children": [
                {"window": window + "0", "count": 250, "digest": f"{3:016x}"},
                {"window": window + "f", "count": 250, "digest": f"{4:016x}"},
            ],
        }
        for window in (await request.json())["windows"]
    ]
    return {"epoch": "e", "windows": views}


async def endless_pages(request: web.Request) -> dict[str, Any]:
    after = int(request.query["after"])
    return {"epoch": "e", "records": [], "next": after + 1, "more": True}


async def bad_rows(request: web.Request) -> dict[str, Any]:
    rows: list[Any] = [None, 7, "row", {"id": "x"}, {"payload": {}}, [[]]]
    return {"epoch": "e", "records": rows, "next": HUGE, "more": False}


async def negative_receipt(request: web.Request) -> dict[str, Any]:
    return {"received": -5, "inserted": -5, "duplicate": 0, "conflict": 0, "rejected": []}


def liar(lies: dict[str, Any], replies: dict[str, Reply]) -> web.Application:
    """A node called `liar`."""

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/v1/status":
            return web.json_response(status(**lies))
        return web.json_response(await replies[f"{request.method} {request.path}"](request))

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    return app


@pytest.mark.parametrize(
    ("lies", "replies"),
    [
        ({}, {"POST /v1/digest": endless_windows, "GET /v1/records": endless_pages}),
        ({"last_position": HUGE}, {"GET /v1/records": endless_pages}),
        (
            {"count": HUGE, "last_position": HUGE},
            {"GET /v1/records": bad_rows, "POST /v1/digest": endless_windows},
        ),
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
    ids=["endless", "far position", "huge", "negative", "no digest", "bad rows"],
)
async def test_a_lying_node_harms_nobody_but_itself(
    tmp_path: Path,
    aiohttp_server: AiohttpServer,
    lies: dict[str, Any],
    replies: dict[str, Reply],
) -> None:
    """Its runs fail or wait; the honest node is pulled; central restarts with what it stored."""
    server = await aiohttp_server(liar(lies, replies))
    async with world(tmp_path) as w:
        hello = central.Hello(name="liar", url=f"http://{server.host}:{server.port}")
        await w.central.call(central.HELLO, hello)
        await w.node("honest")
        await w.post("honest", b'{"stream":"t","payload":{}}\n' * 100)
        await w.central.call(central.PULL_ALL, central.PullAllAsk())
        await w.central.call(central.PUSH_ALL, central.PushAllAsk())

        run = await w.pull("honest")
        await until(lambda: in_sync(w, "honest"), "the honest node is in sync")
        w.central.kill()
        await w.central.start()
        await w.until_live("honest", "up")

        assert run.state == "succeeded"
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
