"""When a node flaps: the whole table."""

import pytest

from central.flapping import RESULTS, STEADY_AFTER, Flaps, after


def flaps(results: str) -> Flaps:
    """After results: + answered, - missed."""
    now = Flaps()
    for result in results:
        now = after(now, result == "+")
    return now


@pytest.mark.parametrize(
    ("results", "flapping"),
    [
        ("", False),
        ("+", False),
        ("-", False),
        ("+-+-+-+", False),  # six changes
        ("+-+-+-+-", True),
        ("-+-+-+-+", True),
        ("+-" * 50, True),
        ("+--" * 10, True),
        ("+------" * 10, False),
        ("++++++-" * 10, False),
        ("+-+-+-+" + "+" * RESULTS + "-", False),
        ("+-+-+-+-" + "+" * (STEADY_AFTER - 1), True),
        ("+-+-+-+-" + "+" * STEADY_AFTER, False),
        ("+-+-+-+" + "-" * STEADY_AFTER, False),
        ("+-" * 10 + "+" * STEADY_AFTER + "-+-", False),  # what was before steadiness is over
    ],
)
def test_more_than_six_changes_in_the_last_21_results(results: str, flapping: bool) -> None:
    assert flaps(results).flapping == flapping
