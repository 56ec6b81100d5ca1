"""Break it: there where a local cluster can be hurt, and not even named elsewhere."""

from collections.abc import AsyncIterator

import pytest

from cluster.problem import Refusal
from console.dialog import Confirm
from console.screens.forms import SkewOfClock
from tests.console.conftest import SIZES, console, lines, row_of, text, until, until_seen
from tests.console.fake_central import FakeCentral, view
from tests.console.fake_workbench import FakeWorkbench


@pytest.fixture
async def bench() -> AsyncIterator[FakeWorkbench]:
    made = FakeWorkbench()
    await made.start()
    yield made
    await made.stop()


@SIZES
async def test_a_member_is_killed_frozen_thawed_restarted(
    fake: FakeCentral, bench: FakeWorkbench, size: tuple[int, int]
) -> None:
    fake.put(view("lis1"))

    async with console(fake, size, settings={"workbench": bench.url}) as (app, pilot):
        await pilot.press("b")
        await until(lambda: "break it" in text(app) and "101" in row_of(app, "lis1"))
        assert {len(line) for line in lines(app)} == {size[0]}
        await pilot.press("j")
        for key, verb, said in (
            ("K", "kill", "lis1 was killed"),
            ("F", "freeze", "lis1 is frozen"),
            ("F", "thaw", "lis1 goes on"),
            ("R", "restart", "lis1 was stopped in order"),
        ):
            await pilot.press(key)
            await until_seen(app, said)
            assert bench.done[-1] == (verb, "lis1")
        await until(lambda: "● UP" in row_of(app, "lis1"))


async def test_a_wipe_asks_first(fake: FakeCentral, bench: FakeWorkbench) -> None:
    async with console(fake, settings={"workbench": bench.url}) as (app, pilot):
        await pilot.press("b")
        await until(lambda: row_of(app, "lis1"))
        await pilot.press("j", "W")
        await until(lambda: isinstance(app.screen, Confirm))
        await pilot.press("enter", "W", "y")
        await until(lambda: bench.done == [("wipe", "lis1")])
        await until(lambda: "lis1 lost its disk" in text(app))


async def test_a_clock_is_made_wrong_by_so_many_seconds(
    fake: FakeCentral, bench: FakeWorkbench
) -> None:
    async with console(fake, settings={"workbench": bench.url}) as (app, pilot):
        await pilot.press("4")
        await until(lambda: row_of(app, "lis1"))
        await pilot.press("j", "D")
        await until(lambda: isinstance(app.screen, SkewOfClock))
        await pilot.press("ctrl+u", *"much", "enter")
        await until(lambda: "a number from -3600 to 3600" in text(app))
        await pilot.press("ctrl+u", *"-2.5", "enter")
        await until(lambda: bench.done == [("skew -2500", "lis1")])
        await until(lambda: "-2.50s" in row_of(app, "lis1"))


async def test_what_makes_no_sense_is_told(fake: FakeCentral, bench: FakeWorkbench) -> None:
    async with console(fake, settings={"workbench": bench.url}) as (app, pilot):
        await pilot.press("b")
        await until(lambda: row_of(app, "central"))
        await pilot.press("g", "W")
        await until(lambda: "only a node can lose its disk" in text(app))
        await pilot.press("G", "K")
        await until(lambda: "rig1 does not run at the moment" in text(app))
        bench.refuse = Refusal("member_gone", "rig1 was given up: exit 78")
        await pilot.press("R")
        await until(lambda: "rig1 was given up" in text(app))


async def test_without_a_workbench_there_is_nothing_to_break(fake: FakeCentral) -> None:
    async with console(fake) as (app, pilot):
        assert "break it" not in text(app)
        await pilot.press("b")
        await until(lambda: "can be broken only where" in text(app))
        app.unsay()
        await pilot.press("question_mark")
        await until(lambda: "help" in text(app))
        assert "hurt members" not in text(app)


async def test_a_workbench_that_went_away_is_told_and_waited_for(
    fake: FakeCentral, bench: FakeWorkbench
) -> None:
    await bench.stop()

    async with console(fake, settings={"workbench": bench.url}) as (app, pilot):
        await pilot.press("b")
        await until(lambda: "refused" in text(app))
