"""Page size: as many records as come in about a second, within limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from central.page_size import FIRST, LEAST, MOST, TARGET_S, PageSize


def after(line_records_per_s: float, pages: int) -> PageSize:
    """What is learned from full pages over a line of such a speed."""
    size = PageSize()
    for _ in range(pages):
        size.took(size.records, size.records / line_records_per_s)
    return size


def test_quick_pages_grow_to_the_most() -> None:
    """A fast line gets 20,000 records a page after few pages, and never more."""
    assert after(1e6, 2).records == MOST == 20_000
    assert after(1e9, 50).records == MOST


def test_slow_pages_shrink_to_the_least() -> None:
    """On a line of one record in four seconds, each comes alone: it may be 64 KiB."""
    assert after(10, 1).records < FIRST
    assert after(0.25, 5).records == LEAST == 1


@pytest.mark.parametrize("speed", [200.0, 2_000.0, 9_000.0])
def test_a_page_comes_to_take_about_a_second(speed: float) -> None:
    """Whatever the line."""
    assert after(speed, 8).records / speed == pytest.approx(TARGET_S, rel=0.05)


def test_one_quick_page_does_not_overdo_it() -> None:
    """It may have been luck: four times as many at most."""
    assert after(1e9, 1).records == 4 * FIRST


def test_a_page_that_fails_makes_the_next_ones_smaller_down_to_the_least() -> None:
    """A page that never comes at a size may come at a quarter of it."""
    size = PageSize()
    size.failed()

    assert size.records == FIRST // 4

    for _ in range(20):
        size.failed()

    assert size.records == LEAST


@pytest.mark.parametrize("seconds", [0.0, 0.001, 60.0])
def test_the_short_page_at_the_end_tells_nothing(seconds: float) -> None:
    """Ten records in a millisecond do not say that 20,000 come as quickly."""
    size = PageSize()

    size.took(10, seconds)
    size.took(0, seconds)

    assert size.records == FIRST


@given(
    st.lists(
        st.one_of(
            st.none(),
            st.tuples(st.sampled_from([0.0, 0.3, 0.5, 1.0]), st.floats(0, 1e6)),
        )
    )
)
def test_it_is_always_within_the_limits(story: list[tuple[float, float] | None]) -> None:
    """Whatever comes, however odd the clock, the size is one that a node takes."""
    size = PageSize()
    for page in story:
        if page is None:
            size.failed()
        else:
            share, seconds = page
            size.took(int(size.records * share), seconds)

        assert LEAST <= size.records <= MOST
