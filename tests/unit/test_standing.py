"""What a poll tells of two sets: a table of what is proven, explained, or neither."""

import pytest

from central.standing import Comparison, Head, Standing, Tidemark, judge
from cluster.digest import EMPTY, Digest
from cluster.protocol.shared import RecordCounts

OWN = Digest(100, 5_000)
EPOCH = "e1"


def counts(count: int, position: int, total: int) -> RecordCounts:
    return RecordCounts(count, position, Digest(count, total).text)


def standing(**known: int | Digest) -> Standing:
    """Compared at position 100 of this epoch, with what was found there."""
    comparison = Comparison(EPOCH, 100, **known)  # type: ignore[arg-type]  # a test's short form
    return Standing(Tidemark(EPOCH, 100), comparison)


def test_equal_digests_are_a_proof_whatever_is_remembered() -> None:
    """The proof needs no tidemark and no comparison."""
    for remembered in (Standing(), standing(missing_at_node=7)):
        told = judge(EPOCH, counts(100, 100, 5_000), OWN, remembered)

        assert told.data == "in_sync"
        assert (told.records.missing_at_central, told.records.missing_at_node) == (0, 0)


def test_what_was_stored_since_is_missing_at_central() -> None:
    """Positions have no gaps, so the tail can be counted."""
    told = judge(EPOCH, counts(130, 130, 9_999), OWN, standing())

    assert (told.data, told.explained) == ("behind", True)
    assert (told.records.missing_at_central, told.records.missing_at_node) == (30, 0)


def test_a_head_that_the_node_has_gone_back_behind_is_worth_nothing() -> None:
    """Its file is an older copy of the same: what is known of it is known all the same."""
    own = Digest(20, 700)
    known = Comparison(EPOCH, 0, difference=EMPTY - own, missing_at_node=20)
    remembered = Standing(Tidemark(EPOCH, 0), known, Head(EPOCH, 41, 61))

    told = judge(EPOCH, counts(0, 0, 0), own, remembered)

    assert (told.data, told.explained) == ("behind", True)
    assert (told.records.missing_at_central, told.records.missing_at_node) == (0, 20)


def test_the_known_difference_stays_known() -> None:
    """Nothing moved since the comparison: its numbers hold, exactly."""
    remembered = standing(difference=Digest(90, 5_000) - OWN, missing_at_node=10)

    told = judge(EPOCH, counts(90, 100, 5_000), OWN, remembered)

    assert (told.data, told.records.missing_at_node) == ("behind", 10)


def test_the_known_difference_and_the_tail_add_up() -> None:
    """A refilled node goes on collecting before anybody pulls."""
    remembered = standing(difference=Digest(90, 5_000) - OWN, missing_at_node=10)

    told = judge(EPOCH, counts(93, 103, 6_000), OWN, remembered)

    assert (told.records.missing_at_central, told.records.missing_at_node) == (3, 10)


@pytest.mark.parametrize(
    ("epoch", "now", "why"),
    [
        (EPOCH, counts(100, 100, 4_999), "another sum at the same position"),
        (EPOCH, counts(129, 130, 9_999), "a record is gone behind the node's back"),
        (EPOCH, counts(80, 80, 4_000), "the position ran backwards"),
        ("e2", counts(5, 5, 77), "another database"),
    ],
)
def test_what_is_not_explained_is_not_guessed(epoch: str, now: RecordCounts, why: str) -> None:
    """Then only a comparison can tell, and no number is shown until it has."""
    told = judge(epoch, now, OWN, standing())

    assert (told.data, told.explained) == ("unknown", False), why
    assert told.records.missing_at_central is None


@pytest.mark.parametrize("known", [{"conflicts": 1}, {"rejected": 1}])
def test_what_neither_pull_nor_push_can_mend_is_diverged(known: dict[str, int]) -> None:
    """Conflicts and rows that central cannot take need a person."""
    now = counts(101, 100, 5_001)
    remembered = standing(difference=now.as_digest() - OWN, **known)

    assert judge(EPOCH, now, OWN, remembered).data == "diverged"


def test_a_head_that_the_comparison_covers_is_not_counted_again() -> None:
    """Central took the newest records first; the tail is only what came after the comparison."""
    known = Comparison(EPOCH, 100, Digest(0, 45), conflicts=45)
    before = Standing(Tidemark(EPOCH, 20), known, Head(EPOCH, 60, 100))

    told = judge(EPOCH, counts(100, 100, 45), Digest(100, 0), before)

    assert (told.explained, told.data, told.conflicts) == (True, "diverged", 45)
    since = Standing(Tidemark(EPOCH, 20), known, Head(EPOCH, 90, 105))
    told = judge(EPOCH, counts(110, 110, 45), Digest(105, 0), since)
    assert told.records.missing_at_central == 5
