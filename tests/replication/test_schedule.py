"""Scheduled pulls: central pulls by itself, only where there is something, and quietly.

A real node and a real central over HTTP, in one process.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from central import app as central_app
from central import runs as runs_module
from central.parts import PARTS
from central.settings import CentralSettings
from central.store import CentralStore
from cluster.problem import Refusal
from node import app as node_app
from node.settings import NodeSettings
from tests.program import until
from tests.protocol.conftest import TOKEN, Api, serving
from tests.replication import test_runner
from tests.world import lines


class Both:
    """Central and the node n1."""

    def __init__(self, folder: Path, session: ClientSession) -> None:
        self.folder = folder
        self.session = session
        self.central: Api
        self.node: Api

    @asynccontextmanager
    async def central_up(self, **settings: Any) -> AsyncIterator[None]:
        made = CentralSettings(
            data=str(self.folder / "central"), ntp_port=0, poll_interval=0.1, **settings
        )
        self.app = central_app.build_app(made, TOKEN)
        async with serving(self.app) as base:
            self.central = Api(self.session, base)
            url = str(self.node.base).rstrip("/")
            await self.central.ask("POST", "/v1/nodes", {"name": "n1", "url": url})
            await self.polled()
            yield

    async def bear(self, count: int, start: int = 0) -> None:
        (await self.node.post_rows(lines(count, start))).receipt()

    async def pace(self, pull_every: float) -> None:
        answer = await self.central.ask("PATCH", "/v1/nodes/n1", {"pull_every": pull_every})
        assert answer.status == 200, answer.body

    async def polled(self) -> Any:
        return (await self.central.ask("POST", "/v1/nodes/n1/poll")).json

    async def runs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.central.ask("GET", "/v1/runs")).json["runs"]
        return found

    async def kinds(self) -> list[str]:
        """What the journal tells of runs."""
        journal = (await self.central.ask("GET", "/v1/journal")).json["lines"]
        return [line["kind"] for line in journal if line["kind"].startswith("run-")]

    async def in_sync(self, count: int) -> None:
        """Wait until central holds so many, without asking for anything."""

        async def equal() -> bool:
            view = (await self.central.ask("GET", "/v1/nodes/n1")).json
            return bool(view["data"] == "in_sync" and view["records"]["central"] == count)

        await until(equal, f"{count} records are at central")

    async def none_open(self) -> None:
        async def ended() -> bool:
            return not (await self.central.ask("GET", "/v1/runs?open=true")).json["runs"]

        await until(ended, "all runs have ended")


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[Both]:
    """The node is up; central is to be started."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            ClientSession(auto_decompress=False, skip_auto_headers=("Accept-Encoding",))
        )
        made = Both(tmp_path, session)
        settings = NodeSettings(name="n1", data=str(tmp_path / "n1"), source="none")
        app = node_app.build_app(settings, TOKEN, "http://127.0.0.1:1")
        made.node = Api(session, await stack.enter_async_context(serving(app)))
        yield made


async def test_a_node_with_a_pace_is_pulled_by_itself_and_quietly(both: Both) -> None:
    """Again and again; nothing is asked while both are equal; the journal stays clean."""
    async with both.central_up():
        await both.pace(0.1)
        for number in (1, 2):
            await both.bear(5, start=5 * number)
            await both.in_sync(5 * number)
        await both.none_open()
        asked = await both.runs()
        for _ in range(10):
            await both.polled()

        assert await both.runs() == asked
        assert len(asked) >= 2
        assert {(run["scheduled"], run["state"]) for run in asked} == {(True, "succeeded")}
        assert await both.kinds() == []


async def test_0_turns_it_off(both: Both) -> None:
    """Also where central's own setting says otherwise."""
    async with both.central_up(pull_every=0.1):
        await both.pace(0)
        await both.bear(5)
        for _ in range(10):
            view = await both.polled()

        assert view["records"]["missing_at_central"] == 5
        assert await both.runs() == []


async def test_a_pace_survives_a_restart_and_the_setting_is_the_default(both: Both) -> None:
    """First central's setting holds, then the node's own, also after a restart without any."""
    async with both.central_up(pull_every=0.2):
        assert (await both.polled())["pull_every"] == 0.2
        await both.bear(5)
        await both.in_sync(5)
        await both.pace(0.1)
    async with both.central_up():
        assert (await both.polled())["pull_every"] == 0.1
        await both.bear(5, start=5)
        await both.in_sync(10)


async def test_a_scheduled_pull_that_cannot_be_stored_does_not_end_central(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk for a moment: it is due again, and comes when it can be stored."""
    refused = list[str]()
    ask = runs_module.Runs.ask

    async def refuse_twice(self: runs_module.Runs, *args: Any, **more: Any) -> Any:
        if len(refused) < 2:
            refused.append("x")
            raise Refusal("storage_failed", "the disk is full")
        return await ask(self, *args, **more)

    monkeypatch.setattr(runs_module.Runs, "ask", refuse_twice)
    async with both.central_up():
        await both.pace(0.1)
        await both.bear(5)
        await both.in_sync(5)

        assert len(refused) == 2


async def test_a_node_that_is_removed_leaves_no_scheduled_run(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when a poll asks for one while the node is being removed."""
    async with both.central_up():
        await both.bear(5)
        await both.polled()
        remove = CentralStore.remove_node

        async def remove_late(self: CentralStore, name: str) -> int:
            await both.app[PARTS].context.runs.ask("n1", "pull", "incremental", scheduled=True)
            return await remove(self, name)

        monkeypatch.setattr(CentralStore, "remove_node", remove_late)
        removed = await both.central.ask("DELETE", "/v1/nodes/n1")

        (run,) = await both.runs()
        assert removed.status == 200
        assert (run["state"], run["error"]) == ("cancelled", "an operator removes the node")


async def test_who_asks_at_the_same_moment_as_central_gets_the_same_run(tmp_path: Path) -> None:
    """A run of an operator is not doubled by the schedule."""
    async with test_runner.central(tmp_path) as context:
        runs = await asyncio.gather(
            *(
                context.runs.ask("n1", "pull", "incremental", scheduled=by_itself)
                for by_itself in (False, True, True, False)
            )
        )

        assert len({run.id for run in runs}) == 1
        assert len(context.runs.open_of("n1")) == 1


async def test_old_runs_that_went_well_are_forgotten_others_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each node by itself, so one that is pulled every second takes nobody else's history."""
    assert runs_module.KEPT == 1_000
    monkeypatch.setattr(runs_module, "KEPT", 3)
    async with test_runner.central(tmp_path) as context:

        async def run(node: str, state: str) -> int:
            asked = await context.runs.ask(node, "pull", "incremental", scheduled=True)
            await context.runs.end(asked, state=state)
            return asked.id

        context.runs.stored.set()  # type: ignore[attr-defined]
        other = await run("n2", "succeeded")
        failed = await run("n1", "failed")
        made = [await run("n1", "succeeded") for _ in range(6)]
        with closing(sqlite3.connect(tmp_path / "central.db")) as sql:
            kept = {row[0] for row in sql.execute("SELECT id FROM runs")}

        assert kept == {other, failed, *made[-3:]}


async def test_no_more_nodes_than_allowed_replicate_at_once(tmp_path: Path) -> None:
    """Whoever waits says so, and has its turn."""
    async with test_runner.central(tmp_path, slots=2) as context:
        names, moving, most = ["a", "b", "c", "d"], set[str](), 0
        go_on = asyncio.Event()

        def move(name: str) -> Callable[[object], Any]:
            async def hold(tally: object) -> None:
                nonlocal most
                moving.add(name)
                most = max(most, len(moving))
                await go_on.wait()
                moving.remove(name)

            return hold

        runs = [await context.runs.ask(name, "pull", "incremental") for name in names]
        for name in names:
            test_runner.runner_of(context, name, move(name))

        async def two_wait() -> bool:
            now = [await context.runs.get(run.id) for run in runs]
            return sum(run.reason == "other nodes replicate; its turn comes" for run in now) == 2

        await until(two_wait, "two wait for their turn")
        at_once = len(moving)
        go_on.set()
        ended = [await test_runner.ended(context, run) for run in runs]

        assert (at_once, most) == (2, 2)
        assert {run.state for run in ended} == {"succeeded"}
