"""The severity table: one word for a node, the worst of all that is known."""

import re
from typing import Any

import pytest

from cluster.clock.state import ClockSummary
from cluster.protocol.views import NodeView, Run
from console import model
from console.overview import overview
from console.questions import ask_cancel, ask_many, ask_move
from console.store import Store
from console.widgets.top_bar import missing_pieces
from tests.console.fake_central import view

NOW = 1_000_000_000
RUN = Run(id=7, node="n", kind="pull", mode="incremental", state="running", asked=NOW)
BAD = ClockSummary(status="SYNC", drift_ms=-2410.0, bound_ms=4.0)
DOWN: dict[str, Any] = {"live": "down", "next_try": NOW + 23_400_000, "failures": 7}


def run(**changes: Any) -> Run:
    return Run(
        **({f: getattr(RUN, f) for f in ("id", "node", "kind", "mode", "state", "asked")} | changes)
    )


def words(**facts: Any) -> str:
    node = view("n", **facts)
    return f"{model.state_of(node).word} {model.beside_of(node, NOW)[0]}"


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"data": "diverged", "conflicts": 12, **DOWN}, "DIVERGED 12 conflict · down"),
        ({"data": "diverged"}, "DIVERGED sets differ"),
        (DOWN, "DOWN retry 0:24 #7"),
        (DOWN | {"clock": BAD, "run": run(state="waiting")}, "DOWN ⇣ retry 0:24 #7"),
        (DOWN | {"run": run(received=43, expected=100)}, "DOWN ⇣43% retry 0:24 #7"),
        (DOWN | {"next_try": NOW - 1}, "DOWN trying #7"),
        ({"clock": BAD, "live": "suspect", "failures": 1}, "CLOCK-BAD 1/3 missed"),
        ({"clock": BAD, "data": "behind"}, "CLOCK-BAD behind"),
        ({"live": "suspect", "failures": 2}, "SUSPECT 2/3 missed"),
        ({"live": "suspect", "failures": 1, "flapping": True}, "FLAPS comes and goes"),
        ({"flapping": True, "data": "in_sync"}, "FLAPS comes and goes"),
        (DOWN | {"flapping": True}, "DOWN retry 0:24 #7"),
        ({"run": run(received=430, expected=1000)}, "PULL 43%"),
        ({"run": run(received=43)}, "PULL 43"),
        ({"run": run(kind="push", state="queued")}, "PUSH queued"),
        ({"run": run(state="waiting", reason="disk\x1b full")}, "PULL waits: disk␛ full"),
        ({"run": run(state="succeeded")}, "UP in sync"),
        ({"data": "behind"}, "UP behind"),
        ({"data": "unknown"}, "UP not compared"),
        ({"live": "new", "data": "unknown"}, "NEW never answered"),
    ],
)
def test_the_worst_is_said(facts: dict[str, Any], said: str) -> None:
    assert words(**facts) == said


def test_a_waiting_run_counts_down_with_its_node() -> None:
    """The reader is told when it goes on, not that it waits."""
    waiting = run(state="waiting", reason="waits until the node is up")

    assert model.wait_text(waiting, view("n", **DOWN), NOW) == "waits for node: retry 0:24 #7"
    assert model.wait_text(waiting, view("n", "suspect", failures=2), NOW) == (
        "waits for node: 2/3 missed"
    )
    assert model.wait_text(run(state="waiting", reason="reset"), view("n"), NOW) == "waits: reset"
    assert model.wait_text(run(state="queued", reason="its turn"), None, NOW) == "queued: its turn"
    until_up = run(state="waiting", reason="waits until the node is up")
    assert model.wait_text(until_up, None, NOW) == "waits until the node is up"


def test_severity_goes_down_the_table() -> None:
    fleet = [
        view("a", data="diverged"),
        view("a", **DOWN),
        view("a", clock=BAD),
        view("a", live="suspect"),
        view("a", run=RUN),
        view("a", data="behind"),
        view("a"),
        view("a", live="new", data="unknown"),
    ]
    assert [model.state_of(node).severity for node in fleet] == list(range(8))


def test_old_numbers_of_a_node_that_is_away_are_marked() -> None:
    """What was counted before it went away is not told as if it were so now."""
    down = view("n", **DOWN, at_node=1_234, to_pull=5)

    assert model.at_node_cell(down, 10) == ("~1,234", "muted")
    assert model.missing_cell(down, "central", 9) == ("?", "muted")
    assert model.missing_both_cell(down, 9) == ("?", "muted")
    assert model.drift_cell(down) == ("--", "muted")


def test_one_missed_poll_throws_no_number_away() -> None:
    """A suspect node keeps its numbers, only not as loud."""
    suspect = view("n", "suspect", at_node=1_234, to_pull=5, to_push=7)

    assert model.drift_cell(suspect) == ("+2.3ms", "muted")
    assert model.at_node_cell(suspect, 10) == ("1,234", "muted")
    assert model.missing_cell(suspect, "central", 9) == ("5", "muted")
    assert model.missing_both_cell(suspect, 9) == ("⇣5 ⇡7", "muted")


@pytest.mark.parametrize(
    ("to_pull", "to_push", "shown"),
    [
        (30, 0, "30"),
        (0, 20, "⇡20"),
        (30, 20, "⇣30 ⇡20"),
        (39, 4_018, "⇣39 ⇡4k"),
        (18_422, 20, "⇣18k ⇡20"),
        (123_456, 234_567, "⇡234,567"),
        (234_567, 123_456, "⇣234,567"),
        (123_456_789, 23_456_789, "⇣123M ⇡23M"),
        (0, 0, "-"),
        (None, 0, "--"),
    ],
)
def test_one_column_for_missing_tells_of_both_sides(
    to_pull: int | None, to_push: int, shown: str
) -> None:
    """Neither side is passed over in silence, as far as the width allows."""
    node = view("n", to_pull=to_pull, to_push=to_push)

    assert model.missing_both_cell(node, 10 if "M" in shown else 9)[0] == shown


def test_the_overview_counts_each_node_once_and_marks_beside() -> None:
    """`up` is who answers; a wrong clock or a conflict does not make a node away."""
    fleet = overview(
        [
            view("a", clock=BAD, to_pull=1_500),
            view("b", data="diverged", to_push=4_018),
            view("c", run=RUN),
            view("d", "suspect", to_pull=64),
            view("e", **DOWN, data="diverged", to_pull=9_999),
            view("f", "new", "unknown"),
        ]
    )

    assert fleet.lives == {"up": 3, "suspect": 1, "down": 1, "new": 1}
    assert (fleet.diverged, fleet.clock_bad, fleet.running) == (2, 1, 1)
    assert (fleet.at_central, fleet.at_node, fleet.unsure) == (1_564, 4_018, 2)


def test_the_overview_says_what_is_missing_and_that_it_may_be_more() -> None:
    """Only the sides that lack something, and `?` for those who cannot be asked."""

    def said(*views: NodeView) -> str:
        pieces = missing_pieces(overview(views))
        return "".join(text for text, _ in pieces).strip()

    lacks = view("a", to_pull=1_564, to_push=4_018)

    assert said(lacks) == "missing ⇣1,564 ⇡4,018"
    assert said(view("a", to_push=7)) == "missing ⇡7"
    assert said(lacks, view("b", **DOWN)) == "missing ⇣1,564 ⇡4,018 +?"
    assert said(lacks, view("b", to_pull=None)) == "missing ⇣1,564 ⇡4,018 +?"
    assert said(view("b", **DOWN)) == "missing ?"
    assert said(view("a")) == ""


def test_a_bar_is_as_wide_as_asked_even_when_more_came_than_expected() -> None:
    for received in (0, 430, 1_000, 5_000):
        pieces = model.bar(run(received=received, expected=1_000), 20)
        assert sum(len(text) for text, _ in pieces) == 20
    assert model.percent(run(received=5_000, expected=1_000)) == 100


def test_an_ended_run_tells_what_a_reader_must_know() -> None:
    assert model.result_of(run(state="failed", error="reset"))[0] == "failed: reset"
    assert model.result_of(run(state="succeeded", conflict=3))[0] == "ok, but 3 conflict"
    assert model.result_of(run(state="succeeded", inserted=9))[0] == "ok, 9 new"


def test_questions_hold_the_numbers() -> None:
    down = view("rig1", **DOWN, to_pull=1_200)
    fleet = [view("a", to_pull=30), view("b"), down, view("c", to_pull=None)]

    store = Store()
    store.add_runs(
        [run(node="rig1", state="succeeded", started=NOW, ended=NOW + 3_000_000, received=1_200)]
    )

    one = "\n".join(text for line in ask_move("pull", [down], store).lines for text, _ in line)
    all_of_them = ask_many("pull", fleet, store)
    said = "\n".join("".join(text for text, _ in line) for line in all_of_them.lines)

    assert "1,200 records" in one
    assert "0:03 at 400/s" in one
    assert "waits until it is up" in one
    assert all_of_them.phrase == "PULL 4"
    assert "30 records of 1 node" in said
    assert "1: rig1" in said
    assert "not known yet" in said
    assert ask_cancel(RUN).phrase is None


def test_a_question_about_nothing_says_so() -> None:
    """No estimate of a time for no records; names are listed as people count."""
    away = [view(f"node-{number}", **DOWN) for number in (10, 2, 1)]

    store = Store()

    one = ["".join(text for text, _ in line) for line in ask_move("push", [view("a")], store).lines]
    everybody = ["".join(text for text, _ in line) for line in ask_many("push", away, store).lines]

    assert any(re.search(r"about +nothing to do", line) for line in one)
    assert any("3: node-1, node-2, node-10" in line for line in everybody)
