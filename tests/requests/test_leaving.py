"""Clients that leave in the middle, and clients that ask twice: what was committed decides."""

import asyncio
import logging
from pathlib import Path

import pytest
from aiohttp import ClientSession

from cluster.compression import compress
from node.app import build_app
from node.settings import NodeSettings
from tests.program import until
from tests.protocol.conftest import TOKEN, Answer, Api, serving
from tests.protocol.test_rows import ID, field
from tests.requests.conftest import figures, little_memory
from tests.requests.line import AUTH, get, line
from tests.requests.test_deadlines import fill
from tests.world import lines

POST = b"POST /v1/records HTTP/1.1\r\nContent-Type: application/x-ndjson\r\n" + AUTH


@pytest.mark.fault(36)
@pytest.mark.usefixtures("nothing_stays")
async def test_who_leaves_in_the_middle_of_a_body_stores_nothing(node: Api) -> None:
    """Also when what came is whole rows."""
    body = lines(100)
    async with line(node) as leaving:
        await leaving.send(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body[:-1])
        await node.ask("GET", "/v1/status")

    async def is_noticed() -> bool:
        return (await figures(node))["tidehold_connections"] == 1

    await until(is_noticed, "the connection is gone")
    assert await node.payloads() == []


@pytest.mark.fault(36, 37)
@pytest.mark.usefixtures("nothing_stays")
async def test_who_leaves_before_the_answer_may_send_the_same_again(node: Api) -> None:
    """What was sent whole is stored once, whether anybody heard of it or not."""
    row = field(id=ID, ts=1)
    async with line(node) as leaving:
        await leaving.send(POST + b"Content-Length: %d\r\n\r\n" % len(row) + row)

    receipt = (await node.post_rows(row)).receipt()

    assert receipt.inserted + receipt.duplicate == 1
    assert len((await node.stored()).records) == 1


@pytest.mark.fault(36)
@pytest.mark.usefixtures("nothing_stays")
async def test_who_leaves_in_the_middle_of_an_answer_costs_nothing(
    node: Api, caplog: pytest.LogCaptureFixture
) -> None:
    """Five times twenty megabytes; no bug is told of."""
    await fill(node)
    for _ in range(5):
        async with line(node, room=4_096) as leaving:
            await leaving.send(get("/v1/records?limit=5000"))
            assert await leaving.take(1_000)

    assert (await node.ask("GET", "/v1/status")).status == 200
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []


@pytest.mark.fault(37)
async def test_of_the_same_rows_at_once_one_is_stored(node: Api) -> None:
    """A record's own id is what makes a POST safe to repeat: no other key is needed."""
    same, other = field(id=ID, ts=1), field(id=ID, ts=2)

    answers = await asyncio.gather(
        *(node.post_rows(row) for row in [same, other] * 10),
    )

    receipts = [answer.receipt() for answer in answers]
    assert sum(one.inserted for one in receipts) == 1
    assert sum(one.duplicate for one in receipts) == 9
    assert sum(one.conflict for one in receipts) == 10
    assert len((await node.stored()).records) == 1


@pytest.mark.fault(37)
async def test_an_id_is_remembered_over_a_restart(tmp_path: Path, session: ClientSession) -> None:
    """The same again is a duplicate, another content a conflict."""
    settings = NodeSettings(name="n1", data=str(tmp_path), source="none")
    async with serving(build_app(settings, TOKEN, "http://127.0.0.1:1")) as base:
        assert (await Api(session, base).post_rows(field(id=ID, ts=1))).receipt().inserted == 1

    async with serving(build_app(settings, TOKEN, "http://127.0.0.1:1")) as base:
        node = Api(session, base)
        assert (await node.post_rows(field(id=ID, ts=1))).receipt().duplicate == 1
        assert (await node.post_rows(field(id=ID, ts=2))).receipt().conflict == 1


@pytest.mark.fault(30)
@pytest.mark.usefixtures("nothing_stays")
async def test_a_bomb_is_not_unpacked(node: Api) -> None:
    """A quarter of a gigabyte of zeros in some kilobytes: refused before it takes any room."""
    bomb = compress(bytes(256 * 1024 * 1024))

    async def sent() -> Answer:
        return await node.ask(
            "POST",
            "/v1/records",
            bomb,
            content_type="application/x-ndjson",
            headers={"Content-Encoding": "zstd"},
        )

    await sent()  # the allocator keeps of the first one what it will
    with little_memory():
        answer = await sent()

    answer.problem("bad_request")


async def test_bad_requests_do_not_fill_the_log(
    service: Api, caplog: pytest.LogCaptureFixture
) -> None:
    """A hundred of them are one line, without a word of what was sent; /metrics counts each."""
    caplog.set_level(logging.INFO)
    for _ in range(100):
        async with line(service) as odd:
            await odd.send(b"NONSENSE secret-of-mine\r\n\r\n")
            (await odd.answer()).problem("bad_request")

    said = await figures(service)
    assert said['tidehold_connections_cut_total{reason="bad_http"}'] == 100
    assert said['tidehold_answers_total{status="400"}'] == 100
    assert caplog.messages.count("a request is not HTTP") == 1
    assert "secret-of-mine" not in caplog.text
