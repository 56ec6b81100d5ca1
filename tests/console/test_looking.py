"""Looking: filter, faults, sort, marks, pause, themes, the palette; and what only looks."""

import msgspec
import pytest
from textual.widgets import Input

from cluster.clock.state import ClockSummary
from console.dialog import Confirm
from console.widgets.fleet_table import FleetTable
from tests.console.conftest import LARGE, SIZES, SMALL, console, lines, order, row_of, text, until
from tests.console.fake_central import FakeCentral, now_us, view


def put_fleet(fake: FakeCentral) -> None:
    fake.put(
        view("ams1", at_node=5),
        view("ams2", clock=ClockSummary(status="SYNC", drift_ms=-9.5), at_node=50),
        view("lis1", data="behind", to_pull=18_422, at_node=500),
        view("rig1", "down", failures=7, next_try=now_us() + 60_000_000),
    )


@SIZES
async def test_typing_narrows_the_fleet(fake: FakeCentral, size: tuple[int, int]) -> None:
    put_fleet(fake)

    async with console(fake, size) as (app, pilot):
        await pilot.press("slash", *"ams")
        await until(lambda: not row_of(app, "lis1") and row_of(app, "ams2"))
        await pilot.press("enter")
        await until(lambda: isinstance(app.focused, FleetTable))
        assert not row_of(app, "rig1")
        await pilot.press("escape")
        await until(lambda: order(app, "rig1", "lis1", "ams1") == ["rig1", "lis1", "ams1"])


async def test_numbers_narrow_it_too_and_a_wrong_one_is_told(fake: FakeCentral) -> None:
    put_fleet(fake)

    async with console(fake, LARGE) as (app, pilot):
        await pilot.press("slash", *"missing>100")
        await until(lambda: row_of(app, "lis1") and not row_of(app, "ams1"))
        app.screen.query_one(Input).value = "mising>1"
        await until(lambda: "no number 'mising'" in text(app))
        app.screen.query_one(Input).value = "nobody"
        await until(lambda: "none of 4 nodes is like that" in text(app))


async def test_faults_only(fake: FakeCentral) -> None:
    put_fleet(fake)

    async with console(fake) as (app, pilot):
        await pilot.press("f")
        await until(lambda: not row_of(app, "ams1"))
        assert order(app, "rig1", "lis1") == ["rig1", "lis1"]
        await pilot.press("f")
        await until(lambda: row_of(app, "ams1"))


@SIZES
async def test_sorting_by_key_and_by_a_click_on_the_header(
    fake: FakeCentral, size: tuple[int, int]
) -> None:
    put_fleet(fake)

    async with console(fake, size) as (app, pilot):
        await pilot.press("s")
        await until(lambda: order(app, "rig1", "ams1") == ["ams1", "rig1"])
        await pilot.press("S")
        await until(lambda: order(app, "rig1", "ams1", "lis1") == ["rig1", "lis1", "ams1"])
        column = lines(app)[1].index("AT NODE")
        await pilot.click(FleetTable, offset=(column + 3, 0))
        await until(lambda: order(app, "ams1", "ams2", "lis1") == ["lis1", "ams2", "ams1"])
        await pilot.click(FleetTable, offset=(column + 3, 0))
        await until(lambda: order(app, "ams1", "ams2", "lis1") == ["ams1", "ams2", "lis1"])


async def test_the_marked_nodes_are_acted_on_together(fake: FakeCentral) -> None:
    put_fleet(fake)

    async with console(fake) as (app, pilot):
        await pilot.press("g", "space", "space", "p")
        await until(lambda: isinstance(app.screen, Confirm))
        await until(lambda: "pull marked" in text(app) and "type pull 2" in text(app))
        await pilot.press(*"pull 2", "enter")
        await until(lambda: sorted(fake.asked) == [("pull", "lis1"), ("pull", "rig1")])
        await pilot.press("asterisk")
        await until(lambda: "•4 " in text(app) and text(app).count("•") == 5)
        await pilot.press("escape")
        await until(lambda: "•" not in text(app))


async def test_a_pause_holds_every_number_and_the_feed_goes_on(fake: FakeCentral) -> None:
    put_fleet(fake)

    async with console(fake) as (app, pilot):
        await pilot.press("z")
        await until(lambda: "paused" in text(app))
        fake.put(view("ams1", at_node=4_321))
        fake.put(view("ams1", at_node=54_321), view("new1"))
        fake.send(gone=["rig1"])
        fake.say("meanwhile", node="ams1")
        await until(lambda: app.store._held is not None and app.store._held.delta is not None)
        await until(lambda: "meanwhile" in str(app.store._held))
        assert "54,321" not in text(app)
        assert row_of(app, "rig1")
        await pilot.press("p")
        await until(lambda: "z goes on" in text(app))
        await pilot.press("z")
        await until(lambda: "54,321" in row_of(app, "ams1") and row_of(app, "new1"))
        assert not row_of(app, "rig1")
        await until(lambda: "meanwhile" in text(app))


async def test_the_palette_finds_commands_and_nodes(fake: FakeCentral) -> None:
    put_fleet(fake)

    async with console(fake) as (app, pilot):
        await pilot.press("ctrl+p")
        await until(lambda: "pull every node" in text(app))
        await pilot.press(*"push all")
        await until(lambda: "push to every node" in text(app))
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, Confirm) and "push all" in text(app))
        await pilot.press("escape", "colon", *"lis1")
        await until(lambda: "node lis1" in text(app))
        await pilot.press("enter")
        await until(lambda: "esc back" in text(app))


async def test_every_theme_can_be_worn(fake: FakeCentral) -> None:
    put_fleet(fake)

    async with console(fake) as (app, pilot):
        worn = []
        for _ in range(4):
            worn.append(app.theme)
            await pilot.press("t")
        assert len(set(worn)) == 4
        assert app.theme == worn[0]


@SIZES
async def test_ascii_draws_nothing_else(fake: FakeCentral, size: tuple[int, int]) -> None:
    """On every screen, with a dialog and a toast, and whatever a node is called."""
    put_fleet(fake)
    fake.put(view("lis1", run=fake._run("pull", "lis1")))
    fake.say("測試 ≠ é", node="lis1")

    async with console(fake, size, settings={"ascii": True}) as (app, pilot):
        for keys in (["1"], ["enter"], ["escape", "2"], ["3"], ["question_mark"]):
            await pilot.press(*keys)
            await pilot.pause()
            assert text(app).isascii()
            assert text(app).strip()


@pytest.mark.parametrize("way", ["read_only", "viewer"])
async def test_who_may_only_look_is_told_why(fake: FakeCentral, way: str) -> None:
    """Keys and buttons that change something are grey; pressed anyway they say why."""
    put_fleet(fake)
    token = fake.viewer_token if way == "viewer" else fake.token
    settings = {"read_only": True} if way == "read_only" else {}

    async with console(fake, SMALL, token, settings) as (app, pilot):
        why = "may only look" if way == "viewer" else "only looks"
        for key in ("p", "U", "a", "A", "delete"):
            await pilot.press(key)
            await until(lambda: why in text(app))
            app.unsay()
        await until(lambda: app.screen.query(".button.-off"))
        assert len(app.screen.query(".button.-off")) == len(app.screen.query(".button"))
        await pilot.press("enter")
        await until(lambda: "esc back" in text(app))
        assert not fake.asked or {what for what, _ in fake.asked} <= {"runs"}


async def test_the_environment_stands_in_the_title_bar(fake: FakeCentral) -> None:
    async with console(fake, settings={"env": "prod [b]"}) as (app, _):
        assert lines(app)[0].startswith(" prod [b]   1 Fleet")


async def test_how_a_run_ended_is_told_to_who_asked_for_it(fake: FakeCentral) -> None:
    put_fleet(fake)

    async with console(fake) as (app, pilot):
        await pilot.press("g", "j", "p")
        await until(lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(lambda: fake.asked == [("pull", "lis1")])
        (run,) = fake.runs.values()
        await until(lambda: app._asked_runs == {run.id})
        ended = msgspec.structs.replace(
            run, state="succeeded", inserted=18_422, ended=run.asked + 2_000_000
        )
        fake.put_run(ended)
        await until(lambda: "pull lis1: ok, 18,422 new in 2.0s" in text(app))


async def test_in_sync_is_told_as_proven_with_its_age(fake: FakeCentral) -> None:
    fake.put(view("a", proven=now_us()), view("b", proven=now_us() - 42_000_000))

    async with console(fake, LARGE) as (app, _):
        assert "in sync, proven" in row_of(app, "a")
        assert "in sync 4" in row_of(app, "b")
        assert "s ago" in row_of(app, "b")


async def test_a_wide_table_has_the_drift_of_the_last_minutes_but_not_on_a_slow_line(
    fake: FakeCentral,
) -> None:
    put_fleet(fake)

    async with console(fake, (200, 30)) as (app, _):
        assert "DRIFT 4m" in lines(app)[1]
        assert "▅" in row_of(app, "ams1")

    async with console(fake, (200, 30), settings={"slow": True}) as (app, _):
        assert "DRIFT 4m" not in lines(app)[1]


@SIZES
async def test_every_screen_is_one_click_away(fake: FakeCentral, size: tuple[int, int]) -> None:
    put_fleet(fake)

    async with console(fake, size) as (app, pilot):
        for tab, seen in (("2 Runs", "no runs yet"), ("3 Journal", "level all"), ("1 Fleet", "▌")):
            await pilot.click(offset=(lines(app)[0].index(tab) + 3, 0))
            await until(lambda seen=seen: seen in text(app))  # type: ignore[misc]
        button = next(y for y, line in enumerate(lines(app)) if "⇣ Pull " in line)
        await pilot.click(offset=(lines(app)[button].index("⇣ Pull ") + 2, button))
        await until(lambda: isinstance(app.screen, Confirm))
