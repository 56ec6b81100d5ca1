"""Bad nodes and bad lines: each has its reason, and healthy nodes are polled as if there were none.

A real central in the test's own loop, among raw servers that say what no node says.
"""

import asyncio
import gzip
import json
import os
import re
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiohttp import ClientSession

from central import app as central_app
from central import lane as lane_module
from central.link import Link
from central.parts import PARTS, Parts
from central.schedule import Schedule
from central.settings import CentralSettings
from central.stalls import Stalls
from cluster.background import background
from cluster.compression import compress
from cluster.kept import ALL
from cluster.peer import Peer, PeerFailed, open_session
from tests.program import free_port, until
from tests.protocol.conftest import TOKEN, Api, serving
from tests.raw_nodes import RawNodes, Say, good, http, raw_nodes, says, status

STILL_S = float(os.environ.get("TIDEHOLD_STILL_S", "1.5"))
HEALTHY = ("h1", "h2", "h3")
Served = tuple[Api, Parts, RawNodes]


@asynccontextmanager
async def central_among(folder: Path, poll_interval: float) -> AsyncIterator[Served]:
    """Central, and raw nodes to be opened and added."""
    settings = CentralSettings(data=str(folder), ntp_port=0, poll_interval=poll_interval)
    app = central_app.build_app(settings, TOKEN)
    async with AsyncExitStack() as stack:
        nodes = await stack.enter_async_context(raw_nodes())
        session = await stack.enter_async_context(
            ClientSession(auto_decompress=False, skip_auto_headers=("Accept-Encoding",))
        )
        base = await stack.enter_async_context(serving(app))
        yield Api(session, base), app[PARTS], nodes


async def add(api: Api, name: str, url: str) -> None:
    answer = await api.ask("POST", "/v1/nodes", {"name": name, "url": url})
    assert answer.status == 200, answer.body


async def views(api: Api) -> Mapping[str, Any]:
    return {view["name"]: view for view in (await api.ask("GET", "/v1/nodes")).json["nodes"]}


async def kinds(api: Api, name: str | None = None) -> list[str]:
    """What the journal tells of a node, or of central itself."""
    lines = (await api.ask("GET", "/v1/journal?limit=1000")).json["lines"]
    return [line["kind"] for line in lines if line["node"] == name]


@contextmanager
def full_listener() -> Iterator[str]:
    """Who connects is heard by nobody: there is no room left in the queue."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        queued = [socket.socket() for _ in range(3)]
        for one in queued:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            for one in queued:
                one.close()


def reset(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def silence(writer: asyncio.StreamWriter) -> None:
    pass


def dripping(name: str) -> Say:
    async def say(writer: asyncio.StreamWriter) -> None:
        for byte in good(name):
            writer.write(bytes([byte]))
            await asyncio.sleep(0.05)

    return say


async def endless(writer: asyncio.StreamWriter) -> None:
    """Chunks without end."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
    writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        await writer.drain()


async def endless_header(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while not writer.is_closing():
        writer.write(b"X: " + b"x" * 4_000 + b"\r\n")
        await writer.drain()


def told(name: str, **lies: Any) -> Say:
    return says(good(name, **lies))


def edited(name: str, old: str, new: str) -> Say:
    """A status with a piece of its JSON replaced by what json.dumps would not write."""
    text = json.dumps(status(name))
    assert old in text
    return says(http(text.replace(old, new).encode("utf-8", "surrogatepass")))


def cut_at(share: float) -> Callable[[str], Say]:
    """Reset after this share of the body."""

    def make(name: str) -> Say:
        body = json.dumps(status(name)).encode()
        whole = http(body)
        return says(whole[: len(whole) - len(body) + int(share * len(body))], then=reset)

    return make


GZIP_MEMBERS = gzip.compress(b"") * 50_000
COUNT = '"count": 0'
REST = '"records"'
#: By name of the node: what it says, and what comes of it.
HOSTILE: dict[str, tuple[Callable[[str], Say], str]] = {
    "silent": (lambda name: silence, "timeout"),
    "header-then-silent": (lambda name: says(http(b"", length=50)), "timeout"),
    "drip": (dripping, "timeout"),
    "reset-at-0": (cut_at(0), "reset"),
    "reset-at-50": (cut_at(0.5), "reset"),
    "reset-at-99": (cut_at(0.99), "reset"),
    "reset-at-once": (lambda name: says(b"", then=reset), "reset"),
    "hangs-up": (lambda name: says(b"", then=hang_up), "reset"),
    "truncated": (lambda name: says(http(b"{}", length=50), then=hang_up), "reset"),
    "garbage": (lambda name: says(bytes(range(256)) + b"\r\n\r\n"), "bad_http"),
    "endless-header": (lambda name: endless_header, "bad_http"),
    "error-500": (lambda name: says(http(b"oops", 500)), "http_5xx"),
    "error-503": (lambda name: says(http(b"", 503, Retry_After="30")), "http_5xx"),
    "error-404": (lambda name: says(http(b"", 404)), "http_4xx"),
    "error-401": (lambda name: says(http(b"", 401)), "auth"),
    "error-403": (lambda name: says(http(b"", 403)), "auth"),
    "byte-too-long": (lambda name: says(http(b" " * (2**20 + 1))), "too_large"),
    "400-mib": (lambda name: says(http(b" " * 2**21, length=400 * 2**20)), "too_large"),
    "endless": (lambda name: endless, "too_large"),
    "zstd-bomb": (
        lambda name: says(http(compress(bytes(2**28)), Content_Encoding="zstd")),
        "bad_http",
    ),
    "gzip-bomb": (
        lambda name: says(http(gzip.compress(bytes(2**24)), Content_Encoding="gzip")),
        "bad_http",
    ),
    "gzip-members": (lambda name: says(http(GZIP_MEMBERS, Content_Encoding="gzip")), "bad_http"),
    "encoding": (lambda name: says(http(b"{}", Content_Encoding="br, zstd")), "bad_http"),
    "redirect-file": (lambda name: says(http(b"", 302, Location="file:///etc/passwd")), "redirect"),
    "redirect-itself": (lambda name: says(http(b"", 307, Location="/v1/status")), "redirect"),
    "nan": (lambda name: edited(name, '"uptime_s": 0.0', '"uptime_s": NaN'), "bad_json"),
    "1e999": (lambda name: edited(name, '"uptime_s": 0.0', '"uptime_s": 1e999'), "bad_schema"),
    "2-to-63": (lambda name: edited(name, COUNT, f'"count": {2**63}'), "bad_schema"),
    "5000-digits": (lambda name: edited(name, COUNT, f'"count": {"9" * 5000}'), "bad_schema"),
    "fraction": (lambda name: edited(name, COUNT, '"count": 0.5'), "bad_schema"),
    "deep": (lambda name: says(http(b"[" * 100_000)), "bad_schema"),
    "deep-unknown": (lambda name: edited(name, REST, f'"x": {"[" * 9**5}, {REST}'), "bad_json"),
    "surrogate": (lambda name: edited(name, '"0"', '"\\ud800"'), "bad_json"),
    "raw-surrogate": (lambda name: edited(name, '"0"', '"\ud800"'), "bad_json"),
    "bom": (lambda name: says(http(b"\xef\xbb\xbf{}")), "bad_json"),
    "utf-16": (lambda name: says(http(json.dumps(status(name)).encode("utf-16"))), "bad_json"),
    "nul": (lambda name: told(name, node="a\0b"), "bad_schema"),
    "long-string": (lambda name: told(name, epoch="x" * 10**6), "bad_schema"),
    "array": (lambda name: says(http(b"[]")), "bad_schema"),
    "missing": (lambda name: says(http(b"{}")), "bad_schema"),
    "no-json": (lambda name: says(http(b"oops")), "bad_json"),
    "empty": (lambda name: says(http(b"")), "bad_json"),
    "other-name": (lambda name: told("somebody"), "wrong_node"),
}
#: What looks odd and is taken for what it is: later members may say more than we know of.
ODD: dict[str, Callable[[str], Say]] = {
    "nul-in-epoch": lambda name: told(name, epoch="a\0b"),
    "unknown-fields": lambda name: told(name, nobody_knows={"deep": [1, 2, 3]}),
    "twice": lambda name: edited(name, '"now": 0', '"now": 0, "now": 0'),
}


#: They are asked less often from their first answer on, so they take longer to be down.
PATIENT = {"error-401", "error-403", "error-503"}


@pytest.mark.fault(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 21, 22, 23, 24)
async def test_every_hostile_answer_has_its_reason_and_healthy_nodes_are_unharmed(
    tmp_path: Path,
) -> None:
    """All at once: the bad are down with their reason; the good never miss a poll."""
    async with central_among(tmp_path, 1.0) as (api, parts, nodes):
        trap = await nodes.open("trap")
        hostile = HOSTILE | {
            "redirect-other": (lambda name: says(http(b"", 302, Location=trap)), "redirect")
        }
        for name in HEALTHY:
            await add(api, name, await nodes.open(name))
        for name, (make, _) in hostile.items():
            await add(api, name, await nodes.open(name, make(name)))
        for name, make in ODD.items():
            await add(api, name, await nodes.open(name, make(name)))
        expected = {name: reason for name, (_, reason) in hostile.items()}
        expected |= {"blackhole": "timeout", "refused": "refused"}
        with full_listener() as blackhole:
            await add(api, "blackhole", blackhole)
            await add(api, "refused", f"http://127.0.0.1:{free_port()}")

            async def all_down() -> bool:
                seen = await views(api)
                return all(seen[name]["live"] == "down" for name in expected.keys() - PATIENT)

            await until(all_down, "the bad nodes are down")
            seen = await views(api)
            told_of = {name: await kinds(api, name) for name in (*HEALTHY, *ODD)}

        assert {name: seen[name]["reason"] for name in expected} == expected
        assert {seen[name]["live"] for name in told_of} == {"up"}
        assert {tuple(lines) for lines in told_of.values()} == {("node-added", "node-up")}
        assert nodes.asked["trap"] == []  # neither followed, nor told the token
        assert len(nodes.asked["error-503"]) == 1  # it has asked for half a minute
        assert not parts.context.isolation.isolated


@pytest.mark.fault(2, 3, 5)
@pytest.mark.parametrize("ailment", ["blackhole", "silent", "drip"])
async def test_a_poll_ends_at_its_deadline(ailment: str) -> None:
    """Whatever trickles in: the deadline is for the whole, not for the next byte."""
    stalls = Stalls()
    async with raw_nodes() as nodes, open_session() as session, background() as tasks:
        tasks.start(stalls.watch(), "stalls")
        say = dripping("n1") if ailment == "drip" else silence
        with full_listener() as blackhole:
            url = blackhole if ailment == "blackhole" else await nodes.open("n1", say)
            start_s = asyncio.get_running_loop().time()
            with pytest.raises(PeerFailed, match="timeout"):
                await Link(Peer(session, url, TOKEN), "n1").status(0.3)
            took_s = asyncio.get_running_loop().time() - start_s

    assert 0.29 < took_s < 0.4 + stalls.stood_s


@pytest.mark.fault(11)
async def test_when_central_is_cut_off_no_node_is_down_and_no_herd_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Polls go on at their phases, so all are back within an interval, each in its own slot."""
    monkeypatch.setattr(lane_module, "LOOPBACK", re.compile("(?!)"))  # as on other machines
    names, interval_s, cut_off = [f"n{number}" for number in range(20)], 0.5, False

    def behind_our_line(name: str) -> Say:
        async def say(writer: asyncio.StreamWriter) -> None:
            if not cut_off:
                writer.write(good(name))

        return say

    async with central_among(tmp_path, interval_s) as (api, parts, nodes):
        for name in names:
            await add(api, name, await nodes.open(name, behind_our_line(name)))
        await until(lambda: all_live(api, names, "up"), "all are up")

        cut_off = True
        await until(lambda: is_isolated(api), "central says that it is isolated")
        asked = {name: len(nodes.asked[name]) for name in names}
        await until(lambda: asked_more(nodes, asked, 4), "each has missed four more polls")
        during = await views(api)
        cut_off, back_s = False, asyncio.get_running_loop().time()
        asked = {name: len(nodes.asked[name]) for name in names}
        await until(lambda: asked_more(nodes, asked, 2), "each was polled twice")
        await until(lambda: all_live(api, names, "up"), "all are up again")
        isolated = await is_isolated(api)
        told_of = await kinds(api), [await kinds(api, name) for name in names]
        stood_s = parts.context.stalls.stood_s

    first_s = {name: next(at for at in nodes.asked_s[name] if at > back_s) for name in names}
    late_s = sorted(
        (first_s[name] - Schedule(name, interval_s, Random()).phase_s) % interval_s
        for name in names
    )
    assert {view["live"] for view in during.values()} <= {"up", "suspect"}
    assert not isolated
    assert [kind for kind in told_of[0] if kind.startswith("central-")][1:] == ["central-isolated"]
    assert sorted(kind for lines in told_of[1] for kind in lines if kind == "central-back") == [
        "central-back"
    ]
    assert not any("node-down" in lines for lines in told_of[1])
    assert late_s[len(names) // 2] < 0.1 + stood_s  # a herd would be anywhere off its phases


async def is_isolated(api: Api) -> bool:
    return bool((await api.ask("GET", "/v1/status")).json["isolated"])


async def all_live(api: Api, names: Sequence[str], live: str) -> bool:
    seen = await views(api)
    return all(seen[name]["live"] == live for name in names)


async def asked_more(nodes: RawNodes, before: Mapping[str, int], times: int) -> bool:
    return all(len(nodes.asked[name]) >= count + times for name, count in before.items())


@pytest.mark.fault(12)
async def test_a_node_that_flaps_at_every_poll_is_told_of_thrice(tmp_path: Path) -> None:
    """A hundred polls, every other one missed: it is added, up, and flapping."""
    answers_well = True

    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(good("n1") if answers_well else http(b"", 500))

    async with central_among(tmp_path, 3600.0) as (api, _, nodes):
        await add(api, "n1", await nodes.open("n1", say))
        await until(lambda: all_live(api, ["n1"], "up"), "it is up")
        for number in range(100):
            answers_well = bool(number % 2)
            view = (await api.ask("POST", "/v1/nodes/n1/poll")).json
        metrics = (await api.ask("GET", "/metrics")).body.decode()
        told_of = await kinds(api, "n1")

    assert view["flapping"]
    assert "tidehold_nodes_flapping 1.0" in metrics
    assert told_of == ["node-added", "node-up", "node-flapping"]


@pytest.mark.fault(13, 54)
async def test_a_stall_of_central_is_no_nodes_fault(tmp_path: Path) -> None:
    """The loop stands still while an answer is waited for: `internal`, and the node is up."""
    stall_s = 0.0

    async def say(writer: asyncio.StreamWriter) -> None:
        time.sleep(stall_s)  # noqa: ASYNC251 - as SIGSTOP does, or a program that is starved
        await asyncio.sleep(0)
        writer.write(good("n1"))

    async with central_among(tmp_path, 1.0) as (api, parts, nodes):
        await add(api, "n1", await nodes.open("n1", say))
        await until(lambda: all_live(api, ["n1"], "up"), "it is up")
        stall_s = 2.0
        stalled = (await api.ask("POST", "/v1/nodes/n1/poll")).json
        stall_s = 0.0
        after = (await api.ask("POST", "/v1/nodes/n1/poll")).json

    assert (stalled["live"], stalled["failures"], stalled["reason"]) == ("up", 0, "internal")
    assert (after["live"], after["reason"]) == ("up", None)
    assert parts.context.stalls.stood_s >= 1.8


@pytest.mark.fault(14)
async def test_polls_go_on_while_centrals_own_database_stands_still(tmp_path: Path) -> None:
    """Longer with TIDEHOLD_STILL_S: nothing is marked down, and what is unknown says so."""
    async with central_among(tmp_path, 0.1) as (api, parts, nodes):
        await add(api, "n1", await nodes.open("n1"))
        await until(lambda: in_sync(api), "it is in sync")
        database, before = parts.context.store.database, len(nodes.asked["n1"])
        held = [
            database.read(lambda sql: time.sleep(STILL_S)),
            database.read(lambda sql: time.sleep(STILL_S), quick=True),
            database.write(lambda sql: time.sleep(STILL_S)),
        ]
        still = [asyncio.ensure_future(one) for one in held]
        database.kept.forget(ALL)  # or a quiet node would be proven equal without it
        lane = parts.fleet.lane("n1")
        remembered = len(lane.polls.points())
        await asked_to(nodes, before + 5)
        remembered = len(lane.polls.points()) - remembered
        seen = lane.view()
        unhindered = not any(one.done() for one in still)
        await asyncio.gather(*still)
        await until(lambda: in_sync(api), "it is in sync again")
        told_of = await kinds(api, "n1")

    assert unhindered
    assert remembered >= 4  # no gap in the plots of what was answered
    assert (seen.live, seen.data, seen.reason) == ("up", "unknown", "internal")
    assert told_of == ["node-added", "node-up"]


async def in_sync(api: Api) -> bool:
    return bool((await views(api))["n1"]["data"] == "in_sync")


async def asked_to(nodes: RawNodes, count: int) -> None:
    async def enough() -> bool:
        return len(nodes.asked["n1"]) >= count

    await until(enough, f"{count} polls came")
