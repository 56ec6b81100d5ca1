"""Nodes come, move, are mistaken for one another and go; nobody else is held up by it."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpServer

from cluster.exchange import Nothing
from cluster.peer import PeerFailed
from cluster.protocol import central
from tests.faults.test_hostile_node import status
from tests.world import World, lines, world

pytestmark = pytest.mark.e2e

TWIN = central.Hello(name="n1", url="http://127.0.0.1:1", boot="another")


@pytest.mark.fault(17)
async def test_a_second_node_of_the_same_name_is_refused(tmp_path: Path) -> None:
    """While the first one is up, another at a new address does not take its place."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")

        with pytest.raises(PeerFailed) as refused:
            await w.central.call(central.HELLO, TWIN)

        assert refused.value.problem is not None
        assert refused.value.problem.code == "name_taken"
        assert (await w.view("n1")).url == n1.url


class Stumbling:
    """A node called `liar` that answers well, then not at all until it is let, and then badly."""

    def __init__(self) -> None:
        self.answers_well = True
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.app = web.Application()
        self.app.router.add_get("/v1/status", self._status)

    async def _status(self, request: web.Request) -> web.Response:
        if self.answers_well:
            return web.json_response(status())
        await self.may_answer.wait()
        return web.Response(status=500)


async def test_one_missed_poll_gives_no_name_away(
    tmp_path: Path, aiohttp_server: AiohttpServer
) -> None:
    """Also while the old address is asked in vain, other nodes are served."""
    stumbling = Stumbling()
    server = await aiohttp_server(stumbling.app)
    async with world(tmp_path, poll_interval_s=600.0) as w:
        url = f"http://{server.host}:{server.port}"
        await w.central.call(central.HELLO, central.Hello(name="liar", url=url))
        await w.until_live("liar", "up")
        await w.node("n2")
        stumbling.answers_well = False
        assert (await w.poll("liar")).live == "suspect"

        stumbling.may_answer.clear()
        hello = central.Hello(name="liar", url=TWIN.url, boot="another")
        twin = asyncio.create_task(w.central.call(central.HELLO, hello))
        pull = await w.pull("n2")
        waited = not twin.done()
        stumbling.may_answer.set()

        with pytest.raises(PeerFailed, match="liar is suspect"):
            await twin
        assert (pull.state, waited) == ("succeeded", True)
        assert (await w.view("liar")).url == url


async def test_a_node_that_has_moved_is_followed_once_the_old_one_is_down(tmp_path: Path) -> None:
    """Another boot at another address: the same name is taken for the same node."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        n1.kill()
        await w.until_live("n1", "down")

        view = await w.central.call(central.HELLO, TWIN)

        assert view.url == TWIN.url


async def test_a_removed_node_keeps_its_records_at_central(tmp_path: Path) -> None:
    """Nothing is deleted, and a hello alone does not bring the node back."""
    async with world(tmp_path) as w:
        await w.node("n1")
        await w.post("n1", lines(10))
        await w.pull("n1")

        gone = await w.central.call(central.REMOVE, central.Named("n1"))
        nodes = await w.central.call(central.NODES, Nothing())
        page = await w.central.call(central.RECORDS, central.CentralRecordsAsk(node="n1"))

        assert gone.records_kept == 10
        assert nodes.nodes == []
        assert len(page.records) == 10


@pytest.mark.fault(19)
async def test_a_poll_that_meets_a_removal_is_answered(tmp_path: Path) -> None:
    """With the view, or with the news that there is no such node any more."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        said: set[str] = set()
        for _ in range(5):
            polls = [asyncio.create_task(answer_to_poll(w)) for _ in range(20)]
            await w.central.call(central.REMOVE, central.Named("n1"))
            said |= set(await asyncio.gather(*polls))
            await w.central.call(central.HELLO, central.Hello(name="n1", url=n1.url))

        assert said <= {"answered", "unknown_node"}


async def answer_to_poll(w: World) -> str:
    try:
        await w.poll("n1")
    except PeerFailed as failure:
        return failure.problem.code if failure.problem is not None else failure.reason
    return "answered"
