"""Every screen and every command, with a real central and real nodes behind them.

On the smallest screen; how each looks on others is shown with a central that costs less.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from cluster.exchange import Nothing
from cluster.protocol import central
from console.app import ConsoleApp
from console.dialog import Confirm
from console.screens.forms import RateOfSource
from console.screens.node_forms import AddNode, EditNode
from console.settings import ConsoleSettings
from tests.console.conftest import SMALL, Steady, row_of, text, until, until_seen
from tests.console.real import Fleet, real_fleet
from tests.program import TOKEN


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with real_fleet(tmp_path) as made:
        yield made


@asynccontextmanager
async def console(fleet: Fleet) -> AsyncIterator[tuple[ConsoleApp, Pilot[None]]]:
    app = ConsoleApp(
        ConsoleSettings(central=fleet.url), TOKEN, deaf_s=0, hold_order_s=0, backoff=Steady(0.2)
    )
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await until(lambda: "▌" in text(app) or "no nodes yet" in text(app))
        yield app, pilot


async def confirm(app: ConsoleApp, pilot: Pilot[None], key: str, *phrase: str) -> None:
    """Press the key, and y or the phrase when the question has come."""
    await pilot.press(key)
    await until(lambda: isinstance(app.screen, Confirm))
    await pilot.press(*(phrase or ("y",)))
    if phrase:
        await pilot.press("enter")
    await until(lambda: not isinstance(app.screen, Confirm))


async def test_pull_brings_what_central_lacks(fleet: Fleet) -> None:
    await fleet.node("n1", 40)

    async with console(fleet) as (app, pilot):
        await until(lambda: "behind" in row_of(app, "n1"))
        await confirm(app, pilot, "p")
        await until(lambda: "pull n1: ok, 40 new" in text(app))
        await until(lambda: "in sync, proven" in row_of(app, "n1"))
    assert (await fleet.view("n1")).records.central == 40


async def test_push_gives_a_wiped_node_its_records_back(fleet: Fleet, tmp_path: Path) -> None:
    await fleet.node("n1", 40)
    run = await fleet.call(central.PULL, central.PullAsk("n1"))
    await fleet.until(lambda view: view.records.central == 40, "n1")
    await fleet.stop("n1")
    for file in (tmp_path / "n1").iterdir():
        file.unlink()
    await fleet.node("n1")
    await fleet.until(lambda view: view.records.missing_at_node == 40, "n1")

    async with console(fleet) as (app, pilot):
        await until(lambda: "40" in row_of(app, "n1"))
        await confirm(app, pilot, "u")
        await until(lambda: "push n1: ok, 40 new" in text(app))
        await until(lambda: "in sync, proven" in row_of(app, "n1"))
    assert run.kind == "pull"


async def test_all_nodes_at_once(fleet: Fleet) -> None:
    await fleet.node("n1", 10)
    await fleet.node("n2", 20)

    async with console(fleet) as (app, pilot):
        await until(lambda: "behind" in row_of(app, "n2"))
        await confirm(app, pilot, "P", *"PULL 2")
        await until(lambda: "2 of 2 runs ok, 30 new" in text(app) or "pull n2: ok" in text(app))
        await until(lambda: "proven" in row_of(app, "n1") and "proven" in row_of(app, "n2"))
        await confirm(app, pilot, "U", *"push 2")
        await until(lambda: len(app.store.ended_runs()) == 4)
        await pilot.press("2")
        await until(lambda: text(app).count("⇡ push") >= 2 and text(app).count("⇣ pull") >= 2)


async def test_a_run_that_waits_is_cancelled_and_tried_again(fleet: Fleet) -> None:
    await fleet.node("n1", 10)
    await fleet.stop("n1")
    await fleet.until(lambda view: view.live == "down", "n1")

    async with console(fleet) as (app, pilot):
        await confirm(app, pilot, "p")
        await until(lambda: "⇣" in row_of(app, "n1"))
        await pilot.press("2")
        await until(lambda: "waits for node" in text(app))
        await confirm(app, pilot, "x")
        await until(lambda: "cancelled" in text(app) and not app.store.open_runs())
        await confirm(app, pilot, "R")
        await until(lambda: len(app.store.open_runs()) == 1)
        await fleet.node("n1")
        await pilot.press("1", "r")
        await until(lambda: not app.store.open_runs(), within_s=20)
        await until(lambda: "proven" in row_of(app, "n1"))


async def test_a_node_in_detail_has_its_plots_and_its_runs(fleet: Fleet) -> None:
    await fleet.node("n1", 10)

    async with console(fleet) as (app, pilot):
        await until(lambda: row_of(app, "n1"))
        await confirm(app, pilot, "p")
        await until(lambda: "pull n1: ok" in text(app))
        await pilot.press("enter")
        await until(lambda: "esc back" in text(app) and "drift" in text(app))
        await until(lambda: "ok, 10 new" in text(app))
        await until(lambda: any(0x2800 < ord(letter) < 0x2900 for letter in text(app)))
        assert "records/s at node to central" in text(app)
        for key, span in (("plus", "-1h"), ("plus", "-24h"), ("minus", "-1h")):
            await pilot.press(key)
            await until_seen(app, span)
        await pilot.press("escape")
        await until(lambda: "esc back" not in text(app))


async def test_the_next_node_is_one_key_away(fleet: Fleet) -> None:
    await fleet.node("n1")
    await fleet.node("n2")

    async with console(fleet) as (app, pilot):
        await until(lambda: row_of(app, "n1") and row_of(app, "n2"))
        await pilot.press("s", "g", "enter")  # by name, as one may have missed a poll
        await until(lambda: "n1  http" in text(app))
        await pilot.press("right_square_bracket")
        await until(lambda: "n2  http" in text(app))
        await pilot.press("left_square_bracket")
        await until(lambda: "n1  http" in text(app))


async def test_the_source_is_started_stopped_and_paced(fleet: Fleet) -> None:
    await fleet.node("n1")

    async with console(fleet) as (app, pilot):
        await until(lambda: row_of(app, "n1"))
        await pilot.press("O")
        await until(lambda: isinstance(app.screen, RateOfSource))
        app.screen.query_one(Input).value = "50"
        await pilot.press("enter")
        await until(lambda: "makes 50/s" in text(app))
        await fleet.until(lambda view: (view.records.node or 0) > 5, "n1")
        await pilot.press("o")
        await until(lambda: "synthetic source, stopped" in text(app))
        view = await fleet.view("n1")
        assert view.source is not None
        assert not view.source.running


async def test_the_clock_is_corrected_at_once(fleet: Fleet) -> None:
    await fleet.node("n1")

    async with console(fleet) as (app, pilot):
        await until(lambda: row_of(app, "n1"))
        await pilot.press("c")
        await until(lambda: "n1: clock sync, drift" in text(app), within_s=20)


async def test_automatic_pull_is_turned_on_and_off(fleet: Fleet) -> None:
    await fleet.node("n1", 10)

    async with console(fleet) as (app, pilot):
        await until(lambda: row_of(app, "n1"))
        await pilot.press("A")
        await until(lambda: "n1: pulled every 10 s" in text(app))
        await fleet.until(lambda view: view.pull_every == 10, "n1")
        await fleet.until(lambda view: view.records.central == 10, "n1")
        await until(lambda: (view := app.store.nodes["n1"]).pull_every == 10 and bool(view))
        await pilot.press("A")
        await until(lambda: "pulled only when asked" in text(app))


async def test_a_node_is_added_after_a_test_edited_and_removed(fleet: Fleet) -> None:
    url = await fleet.node("quiet", 5, hello=False)

    async with console(fleet) as (app, pilot):
        await pilot.press("a")
        await until(lambda: isinstance(app.screen, AddNode))
        app.screen.query_one("#url", Input).value = url.removeprefix("http://")
        await pilot.press("enter")
        await until(lambda: "quiet is polled from now on" in text(app))
        await until(lambda: "● UP" in row_of(app, "quiet"))

        await pilot.press("e")
        await until(lambda: isinstance(app.screen, EditNode))
        app.screen.query_one("#every", Input).value = "3600"
        await pilot.press("enter")
        await until(lambda: "pulled every 3600 s" in text(app))

        await confirm(app, pilot, "delete")
        await until(lambda: "no nodes yet" in text(app))
        assert not (await fleet.call(central.NODES, Nothing())).nodes


async def test_an_address_where_nobody_or_another_node_answers(fleet: Fleet) -> None:
    url = await fleet.node("n1")

    async with console(fleet) as (app, pilot):
        await pilot.press("a")
        await until(lambda: isinstance(app.screen, AddNode))
        for address, name, said in (
            ("http://127.0.0.1:1", "n9", "refused"),
            (url, "n9", "in the fleet already, as n1"),
            ("nonsense here", "n9", "url: expected http://host:port"),
            (url, "no good", "name: expected"),
        ):
            app.screen.query_one("#url", Input).value = address
            app.screen.query_one("#name", Input).value = name
            await pilot.press("enter")
            await until_seen(app, said)
            assert isinstance(app.screen, AddNode)
        await pilot.press("escape")
        await until(lambda: not isinstance(app.screen, AddNode))


async def test_the_journal_is_searched_back_to_its_beginning(fleet: Fleet) -> None:
    await fleet.node("n1")
    await fleet.node("n2")

    async with console(fleet) as (app, pilot):
        await pilot.press("3")
        await until(lambda: "central started" in text(app) and "n2" in text(app))
        await pilot.press("slash", *"node:n1", "enter")
        await until(lambda: "node n1" in text(app) and "central started" not in text(app))
        await pilot.press("escape")
        await until(lambda: "central started" in text(app))
        await pilot.press("l")
        await until(lambda: "level warning" in text(app) and "central started" not in text(app))
        await pilot.press("l", "l", "up", "n")
        await until(lambda: "node n2" in text(app) or "node n1" in text(app))
        await pilot.press("enter")
        await until(lambda: "esc back" in text(app))
