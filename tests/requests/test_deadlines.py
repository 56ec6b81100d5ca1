"""Whoever keeps us waiting is cut at a deadline, and no sooner. No second of it is waited here."""

import asyncio

import pytest

from tests.protocol.conftest import Api
from tests.requests.conftest import Jump, cuts, until_cut
from tests.requests.line import AUTH, get, line
from tests.world import lines

pytestmark = pytest.mark.usefixtures("nothing_stays")


@pytest.mark.fault(25)
async def test_a_header_that_dribbles_is_cut(service: Api, jump: Jump) -> None:
    """Ten seconds after the accept, however often a byte more comes; told as a problem."""
    async with line(service) as slow:
        for letter in b"GET /v1/s":
            await slow.send(bytes([letter]))
            assert await cuts(service) == {}
            jump(1.0)
        assert await cuts(service) == {}  # 9 s, and what this machine took
        jump(1.2)

        refused = await slow.answer()

        assert "10 s" in refused.problem("too_slow").detail
        assert await slow.is_closed()
    assert await cuts(service) == {"slow_header": 1}


@pytest.mark.fault(25)
async def test_a_connection_that_asks_for_nothing_is_closed(service: Api, jump: Jump) -> None:
    """Without a word: there is no request to answer."""
    async with line(service) as silent:
        jump(9)
        assert await cuts(service) == {}
        jump(1.2)

        assert await silent.is_closed()
    assert await cuts(service) == {"silent": 1}


@pytest.mark.fault(25)
async def test_a_further_header_has_its_own_deadline(service: Api, jump: Jump) -> None:
    """From its first byte: one may be idle before it for longer than that."""
    async with line(service) as slow:
        await slow.send(get("/healthz"))
        assert (await slow.answer()).status == 200
        jump(60)
        await slow.send(b"GET /heal")
        assert await cuts(service) == {}
        jump(9)
        await slow.send(b"t")
        assert await cuts(service) == {}
        jump(1.2)

        (await slow.answer()).problem("too_slow")

        assert await slow.is_closed()


async def test_a_header_in_time_is_answered_however_it_comes(service: Api, jump: Jump) -> None:
    """Two requests, byte by byte; the deadline of one does not reach into the next."""
    async with line(service) as slow:
        for _ in range(2):
            for byte in get("/healthz"):
                await slow.send(bytes([byte]))
                await asyncio.sleep(0)
            jump(8)
            assert (await slow.answer()).status == 200
            jump(8)
    assert await cuts(service) == {}


async def test_an_idle_connection_is_kept_for_75_seconds(service: Api, jump: Jump) -> None:
    async with line(service) as idle:
        await idle.send(get("/healthz"))
        assert (await idle.answer()).status == 200
        jump(73)
        await idle.send(get("/healthz"))
        assert (await idle.answer()).status == 200
        jump(76)

        assert await idle.is_closed()


@pytest.mark.fault(26)
@pytest.mark.parametrize(
    "length",
    [
        pytest.param(b"Content-Length: 100\r\n\r\n", id="with a length"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n", id="in chunks"),
    ],
)
async def test_a_body_that_dribbles_is_cut(node: Api, jump: Jump, length: bytes) -> None:
    """After thirty seconds, however often a byte more comes; nothing of it is stored."""
    piece = b" " if b"Length" in length else b"1\r\n \r\n"
    async with line(node) as slow:
        await slow.send(b"POST /v1/records HTTP/1.1\r\nContent-Type: application/json\r\n")
        await slow.send(AUTH + length)
        for _ in range(3):
            await node.ask("GET", "/v1/status")
            await slow.send(piece)
            jump(9.5)
        answering = asyncio.ensure_future(slow.answer())
        await node.ask("GET", "/v1/status")
        assert not answering.done()  # 28.5 s
        jump(1.7)

        assert "30 s" in (await answering).problem("too_slow").detail

        jump(11)  # for so long aiohttp still reads what it threw away
        assert await slow.is_closed()
    assert await node.payloads() == []


@pytest.mark.fault(26)
async def test_a_large_page_on_a_slow_line_is_stored(node: Api, jump: Jump) -> None:
    """Thirty seconds are time for a good megabyte even at a tenth of what a copper line carries."""
    body = lines(2_000)
    async with line(node) as slow:
        await slow.send(b"POST /v1/records HTTP/1.1\r\nContent-Type: application/x-ndjson\r\n")
        await slow.send(AUTH + b"Content-Length: %d\r\n\r\n" % len(body))
        for start in range(0, len(body), 5_000):
            await node.ask("GET", "/healthz")
            await slow.send(body[start : start + 5_000])
            jump(26 / (len(body) / 5_000 + 1))

        assert (await slow.answer()).receipt().inserted == 2_000


async def test_an_answer_that_nobody_takes_is_given_up(node: Api, jump: Jump) -> None:
    """After thirty seconds of which nothing was taken: it would be held for ever."""
    await fill(node)
    async with line(node, room=4_096) as deaf:
        await deaf.send(get("/v1/records?limit=5000"))
        await until_it_waits(node)
        jump(28)
        assert await cuts(node) == {}
        await until_cut(node, jump)


async def test_an_answer_that_is_taken_slowly_arrives(node: Api, jump: Jump) -> None:
    """Whole: what counts is that something is taken."""
    await fill(node)
    async with line(node, room=4_096) as slow:
        await slow.send(get("/v1/records?limit=5000"))
        head = await slow.take(1)
        while b"\r\n\r\n" not in head:
            head += await slow.take(1)
        left = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
        while left > 0:
            await until_it_waits(node)
            taken, step = 0, min(left, 4_000_000)
            while taken < step:
                taken += len(await slow.take(step - taken))
            left -= taken
            jump(25)
    assert await cuts(node) == {}


async def fill(node: Api) -> None:
    """Records of about 20 MB, more than the kernel holds for a reader."""
    row = b'{"stream":"t","payload":{"a":"%b"}}\n' % (b"x" * 50_000)
    for _ in range(2):
        assert (await node.post_rows(row * 200)).receipt().inserted == 200


async def until_it_waits(node: Api) -> None:
    """The service has written what it could: further turns of the loop change nothing."""
    for _ in range(3):
        await node.ask("GET", "/v1/status")
