"""Wrong values in queries, paths and JSON bodies: a problem that names the value, and no effect."""

from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from node.app import build_app
from node.settings import NodeSettings
from tests.program import until
from tests.protocol.conftest import TOKEN, Api, serving

ROWS = "/v1/records"


@pytest.mark.fault(35)
@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=-1",
        "limit=20001",
        "limit=1000000000",
        "limit=9223372036854775808",
        "limit=" + "9" * 5_000,
        "limit=1_0",
        "limit=%D9%A1%D9%A2",  # 12 in Arabic digits
        "limit=",
        "limit=%205",
        "limit=0x10",
        "limit=1e2",
        "limit=5.0",
        "limit=007",
        "limit=%2B5",
        "limit=null",
        "limit=NaN",
        "limit=1.5",
        "limit=ten",
        "after=-1",
        "upto=-1",
        "upto=9223372036854775808",
        "after=9223372036854775808",
        "since=9223372036854775808",
        "until=-9223372036854775808",
        "since=2026-01-01",
        "stream=A",
        "stream=a%0A",
        "stream=%00",
        "stream=%ff",
        "stream=" + "x" * 65,
        "stream=",
    ],
)
async def test_a_wrong_query_parameter_is_named(service: Api, query: str) -> None:
    """422 with the name of the parameter, in words."""
    problem = (await service.ask("GET", f"{ROWS}?{query}")).problem("bad_value")

    assert problem.detail.startswith(f"{query.partition('=')[0]}: ")
    assert "regex" not in problem.detail


@pytest.mark.fault(35)
@pytest.mark.parametrize("query", ["limits=5", "Limit=5", "limit%00=5", "=5", "x", "%5B%5D=1"])
async def test_an_unknown_query_parameter_is_refused(service: Api, query: str) -> None:
    """A misspelt filter must not give everything."""
    detail = (await service.ask("GET", f"{ROWS}?{query}")).problem("bad_value").detail

    assert "unknown field" in detail


@pytest.mark.fault(35)
@pytest.mark.parametrize("query", ["limit=5&limit=5", "after=1&limit=2&after=3"])
async def test_a_query_parameter_given_twice_is_refused(service: Api, query: str) -> None:
    """Nobody can know which one was meant."""
    detail = (await service.ask("GET", f"{ROWS}?{query}")).problem("bad_value").detail

    assert "twice" in detail


@pytest.mark.parametrize(
    "path", ["/v1/status?verbose=1", "/v1/clock?a", "/metrics?name=x", "/readyz?x=1"]
)
async def test_a_query_where_none_is_known_is_refused(service: Api, path: str) -> None:
    (await service.ask("GET", path)).problem("bad_value")


async def test_a_query_on_a_post_is_refused_and_not_ignored(node: Api, central: Api) -> None:
    """`POST /v1/pull?mode=full` would otherwise be an incremental one, silently."""
    for api, path in ((central, "/v1/pull?mode=full"), (node, "/v1/records?dry_run=1")):
        answer = await api.ask("POST", path, [] if api is node else {})

        assert "body" in answer.problem("bad_value").detail


async def test_limits_themselves_are_taken(service: Api) -> None:
    """The smallest and the largest values are values."""
    for query in ("limit=1", "limit=20000", "after=0", "upto=0", "after=9223372036854775807"):
        answer = await service.ask("GET", f"{ROWS}?{query}")

        assert answer.status == 200
        assert answer.json["records"] == []


@pytest.mark.fault(35)
async def test_another_epoch_is_refused(service: Api) -> None:
    """Positions of another database mean nothing; the own epoch is told."""
    epoch = (await service.ask("GET", ROWS)).json["epoch"]

    problem = (await service.ask("GET", f"{ROWS}?epoch={'0' * 16}")).problem("epoch_changed")

    assert epoch in problem.detail
    assert (await service.ask("GET", f"{ROWS}?epoch={epoch}")).status == 200


# Each body is wrong for every exchange that takes a JSON object.
NO_OBJECT = [
    pytest.param(b"[]", id="array"),
    pytest.param(b"null", id="null"),
    pytest.param(b"1", id="number"),
    pytest.param(b"{", id="cut"),
    pytest.param(b"{}{}", id="two"),
    pytest.param(b'{"a":NaN}', id="NaN"),
    pytest.param(b'{"a":1e999}', id="1e999"),
    pytest.param(b'{"a":"\\ud800"}', id="lone surrogate"),
    pytest.param(b'{"a":"\xff"}', id="invalid UTF-8"),
    pytest.param(b"\xef\xbb\xbf{}", id="BOM"),
    pytest.param("{}".encode("utf-16"), id="UTF-16"),
    pytest.param(b'{"a":' * 10_000 + b"1" + b"}" * 10_000, id="depth 10,000"),
    pytest.param(b"[" * 60_000, id="60,000 brackets"),
    pytest.param(b"\x00", id="NUL"),
]
BODIES = {
    "node": [("POST", "/v1/fetch"), ("POST", "/v1/digest"), ("PATCH", "/v1/source")],
    "central": [("POST", "/v1/nodes"), ("POST", "/v1/pull"), ("PATCH", "/v1/nodes/n1")],
}


@pytest.mark.fault(31, 32)
@pytest.mark.parametrize("body", NO_OBJECT)
@pytest.mark.parametrize("service_name", BODIES)
async def test_what_is_no_json_object_is_refused(
    node: Api, central: Api, service_name: str, body: bytes
) -> None:
    """400 for every exchange with a body."""
    for method, path in BODIES[service_name]:
        api = node if service_name == "node" else central

        (await api.ask(method, path, body)).problem("bad_json")


@pytest.mark.fault(29, 31)
@pytest.mark.parametrize("service_name", BODIES)
async def test_bodies_have_a_size_a_type_and_no_encoding(
    node: Api, central: Api, service_name: str
) -> None:
    """64 KiB of JSON at most, as it is."""
    api = node if service_name == "node" else central
    for method, path in BODIES[service_name]:
        (await api.ask(method, path, b" " * 65_537)).problem("too_large")
        (await api.ask(method, path, b"{}", content_type="text/plain")).problem("unsupported_type")
        encoded = await api.ask(method, path, b"{}", headers={"Content-Encoding": "gzip"})
        encoded.problem("unsupported_type")


@pytest.mark.parametrize(
    ("method", "path", "body", "named"),
    [
        ("POST", "/v1/fetch", {}, "missing required field `windows`"),
        ("POST", "/v1/fetch", {"ids": []}, "unknown field `ids`"),
        ("POST", "/v1/fetch", {"windows": []}, "windows: "),
        ("POST", "/v1/fetch", {"windows": ["g"]}, "windows[0]: expected a hex prefix"),
        ("POST", "/v1/fetch", {"windows": [None]}, "windows[0]: "),
        ("POST", "/v1/fetch", {"windows": "1"}, "windows: "),
        ("POST", "/v1/fetch", {"windows": [""] * 513}, "windows: "),
        ("POST", "/v1/fetch", {"windows": [""], "first": "1"}, "first: expected a UUID"),
        ("POST", "/v1/fetch", {"windows": [""], "limit": 0}, "limit: "),
        ("POST", "/v1/fetch", {"windows": [""], "limit": 20_001}, "limit: "),
        ("POST", "/v1/fetch", {"windows": [""], "upto": -1}, "upto: "),
        ("POST", "/v1/digest", {"windows": []}, "windows: "),
        ("POST", "/v1/digest", {"windows": ["", "G"]}, "windows[1]: expected a hex prefix"),
        ("POST", "/v1/digest", {"windows": ["A"]}, "windows[0]: "),
        ("POST", "/v1/digest", {"windows": ["0" * 33]}, "windows[0]: "),
        ("POST", "/v1/digest", {"windows": [""] * 513}, "windows: "),
        ("POST", "/v1/digest", {"windows": [""], "upto": 2**63}, "upto: "),
        ("POST", "/v1/digest", {"windows": [""], "upto": -1}, "upto: "),
        ("POST", "/v1/digest", {"windows": [""], "upto": "5"}, "upto: "),
        ("PATCH", "/v1/source", {"rate": -1}, "rate: "),
        ("PATCH", "/v1/source", {"rate": 10_001}, "rate: "),
        ("PATCH", "/v1/source", {"rate": "fast"}, "rate: "),
        ("PATCH", "/v1/source", {"running": 1}, "running: "),
        ("PATCH", "/v1/source", {"speed": 1}, "unknown field `speed`"),
    ],
)
async def test_a_wrong_value_in_a_body_is_named(
    node: Api, method: str, path: str, body: Any, named: str
) -> None:
    """422 with where it stands and what would be right."""
    assert named in (await node.ask(method, path, body)).problem("bad_value").detail


async def test_a_node_without_a_source_or_a_time_server_says_so(node: Api) -> None:
    (await node.ask("PATCH", "/v1/source", {"rate": 1})).problem("no_source")
    (await node.ask("POST", "/v1/clock/sync")).problem("no_time_server")


async def test_a_stopped_source_makes_nothing_more(tmp_path: Path, session: ClientSession) -> None:
    """In force when it is answered: what --verify rests on."""
    settings = NodeSettings(name="n1", data=str(tmp_path), source="synthetic", rate=1000.0)
    async with serving(build_app(settings, TOKEN, "http://127.0.0.1:1")) as base:
        node = Api(session, base)

        async def made() -> int:
            return int((await node.ask("GET", "/v1/status")).json["source"]["made"])

        async def has_made() -> bool:
            return await made() > 0

        await until(has_made, "the source makes records")
        stopped = await node.ask("PATCH", "/v1/source", {"running": False})
        rows = [await node.ask("GET", "/v1/status") for _ in range(20)]
        await node.ask("PATCH", "/v1/source", {"running": True, "rate": 10_000})

        async def goes_on() -> bool:
            return await made() > int(stopped.json["made"])

        await until(goes_on, "the source goes on")

        assert {one.json["source"]["made"] for one in rows} == {stopped.json["made"]}
        assert {one.json["records"]["count"] for one in rows} == {stopped.json["made"]}
