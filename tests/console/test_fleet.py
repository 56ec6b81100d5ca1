"""The fleet on the screen: worst first, live, and steady under the operator's hands."""

import asyncio
import re
from typing import Any

import msgspec
import pytest
from textual.drivers.headless_driver import HeadlessDriver
from textual.events import Resize
from textual.geometry import Size

from cluster.clock.state import ClockSummary
from console.app import ConsoleApp
from console.dialog import Confirm
from console.widgets.fleet_table import FleetTable
from tests.console.conftest import LARGE, SIZES, SMALL, console, lines, order, row_of, text, until
from tests.console.fake_central import FakeCentral, now_us, view

MINUTE_US = 60_000_000


def put_fleet(fake: FakeCentral) -> None:
    fake.put(
        view("calm1"),
        view("late1", data="behind", at_node=1_030, to_pull=30),
        view("lack1", data="behind", to_push=20),
        view("gone1", "down", "behind", at_node=5_045, failures=7, next_try=now_us() + MINUTE_US),
        view("odd1", data="diverged", conflicts=12),
    )


@SIZES
async def test_the_worst_comes_first_with_all_its_numbers(
    fake: FakeCentral, size: tuple[int, int]
) -> None:
    put_fleet(fake)

    async with console(fake, size) as (app, _):
        names = ("calm1", "late1", "lack1", "gone1", "odd1")
        assert order(app, *names) == ["odd1", "gone1", "lack1", "late1", "calm1"]
        down = row_of(app, "gone1")
        assert "○ DOWN" in down
        assert "retry 0:5" in down or "retry 1:00" in down
        assert "~5,045" in down
        assert "?" in down
        late = row_of(app, "late1")
        assert "● UP" in late
        assert "1,030" in late
        assert "1,000" in late
        assert "30" in late
        assert "+2.3ms" in late


async def test_a_node_that_lacks_records_shows_it_in_the_one_column(fake: FakeCentral) -> None:
    put_fleet(fake)

    async with console(fake, SMALL) as (app, _):
        assert "⇡20" in row_of(app, "lack1")


@SIZES
async def test_the_top_bar_tells_who_answers_and_what_is_missing(
    fake: FakeCentral, size: tuple[int, int]
) -> None:
    """A clock that is off is a mark beside the count of those that are up."""
    bad = ClockSummary(status="SYNC", drift_ms=2410.0, bound_ms=4.0)
    fake.put(view("a", clock=bad, to_pull=1_564), view("b", clock=bad, to_push=4_018))

    async with console(fake, size) as (app, _):
        assert "2 up ◷2  missing ⇣1,564 ⇡4,018" in lines(app)[0]


async def test_a_wide_screen_has_a_column_for_each_side_and_the_node_beside(
    fake: FakeCentral,
) -> None:
    put_fleet(fake)
    fake.say("lost its link", level="warning", node="gone1")

    async with console(fake, LARGE) as (app, _):
        assert "MISSING⇣  MISSING⇡" in lines(app)[1]
        await until(lambda: "seen " in text(app))
        await until(lambda: "gone1 lost its link" in text(app))


@SIZES
async def test_every_line_is_exactly_as_wide_as_the_screen(
    fake: FakeCentral, size: tuple[int, int]
) -> None:
    put_fleet(fake)
    fake.put(view("n" * 64, at_node=9_999_999_999, at_central=9_999_999_998, to_pull=123_456_789))

    async with console(fake, size) as (app, _):
        assert {len(line) for line in lines(app)} == {size[0]}
        assert "nnn…" in text(app)


@pytest.mark.parametrize("size", [SMALL, (120, 33), LARGE], ids=str)
async def test_what_stands_beside_the_state_is_not_cut(
    fake: FakeCentral, size: tuple[int, int]
) -> None:
    """A retry with its number and a run's mark are whole, and names can be told apart."""
    fake.put(*(view(f"node-{number}") for number in range(1, 30)))
    run = msgspec.structs.replace(fake._run("pull", "node-1"), received=430)
    down: dict[str, Any] = {"failures": 12, "next_try": now_us() + 24_000_000}
    fake.put(view("node-1", "down", run=run, **down), view("node-29", "down", **down))

    async with console(fake, size) as (app, _):
        assert re.search(r"node-1 +○ DOWN +⇣43% retry 0:2\d #12 ", row_of(app, "node-1"))
        assert re.search(r"node-29 +○ DOWN +retry 0:2\d #12 ", row_of(app, "node-29"))
        assert re.search(r"node-1 .* \? ", row_of(app, "node-1")), "the scroll bar covers nothing"
        assert order(app, "node-10", "node-3") == ["node-3", "node-10"]


@SIZES
async def test_what_a_node_that_is_down_said_last_is_not_told_as_news(
    fake: FakeCentral, size: tuple[int, int]
) -> None:
    """Its drift, rtt and clock are no values, in its details as in the table."""
    fake.put(view("gone1", "down", failures=7, next_try=now_us() + MINUTE_US))

    async with console(fake, size) as (app, pilot):
        await pilot.press("enter")
        await until(lambda: "esc back" in text(app))
        for label in ("rtt", "drift", "clock", "freq", "apart"):
            assert re.search(rf" {label} +-- ", text(app)), label


async def test_a_change_is_on_the_screen_within_a_second(fake: FakeCentral) -> None:
    put_fleet(fake)

    async with console(fake) as (app, _):
        fake.put(view("calm1", "suspect", failures=1))
        await until(lambda: "◐ SUSPECT   1/3 missed" in row_of(app, "calm1"), within_s=1.0)
        fake.send(gone=["late1"])
        await until(lambda: not row_of(app, "late1"), within_s=1.0)


async def test_a_run_is_shown_with_its_percentage(fake: FakeCentral) -> None:
    put_fleet(fake)

    async with console(fake) as (app, _):
        run = fake._run("pull", "late1")
        await until(lambda: "⇣ PULL      0%" in row_of(app, "late1"))
        fake.put_run(msgspec.structs.replace(run, received=430))
        await until(lambda: "⇣ PULL      43%" in row_of(app, "late1"))


def put_fifty(fake: FakeCentral) -> None:
    fake.put(*(view(f"node-{number}") for number in range(1, 51)))


async def test_the_worst_stays_in_sight_until_somebody_moves_the_cursor(fake: FakeCentral) -> None:
    """Whoever only looks sees what is worst; nothing pulls the table down."""
    put_fifty(fake)

    async with console(fake) as (app, pilot):
        table = app.screen.query_one(FleetTable)
        fake.put(*(view(f"node-{number}", "down", failures=3) for number in range(20, 50)))
        await until(lambda: "▌ node-20" in lines(app)[2])
        assert table.scroll_offset.y == 0

        await pilot.press("j")
        fake.put(view("node-50", data="diverged"), view("node-20"))
        await until(lambda: order(app, "node-50", "node-21") == ["node-50", "node-21"])
        assert table.cursor == "node-21"

        await pilot.press("2")
        await pilot.press("1")
        await until(lambda: "▌ node-50" in lines(app)[2])


async def test_the_cursor_stays_while_a_dialog_or_details_lie_over_the_table(
    fake: FakeCentral,
) -> None:
    """Closing something is not coming anew."""
    put_fifty(fake)

    async with console(fake) as (app, pilot):
        await pilot.press("j", "j", "enter")
        await until(lambda: "esc back" in text(app))
        await pilot.press("escape", "p")
        await until(lambda: "pull from node-3 into central?" in text(app))
        await pilot.press("escape")
        await until(lambda: "▌ node-3 " in text(app))


def put_fifty_ended_runs(fake: FakeCentral) -> None:
    """Each of fifty nodes has been pulled once."""
    put_fifty(fake)
    for number in range(1, 51):
        run = fake._run("pull", f"node-{number}")
        fake.put_run(msgspec.structs.replace(run, state="succeeded", ended=run.asked))


async def test_runs_begin_at_the_top_with_those_under_way(fake: FakeCentral) -> None:
    """x and Enter act on what is under way, not on a run that ended long ago."""
    put_fifty_ended_runs(fake)

    async with console(fake) as (app, pilot):
        await pilot.press("2")
        await until(lambda: lines(app)[1].startswith(" ENDED"))
        fake._run("pull", "node-7")
        await until(lambda: "▌⇣   931 node-7 " in lines(app)[1])
        await pilot.press("G", "1", "2")
        await until(lambda: "▌⇣   931 node-7 " in lines(app)[1])


async def test_g_shows_the_header_above_the_first_row(fake: FakeCentral) -> None:
    """Where all runs have ended the first row that can be chosen is the second."""
    put_fifty_ended_runs(fake)

    async with console(fake) as (app, pilot):
        await pilot.press("2", "G")
        await until(lambda: not lines(app)[1].startswith(" ENDED"))
        await pilot.press("g")
        await until(lambda: lines(app)[1].startswith(" ENDED") and lines(app)[2].startswith("▌"))


async def test_the_cursor_stays_on_its_node_when_the_order_changes(fake: FakeCentral) -> None:
    put_fleet(fake)

    async with console(fake) as (app, pilot):
        await pilot.press("G")
        table = app.screen.query_one(FleetTable)
        assert table.cursor == "calm1"
        fake.put(view("calm1", data="diverged"))
        await until(lambda: order(app, "calm1", "odd1") == ["calm1", "odd1"])
        assert table.cursor == "calm1"
        assert "▌ calm1" in row_of(app, "calm1")


async def test_the_order_is_held_after_a_key_and_under_a_dialog(fake: FakeCentral) -> None:
    put_fleet(fake)

    async with console(fake, hold_order_s=600) as (app, pilot):
        await pilot.press("down")
        fake.put(view("calm1", data="diverged"))
        await until(lambda: "≠ DIVERGED" in row_of(app, "calm1"))
        assert order(app, "odd1", "calm1") == ["odd1", "calm1"]

    async with console(fake) as (app, pilot):
        await pilot.press("p")
        await until(lambda: isinstance(app.screen, Confirm))
        assert app.order_is_held


async def test_keys_move_the_cursor_and_scroll(fake: FakeCentral) -> None:
    fake.put(*(view(f"n{number:03}") for number in range(200)))

    async with console(fake) as (app, pilot):
        table = app.screen.query_one(FleetTable)
        for keys, expected in (
            (["j", "down", "k"], "n001"),
            (["end"], "n199"),
            (["up", "up"], "n197"),
            (["g"], "n000"),
            (["pagedown"], "n017"),
            (["pageup", "up"], "n000"),
            (["G"], "n199"),
        ):
            await pilot.press(*keys)
            assert table.cursor == expected
            await until(lambda: f"▌ {table.cursor}" in row_of(app, str(table.cursor)))


async def test_a_click_selects_and_a_second_one_opens(fake: FakeCentral) -> None:
    put_fleet(fake)

    async with console(fake) as (app, pilot):
        table = app.screen.query_one(FleetTable)
        await pilot.click(table, offset=(5, 3))
        assert table.cursor == "lack1"
        await pilot.click(table, offset=(5, 3))
        await until(lambda: "esc back" in text(app))
        await pilot.press("escape")
        await until(lambda: "filter" in text(app))


@SIZES
async def test_without_nodes_it_says_how_to_add_one(
    fake: FakeCentral, size: tuple[int, int]
) -> None:
    async with console(fake, size) as (app, pilot):
        assert "no nodes yet." in text(app)
        assert f"--central {fake.url}" in text(app)
        for key in ("j", "pagedown", "enter", "p", "u", "P", "x", "r"):
            await pilot.press(key)
        fake.put(view("first"))
        await until(lambda: "▌ first" in text(app))


@pytest.mark.fault(58)
async def test_any_size_can_be_drawn(fake: FakeCentral) -> None:
    put_fleet(fake)
    fake.say("hello")
    fake._run("pull", "calm1")

    async with console(fake) as (app, pilot):
        for key in ("2", "3", "1", "enter"):
            await pilot.press(key)
            for size in ((10, 3), LARGE, (33, 9), (200, 60), (99, 34), (120, 33), SMALL):
                await pilot.resize_terminal(*size)
                await until(lambda: {len(line) for line in lines(app)} == {app.size.width})


@pytest.mark.fault(58)
async def test_a_storm_of_sizes_ends_in_the_last_one(fake: FakeCentral) -> None:
    """As a tiling window manager sends it: nobody waits for a size to be drawn."""
    put_fleet(fake)

    async with console(fake) as (app, _):
        for turn in range(100):
            resize(app, Size(20 + turn * 37 % 200, 5 + turn * 17 % 60))
        for last in (Size(20, 5), Size(300, 100)):
            resize(app, last)
            await until(lambda last=last: [len(line) for line in lines(app)] == [last[0]] * last[1])  # type: ignore[misc]
        await until(lambda: "odd1" in text(app))


def resize(app: ConsoleApp, size: Size) -> None:
    """The terminal is of this size now, and waits for nobody."""
    assert isinstance(app._driver, HeadlessDriver)
    app._driver._size = size
    app.post_message(Resize(size, size))


@pytest.mark.parametrize("way", ["q", "ctrl+q", "click"])
async def test_quitting_leaves_no_task(fake: FakeCentral, way: str) -> None:
    put_fleet(fake)
    before = asyncio.all_tasks()

    async with console(fake) as (app, pilot):
        if way == "click":
            place = lines(app)[-1].index("Quit")
            await pilot.click(offset=(place, app.size.height - 1))
        else:
            await pilot.press(way)
        await until(lambda: not app.is_running)

    await until(lambda: fake.streams == 0)
    tasks = {task for task in asyncio.all_tasks() - before if "aiohttp" not in repr(task)}
    assert not tasks
    assert app.return_code == 0
