"""How plain lines look: columns, colours, and one clear line for wrong use."""

import io
import re
from collections.abc import Mapping

import pytest
from rich.cells import cell_len

from cluster.clock.state import ClockSummary
from cluster.peer import Peer, PeerFailed
from cluster.settings import SettingsWrong, load_beside
from console import __main__ as program
from console.plain.page import Page
from console.plain.program import _explained
from console.plain.table import Column, Table
from console.plain.words import WORDS
from console.settings import ConsoleSettings
from tests.console.fake_central import FakeCentral, view
from tests.console.plain.conftest import Paper, Spoken

COLUMNS = (Column("NAME", 20, least=8), Column("SAYS", 30, least=10), Column("N", 7, number=True))


def test_columns_are_as_wide_as_what_is_in_them() -> None:
    table = Table(COLUMNS, room=80)
    table.fit([(("測試", "plain"), ("ok", "plain"), ("12,345", "plain"))])

    assert text_of(table, "測試", "ok", "7") == "測試 ok        7"
    assert text_of(table, "x" * 99, "ok", "7") == "xxx… ok        7"


def test_a_line_that_is_too_long_is_cut_where_it_can_bear_it() -> None:
    table = Table(COLUMNS, room=30)
    table.fit([(("x" * 20, "plain"), ("y" * 30, "plain"), ("1,000", "plain"))])

    assert text_of(table, "x" * 20, "y" * 30, "1,000") == "xxxxxxxxxxxx… yyyyyyyyy… 1,000"


def text_of(table: Table, *cells: str) -> str:
    return "".join(text for text, _ in table.line(tuple((cell, "plain") for cell in cells)))


@pytest.mark.parametrize("width", [80, 120])
async def test_long_names_and_huge_numbers_keep_the_columns(
    fake: FakeCentral, peer: Peer, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """And fit a terminal, whatever a node says."""
    monkeypatch.setenv("COLUMNS", str(width))
    put_far(fake, "n" * 64, "a", "b", "c")
    status = Spoken("status", peer, terminal=True, environ={"NO_COLOR": "1"})

    await status.done

    assert {cell_len(line) for line in status.lines[:5]} == {width}
    assert "1.0T" in status.lines[1]


async def test_a_script_finds_each_node_by_its_name(fake: FakeCentral, peer: Peer) -> None:
    names = ("a-shop-far-away-number-17", "a-shop-far-away-number-18")
    put_far(fake, *names)
    status = Spoken("status", peer)

    await status.done

    assert [line.split()[0] for line in status.lines[1:3]] == list(names)
    assert cell_len(status.lines[1]) == cell_len(status.lines[2])


def put_far(fake: FakeCentral, *names: str) -> None:
    far = ClockSummary(status="SYNC", drift_ms=-123_456.0, bound_ms=88_888.0)
    huge = 10**12
    for name in names:
        fake.put(view(name, data="behind", at_node=huge, to_pull=huge, to_push=huge, clock=far))


@pytest.mark.parametrize(
    ("terminal", "environ", "coloured"),
    [
        (True, {}, True),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
        (False, {}, False),
    ],
)
def test_colours_are_for_a_terminal_that_wants_them(
    terminal: bool, environ: Mapping[str, str], coloured: bool
) -> None:
    paper = Paper(terminal)

    Page(paper, environ).warn("central is away")

    assert ("\x1b[33m" in paper.getvalue()) is coloured


def test_ascii_stays_ascii_where_a_line_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mark of a cut is a glyph, too."""
    monkeypatch.setenv("COLUMNS", "12")
    paper = Paper(terminal=True)

    Page(paper, {}, ascii_only=True).draw([(("⇣ pull a-long-name", "plain"),)])

    assert paper.getvalue() == "< pull a-l~\n"


@pytest.mark.parametrize("word", WORDS)
def test_each_word_has_a_help_with_examples_and_exit_codes(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        load_beside(ConsoleSettings, "console", ["--help"], {}, word, WORDS[word].fill)

    said = capsys.readouterr().out
    assert f"python -m console {word}" in said.partition("examples:")[2]
    assert "130  Ctrl-C" in said


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon"])
def test_a_timeout_that_nobody_can_wait(seconds: str) -> None:
    argv = ["shop-7", f"--timeout={seconds}"]

    with pytest.raises(SettingsWrong, match="expected seconds above zero"):
        load_beside(ConsoleSettings, "console", argv, {}, "pull", WORDS["pull"].fill)


@pytest.mark.parametrize(
    ("word", "argv", "why"),
    [
        ("cancel", ["0"], "argument RUN: expected `int` >= 1"),
        ("cancel", ["9" * 30], "argument RUN: expected `int` <= 9223372036854775807"),
        ("cancel", ["last"], "argument RUN: expected `int`, got `str`"),
        ("nodes", ["remove", "../../x"], "argument NAME: expected 1-64 of a-z 0-9"),
        ("nodes", ["remove", "a\x1b[2Jb"], "argument NAME: expected 1-64 of a-z 0-9"),
        ("nodes", ["add", "x", "shop-7"], "argument URL: expected http://HOST:PORT and no path"),
        ("nodes", ["add", "x", "http://\udcff:1"], "argument URL: expected http://HOST:PORT"),
    ],
)
def test_what_no_node_and_no_run_is_called_is_wrong_use(
    word: str, argv: list[str], why: str
) -> None:
    """Before central is asked, and before it becomes part of an address."""
    with pytest.raises(SettingsWrong, match=re.escape(why)):
        load_beside(ConsoleSettings, "console", argv, {}, word, WORDS[word].fill)


def test_a_word_that_is_none_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    err = io.StringIO()
    monkeypatch.setattr("sys.argv", ["console", "statsu\x1b[2J"])
    monkeypatch.setattr("sys.stderr", err)

    assert program.main() == 2
    assert err.getvalue().startswith("console: no word 'statsu")
    assert err.getvalue().endswith("there are status, pull, push, cancel, nodes, journal\n")
    assert "\x1b" not in err.getvalue()


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("status", "no answer from central (timeout: none in 10 s)"),
        (
            "push",
            "no answer from central (timeout: none in 10 s); what was asked of it may have "
            "been done",
        ),
    ],
)
def test_only_what_was_to_change_something_may_have_been_done(word: str, said: str) -> None:
    assert _explained(PeerFailed("timeout", "none in 10 s"), word) == (3, said)
