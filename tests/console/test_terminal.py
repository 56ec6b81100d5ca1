"""The terminal and the reader that the console's benchmark trusts."""

import sys

import pytest

from benchmarks.console_feed import Ages
from benchmarks.terminal import terminal

PYTHON = [sys.executable, "-I", "-S", "-c"]


def test_a_thin_line_carries_no_more_than_its_rate_and_loses_nothing() -> None:
    """10 kB at 20 kB/s take half a second, less what a line may carry at once."""
    argv = [
        *PYTHON,
        "import sys; sys.stdout.write('x' * 10_000 + 'end'); sys.stdout.flush(); input()",
    ]

    with terminal(argv, {}, rate=20_000) as opened:
        took_s = opened.until(b"end")

    assert took_s > 0.39
    assert opened.received == 10_003


def test_a_burst_is_timed_from_the_key_and_silence_is_no_burst() -> None:
    """A key that brings nothing forth is told, not counted as fast."""
    argv = [*PYTHON, "print('ready'); input(); print('done'); input()"]

    with terminal(argv, {}) as opened:
        opened.until(b"ready")
        opened.watch(0.05)
        with pytest.raises(TimeoutError):
            opened.burst(0.05)
        opened.press(b"\n")
        first_s, last_s = opened.burst()

    assert 0 < first_s <= last_s < 1.0


def test_the_age_is_that_of_the_newest_time_even_where_it_comes_in_pieces() -> None:
    """Counts of other nodes and old frames do not count; the clock may begin anew."""
    ages = Ages(count=lambda: 7_000_100)

    ages.look(b"1,999,000 records")
    ages.look(b"\x1b[1m 7,999,50")
    ages.look(b"0\x1b[0m")
    ages.look(b"7,000,050")

    assert ages.seen == [0.6, 0.05]
