"""Plots: fixed scales, honest gaps."""

import pytest

from cluster.protocol.views import ClockPoint, PollPoint
from console.history import History, Spark
from console.plot import Point, chart, curve, scale_of, spark
from tests.console.fake_central import view

SECOND = 1_000_000


def text(rows: list[list[int]]) -> list[str]:
    return ["".join(chr(0x2800 + bits) if bits else " " for bits in row) for row in rows]


def test_a_steady_value_is_a_line_in_the_middle() -> None:
    points: list[Point] = [(second * SECOND, 0.0) for second in range(11)]

    rows = text(curve(points, 10, 3, (0, 10 * SECOND), -1, 1))

    assert rows[0] == rows[2] == " " * 10
    assert " " not in rows[1]


def test_a_missed_poll_is_a_gap_and_not_a_healthy_line() -> None:
    points: list[Point] = [(second * SECOND, 0.0) for second in range(11)]
    points[4:7] = [(second * SECOND, None) for second in (4, 5, 6)]

    (row,) = text(curve(points, 10, 1, (0, 10 * SECOND), -1, 1))

    assert row[3:6].strip("\u2800 ") == ""
    assert row[0] != " "
    assert row[9] != " "


def test_silence_for_minutes_is_a_gap_too() -> None:
    (row,) = text(curve([(0, 0.0), (600 * SECOND, 0.0)], 10, 1, (0, 600 * SECOND), -1, 1))

    assert row[1:9].strip() == ""


def test_what_is_beyond_the_scale_is_drawn_at_its_edge() -> None:
    rows = text(curve([(0, 99.0), (10, -99.0)], 1, 2, (0, 10), -1, 1))

    assert all(row.strip() for row in rows)


@pytest.mark.parametrize(
    ("values", "scale"), [([], 10), ([None], 10), ([3, -9.9], 10), ([-10.1], 100), ([5e9], 1000)]
)
def test_the_scale_is_a_step_of_the_ladder(values: list[float | None], scale: float) -> None:
    assert scale_of(values, (10, 100, 1000)) == scale


def test_a_sparkline_has_a_blank_where_nothing_was_heard() -> None:
    assert spark([-100, 0, None, 100, 5_000], 100) == "▁▅ ██"


@pytest.mark.parametrize("size", [(0, 0), (5, 2), (12, 3), (40, 8), (121, 17)])
def test_a_chart_is_never_larger_than_its_room(size: tuple[int, int]) -> None:
    points: list[Point] = [(second * SECOND, second - 5.0) for second in range(11)]

    lines = chart(
        (("drift", "plain"),),
        [(points, "primary"), (points, "success")],
        size=size,
        span_us=(0, 10 * SECOND),
        low=-5,
        high=5,
        says=lambda value: f"{value:+.0f}ms",
        began="-4m",
    )

    assert len(lines) <= max(size[1], 1)
    assert all(sum(len(piece) for piece, _ in line) <= max(size[0], 5) for line in lines)


def test_a_history_joins_what_central_remembers_with_what_comes() -> None:
    clock = [ClockPoint(second * SECOND, 2.0, 1.0) for second in (1, 2, 4)]
    polls = [
        PollPoint(1 * SECOND, 1.0, 100, 90),
        PollPoint(2 * SECOND, 1.0, 110, 110),
        PollPoint(3 * SECOND, None, None, 110),
        PollPoint(4 * SECOND, 1.0, 130, 120),
    ]
    history = History.of(clock, polls)

    history.take(view("n", at_node=150, at_central=120, last_seen=5 * SECOND), 5 * SECOND)
    history.take(view("n", "suspect", failures=1, last_seen=5 * SECOND), 6 * SECOND)

    assert [point[1] for point in history.drift_ms(0)] == [2.0, 2.0, None, 2.0, 2.3, None]
    assert [point[1] for point in history.made_per_s(0)] == [10, None, None, 20, None]
    assert [point[1] for point in history.kept_per_s(0)] == [20, 0, 10, 0, 880]
    assert history.missed(0) == (4, 2)


def test_the_same_view_twice_is_one_point() -> None:
    history, seen = History(), view("n", last_seen=5 * SECOND)

    for _ in range(3):
        history.take(seen, 6 * SECOND)

    assert len(history.drift_ms(0)) == 1


def test_a_spark_keeps_the_last_value_of_each_quarter_of_a_minute() -> None:
    kept = Spark()

    for second, value in ((0, 1.0), (14, 2.0), (15, 3.0), (61, 4.0)):
        kept.add(second * SECOND, value)

    assert kept.values() == (2.0, 3.0, None, None, 4.0)
