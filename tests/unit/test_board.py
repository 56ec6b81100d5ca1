"""The board: no console misses how a run ended, however many there are at a time."""

import pytest

from central import board as module
from central.board import RUNS_SHOWN, Board
from cluster.protocol.views import JournalLine, Run


def ended(number: int) -> Run:
    return Run(id=number, node="n", kind="pull", mode="full", state="succeeded", asked=1)


def test_runs_that_are_no_longer_shown_are_still_told() -> None:
    board = Board()

    with board.watch() as watcher:
        for number in range(250):
            board.show_run(ended(number))

        assert len(board.runs) == RUNS_SHOWN
        assert list(watcher.runs) == list(range(250))
        watcher.clear()
        board.show_run(ended(250))
        assert list(watcher.runs) == [250]


def test_a_console_that_is_too_far_behind_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a slow one only so much is kept."""
    monkeypatch.setattr(module, "RUNS_BEHIND_MAX", 20)
    monkeypatch.setattr(module, "LINES_BEHIND_MAX", 20)
    board = Board()

    with board.watch() as by_runs, board.watch() as by_lines:
        for number in range(25):
            board.show_run(ended(number % 5 if number < 20 else number))
        by_lines.clear()
        assert not by_runs.ended
        for number in range(25):
            board.show_line(
                JournalLine(seq=number, ts=1, level="info", kind="k", node=None, text="t")
            )

        assert by_runs.ended
        assert by_lines.ended
        assert not by_lines.lines
