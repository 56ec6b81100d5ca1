"""Many connections, and many requests on one: everybody else is served, and memory has a bound."""

import asyncio
import time
from contextlib import AsyncExitStack

import pytest

from cluster.door import INSIDE_MAX
from tests.program import until
from tests.protocol.conftest import Api
from tests.requests.conftest import Jump, cuts, figures, little_memory, until_cut
from tests.requests.line import AUTH, get, line

pytestmark = pytest.mark.usefixtures("nothing_stays")
BUSY = b"GET /v1/status HTTP/1.1\r\n"  # a request that is not whole yet


@pytest.mark.fault(27)
async def test_two_thousand_idle_connections_keep_nobody_out(service: Api) -> None:
    """The longest idle make room; others are answered as fast as ever."""
    took: list[float] = []
    async with AsyncExitStack() as lines:
        with little_memory():
            for _ in range(2_000):
                await lines.enter_async_context(line(service))
            for _ in range(20):
                began = time.monotonic()
                async with line(service) as other:
                    await other.send(get("/healthz"))
                    assert (await other.answer()).status == 200
                took.append(time.monotonic() - began)

        assert (await figures(service))["tidehold_connections"] <= INSIDE_MAX
        assert (await cuts(service))["made_room"] >= 2_000 - INSIDE_MAX
    assert min(took) < 0.05


@pytest.mark.fault(27)
async def test_where_all_are_busy_a_new_one_is_told_so(
    service: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 with when to come again, and a close; as soon as one leaves the next is let in."""
    monkeypatch.setattr("cluster.door.INSIDE_MAX", 3)
    async with AsyncExitStack() as lines:
        await service.ask("GET", "/v1/status")  # by an idle connection, which makes room
        first = [await lines.enter_async_context(line(service)) for _ in range(3)]
        for one in first:
            await one.send(BUSY)
        async with line(service) as late:
            refused = await late.answer()

            assert refused.problem("busy").retry_after_s == 1
            assert refused.headers["Retry-After"] == "1"
            assert await late.is_closed()

        await first[0].send(AUTH + b"\r\n")
        assert (await first[0].answer()).status == 200
        async with line(service) as late:
            await late.send(get("/healthz"))
            assert (await late.answer()).status == 200
    assert await cuts(service) == {"made_room": 2, "crowded": 1}


@pytest.mark.fault(27)
async def test_one_address_does_not_take_the_place_of_others(
    service: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has too many busy ones is refused, also while there is room for others."""
    monkeypatch.setattr("cluster.door.ADDRESS_MAX", 2)
    monkeypatch.setattr("cluster.handler.address_of", lambda peer: peer[0])
    async with AsyncExitStack() as lines:
        for _ in range(2):
            one = await lines.enter_async_context(line(service, own="127.0.0.2"))
            await one.send(BUSY)
        async with line(service, own="127.0.0.2") as refused:
            (await refused.answer()).problem("busy")

        async with line(service, own="127.0.0.3") as other:
            await other.send(get("/healthz"))

            assert (await other.answer()).status == 200


@pytest.mark.fault(28)
async def test_five_thousand_pipelined_requests_are_answered(service: Api) -> None:
    """Each of them, in order, while others are served."""
    async with line(service) as eager:
        with little_memory():
            eager.send_some(get("/healthz") * 4_999 + get("/nowhere"))
            assert (await service.ask("GET", "/v1/status")).status == 200
            statuses = [(await eager.answer()).status for _ in range(5_000)]

    assert statuses == [200] * 4_999 + [404]


@pytest.mark.fault(28)
async def test_whoever_asks_on_without_taking_the_answers_is_cut(service: Api, jump: Jump) -> None:
    """Two hundred megabytes of answers are not held for him: we stop to read, then close."""
    async with line(service, room=4_096) as deaf:
        with little_memory():
            deaf.send_some(get("/openapi.json") * 5_000)
            answered = await settled(service)
            assert answered < 500
            await until_cut(service, jump)


async def settled(service: Api) -> float:
    """How many requests were answered, ours left out, once that is no longer growing."""
    asked, before, answered = 0, -1.0, 0.0

    async def stands() -> bool:
        nonlocal asked, before, answered
        before = answered
        answered = (await figures(service))['tidehold_answers_total{status="200"}'] - asked
        asked += 1
        await asyncio.sleep(0.02)
        return answered == before

    await until(stands, "nothing more is answered")
    return answered
