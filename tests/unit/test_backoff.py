"""Backoff: waits are drawn between zero and a ceiling that doubles up to a cap."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.backoff import Backoff

SECONDS = st.floats(min_value=0.001, max_value=1000.0)


class Highest(Random):
    """The unluckiest generator: always the top of the range."""

    def uniform(self, a: float, b: float) -> float:
        return b


def test_the_ceiling_doubles_up_to_the_cap() -> None:
    backoff = Backoff(0.5, 10.0, Highest())

    assert [backoff.next_s() for _ in range(7)] == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_a_success_starts_again_from_the_base() -> None:
    backoff = Backoff(1.0, 60.0, Highest())
    for _ in range(5):
        backoff.next_s()

    backoff.reset()

    assert backoff.next_s() == 1.0


@settings(deadline=None)
@given(base_s=SECONDS, cap_s=SECONDS, seed=st.integers())
def test_no_wait_is_negative_or_above_the_cap(base_s: float, cap_s: float, seed: int) -> None:
    backoff = Backoff(base_s, cap_s, Random(seed))

    assert all(0.0 <= backoff.next_s() <= cap_s for _ in range(100))


def test_two_who_failed_together_return_apart() -> None:
    one, other = Backoff(1.0, 60.0, Random("one")), Backoff(1.0, 60.0, Random("other"))

    assert all(one.next_s() != other.next_s() for _ in range(10))


def test_the_jitter_is_full() -> None:
    """The mean wait is half of the ceiling, and waits come close to both ends."""
    backoff = Backoff(8.0, 8.0, Random("jitter"))

    waits = [backoff.next_s() for _ in range(10_000)]

    assert sum(waits) / len(waits) == pytest.approx(4.0, rel=0.05)
    assert min(waits) < 0.01
    assert max(waits) > 7.99


@pytest.mark.parametrize(("base_s", "cap_s"), [(0.0, 1.0), (1.0, 0.0), (-1.0, 1.0)])
def test_a_backoff_that_would_never_wait_is_refused(base_s: float, cap_s: float) -> None:
    with pytest.raises(ValueError, match="above zero"):
        Backoff(base_s, cap_s, Random())
