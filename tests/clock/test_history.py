"""How a node went: fine for ten minutes, a point now and then for a day, no more than that."""

import itertools

from central.history import MINUTES, POLLS, ClockHistory, PollHistory
from cluster.protocol.views import ClockPoint, PollPoint

SECOND_US = 1_000_000


def test_the_last_polls_are_all_there() -> None:
    history = ClockHistory()
    points = [ClockPoint(second * SECOND_US, float(second), 0.5) for second in range(100)]
    for point in points:
        history.add(point)

    assert history.points() == points
    assert history.points(90 * SECOND_US) == points[90:]


def test_what_is_older_is_a_point_a_minute() -> None:
    """An hour of polls: ten minutes of them in full, the other fifty as fifty points."""
    history = ClockHistory()
    for second in range(3600):
        history.add(ClockPoint(second * SECOND_US, 1.0, 0.5))

    points = history.points()

    assert len(points) == 50 + POLLS
    assert [point.ts // SECOND_US for point in points[:3]] == [0, 60, 120]
    assert all(before.ts < after.ts for before, after in itertools.pairwise(points))


def test_two_days_take_no_more_room_than_one() -> None:
    history = ClockHistory()
    for minute in range(2 * MINUTES):
        history.add(ClockPoint(minute * 60 * SECOND_US, 1.0, 0.5))

    points = history.points()

    assert points[-1].ts == (2 * MINUTES - 1) * 60 * SECOND_US
    assert len(points) == MINUTES


def test_a_missed_poll_is_a_point_too() -> None:
    history = PollHistory()
    points = [
        PollPoint(1 * SECOND_US, 1.5, 10, 8),
        PollPoint(2 * SECOND_US, None, None, 8),
        PollPoint(3 * SECOND_US, 0.0, 0, 0),
    ]
    for point in points:
        history.add(point)

    assert history.points() == points
    assert history.points(2 * SECOND_US) == points[1:]


def test_a_miss_of_an_hour_ago_is_a_gap_still() -> None:
    """A node that was away for three minutes, and what a day's plot knows of it."""
    history = PollHistory()
    for second in range(3600):
        away = 300 <= second < 480
        rtt_ms, at_node = (None, None) if away else (1.0, second)
        history.add(PollPoint(second * SECOND_US, rtt_ms, at_node, 0))

    minutes = history.points()[:50]

    assert [point.ts // SECOND_US for point in minutes if point.rtt_ms is None] == [300, 360, 420]
