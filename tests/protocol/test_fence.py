"""Who gets in, and what is said to those who do not: nothing but replies and problems come out."""

import asyncio
import gzip
import logging
from pathlib import Path
from typing import Any

import pytest

from central import app as central_app
from central.settings import CentralSettings
from cluster.exchange import Exchange
from cluster.protocol import central, node
from node import app as node_app
from node.settings import NodeSettings
from tests.program import until
from tests.protocol.conftest import TOKEN, Answer, Api

AnyExchange = Exchange[Any, Any]
SERVICES: dict[str, tuple[AnyExchange, ...]] = {
    "node": node.EXCHANGES,
    "central": central.EXCHANGES,
}
EACH = [
    pytest.param(service, exchange, id=f"{service} {exchange.method} {exchange.path}")
    for service, exchanges in SERVICES.items()
    for exchange in exchanges
]


def path_of(exchange: AnyExchange) -> str:
    return exchange.path.format(name="n1", id="1")


def test_the_routes_are_the_exchanges(tmp_path: Path) -> None:
    """What is declared is served, and nothing else is."""
    apps = {
        "node": node_app.build_app(
            NodeSettings(name="n1", data=str(tmp_path)), TOKEN, "http://127.0.0.1:1"
        ),
        "central": central_app.build_app(CentralSettings(data=str(tmp_path)), TOKEN),
    }

    for service, exchanges in SERVICES.items():
        routes = {
            (route.method, route.resource.canonical)
            for route in apps[service].router.routes()
            if route.resource is not None
        }
        assert routes == {(one.method, one.path) for one in exchanges}


@pytest.mark.parametrize(("service", "exchange"), EACH, indirect=["service"])
async def test_nobody_gets_in_without_the_token(service: Api, exchange: AnyExchange) -> None:
    """No token, half of it, one letter more, another scheme: 401 and how to do it right."""
    wrong = [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN}x",
        f"Basic {TOKEN}",
        TOKEN,
        "Bearer ÄÖÜ",
    ]

    for authorization in wrong:
        answer = await service.ask(exchange.method, path_of(exchange), authorization=authorization)

        if exchange.public:
            assert answer.status == 200
        else:
            said = answer.problem("unauthorized").detail
            assert said.endswith("send Authorization: Bearer TOKEN")
            assert said.startswith("not a token") == bool(authorization)
            assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_only_healthz_is_open(service: Api) -> None:
    """It tells that the service is alive, and no more."""
    answer = await service.ask("GET", "/healthz", authorization=None)

    assert answer.status == 200
    assert answer.json.keys() == {"ok", "version"}
    assert {one.path for one in (*node.EXCHANGES, *central.EXCHANGES) if one.public} == {"/healthz"}


@pytest.mark.parametrize("token_in", ["?token=", "?access_token=", "?authorization=Bearer "])
async def test_a_token_in_the_address_does_not_count(service: Api, token_in: str) -> None:
    """Addresses end up in logs and histories."""
    path = f"/v1/status{token_in.replace(' ', '%20')}{TOKEN}"

    (await service.ask("GET", path, authorization=None)).problem("unauthorized")


@pytest.mark.fault(34)
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/nothing",
        "/v2/status",
        "/v1/status/",
        "//v1/status",
        "/V1/STATUS",
        "/v1/%00",
        "/v1/%2e%2e/%2e%2e/etc/passwd",
        "/v1/%ff%fe",
        "/" + "x" * 6_000,
    ],
)
async def test_an_unknown_path_is_not_found(service: Api, path: str) -> None:
    """Also one that nearly exists; without a token even that is not told."""
    (await service.ask("GET", path)).problem("not_found")
    (await service.ask("GET", path, authorization=None)).problem("unauthorized")


@pytest.mark.fault(34)
@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
async def test_a_wrong_method_is_told_the_right_ones(service: Api, method: str) -> None:
    """405 with the methods that this path takes."""
    answer = await service.ask(method, "/v1/status")

    assert answer.status == 405
    if method != "HEAD":  # which has no body
        assert answer.problem("method_not_allowed").detail == "allowed: GET"
    assert answer.headers["Allow"] == "GET"


async def raw(api: Api, request: bytes) -> Answer:
    """Send bytes that no client library would send; the whole answer."""
    reader, writer = await asyncio.open_connection(api.base.host, api.base.port)
    writer.write(request)
    async with asyncio.timeout(15):
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        body = await reader.readexactly(int(headers.get("Content-Length", 0)))
    writer.close()
    await writer.wait_closed()
    assert b"Traceback" not in body
    return Answer(int(lines[0].split()[1]), headers, body)


HEAD = f"Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\n".encode()


@pytest.mark.fault(33)
@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(b"NONSENSE\r\n\r\n", id="no HTTP"),
        pytest.param(b"GET /v1/status HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", id="two hosts"),
        pytest.param(b"GET /v1/status HTTP/1.1\r\nX: a\x00b\r\n\r\n", id="NUL in a header"),
        pytest.param(b"GET /v1/status HTTP/1.1\r\nX: " + b"x" * 9_000 + b"\r\n\r\n", id="9 kB"),
        pytest.param(
            b"POST /v1/records HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n"
            b"\r\n0\r\n\r\n",
            id="two lengths",
        ),
        pytest.param(b"POST /v1/records HTTP/1.1\r\nContent-Length: -1\r\n\r\n", id="length -1"),
    ],
)
async def test_what_is_no_http_is_refused(service: Api, request_bytes: bytes) -> None:
    """400, and the service goes on."""
    assert (await raw(service, request_bytes)).status == 400

    assert (await service.ask("GET", "/v1/status")).status == 200


@pytest.mark.parametrize("path", ["/v1/status", "/nowhere", "/healthz"])
async def test_an_expectation_that_cannot_be_met_is_a_problem(service: Api, path: str) -> None:
    """aiohttp answers it before any of our code is asked."""
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nExpect: foo\r\n\r\n"
    answer = await raw(service, head.encode())

    assert answer.problem("bad_request").detail == "Expectation Failed"


@pytest.mark.fault(36)
async def test_a_body_that_breaks_off_is_no_bug(
    node: Api, caplog: pytest.LogCaptureFixture
) -> None:
    """Bad links are what this is for: one line in the log, without a traceback."""
    caplog.set_level(logging.INFO)
    _, writer = await asyncio.open_connection(node.base.host, node.base.port)
    writer.write(
        b"POST /v1/records HTTP/1.1\r\nContent-Type: application/x-ndjson\r\n"
        + HEAD
        + b'Content-Length: 5000\r\n\r\n{"stre'
    )
    await writer.drain()

    writer.close()

    async def is_told() -> bool:
        return "a request broke off" in caplog.messages

    await until(is_told, "the log tells of it")
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []
    assert await node.payloads() == []


@pytest.mark.fault(30)
async def test_bytes_that_are_no_gzip_are_refused_unread(node: Api) -> None:
    """An encoded body is not taken, whatever it holds: gzip, 50,000 empty members, noise."""
    for body in (gzip.compress(b"{}"), gzip.compress(b"") * 50_000, b"noise"):
        answer = await node.ask("POST", "/v1/records", body, headers={"Content-Encoding": "gzip"})

        answer.problem("unsupported_type")
    assert await node.payloads() == []
