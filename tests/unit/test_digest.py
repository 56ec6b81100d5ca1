"""Digests: they add and subtract like the sets they stand for; windows cut every set alike."""

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cluster.digest import (
    EMPTY,
    ID_DIGITS,
    MODULUS,
    Digest,
    bounds,
    children,
    common_window,
)

HASHES = st.integers(0, MODULUS - 1)
DIGESTS = st.builds(Digest, st.integers(-(10**9), 10**9), HASHES)
IDS = st.binary(min_size=16, max_size=16)
WINDOWS = st.text("0123456789abcdef", max_size=ID_DIGITS)


def of(hashes: list[int]) -> Digest:
    """The digest of a set, element by element."""
    return sum((Digest(1, value) for value in hashes), EMPTY)


@settings(max_examples=60, deadline=None)
@given(DIGESTS, DIGESTS, DIGESTS)
def test_digests_are_a_commutative_group(one: Digest, two: Digest, three: Digest) -> None:
    """Any order of adding gives the same; what was added can be taken away again."""
    assert one + two == two + one
    assert (one + two) + three == one + (two + three)
    assert one + EMPTY == one
    assert one + two - two == one
    assert one - one == EMPTY
    assert one - (two + three) == (one - two) - three


@settings(max_examples=60, deadline=None)
@given(st.lists(HASHES), st.lists(HASHES))
@example([MODULUS - 1] * 5, [MODULUS - 1])
def test_a_digest_is_that_of_the_set_and_not_of_its_order(
    shared: list[int], own: list[int]
) -> None:
    """The difference of two digests is the digest of what only one side holds."""
    both = shared + own

    backwards = of(both[::-1])

    assert backwards == of(both) == Digest(len(both), sum(both) % MODULUS)
    assert of(both) - of(shared) == of(own)


@settings(max_examples=60, deadline=None)
@given(DIGESTS)
@example(Digest(1, MODULUS - 1))
@example(EMPTY)
def test_a_digest_is_read_as_it_is_written(digest: Digest) -> None:
    """16 hex digits, always."""
    assert len(digest.text) == 16
    assert Digest.parse(digest.count, digest.text) == digest


@pytest.mark.parametrize("text", ["", "x", "-1", "8000000000000000", "f" * 16, "1" * 17])
def test_what_is_no_63_bit_sum_is_refused(text: str) -> None:
    """A peer's digest that cannot be one is an error, not a wrapped number."""
    with pytest.raises(ValueError, match=r"."):
        Digest.parse(1, text)


@settings(max_examples=60, deadline=None)
@given(IDS, st.integers(0, ID_DIGITS - 1))
def test_each_id_is_in_exactly_one_child_of_its_window(record_id: bytes, length: int) -> None:
    """The 16 children of a window part it: nothing falls between, nothing is in two."""
    window = record_id.hex()[:length]

    holders = [
        child for child in children(window) if bounds(child)[0] <= record_id <= bounds(child)[1]
    ]

    assert holders == [record_id.hex()[: length + 1]]


@settings(max_examples=60, deadline=None)
@given(WINDOWS.filter(lambda window: len(window) < ID_DIGITS))
def test_children_lie_side_by_side_and_fill_their_window(window: str) -> None:
    """First to last, without a gap of even one id."""
    limits = [bounds(child) for child in children(window)]

    assert (limits[0][0], limits[-1][1]) == bounds(window)
    for (_, high), (low, _) in pairwise(limits):
        assert int.from_bytes(low, "big") == int.from_bytes(high, "big") + 1


@settings(max_examples=60, deadline=None)
@given(IDS, IDS)
@example(b"\x00" * 16, b"\xff" * 16)
@example(b"\x01" * 16, b"\x01" * 16)
def test_the_common_window_is_the_smallest_that_holds_both(one: bytes, other: bytes) -> None:
    """Both ends are in it; in none of its children are both."""
    low, high = sorted((one, other))

    window = common_window(low, high)

    assert bounds(window)[0] <= low <= high <= bounds(window)[1]
    if low != high:
        assert low.hex()[: len(window) + 1] != high.hex()[: len(window) + 1]
    else:
        assert window == low.hex()
