"""Text from elsewhere: never markup, never an escape, never in the way, whatever field it is in."""

from typing import Any

import msgspec
import pytest
from rich.cells import cell_len
from textual.pilot import Pilot
from textual.widgets import Input

from cluster.problem import Refusal
from cluster.protocol.central import NodeFound
from console.app import ConsoleApp
from console.dialog import Confirm
from console.screens.node_forms import AddNode, EditNode
from tests.console.conftest import LARGE, SMALL, console, lines, text, until, until_seen
from tests.console.fake_central import FakeCentral, now_us, view

HOSTILE = (
    "[@click=app.quit]x[/]",
    "[/nope] [bold",
    "\x1b[2J\x1b]0;gone\x07\r\n",
    "abc\u202edcba\u200b",
    "x" * 10_000,
    "👩\u200d🚀 測試測試 e\u0301\u0301",
)


def put_hostile(fake: FakeCentral) -> None:
    """Every text that somebody else may choose is one of the hostile ones."""
    for number, raw in enumerate(HOSTILE):
        bad, worse = f"bad{number}", f"worse{number}"
        texts: dict[str, Any] = {"url": raw, "version": raw, "epoch": raw}
        fake.put(
            view(worse, "down", reason=raw, detail=raw, failures=1, **texts), view(bad, **texts)
        )
        run = fake._run("pull", bad)
        fake.put_run(msgspec.structs.replace(run, state="waiting", reason=raw))
        ended = fake._run("push", worse)
        fake.put_run(msgspec.structs.replace(ended, state="failed", error=raw, ended=ended.asked))
        for level in ("info", "warning", "error"):
            fake.say(raw, level=level, node=raw)


@pytest.mark.fault(56, 57)
async def test_hostile_text_is_only_text(fake: FakeCentral) -> None:
    """Where most is shown."""
    put_hostile(fake)

    async with console(fake, LARGE) as (app, pilot):
        await until(lambda: "[@click" in text(app))
        for keys in (
            ["g"],
            ["enter"],
            ["escape", "G"],
            ["p"],
            ["escape", "r"],
            ["2"],
            ["3"],
            ["1"],
        ):
            await pilot.press(*keys)
            await pilot.pause()
            shown = lines(app)
            assert {cell_len(line) for line in shown} == {LARGE[0]}
            assert not any(mark in line for line in shown for mark in "\x1b\r\u202e\u200b")
            hostile = [y for y, line in enumerate(shown) if "[@click" in line or "[/nope" in line]
            for y in hostile[:5]:  # a click is a tenth of a second
                await pilot.click(offset=(shown[y].index("[") + 3, y))
        assert app.is_running


@pytest.mark.fault(56)
async def test_a_hostile_name_never_reaches_the_screen(fake: FakeCentral) -> None:
    """The contract refuses such a name; central saying it is a loss, not a crash."""
    fake.put(view("ams1"))

    async with console(fake) as (app, _):
        fake.send(gone=list(HOSTILE))
        fake.put(view("[@click=app.quit]x[/]"))
        await until(lambda: "central unreachable" in text(app))
        del fake.nodes["[@click=app.quit]x[/]"]
        await until(lambda: "unreachable" not in text(app))


def assert_only_text(app: ConsoleApp) -> None:
    shown = lines(app)
    assert app.is_running
    assert {cell_len(line) for line in shown} == {app.size.width}
    assert not any(mark in line for line in shown for mark in "\x1b\r\u202e\u200b")


async def leave(app: ConsoleApp, pilot: Pilot[None]) -> None:
    """Close what lies over the screen."""
    await pilot.press("escape")
    await until(lambda: len(app.screen_stack) == 1)


@pytest.mark.fault(56, 57)
@pytest.mark.parametrize("raw", HOSTILE, ids=range(len(HOSTILE)))
async def test_hostile_text_in_dialogs_and_fields_is_only_text(fake: FakeCentral, raw: str) -> None:
    """In questions, forms, toasts, filters, searches and the palette."""
    fake.put(view("n1", url=raw, detail=raw, reason=raw, version=raw[:64]))
    ended = fake._run("pull", "n1")
    fake.put_run(msgspec.structs.replace(ended, state="failed", error=raw, ended=now_us()))
    waiting = fake._run("push", "n1")
    fake.put_run(msgspec.structs.replace(waiting, state="waiting", reason=raw))
    fake.found["http://a:1"] = NodeFound(
        name="n2", rtt_ms=1, version=raw[:64], epoch=raw[:64], records=1
    )

    async with console(fake, SMALL, settings={"env": raw[:20]}) as (app, pilot):
        for key, kind in (("x", Confirm), ("delete", Confirm), ("e", EditNode), ("a", AddNode)):
            await pilot.press(key)
            await until(lambda kind=kind: isinstance(app.screen, kind))  # type: ignore[misc]
            await pilot.pause()
            assert_only_text(app)
            if key != "a":
                await leave(app, pilot)
        app.screen.query_one("#name", Input).value = raw[:64]
        app.screen.query_one("#url", Input).value = "http://a:1"
        await pilot.press("enter")
        await until(lambda: "expected" in text(app) or "that is n2" in text(app))
        assert_only_text(app)
        await leave(app, pilot)

        fake.refuse = Refusal("busy", raw)
        await pilot.press("r")
        await until_seen(app, "too much work")
        assert_only_text(app)
        app.unsay()
        for key, entry in (("slash", "#filter"), ("escape", ""), ("3", ""), ("slash", "#search")):
            await pilot.press(key)
            if entry:
                app.screen.query_one(entry, Input).value = raw[:500]
            await pilot.pause()
            assert_only_text(app)
        await pilot.press("escape", "2", "G", "R")
        await until(lambda: isinstance(app.screen, Confirm))
        assert_only_text(app)
        assert not [one for one in fake.asked if one[0] not in ("poll", "test", "runs")]
