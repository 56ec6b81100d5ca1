"""Pace: what is due grows with time at the rate in force, and never piles up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.pace import BEHIND_S_MAX, TICK_S, Pace

HOUR_S = 3600.0


def made(pace: Pace, start_s: float, seconds: float) -> int:
    """Look whenever it says so for so many seconds; how many became due."""
    now_s, total = start_s, 0
    while (wait_s := pace.wait_s()) is not None and now_s + wait_s <= start_s + seconds:
        now_s += wait_s
        total += (count := pace.due(now_s))
        pace.made(count)
    return total


@given(st.floats(0.01, 10_000), st.floats(1, 60))
def test_what_it_gives_in_a_time_is_the_rate(rate: float, seconds: float) -> None:
    """Whatever the rate, to within a tick and a reading."""
    count = made(Pace(rate, 7.0), 7.0, seconds)

    assert count == pytest.approx(rate * seconds, abs=2 + rate * TICK_S * 1.01)


def test_an_hour_of_rest_is_not_made_up_for() -> None:
    """A source that was stopped has nothing to say of that time."""
    pace = Pace(10.0, 0.0)
    pace.set(0.0, 10.0)

    assert pace.wait_s() is None
    assert pace.due(HOUR_S) == 0

    pace.set(10.0, HOUR_S)

    assert pace.due(HOUR_S) == 0
    assert pace.due(HOUR_S + 1) == 10


def test_a_new_rate_counts_from_now_on() -> None:
    pace = Pace(0.001, 0.0)
    pace.set(100.0, 500.0)

    assert pace.due(500.0) == 0
    assert pace.due(501.0) == 100


def test_what_could_not_be_made_is_made_up_for_within_limits() -> None:
    """After an hour with a full disk the store is not flooded."""
    pace = Pace(10.0, 0.0)

    assert pace.due(2.0) == 20
    assert pace.due(HOUR_S) == 10 * BEHIND_S_MAX + 1
