"""What an operator starts: always asked with numbers, never by habit, always answered."""

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Button, Input

from cluster.peer import PeerFailed
from cluster.problem import Refusal
from console.app import ConsoleApp
from console.commands import explain
from console.dialog import Confirm, Dialog
from console.screens.acting import ActingView
from tests.console.conftest import LARGE, SIZES, SMALL, console, lines, row_of, text, until
from tests.console.fake_central import FakeCentral, now_us, view


def put_three(fake: FakeCentral) -> None:
    fake.put(
        view("lis1", data="behind", at_node=601_324, to_pull=18_422, to_push=7),
        view("ams1"),
        view("rig1", "down", failures=7, next_try=now_us() + 60_000_000),
    )


async def choose(app: ConsoleApp, pilot: Pilot[None], name: str) -> None:
    """Put the cursor on a node."""
    await pilot.press("g")
    for _ in range(10):
        if isinstance(app.view, ActingView) and app.view.selected_node() == name:
            return
        await pilot.press("j")
    raise AssertionError(f"there is no {name}")


@SIZES
@pytest.mark.parametrize(("key", "kind", "number"), [("p", "pull", "18,422"), ("u", "push", "7")])
async def test_one_node_is_confirmed_with_y_after_the_numbers(
    fake: FakeCentral, size: tuple[int, int], key: str, kind: str, number: str
) -> None:
    put_three(fake)

    async with console(fake, size) as (app, pilot):
        await choose(app, pilot, "lis1")
        await pilot.press(key)
        await until(lambda: isinstance(app.screen, Confirm))
        await until(lambda: number in text(app) and "lis1" in text(app))
        assert not fake.asked
        await pilot.press("y")
        await until(lambda: fake.asked == [(kind, "lis1")])
        await until(lambda: f"run 881: {kind} lis1 running" in text(app))
        assert "asking" not in text(app)


async def test_enter_does_not_confirm(fake: FakeCentral) -> None:
    put_three(fake)

    async with console(fake) as (app, pilot):
        for key in ("p", "u"):
            await pilot.press(key)
            await until(lambda: isinstance(app.screen, Confirm))
            assert isinstance(app.focused, Button)
            assert app.focused.id == "no"
            await pilot.press("enter")
            await until(lambda: not isinstance(app.screen, Confirm))
        assert not fake.asked


async def test_a_new_dialog_is_deaf_for_a_moment(fake: FakeCentral) -> None:
    put_three(fake)

    async with console(fake, deaf_s=600) as (app, pilot):
        await pilot.press("p")
        await until(lambda: isinstance(app.screen, Confirm))
        await pilot.press("y", "enter", "escape")
        assert isinstance(app.screen, Confirm)
        assert not fake.asked


@SIZES
@pytest.mark.parametrize(("key", "word"), [("P", "PULL"), ("U", "PUSH")])
async def test_all_nodes_need_the_phrase(
    fake: FakeCentral, size: tuple[int, int], key: str, word: str
) -> None:
    put_three(fake)

    async with console(fake, size) as (app, pilot):
        await pilot.press(key)
        await until(lambda: isinstance(app.screen, Confirm))
        await until(lambda: "1: rig1" in text(app))
        start = app.screen.query_one("#yes", Button)
        for typed in ("", "y", f"{word} 2"):
            app.screen.query_one(Input).value = typed
            await pilot.press("enter")
            assert isinstance(app.screen, Confirm)
            assert start.disabled
            await until(lambda: f"that is not it: type {word.lower()} 3" in text(app))
        app.screen.query_one(Input).value = ""
        await until(lambda: "that is not it" not in text(app))
        await pilot.press(*word.lower(), "space", "3")
        await until(lambda: not start.disabled)
        await pilot.press("enter")
        mode = "incremental" if word == "PULL" else "missing"
        await until(lambda: fake.asked == [(f"{word.lower()}_all", mode)])
        await until(lambda: "3 runs asked for" in text(app))


async def test_keys_of_the_screen_below_do_nothing_in_a_dialog(fake: FakeCentral) -> None:
    put_three(fake)

    async with console(fake) as (app, pilot):
        await pilot.press("p")
        await until(lambda: isinstance(app.screen, Confirm))
        await pilot.press("u", "P", "x", "2", "q", "r")
        assert len([screen for screen in app.screen_stack if isinstance(screen, Dialog)]) == 1
        assert app.current_mode == "fleet"
        await pilot.press("escape")
        await until(lambda: not isinstance(app.screen, Confirm))
        assert app.is_running


@pytest.mark.parametrize(
    ("button", "title"),
    [("⇣ Pull ", "PULL"), ("⇡ Push ", "PUSH"), ("Pull all", "PULL ALL"), ("Push all", "PUSH ALL")],
)
async def test_every_button_asks(fake: FakeCentral, button: str, title: str) -> None:
    put_three(fake)

    async with console(fake) as (app, pilot):
        row = app.size.height - 2
        await until(lambda: button in lines(app)[row] and row_of(app, "rig1"))
        await pilot.click(offset=(lines(app)[row].index(button) + 1, row))
        await until(lambda: isinstance(app.screen, Confirm))
        await until(lambda: f"─ {title} ─" in "\n".join(lines(app)))
        await pilot.click("#no")
        await until(lambda: not isinstance(app.screen, Confirm))


@SIZES
async def test_a_run_is_cancelled_from_the_runs_screen(
    fake: FakeCentral, size: tuple[int, int]
) -> None:
    put_three(fake)
    run = fake._run("pull", "lis1")
    fake._run("pull", "rig1")

    async with console(fake, size) as (app, pilot):
        await pilot.press("2")
        await until(lambda: "waits for node: retry 0:" in text(app))
        for received in (100, 300, 430):
            fake.put_run(msgspec.structs.replace(run, received=received))
            await until(lambda n=received: f"{n}/1.0k" in text(app))  # type: ignore[misc]
        assert "43%" in text(app)
        assert "━" in text(app)
        await until(lambda: "left" in text(app))
        await pilot.press("x")
        await until(lambda: "cancel run 881: pull lis1?" in text(app))
        await pilot.press("y")
        await until(lambda: ("cancel", "881") in fake.asked)
        await until(lambda: "received" in text(app))
        await until(lambda: "cancelled" in text(app))


@pytest.mark.parametrize("size", [SMALL, (120, 33), LARGE], ids=str)
async def test_the_fields_of_open_runs_stand_under_one_another(
    fake: FakeCentral, size: tuple[int, int]
) -> None:
    """However far each run is, every bar, percent, rate and time left has its own columns."""
    names = ("lis1", "prg1", "a-node-with-a-long-name")
    fake.put(*(view(name) for name in names), view("rig1", "down", failures=7))
    runs = [fake._run("pull", name) for name in names]
    fake._run("pull", "rig1")

    async with console(fake, size) as (app, pilot):
        await pilot.press("2")
        for part in (0, 2, 9):
            for run, expected in zip(runs, (32_300, 510, 1_000_000), strict=True):
                moved = msgspec.structs.replace(
                    run, received=expected * part // 10, expected=expected
                )
                fake.put_run(moved)
            await until(lambda n=part: text(app).count(f" {n}0% ") == 3 or not n)  # type: ignore[misc]
        await until(lambda: text(app).count(" left") == 3)
        rows = lines(app)[1:4]
        waits = lines(app)[4]

    for mark in ("━", "%", "/s", " left"):
        assert len({row.rindex(mark) for row in rows}) == 1, mark
    assert len({row.index("━") for row in rows}) == 1
    assert {row.count("━") + row.count("─") for row in rows} == {waits.count("·")}
    assert "waits for node: tried #7" in waits


async def test_a_run_that_ended_reads_so_while_its_row_may_not_move(fake: FakeCentral) -> None:
    """The order is held for the operator, but what stands there is true."""
    put_three(fake)
    run = fake._run("pull", "lis1")

    async with console(fake, hold_order_s=600) as (app, pilot):
        await pilot.press("2")
        await until(lambda: "lis1 " in lines(app)[1])
        await pilot.press("down")
        ended = msgspec.structs.replace(run, state="succeeded", inserted=77, ended=run.asked)
        fake.put_run(ended)
        await until(lambda: " ended " in lines(app)[1])
        assert "ok, 77 new" in lines(app)[1]


async def test_a_refusal_is_shown_in_centrals_words(fake: FakeCentral) -> None:
    put_three(fake)
    fake.refuse = Refusal("busy", "[@click=app.quit]the queue[/] is full\x1b[2J")

    async with console(fake) as (app, pilot):
        await pilot.press("p")
        await until(lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(lambda: "too much work is waiting" in text(app))
        assert "[@click=app.quit]" in text(app)


@pytest.mark.parametrize(
    ("failure", "title", "text"),
    [
        (
            PeerFailed("timeout", "10 s"),
            "No answer from central",
            "it may have been done: see Runs (2)",
        ),
        (
            PeerFailed("reset", "cut"),
            "No answer from central",
            "it may have been done: see Runs (2)",
        ),
        (PeerFailed("refused", "nobody"), "Central did not do it", "refused: nobody"),
        (PeerFailed("auth", "no"), "Central did not do it", "auth: no"),
    ],
)
def test_what_may_have_been_done_is_not_called_undone(
    failure: PeerFailed, title: str, text: str
) -> None:
    """Only who was surely not asked, or said no, did not do it."""
    assert explain(failure) == (title, text)


async def test_it_is_said_at_once_that_central_is_asked(fake: FakeCentral) -> None:
    """Until the answer takes its place; a node that is down is waited for."""
    put_three(fake)

    async with console(fake) as (app, pilot):
        fake.answers.clear()
        await choose(app, pilot, "rig1")
        await pilot.press("p")
        await until(lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(lambda: "asking central to pull rig1…" in text(app))
        fake.answers.set()
        await until(lambda: "run 881: pull rig1 waits until the node is up" in text(app))
        assert "asking" not in text(app)


async def test_no_toast_lies_over_a_dialog_or_a_row(fake: FakeCentral) -> None:
    """What was said goes when a dialog comes; an answer that comes later stands above it."""
    fake.put(*(view(f"node-{number}") for number in range(1, 19)))

    async with console(fake) as (app, pilot):
        await pilot.press("x", "x", "x")
        await until(lambda: "there is no open run here" in text(app))
        await pilot.pause()
        assert text(app).count("there is no open run here") == 1
        assert all(row_of(app, f"node-{number} ") for number in range(1, 19))

        fake.answers.clear()
        await pilot.press("r", "P")
        await until(lambda: "type pull 18 to go on" in text(app))
        assert "no open run" not in text(app)
        assert "polling" not in text(app)
        fake.answers.set()
        await until(lambda: "node-1 is up: in sync" in lines(app)[0])

        await pilot.press("escape", "x")
        await until(lambda: "there is no open run here" in text(app))


async def test_r_polls_the_node(fake: FakeCentral) -> None:
    put_three(fake)

    async with console(fake) as (app, pilot):
        await choose(app, pilot, "ams1")
        await pilot.press("r")
        await until(lambda: fake.asked == [("poll", "ams1")])
        await until(lambda: "ams1 is up: in sync" in text(app))


@SIZES
async def test_a_node_has_a_screen_of_its_own_with_its_runs(
    fake: FakeCentral, size: tuple[int, int]
) -> None:
    put_three(fake)
    run = fake._run("pull", "lis1")
    fake.put_run(msgspec.structs.replace(run, state="failed", ended=run.asked, error="reset"))
    fake._run("push", "ams1")

    async with console(fake, size) as (app, pilot):
        await choose(app, pilot, "lis1")
        await pilot.press("enter")
        await until(lambda: "failed: reset" in text(app))
        await until(lambda: "601,324" in text(app))
        for said in ("601,324", "18,422", "+2.3ms ±3.0ms", "sync st 3", "1.4ms"):
            assert said in text(app)
        assert "882" not in text(app)
        await pilot.press("p")
        await until(lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(lambda: ("pull", "lis1") in fake.asked)
        await until(lambda: not isinstance(app.screen, Dialog))
        await pilot.press("escape")
        await until(lambda: row_of(app, "ams1"))


async def test_help_opens_and_closes(fake: FakeCentral) -> None:
    async with console(fake) as (app, pilot):
        for opens, closes in (("question_mark", "escape"), ("f1", "q")):
            await pilot.press(opens)
            await until(lambda: "node gets what it lacks" in text(app))
            await pilot.press(closes)
            await until(lambda: not isinstance(app.screen, Dialog))
        assert app.is_running
