"""Central's own questions and orders: nodes come and go, runs are asked for and cancelled."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.protocol.conftest import Answer, Api

NOBODY = "http://127.0.0.1:1"  # nothing listens there


async def until(
    ask: Callable[[], Awaitable[Answer]], holds: Callable[[Any], bool], within_s: float = 10.0
) -> Any:
    """Ask until the answer is as wanted; the answer."""
    deadline = time.monotonic() + within_s
    while not holds(found := (await ask()).json):
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.02)
    return found


async def add(central: Api, name: str = "n1", url: str = NOBODY, **more: Any) -> Answer:
    return await central.ask("POST", "/v1/nodes", {"name": name, "url": url} | more)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/nodes/n9", None),
        ("PATCH", "/v1/nodes/n9", {"url": NOBODY}),
        ("DELETE", "/v1/nodes/n9", None),
        ("POST", "/v1/nodes/n9/pull", {}),
        ("POST", "/v1/nodes/n9/pull", None),
        ("POST", "/v1/nodes/n9/push", {"mode": "full"}),
        ("POST", "/v1/nodes/n9/poll", None),
        ("PATCH", "/v1/nodes/n9/source", {"running": True}),
        ("POST", "/v1/nodes/n9/clock/sync", None),
        ("GET", "/v1/nodes/n9/clock", None),
        ("GET", "/v1/nodes/n9/polls", None),
    ],
)
async def test_an_unknown_node_is_not_found(
    central: Api, method: str, path: str, body: Any
) -> None:
    """404 with its name, for every order and question."""
    assert "n9" in (await central.ask(method, path, body)).problem("unknown_node").detail


@pytest.mark.parametrize("name", ["N1", "n%201", "-n", "n%0A", "%00", "x" * 65, "%F0%9F%98%80"])
async def test_what_cannot_be_a_name_is_refused(central: Api, name: str) -> None:
    """422 in the path, and so in the body."""
    in_path = await central.ask("GET", f"/v1/nodes/{name}")

    assert in_path.problem("bad_value").detail.startswith("name: expected 1-64 of a-z")


@pytest.mark.fault(70)
@pytest.mark.parametrize(
    "name",
    ["", "N1", "n 1", "n\n", "a/b", "../n", "'; DROP TABLE nodes; --", "x" * 65, "é", 1, None],
)
async def test_a_node_with_a_bad_name_is_not_added(central: Api, name: Any) -> None:
    problem = (await add(central, name)).problem("bad_value")

    assert problem.detail.startswith("name: ")
    assert (await central.ask("GET", "/v1/nodes")).json == {"nodes": []}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "n1",
        "127.0.0.1:8101",
        "//127.0.0.1:8101",
        "file:///etc/passwd",
        "ftp://127.0.0.1",
        "javascript:alert(1)",
        "unix:///run/docker.sock",
        "HTTP://127.0.0.1:8101",
        "http://",
        "http://:8101",
        "http:///v1",
        "http://user:pass@127.0.0.1:8101",
        "http://127.0.0.1:8101@evil.example",
        "http://127.0.0.1:8101/",
        "http://127.0.0.1:8101/v1/nodes",
        "http://127.0.0.1:8101?x=1",
        "http://127.0.0.1:8101#x",
        "http://127.0.0.1 :8101",
        " http://127.0.0.1:8101",
        "http://127.0.0.1:8101\n",
        "http://127.0.0.1:8101\r\nX: y",
        "http://127.0.0.1:\t8101",
        "http://127.0.0.1\\@evil.example",
        "http://127.0.0.1:0",
        "http://127.0.0.1:65536",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:1e3",
        "http://127.0.0.1:",
        "http://a:b:c",
        "http://[",
        "http://[::1",
        "http://[x]",
        "http://%6c%6f",
        "http://\u202eexample",
        "http://bücher.example",
        "http://x..y:1",
        "http://[:::]:80",
        "http://[1.2.3.4]",
        "http://1.2.3",
        "http://a-.b",
        "http://-a.b",
        f"http://{'a' * 64}.b",
        "http://" + "a" * 10_000,
        8101,
        ["http://127.0.0.1:8101"],
    ],
)
async def test_a_bad_address_is_refused(central: Api, url: Any) -> None:
    """Only http(s)://HOST:PORT, and nothing is kept of another; at a change of address too."""
    await add(central, "known")

    for answer in (
        await add(central, "n1", url),
        await central.ask("PATCH", "/v1/nodes/known", {"url": url}),
    ):
        detail = answer.problem("bad_value").detail
        assert detail.startswith("url: ")
        assert len(detail) < 200

    nodes = (await central.ask("GET", "/v1/nodes")).json["nodes"]
    assert [(node["name"], node["url"]) for node in nodes] == [("known", NOBODY)]


@pytest.mark.parametrize("url", ["http://x_y:1", "http://a" + "-a" * 31 + ":1"])
async def test_an_address_that_only_looks_like_one_hurts_nobody_else(
    central: Api, url: str
) -> None:
    """Its node is not reached, with a reason; central and its other nodes go on."""
    assert (await add(central, "n1", url)).status == 200

    polled = await central.ask("POST", "/v1/nodes/n1/poll")

    assert polled.json["failures"] > 0
    assert polled.json["reason"] in ("bad_http", "dns", "refused")
    assert (await central.ask("GET", "/v1/status")).status == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "n1"},
        {"url": NOBODY},
        {"name": "n1", "url": None},
        {"name": "n1", "url": NOBODY, "token": "x"},
        {"name": "n1", "url": NOBODY, "boot": 5},
    ],
)
async def test_a_hello_that_is_none_is_refused(central: Api, body: Any) -> None:
    """Missing, unknown and ill-typed members add no node."""
    (await central.ask("POST", "/v1/nodes", body)).problem("bad_value")

    assert (await central.ask("GET", "/v1/nodes")).json == {"nodes": []}


async def test_a_removed_node_comes_back_only_by_an_operator(central: Api) -> None:
    """Its own hello is refused; an operator's adding is not; then its hello is welcome again."""
    await add(central, boot="b1")
    assert (await central.ask("DELETE", "/v1/nodes/n1")).json == {"name": "n1", "records_kept": 0}

    (await add(central, boot="b2")).problem("node_removed")

    (await central.ask("GET", "/v1/nodes/n1")).problem("unknown_node")
    assert (await add(central)).status == 200
    assert (await add(central, boot="b3")).status == 200


@pytest.mark.parametrize("pull_every", [-1, 31_536_001, "1", True, [1]])
async def test_a_pace_that_is_none_is_refused(central: Api, pull_every: Any) -> None:
    """And the node keeps the one that it had."""
    await add(central)
    await central.ask("PATCH", "/v1/nodes/n1", {"pull_every": 60})

    answer = await central.ask("PATCH", "/v1/nodes/n1", {"pull_every": pull_every})

    assert answer.problem("bad_value").detail.startswith("pull_every: ")
    assert (await central.ask("GET", "/v1/nodes/n1")).json["pull_every"] == 60


async def test_a_change_of_nothing_changes_nothing(central: Api) -> None:
    """What is left out stays as it is."""
    await add(central)
    await central.ask("PATCH", "/v1/nodes/n1", {"pull_every": 60})

    changed = await central.ask("PATCH", "/v1/nodes/n1", {"url": None})

    assert (changed.json["url"], changed.json["pull_every"]) == (NOBODY, 60)


async def test_a_pace_is_shown_and_0_takes_it_away(central: Api) -> None:
    """A new address leaves it as it is."""
    await add(central)

    paced = await central.ask("PATCH", "/v1/nodes/n1", {"pull_every": 0.5})
    moved = await central.ask("PATCH", "/v1/nodes/n1", {"url": "http://127.0.0.1:2"})
    off = await central.ask("PATCH", "/v1/nodes/n1", {"pull_every": 0})

    assert [one.json["pull_every"] for one in (paced, moved, off)] == [0.5, 0.5, None]


async def test_a_name_in_the_body_does_not_beat_the_one_in_the_path(central: Api) -> None:
    """Two names for one node are a mistake of the sender, not a choice of ours."""
    await add(central, "n1")
    await add(central, "n2")

    changed = await central.ask("PATCH", "/v1/nodes/n1", {"name": "n2", "url": NOBODY})
    asked = await central.ask("GET", "/v1/nodes/n1?name=n2")

    for answer in (changed, asked):
        assert answer.problem("bad_value").detail == "name: stands in the path already"


@pytest.mark.parametrize("mode", ["everything", "FULL", "", None, 1, ["full"]])
@pytest.mark.parametrize("path", ["/v1/nodes/n1/pull", "/v1/nodes/n1/push", "/v1/pull", "/v1/push"])
async def test_an_unknown_mode_starts_nothing(central: Api, path: str, mode: Any) -> None:
    await add(central)

    answer = await central.ask("POST", path, {"mode": mode})

    assert answer.problem("bad_value").detail.startswith("mode: ")
    assert (await central.ask("GET", "/v1/runs")).json == {"runs": []}


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_an_unknown_run_is_not_found(central: Api, method: str) -> None:
    """404 for a number that was never given, 422 for what is no number of a run."""
    (await central.ask(method, "/v1/runs/999")).problem("unknown_run")
    (await central.ask(method, f"/v1/runs/{2**63 - 1}")).problem("unknown_run")
    for wrong in ("0", "-1", str(2**63), "9" * 5_000, "1_0", "%D9%A1", "x", "1.5", "%00"):
        problem = (await central.ask(method, f"/v1/runs/{wrong}")).problem("bad_value")
        assert problem.detail.startswith("id: ")


async def test_a_run_is_accepted_waits_and_is_cancelled_once(central: Api) -> None:
    """202 with its address; a second cancel is told that it has ended."""
    await add(central)
    asked = await central.ask("POST", "/v1/nodes/n1/pull")
    assert asked.status == 202
    where = asked.headers["Location"]
    assert where == f"/v1/runs/{asked.json['id']}"
    await until(lambda: central.ask("GET", where), lambda run: run["state"] == "waiting")

    cancelled = await central.ask("DELETE", where)

    assert cancelled.json["state"] == "cancelled"
    assert "cancelled" in (await central.ask("DELETE", where)).problem("run_ended").detail
    assert (await central.ask("GET", where)).json == cancelled.json


async def test_asking_again_for_what_waits_gives_the_same_run(central: Api) -> None:
    """An impatient operator does not fill the queue."""
    await add(central)

    runs = [(await central.ask("POST", "/v1/nodes/n1/push")).json["id"] for _ in range(3)]

    assert len(set(runs)) == 1


async def test_the_runs_of_a_removed_node_end(central: Api) -> None:
    """They are cancelled with a reason; asking to cancel them says that they have ended."""
    await add(central)
    where = (await central.ask("POST", "/v1/nodes/n1/pull")).headers["Location"]

    await central.ask("DELETE", "/v1/nodes/n1")

    run = (await central.ask("GET", where)).json
    assert (run["state"], run["error"]) == ("cancelled", "an operator removes the node")
    (await central.ask("DELETE", where)).problem("run_ended")


@pytest.mark.parametrize(
    "query",
    [
        "/v1/runs?limit=0",
        "/v1/runs?limit=1001",
        "/v1/runs?open=maybe",
        "/v1/runs?node=N1",
        "/v1/runs?state=failed",
        "/v1/journal?limit=5001",
        "/v1/journal?level=debug",
        "/v1/journal?after=-1",
        "/v1/journal?after=9223372036854775808",
        "/v1/journal?node=%F0%9F%98%80",
        "/v1/journal?before=-1",
        "/v1/journal?text=",
        f"/v1/journal?text={'x' * 101}",
        f"/v1/journal?kind={'x' * 65}",
        "/v1/nodes/n1/polls?since=never",
        "/v1/records?node=N1",
        "/v1/stream?since=-1",
        "/v1/stream?since=9223372036854775808",
        "/v1/stream?until=1",
    ],
)
async def test_wrong_filters_are_refused(central: Api, query: str) -> None:
    (await central.ask("GET", query)).problem("bad_value")


async def test_a_node_that_is_another_one_is_not_taken_for_it(central: Api, node: Api) -> None:
    """Central knows n2 at the address of n1: it never comes up, and the reason says why."""
    await add(central, "n2", str(node.base).rstrip("/"))

    view = (await central.ask("POST", "/v1/nodes/n2/poll")).json

    assert view["live"] != "up"
    assert view["reason"] == "wrong_node"
    assert "n1" in view["detail"]


async def test_text_from_elsewhere_cannot_break_a_journal_line(central: Api) -> None:
    """Line breaks and escapes of a client do not reach the journal as such."""
    await add(central, boot="\x1b[31m\n\u202e")

    lines = (
        await until(
            lambda: central.ask("GET", "/v1/journal"),
            lambda found: any(line["kind"] == "node-added" for line in found["lines"]),
        )
    )["lines"]

    assert all(line["text"].isprintable() for line in lines)
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
