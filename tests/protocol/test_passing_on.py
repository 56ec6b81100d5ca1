"""What central passes on to a node for somebody who waits: the node's own no, and nothing odd."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

from cluster.peer import DETAIL_MAX
from cluster.problem import Refusal
from node import app as node_app
from node.settings import NodeSettings
from tests.protocol.conftest import TOKEN, Answer, Api, serving

Answers = Callable[[web.Request], Awaitable[web.Response]]
ORDERS = [("PATCH", "source", {"running": True}), ("POST", "clock/sync", None)]


async def add(central: Api, url: str, name: str = "n1") -> Answer:
    return await central.ask("POST", "/v1/nodes", {"name": name, "url": url.rstrip("/")})


@pytest.fixture
async def central_of_n1(central: Api, node: Api) -> Api:
    """Central with the node n1, which has neither a source nor a time server."""
    await add(central, str(node.base))
    return central


@asynccontextmanager
async def odd_node(central: Api, answers: Answers) -> AsyncIterator[str]:
    """Something at n1's address that answers everything so; its address."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answers)
    async with serving(app) as base:
        await add(central, str(base))
        yield str(base).rstrip("/")


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [(*ORDERS[0], "no_source"), (*ORDERS[1], "no_time_server")],
)
async def test_a_node_says_no_itself(
    central_of_n1: Api, node: Api, method: str, path: str, body: Any, code: str
) -> None:
    """Central gives its code and its words, and the journal tells of nothing that was not done."""
    own = (await node.ask(method, f"/v1/{path}", body)).problem(code)

    passed_on = (await central_of_n1.ask(method, f"/v1/nodes/n1/{path}", body)).problem(code)

    assert passed_on == own
    for kind in ("source", "clock-sync"):
        assert (await central_of_n1.ask("GET", f"/v1/journal?kind={kind}")).json["lines"] == []


async def test_a_time_server_that_does_not_answer_is_told_with_a_remedy(
    central: Api, session: ClientSession, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
    settings = NodeSettings(name="n1", data=str(tmp_path / "n1"), ntp=(f"127.0.0.1:{port}",))

    async with serving(node_app.build_app(settings, TOKEN, "http://127.0.0.1:1")) as base:
        await add(central, str(base))
        answer = await central.ask("POST", "/v1/nodes/n1/clock/sync")

    detail = answer.problem("time_unreachable").detail
    assert detail.startswith("unreachable: ")
    assert detail.endswith("GET /v1/clock of this node counts under `rejected` what was wrong")


@pytest.mark.parametrize(("method", "path", "body"), ORDERS)
@pytest.mark.parametrize("code", ["unauthorized", "unknown_node", "storage_failed", "run_ended"])
async def test_a_no_that_is_not_the_nodes_to_say_is_no_answer(
    central: Api, method: str, path: str, body: Any, code: str
) -> None:
    """Else a node could tell an operator that his token is wrong, or that the node is unknown."""

    async def odd(request: web.Request) -> web.Response:
        problem = Refusal(code, "says the node").problem
        return web.json_response({"code": code, "detail": problem.detail}, status=problem.status)

    async with odd_node(central, odd):
        answer = await central.ask(method, f"/v1/nodes/n1/{path}", body)

    assert answer.problem("node_unreachable").detail.endswith("says the node")


async def test_a_node_does_not_fill_the_screen_with_its_no(central: Api) -> None:
    async def odd(request: web.Request) -> web.Response:
        return web.json_response({"code": "no_source", "detail": "no" * 10_000}, status=409)

    async with odd_node(central, odd):
        answer = await central.ask("PATCH", "/v1/nodes/n1/source", {"rate": 1})

    assert len(answer.problem("no_source").detail) == DETAIL_MAX


async def test_an_address_that_leads_elsewhere_is_not_followed(central: Api, node: Api) -> None:
    """The token goes where an operator said and nowhere else."""

    async def odd(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": f"{node.base}v1/status"})

    async with odd_node(central, odd) as url:
        answer = await central.ask("POST", "/v1/nodes/test", {"url": url})

    assert answer.problem("node_unreachable").detail.startswith("redirect: ")


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:1", "ftp://a", "http://a/x", "http://u:p@a", "file:///etc/passwd", 1]
)
async def test_what_is_no_address_is_not_asked(central: Api, url: Any) -> None:
    (await central.ask("POST", "/v1/nodes/test", {"url": url})).problem("bad_value")


async def test_a_node_may_be_called_test(central: Api, node: Api) -> None:
    """Its path is one of a question too."""
    await add(central, str(node.base), "test")

    assert (await central.ask("GET", "/v1/nodes/test")).json["name"] == "test"
    changed = await central.ask("PATCH", "/v1/nodes/test", {"pull_every": 60})
    assert changed.json["pull_every"] == 60
    assert (await central.ask("POST", "/v1/nodes/test/poll")).json["reason"] == "wrong_node"
    found = await central.ask("POST", "/v1/nodes/test", {"url": str(node.base).rstrip("/")})
    assert (found.json["name"], found.json["known_as"]) == ("n1", None)
    assert (await central.ask("DELETE", "/v1/nodes/test")).json["name"] == "test"


@pytest.mark.parametrize("body", [{"running": 1}, {"rate": -1}, {"kind": "host"}])
async def test_a_source_is_told_something_that_it_can_do(central_of_n1: Api, body: Any) -> None:
    (await central_of_n1.ask("PATCH", "/v1/nodes/n1/source", body)).problem("bad_value")
