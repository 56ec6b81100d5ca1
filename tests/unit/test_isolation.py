"""When central is cut off rather than its nodes down: the whole table."""

import pytest

from central.isolation import Isolation


@pytest.mark.parametrize(
    ("story", "isolated"),
    [
        ("", False),
        ("a- b- c- d-", False),  # none was up before
        ("a+ a- a- a-", False),  # a cluster of one node
        ("a+ b+ a- b-", False),  # or of two is never enough
        ("a+ b+ c+ a- b-", False),
        ("a+ b+ c+ a- b- c-", True),
        ("a+ b+ c+ a- b- b- b-", False),  # three misses, but of two nodes
        ("a+ b+ c+ d+ e+ f+ a- b- c-", False),  # half is not more than half
        ("a+ b+ c+ d+ e+ f+ a- b- c- d-", True),
        ("a+ b+ c+ d+ e+ f+ a- b- f+ c- d-", False),  # one was heard in between
        ("a+ b+ c+ d+ e+ f+ a- b- f+ c- d- e-", True),  # and then three of the last four not
        ("a+ b+ c+ a- b- c- a- b- c-", True),
        ("a+ b+ c+ a- b- c- b+", False),
        ("a+ b+ c+ a- b- c- x+", False),  # any sign of life will do
        ("a+ b+ c+ d+ e+ e0 d0 a- b- c-", True),  # removed ones are nobody's majority
        ("a+ b+ c+ a- a0 b- c-", False),
    ],
)
def test_silence_of_most_and_of_at_least_three(story: str, isolated: bool) -> None:
    """+: heard, -: silent, 0: removed."""
    isolation = Isolation()

    for step in story.split():
        verbs = {"+": isolation.hear, "-": isolation.miss, "0": isolation.forget}
        verbs[step[1]](step[0])

    assert isolation.isolated == isolated


def test_its_beginning_and_its_end_are_told_once() -> None:
    isolation = Isolation()
    for name in "abc":
        isolation.hear(name)

    begun = [isolation.miss(name) for name in "abcabc"]
    ended = [isolation.hear(name) for name in "abc"]

    assert begun == [False, False, True, False, False, False]
    assert ended == [True, False, False]
