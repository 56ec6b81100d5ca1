"""Tally: counts add up, and the speed is that of the last seconds."""

from types import SimpleNamespace

import pytest

from central import tally as module
from central.tally import SPEED_S, Tally


class Moves:
    """A tally whose time is told."""

    def __init__(self) -> None:
        self.now_s = 50.0
        self.tally = Tally()

    def move(self, after_s: float, records: int) -> float | None:
        """The speed when so many more records came after so many seconds."""
        self.now_s += after_s
        self.tally.add(received=records, inserted=records, duplicate=0, conflict=0, rejected=0)
        return self.tally.speed()


@pytest.fixture
def moves(monkeypatch: pytest.MonkeyPatch) -> Moves:
    moves = Moves()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: moves.now_s))
    return moves


def test_pages_add_up() -> None:
    """Every kind of outcome by itself."""
    tally = Tally()

    tally.add(received=10, inserted=4, duplicate=3, conflict=2, rejected=1)
    tally.add(received=5, inserted=5, duplicate=0, conflict=0, rejected=0)

    counts = tally.received, tally.inserted, tally.duplicate, tally.conflict, tally.rejected
    assert counts == (15, 9, 3, 2, 1)


def test_one_page_has_no_speed(moves: Moves) -> None:
    """It is not known how long it took; two at the same moment do not tell either."""
    assert moves.move(0, 100) is None
    assert moves.move(0, 100) is None


def test_the_speed_is_records_by_seconds(moves: Moves) -> None:
    moves.move(0, 100)

    assert moves.move(1, 200) == pytest.approx(200)
    assert moves.move(1, 400) == pytest.approx(300)


def test_what_was_long_ago_does_not_count(moves: Moves) -> None:
    """A line that has become slow is called slow within seconds."""
    for _ in range(10):
        moves.move(1, 1_000)

    speeds = [moves.move(1, 10) for _ in range(int(SPEED_S))]

    assert speeds[-1] == pytest.approx(10)


def test_pages_slower_than_the_window_have_a_speed_as_well(moves: Moves) -> None:
    """On the slowest lines people ask most how long it takes."""
    moves.move(0, 50)

    assert moves.move(3 * SPEED_S, 150) == pytest.approx(50 / SPEED_S)
    assert moves.move(3 * SPEED_S, 300) == pytest.approx(100 / SPEED_S)
