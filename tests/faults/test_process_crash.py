"""A bug anywhere: loud, its traceback in the log only, and never a service that is half alive."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from central import app as central_app
from central.settings import CentralSettings
from cluster.exchange import Nothing
from cluster.peer import Peer, PeerFailed, open_session
from cluster.protocol import central, node
from cluster.server import base_url, bind, run
from node import app as node_app
from node.settings import NodeSettings
from tests.faults.broken import Bug, put_in
from tests.leaks import no_leaks
from tests.program import TOKEN, until
from tests.world import lines, world

pytestmark = pytest.mark.fault(42)

BUG = 70


class Pair:
    """Central and the node n1 in this process, each served just as its program does it."""

    def __init__(self, folder: Path, session: ClientSession) -> None:
        listeners = bind("127.0.0.1", 0), bind("127.0.0.1", 0)
        at_central, at_node = map(base_url, listeners)
        self.central, self.node = Peer(session, at_central, TOKEN), Peer(session, at_node, TOKEN)
        apps = (
            central_app.build_app(
                CentralSettings(data=str(folder / "central"), ntp_port=0, poll_interval=0.2), TOKEN
            ),
            node_app.build_app(
                NodeSettings(name="n1", data=str(folder / "n1"), central=at_central, rate=50.0),
                TOKEN,
                at_node,
            ),
        )
        self.runs = {
            name: asyncio.create_task(run(app, listener, "started"))
            for name, app, listener in zip(("central", "n1"), apps, listeners, strict=True)
        }

    async def is_up(self) -> bool:
        with suppress(PeerFailed):
            view = await self.central.call(central.NODE, central.Named("n1"), timeout_s=5)
            return view.live == "up"
        return False


@asynccontextmanager
async def pair(folder: Path) -> AsyncIterator[Pair]:
    async with no_leaks(), open_session() as session:
        made = Pair(folder, session)
        try:
            await until(made.is_up, "n1 is up")
            yield made
        finally:
            for one in made.runs.values():
                if not one.cancelling():  # else a crash has begun to end it
                    one.cancel()
            # What a crash was is for the test to look at; nobody else is to be told of it later.
            await asyncio.gather(*made.runs.values(), return_exceptions=True)


def leaf(error: BaseException) -> BaseException:
    """What lies under all groups, which must be one thing only."""
    while isinstance(error, BaseExceptionGroup):
        (error,) = error.exceptions
    return error


@pytest.mark.parametrize(
    ("point", "service"),
    [
        *((point, "central") for point in ("poll", "pull", "journal", "writer", "clock watch")),
        *((point, "n1") for point in ("generator", "writer", "clock watch")),
    ],
)
async def test_a_bug_in_any_task_ends_its_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str, service: str
) -> None:
    """Soon, with the bug itself as the reason, everything else of it ended in order."""
    async with pair(tmp_path) as both:
        put_in(point, lambda one: is_of(service, one), monkeypatch.setattr)

        if point in ("pull", "journal"):  # what nobody asks for is not done
            await both.central.call(central.PULL, central.PullAsk("n1"), timeout_s=5)
        async with asyncio.timeout(15):
            await asyncio.wait([both.runs[service]])

        assert isinstance(leaf(both.runs[service].exception() or Exception()), Bug)


def is_of(service: str, part: Any) -> bool:
    """Both services have a writer and a clock watch, each with a file in its service's folder."""
    return not hasattr(part, "_path") or part._path.parent.name == service


async def test_a_caller_whose_writer_has_died_is_not_left_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node says that it is stopping; whether the rows are stored nobody knows."""
    async with pair(tmp_path) as both:
        put_in("writer", lambda one: is_of("n1", one), monkeypatch.setattr)

        with pytest.raises(PeerFailed) as failed:
            await both.node.call(node.APPEND, Nothing(), timeout_s=15, body=lines(10))

    assert failed.value.reason in ("http_5xx", "reset", "refused")


async def test_a_bug_in_a_handler_costs_one_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The asker is told that it is `internal`, the log has the traceback, the service goes on."""
    async with pair(tmp_path) as both:
        is_there = True
        put_in("status", lambda _: is_there, monkeypatch.setattr)

        with pytest.raises(PeerFailed) as failed:
            await both.central.call(central.STATUS, Nothing(), timeout_s=5)
        is_there = False
        status = await both.central.call(central.STATUS, Nothing(), timeout_s=5)

    assert failed.value.problem is not None
    assert (failed.value.problem.code, status.nodes.up) == ("internal", 1)
    assert "Bug" not in failed.value.detail
    (told,) = [one for one in caplog.records if vars(one).get("event") == "bug"]
    assert told.exc_info is not None
    assert told.exc_info[0] is Bug


@pytest.mark.e2e
@pytest.mark.parametrize("points", ["poll", "writer,clock watch"])
async def test_a_program_with_a_bug_ends_with_70(tmp_path: Path, points: str) -> None:
    """One line on the screen that says where to look; the traceback is there, on one line.

    With bugs in several parts at once its end cannot be in order: an end it is.
    """
    flag = tmp_path / "flag"
    async with world(tmp_path, 0.2) as w:
        w.central.kill()
        w.central.through("tests.faults.broken", points, str(flag))
        await w.central.start()
        await w.node("n1")
        assert w.central.process is not None

        flag.touch()
        code = await asyncio.to_thread(w.central.process.wait, 15)

        said = w.central.process.stderr
        w.central.process = None
    assert code == BUG
    assert said.splitlines()[-1].startswith("central: stopped by a bug (Bug); see ")
    assert "Traceback" not in said
    (told,) = [one for one in logged(tmp_path / "central") if one.get("event") == "bug"]
    assert "Bug: " in told["traceback"]


def logged(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "logs" / "central.log").read_text()
    return [json.loads(line) for line in text.splitlines()]
