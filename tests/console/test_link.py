"""Central away, back, of another mind or hostile: the console says so and stays."""

import asyncio
import itertools
import re

import pytest

from cluster.protocol.views import JournalLine
from console.app import ConsoleApp
from console.changes import JOURNAL_LINES
from console.dialog import NotLetIn
from console.settings import ConsoleSettings
from console.widgets.journal_pane import JournalPane
from tests.console.conftest import (
    LARGE,
    SIZES,
    SMALL,
    Steady,
    console,
    light_of,
    lines,
    row_of,
    text,
    until,
    until_seen,
)
from tests.console.fake_central import TOKEN, FakeCentral, now_us, view


@pytest.mark.fault(55)
@SIZES
async def test_central_is_killed_and_comes_back(fake: FakeCentral, size: tuple[int, int]) -> None:
    fake.put(view("ams1"))

    async with console(fake, size) as (app, pilot):
        await fake.stop()
        await until(lambda: "central unreachable · shown: " in text(app))
        assert "ago)" in text(app)
        assert "● UP" in row_of(app, "ams1")
        await pilot.press("p")
        await until(lambda: "central is away" in text(app))
        for key in ("2", "3", "1"):
            await pilot.press(key)
            await until(lambda: "central unreachable" in text(app))

        fake.put(view("new1"))
        await fake.start()

        await until(lambda: "unreachable" not in text(app) and row_of(app, "new1"))
        await pilot.press("p")
        await until(lambda: "into central?" in text(app))


@SIZES
async def test_a_central_that_hears_no_node_says_so(
    fake: FakeCentral, size: tuple[int, int]
) -> None:
    """States that nobody can vouch for are not shown as if nothing were."""
    fake.put(view("ams1"))
    fake.isolated = True

    async with console(fake, size) as (app, _):
        await until(lambda: "central hears no node" in text(app))


async def test_news_while_it_closes_is_let_go(
    fake: FakeCentral, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its screens are gone before its workers are: nothing may be drawn in between."""
    fake.put(view("ams1"))

    async with console(fake) as (app, _):
        drawing = next(worker for worker in app.workers if worker.group == "draw")
        close_messages = app._close_messages

        async def close_with_news() -> None:
            app.store.changed.set()
            await until(lambda: drawing.is_finished)
            await close_messages()

        monkeypatch.setattr(app, "_close_messages", close_with_news)
    assert drawing.error is None


@pytest.mark.parametrize("size", [SMALL, (130, 34), LARGE], ids=str)
async def test_all_that_is_old_is_dim(fake: FakeCentral, size: tuple[int, int]) -> None:
    """The table, the side panel, the strip and the details; an age does not stand still."""
    fake.put(view("ams1", data="behind"))
    fake.say("is up", node="ams1")

    async with console(fake, size) as (app, pilot):
        await until(lambda: "ams1 is up" in text(app))
        parts = ["1,000", "ams1 is up", "1/1", "1 up", *(["rtt"] if size[0] >= 130 else [])]
        bright = {part: light_of(app, part) for part in parts}
        await fake.stop()
        await until(lambda: "central unreachable" in text(app))
        await until(lambda: all(light_of(app, part) < bright[part] for part in parts))
        await pilot.press("enter")
        await until(lambda: "proven " in text(app))
        assert light_of(app, "at node") < bright["1/1"]
        assert re.search(r"seen +\d\d:\d\d:\d\d +", text(app))
        assert "s ago" not in "\n".join(lines(app)[2:])


async def test_r_tries_at_once(fake: FakeCentral) -> None:
    fake.put(view("ams1"))

    async with console(fake, backoff=Steady(500.0)) as (app, pilot):
        await fake.stop()
        await until(lambda: "retry in" in text(app))
        await fake.start()
        await pilot.press("r")
        await until(lambda: "unreachable" not in text(app))


async def test_a_console_may_start_before_central(fake: FakeCentral) -> None:
    await fake.stop()
    app = ConsoleApp(ConsoleSettings(central=fake.url), TOKEN)

    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await until(lambda: "central unreachable · shown: nothing yet" in text(app))
        await fake.start()
        await pilot.press("r")
        await until(lambda: "no nodes yet" in text(app))


async def test_silence_is_loss(fake: FakeCentral) -> None:
    fake.put(view("ams1"))

    async with console(fake, lost_s=0.3) as (app, _):
        await until(lambda: "central unreachable" in text(app))
        assert app.feed.reason == "timeout: no answer in time"


async def test_a_refused_token_is_told_and_not_tried_again(fake: FakeCentral) -> None:
    async with console(fake, token="wrong-token-wrong-token") as (app, pilot):
        await until(lambda: isinstance(app.screen, NotLetIn))
        await until(lambda: "token came from" in text(app))
        assert "tidehold_token" in text(app)
        assert "--token-file" in text(app)
        assert fake.streams == 0
        fake.token = "wrong-token-wrong-token"
        await fake.stop()
        await fake.start()
        await pilot.press("r")
        await until(lambda: "no nodes yet" in text(app))


async def test_each_try_that_was_refused_is_told(fake: FakeCentral) -> None:
    """Whoever asks to be let in again gets an answer again."""
    async with console(fake, token="wrong-token-wrong-token") as (app, pilot):
        await until(lambda: "─ not let in ─" in text(app))
        await pilot.press("escape")
        await until(lambda: not isinstance(app.screen, NotLetIn))
        await pilot.press("r")
        await until(lambda: "not let in, try 2" in text(app))
        await pilot.press("r")
        await until(lambda: "not let in, try 3" in text(app))


async def test_a_try_after_a_refusal_is_seen(fake: FakeCentral) -> None:
    """Central may take its time to answer; until then the console says what it does."""
    async with console(fake, token="wrong-token-wrong-token") as (app, pilot):
        await until(lambda: isinstance(app.screen, NotLetIn))
        fake.token = "wrong-token-wrong-token"
        await fake.stop()
        await fake.start()
        fake.answers.clear()
        await pilot.press("r")
        await until(lambda: f"trying {app.feed.address} again" in text(app))
        assert "connecting" in text(app)
        fake.answers.set()
        await until(lambda: "no nodes yet" in text(app) and "trying" not in text(app))


async def test_another_database_behind_the_same_address(fake: FakeCentral) -> None:
    for number in range(30):
        fake.say(f"old {number}")

    async with console(fake) as (app, pilot):
        await pilot.press("3")
        await until(lambda: "old 29" in text(app))
        await fake.stop()
        fake.journal.clear()
        fake.epoch = "e2"
        fake.say("the first of the new")
        await fake.start()
        await until(lambda: "the first of the new" in text(app))
        assert "old 2" not in text(app)


@pytest.mark.fault(55)
@pytest.mark.parametrize(
    "event",
    [
        b"event: delta\ndata: {]\n\n",
        b'event: delta\ndata: {"now": "soon"}\n\n',
        b"event: snapshot\ndata: \xff\xfe\n\n",
        b"event: delta\ndata: " + b"[" * 20_000 + b"\n\n",
    ],
)
async def test_nonsense_from_central_is_a_loss_like_any_other(
    fake: FakeCentral, event: bytes
) -> None:
    fake.put(view("ams1"))

    async with console(fake) as (app, _):
        fake.send_raw(event)
        await until(lambda: "central unreachable" in text(app))
        await until(lambda: "unreachable" not in text(app))


async def test_events_of_a_later_version_are_passed_over(fake: FakeCentral) -> None:
    async with console(fake) as (app, _):
        fake.send_raw(b'event: weather\ndata: {"rain": true}\n\n')
        fake.put(view("ams1"))
        await until(lambda: row_of(app, "ams1"))
        assert app.feed.link == "live"


async def test_the_journal_gives_its_room_to_the_text(fake: FakeCentral) -> None:
    """At 80 columns the glyph is the level, and a name is whole if it has at most 24 letters."""
    fake.say("missed a poll", level="warning", node="node-10")
    fake.say("is up", node="weather-station-north-01")

    async with console(fake) as (app, pilot):
        await pilot.press("3")
        await until(lambda: "▲ node-10                  missed a poll" in text(app))
        assert "· weather-station-north-01 is up" in text(app)
        await pilot.resize_terminal(*LARGE)
        await until(lambda: "▲ warning node-10                  missed a poll" in text(app))


async def test_the_first_thing_seen_of_the_journal_is_its_end(fake: FakeCentral) -> None:
    """Nothing scrolls by on the way to the newest line."""
    for number in range(100):
        fake.say(f"line {number} of the tale")

    async with console(fake) as (app, _):
        seen: list[str] = []
        app.do_journal()
        while "line 99 of" not in text(app):
            await asyncio.sleep(0)
            seen.append(text(app))

    assert not any("line 0 of" in screen or "nothing in" in screen for screen in seen)


@pytest.mark.fault(59)
async def test_a_flood_of_journal_lines_leaves_the_console_answering(fake: FakeCentral) -> None:
    """10,000 a second, for as long as it takes: the newest are kept, the others stay at central."""
    answered, numbers = asyncio.Event(), itertools.count(1)

    async def flood() -> None:
        while not answered.is_set() or len(fake.journal) < 10_000:
            fake.journal += (new := [tale(next(numbers)) for _ in range(100)])
            fake.send(journal=new)
            await asyncio.sleep(0.01)

    async with console(fake) as (app, pilot):
        flooding = asyncio.create_task(flood())
        for key in ("3", "2", "1", "3"):
            seen = app.screen
            await pilot.press(key)
            await until(lambda seen=seen: app.screen is not seen)  # type: ignore[misc]
        answered.set()
        await flooding
        await until_seen(app, f"line {len(fake.journal)} of the tale")
        assert len(app.store.journal) == JOURNAL_LINES


def tale(number: int) -> JournalLine:
    said = f"line {number} of the tale"
    return JournalLine(seq=number, ts=now_us(), level="info", kind="test", node=None, text=said)


async def test_the_journal_follows_until_somebody_scrolls_up(fake: FakeCentral) -> None:
    for number in range(100):
        fake.say(f"line {number} of the tale")

    async with console(fake) as (app, pilot):
        await pilot.press("3")
        await until(lambda: "line 99 of" in text(app))
        fake.say("line 100 of the tale")
        await until(lambda: "line 100 of" in text(app))
        await pilot.press("pageup")
        await until(lambda: "held here" in text(app))
        top = lines(app)[3]
        fake.say("line 101 of the tale")
        pane = app.screen.query_one(JournalPane)
        await until(lambda: len(pane.keys) == 102)
        assert lines(app)[3] == top
        await pilot.press("G")
        await until(lambda: "line 101 of" in text(app) and "following" in text(app))


@SIZES
async def test_another_token_is_tried_at_once(fake: FakeCentral, size: tuple[int, int]) -> None:
    """It is not shown, and one that can be none is not sent."""
    fake.put(view("ams1"))

    async with console(fake, size, token="wrong-token-wrong-token") as (app, pilot):
        await until(lambda: isinstance(app.screen, NotLetIn))
        await until(lambda: app.focused is not None)
        app.screen.query_one("#token").focus()
        await pilot.press(*"short", "enter")
        await until(lambda: "a token is 16 or more" in text(app))
        await pilot.press("ctrl+u", *fake.token)
        assert fake.token not in text(app)
        await pilot.press("enter")
        await until(lambda: "● UP" in row_of(app, "ams1"))
        await pilot.press("p")
        await until(lambda: "into central?" in text(app))
