"""The real services behind bare lines, a clock that can be pushed on, and what an attack leaves."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest

from tests.program import until
from tests.protocol.conftest import Api, central, node, service, session

__all__ = ["central", "node", "service", "session"]

GROWTH_MAX = 32 * 1024 * 1024  # bytes: invariant I5

Jump = Callable[[float], None]


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> Jump:
    """Push the event loop's clock on by so many seconds: every timer that is due goes off."""
    loop = asyncio.get_event_loop()
    real, ahead_s = loop.time, 0.0

    def push(seconds: float) -> None:
        nonlocal ahead_s
        ahead_s += seconds

    monkeypatch.setattr(loop, "time", lambda: real() + ahead_s)
    return push


async def figures(api: Api) -> dict[str, float]:
    """What /metrics says, by name. To ask is a whole turn of the loop, and more."""
    text = (await api.ask("GET", "/metrics")).body.decode()
    pairs = (one.rpartition(" ") for one in text.splitlines() if not one.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


async def cuts(api: Api) -> dict[str, int]:
    """How many connections were cut so far, for each reason that there was."""
    begin = 'tidehold_connections_cut_total{reason="'
    return {
        name.removeprefix(begin).removesuffix('"}'): int(count)
        for name, count in (await figures(api)).items()
        if name.startswith(begin) and count
    }


async def until_cut(api: Api, jump: Jump) -> None:
    """Until somebody who takes nothing is cut: some of it still goes into the buffers between."""

    async def is_cut() -> bool:
        jump(30.5)
        gone = (await figures(api))["tidehold_connections"] == 1  # that which asks is left
        return gone and await cuts(api) == {"slow_reader": 1}

    await until(is_cut, "the slow reader is cut")


@pytest.fixture
def attacked(request: pytest.FixtureRequest) -> Api:
    """The service that a test is about."""
    api: Api = request.getfixturevalue("service" if "service" in request.fixturenames else "node")
    return api


@pytest.fixture
async def nothing_stays(attacked: Api) -> AsyncIterator[None]:
    """After an attack all files, tasks and connections that it cost are gone (I9)."""
    me = psutil.Process()
    await attacked.ask("GET", "/v1/status")  # the session's own connection is there from now on
    files, tasks = me.num_fds(), len(asyncio.all_tasks())
    yield

    async def is_back() -> bool:
        inside = (await figures(attacked))["tidehold_connections"]
        return inside <= 1 and me.num_fds() <= files and len(asyncio.all_tasks()) <= tasks

    await until(is_back, "everything that the attack opened is closed")


@contextmanager
def little_memory() -> Iterator[None]:
    """An attack costs less than 32 MiB while it goes on (I5)."""
    me = psutil.Process()
    gc.collect()  # tests/conftest.py has it run seldom
    before = me.memory_info().rss
    yield
    gc.collect()
    assert me.memory_info().rss - before < GROWTH_MAX
