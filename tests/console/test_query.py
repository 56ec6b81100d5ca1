"""What somebody types to see fewer rows."""

import pytest

from cluster.protocol.views import JournalLine
from console.query import LineQuery, NodeQuery
from tests.console.fake_central import view

FLEET = (
    view("lis1", data="behind", to_pull=18_422),
    view("rig1", "down", failures=7, reason="refused"),
    view("ams1", rtt_ms=40.0),
)


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("", ["lis1", "rig1", "ams1"]),
        ("S1", ["lis1", "ams1"]),
        ("down", ["rig1"]),
        ("!down", ["lis1", "ams1"]),
        ("refused", ["rig1"]),
        ("in sync up", ["ams1"]),
        ("missing>100", ["lis1"]),
        ("missing>=18,422 lis", ["lis1"]),
        ("rtt<20", ["lis1", "rig1"]),
        ("drift=2.3", ["lis1", "rig1", "ams1"]),
        ("missing=0 !rig", ["ams1"]),
        ("[/x] (?i)", []),
    ],
)
def test_all_terms_must_hold(typed: str, names: list[str]) -> None:
    query = NodeQuery.parse(typed)

    assert [node.name for node in FLEET if query.holds(node)] == names


def test_a_number_that_there_is_not_is_told() -> None:
    query = NodeQuery.parse("mising>5")

    assert query.wrong.startswith("no number 'mising'; there are missing, drift")
    assert all(map(query.holds, FLEET))


LINES = (
    JournalLine(seq=1, ts=1, level="info", kind="node-up", node="Lis1", text="is up"),
    JournalLine(seq=2, ts=2, level="warning", kind="node-down", node="rig1", text="is down"),
    JournalLine(seq=3, ts=3, level="error", kind="disk", node=None, text="no room: 50% [x]"),
)


@pytest.mark.parametrize(
    ("typed", "seqs"),
    [
        ("", [1, 2, 3]),
        ("level:warning", [2, 3]),
        ("level:nonsense", [1, 2, 3]),
        ("node:lis1", [1]),
        ("kind:node-down", [2]),
        ("is !", []),
        ("is rig", [2]),
        ("50% [x]", [3]),
    ],
)
def test_lines_are_picked_by_fields_and_words(typed: str, seqs: list[int]) -> None:
    query = LineQuery.parse(typed)

    assert [line.seq for line in LINES if query.holds(line)] == seqs
    assert LineQuery.parse(query.text) == query
