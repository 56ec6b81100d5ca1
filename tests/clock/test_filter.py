"""What the filter remembers of delays is bounded, in time and in number."""

from cluster.clock.filter import WINDOW_MAX, WINDOW_MIN, WINDOW_S, Delays


def lowest_after(count: int, every_s: float) -> float:
    """The lowest delay known, after one of 1 s and so many of 2 s."""
    delays = Delays()
    delays.take(0.0, 1.0)
    for number in range(1, count + 1):
        delays.take(number * every_s, 2.0)
    return delays.lowest


def test_an_hour_is_remembered() -> None:
    assert lowest_after(100, WINDOW_S / 100) == 1.0
    assert lowest_after(100, WINDOW_S / 99) == 2.0


def test_of_rare_samples_a_few_are_remembered_for_longer() -> None:
    assert lowest_after(WINDOW_MIN - 1, WINDOW_S) == 1.0
    assert lowest_after(WINDOW_MIN, WINDOW_S) == 2.0


def test_however_many_come_only_so_many_are_remembered() -> None:
    """Whoever polls without a pause would fill the memory of a node for an hour."""
    assert lowest_after(WINDOW_MAX - 1, 0.001) == 1.0
    assert lowest_after(WINDOW_MAX, 0.001) == 2.0
