"""SIGTERM under load: what is in flight is answered, what waits is stored, and it is over soon."""

import asyncio
import json
import signal
import socket
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from cluster.exchange import Nothing
from cluster.peer import PeerFailed
from cluster.protocol import central, node
from cluster.protocol.shared import Receipt
from tests.program import TOKEN, Program, until
from tests.world import World, lines, world

pytestmark = [pytest.mark.e2e, pytest.mark.fault(41)]

PROMISED_S = 5.0
SLACK_S = 5.0  # of a machine that does other things, too


class HalfSent:
    """A POST of rows whose second half is still to come, and which the node has begun to read."""

    def __init__(self, port: int, body: bytes) -> None:
        self._rest = body[len(body) // 2 :]
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=15)
        head = (
            "POST /v1/records HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\n"
            f"Authorization: Bearer {TOKEN}\r\nContent-Type: application/x-ndjson\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._socket.sendall(head.encode() + body[: len(body) // 2])
        assert self._socket.recv(1_000).startswith(b"HTTP/1.1 100")

    def finish(self) -> bytes:
        """Send the rest; the answer."""
        with self._socket:
            self._socket.sendall(self._rest)
            return self._socket.makefile("rb").read()

    def close(self) -> None:
        self._socket.close()


async def until_stopping(program: Program) -> None:
    """Until it takes no more connections."""

    async def refuses() -> bool:
        with closing(socket.socket()) as probe:
            return probe.connect_ex(("127.0.0.1", program.port)) != 0

    await until(refuses, "it takes no more connections")


async def ended(program: Program) -> tuple[int, float]:
    """Its exit code, and the seconds until its end."""
    assert program.process is not None
    begun = time.monotonic()
    code = await asyncio.to_thread(program.process.wait, 30)
    program.process = None
    return code, time.monotonic() - begun


@pytest.fixture
async def w(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, 0.2, "--max-rate", "300000") as made:
        await made.node("n1", source="synthetic")
        yield made


def terminate(program: Program) -> None:
    assert program.process is not None
    program.process.send_signal(signal.SIGTERM)


async def test_what_is_in_flight_is_answered_and_stored(w: World) -> None:
    """Also a request of which only half has come, as long as the rest comes soon."""
    n1 = w.nodes["n1"]
    posts = [asyncio.create_task(w.post("n1", lines(200, 1_000 * i))) for i in range(20)]
    half = await asyncio.to_thread(HalfSent, n1.port, lines(100, 50_000))
    pull = await w.central.call(central.PULL, central.PullAsk("n1"))

    terminate(n1)
    await until_stopping(n1)
    answer = await asyncio.to_thread(half.finish)
    code, took_s = await ended(n1)
    answers = await asyncio.gather(*posts, return_exceptions=True)

    assert answer.startswith(b"HTTP/1.1 200")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["inserted"] == 100
    assert code == 0
    assert took_s < PROMISED_S + SLACK_S
    assert all(isinstance(one, PeerFailed | Receipt) for one in answers), answers
    stored = {ts for (ts,) in read(n1, "SELECT ts FROM records")}
    for number, one in enumerate(answers):
        if not isinstance(one, BaseException):
            assert stored.issuperset(range(1_000 * number, 1_000 * number + 200))
    await n1.start()
    assert (await w.ended(pull)).state == "succeeded"


async def test_who_sends_no_more_is_cut_off(w: World) -> None:
    """A stop waits for nobody who hangs: not for a body, a stream or a slow pull."""
    await w.post("n1", lines(4_000))
    half = await asyncio.to_thread(HalfSent, w.nodes["n1"].port, lines(100))
    pull = await w.central.call(central.PULL, central.PullAsk("n1"))
    ask = central.StreamAsk()
    async with w.central.peer.stream(central.STREAM, ask, connect_timeout_s=5, idle_s=30) as events:
        await anext(events)

        terminate(w.nodes["n1"])
        terminate(w.central)
        ends = await asyncio.gather(ended(w.nodes["n1"]), ended(w.central))

        async for _ in events:
            pass
    half.close()
    assert [code for code, _ in ends] == [0, 0]
    assert max(took_s for _, took_s in ends) < PROMISED_S + SLACK_S
    kinds = [kind for (kind,) in read(w.central, "SELECT kind FROM journal ORDER BY seq")]
    assert kinds[-1] == "central-stopping"
    await asyncio.gather(w.central.start(), w.nodes["n1"].start())
    assert (await w.ended(pull)).state == "succeeded"


async def test_the_second_signal_ends_it_at_once(w: World) -> None:
    """For who does not want to wait; what was acknowledged is there all the same."""
    n1 = w.nodes["n1"]
    receipt = await w.post("n1", lines(100, 90_000))
    half = await asyncio.to_thread(HalfSent, n1.port, lines(100))

    terminate(n1)
    await until_stopping(n1)
    terminate(n1)
    code, _ = await ended(n1)

    half.close()
    assert code == -signal.SIGTERM
    assert receipt.inserted == 100
    assert len(read(n1, "SELECT 1 FROM records WHERE ts >= 90000 AND ts < 90100")) == 100
    await n1.start()
    assert (await n1.call(node.STATUS, Nothing())).records.count >= 100


def read(program: Program, query: str) -> list[tuple[int | str, ...]]:
    (file,) = program.folder.glob("*.db")
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as sql:
        return sql.execute(query).fetchall()
