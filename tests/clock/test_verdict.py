"""The word for a clock: certain to be good, certain to be bad, or in between."""

import pytest

from cluster.clock.state import ClockSummary
from cluster.clock.verdict import ClockWord, Limits, word_of


@pytest.mark.parametrize(
    ("drift_ms", "bound_ms", "word"),
    [
        (98.0, 2.0, "OK"),
        (-98.0, 2.0, "OK"),
        (99.0, 2.0, "WARN"),
        (501.0, 2.0, "WARN"),  # it may be less than 500
        (503.0, 2.0, "BAD"),
        (-503.0, 2.0, "BAD"),
        (0.0, 501.0, "BAD"),  # nobody can tell
    ],
)
def test_the_limits_count_with_the_error_bar(
    drift_ms: float, bound_ms: float, word: ClockWord
) -> None:
    clock = ClockSummary(status="SYNC", drift_ms=drift_ms, bound_ms=bound_ms)

    assert word_of(clock, 60.0, Limits()) == word


def test_a_site_may_set_its_own_limits() -> None:
    clock = ClockSummary(status="SYNC", drift_ms=30.0, bound_ms=1.0)

    assert word_of(clock, 60.0, Limits(ok_ms=1, bad_ms=20)) == "BAD"


def test_ten_minutes_without_a_server_are_bad() -> None:
    clock = ClockSummary(status="UNSYNC")

    assert word_of(clock, 599.9, Limits()) == "UNSYNC"
    assert word_of(clock, 600.0, Limits()) == "BAD"
