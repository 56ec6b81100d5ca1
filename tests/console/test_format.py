"""How values look, and that text from elsewhere cannot do more than be read."""

import pytest
from rich.cells import cell_len

from console import format as fmt

HOSTILE = (
    "[@click=app.quit]x[/]",
    "[/nope] [bold",
    "\x1b[2J\x1b]0;gone\x07\r\n\tend",
    "abc\u202edcba\u2066x\u200b\u200d\ufeffy",
    "👩\u200d🚀 測試 e\u0301\u0301\u0301 \U000e0041",
    "x" * 10_000,
    "\ud800 lone",
)


def test_counts_have_separators_and_zero_is_not_no_value() -> None:
    assert [fmt.count(n) for n in (1_234_567, 0, None)] == ["1,234,567", "-", "--"]
    assert fmt.fit(12_345_678, 10) == "12,345,678"
    assert fmt.fit(12_345_678, 10, "~") == "~12.3M"


def test_names_sort_as_people_count() -> None:
    """node-2 comes before node-10, whatever the letters around the number."""
    names = ["node-10", "node-2", "n1b10", "n1b9", "node", "node-1"]

    assert sorted(names, key=fmt.natural) == [
        "n1b9",
        "n1b10",
        "node",
        "node-1",
        "node-2",
        "node-10",
    ]


@pytest.mark.parametrize(
    ("ms", "shown"),
    [(3.14, "+3.1ms"), (-0.04, "+0.0ms"), (2410.0, "+2.41s"), (5.4e6, "+90.0m"), (None, "--")],
)
def test_a_drift_is_always_signed(ms: float | None, shown: str) -> None:
    assert fmt.drift(ms) == shown


@pytest.mark.parametrize("exponent", range(15))
def test_a_drift_fits_its_column(exponent: int) -> None:
    assert len(fmt.drift(-(10.0**exponent) * 1.0001)) <= 8


def test_durations() -> None:
    assert [fmt.span(s) for s in (-3, 24, 118, 3_723)] == ["0:00", "0:24", "1:58", "1:02:03"]
    assert [fmt.took(s) for s in (0.21, 65.0, None)] == ["0.2s", "1:05", "--"]
    assert [fmt.age(s) for s in (2.9, 130, 7_300, 200_000)] == ["2s", "2m", "2h", "2d"]


@pytest.mark.parametrize("number", [0, 999, 999.6, 1_200, 999_499, 999_600, 13_900_000, 4e15])
def test_short_numbers_are_short(number: float) -> None:
    assert len(fmt.short(number)) <= 6


def test_a_time_outside_the_calendar_is_no_value() -> None:
    assert fmt.clock_time(2**62) == fmt.clock_time(None) == "--"


@pytest.mark.parametrize("raw", HOSTILE)
def test_nothing_invisible_is_left_in_safe_text(raw: str) -> None:
    shown = fmt.safe(raw)

    assert shown.isprintable()
    assert len(shown) <= fmt.TEXT_MAX
    assert all(cell_len(character) > 0 for character in shown)
    assert not set(shown) & set("\u202e\u2066\u200b\u200d\ufeff\x1b")


@pytest.mark.parametrize("raw", HOSTILE)
@pytest.mark.parametrize("width", [0, 1, 2, 9, 40])
def test_padding_gives_exactly_the_cells_that_were_asked_for(raw: str, width: int) -> None:
    assert cell_len(fmt.left(fmt.safe(raw), width)) == width
    assert cell_len(fmt.right(fmt.safe(raw), width)) == width


def test_cutting_shows_that_something_is_missing() -> None:
    assert fmt.cut("abcdef", 4) == "abc…"
    assert fmt.cut("測試測試", 4) == "測…"
    assert fmt.cut("abc", 3) == "abc"
