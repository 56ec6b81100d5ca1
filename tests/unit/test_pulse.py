"""A node's pulse: its states, and which of them are worth a line of the journal."""

import asyncio
import dataclasses
from typing import cast

import pytest

from central.board import Board
from central.context import Context
from central.journal import Journal
from central.pulse import Pulse
from central.runs import Runs
from central.store import CentralStore
from cluster.background import Background
from cluster.clock.base import RealBase
from cluster.clock.cluster_clock import ClusterClock
from cluster.peer import Peer, PeerFailed, Reason


class Paper:
    """A journal that nobody stores."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str | None]] = []

    def write(self, level: str, kind: str, text: str, node: str | None = None) -> None:
        self.lines.append((kind, node))


@pytest.fixture
def paper() -> Paper:
    return Paper()


@pytest.fixture
def context(paper: Paper) -> Context:
    """What pulses share; they touch nothing else of central."""
    return Context(
        cast(CentralStore, None),
        Board(),
        cast(Journal, paper),
        cast(Runs, None),
        ClusterClock.reference(RealBase()),
        cast(Background, None),
        asyncio.Semaphore(),
        1,
        1.0,
        lambda url: cast(Peer, None),
    )


def take(pulse: Pulse, outcomes: str, reason: Reason = "timeout") -> None:
    """+: an answer, -: a miss."""
    for outcome in outcomes:
        if outcome == "+":
            pulse.answered()
        else:
            pulse.missed(PeerFailed(reason, "no"))


@pytest.mark.parametrize(
    ("outcomes", "kinds"),
    [
        ("+", "up"),
        ("+++", "up"),
        ("+-+", "up"),  # one miss is over at once
        ("+--+", "up suspect up"),
        ("+---", "up suspect down"),
        ("+-------", "up suspect down"),
        ("+---+", "up suspect down up"),
        ("---", "down"),
        ("--+", "up"),
        ("+---" * 2, "up suspect down up suspect down"),
    ],
)
def test_each_change_is_told_once(
    context: Context, paper: Paper, outcomes: str, kinds: str
) -> None:
    take(Pulse(context, "n1", near=True), outcomes)

    assert paper.lines == [(f"node-{kind}", "n1") for kind in kinds.split()]


@pytest.mark.fault(12)
def test_a_node_that_comes_and_goes_a_hundred_times_makes_three_lines(
    context: Context, paper: Paper
) -> None:
    """It is told that it flaps, and told when it is steady."""
    pulse = Pulse(context, "n1", near=True)

    take(pulse, "+-" * 50)
    flapping = pulse.flapping
    take(pulse, "+" * 30)

    assert flapping
    assert not pulse.flapping
    assert [kind for kind, _ in paper.lines] == ["node-up", "node-flapping", "node-steady"]


def test_one_that_flaps_and_then_dies_is_told_to_be_down(context: Context, paper: Paper) -> None:
    pulse = Pulse(context, "n1", near=True)

    take(pulse, "+-" * 10 + "-" * 30)

    assert pulse.known.live == "down"
    assert [kind for kind, _ in paper.lines] == ["node-up", "node-flapping", "node-steady"]


def fleet(context: Context, count: int, *, near: bool = False) -> list[Pulse]:
    """Nodes that are up."""
    pulses = [Pulse(context, f"n{number}", near=near) for number in range(count)]
    for pulse in pulses:
        pulse.answered()
    return pulses


@pytest.mark.fault(11)
@pytest.mark.parametrize("reason", ["timeout", "unreachable", "dns"])
def test_when_all_fall_silent_at_once_central_is_cut_off_and_none_is_down(
    context: Context, paper: Paper, reason: Reason
) -> None:
    """One line; the nodes keep their states until any of them is heard, which is one line more."""
    pulses = fleet(context, 20)
    paper.lines.clear()

    for _ in range(10):
        for pulse in pulses:
            take(pulse, "-", reason)
    cut_off = context.isolation.isolated
    lives = {pulse.known.live for pulse in pulses}
    reasons = {pulse.known.reason for pulse in pulses}
    for pulse in pulses:
        pulse.answered()

    assert cut_off
    assert "down" not in lives
    assert reasons == {reason}
    assert {pulse.known.live for pulse in pulses} == {"up"}
    assert paper.lines == [("central-isolated", None), ("central-back", "n0")]


@pytest.mark.fault(11)
def test_who_was_suspected_before_central_was_cut_off_is_told_to_be_suspected_no_longer(
    context: Context, paper: Paper
) -> None:
    """Or the journal's last word on it would be that it is suspected, while it is shown as up."""
    pulses = fleet(context, 20)
    for _ in range(2):
        take(pulses[0], "-", "timeout")
    paper.lines.clear()

    for pulse in (*pulses[1:], pulses[0]):
        take(pulse, "-", "timeout")

    assert pulses[0].known.live == "up"
    assert paper.lines == [("central-isolated", None), ("node-up", "n0")]


@pytest.mark.parametrize(
    ("reason", "near"), [("refused", False), ("reset", False), ("timeout", True)]
)
def test_nodes_killed_or_stopped_are_down_and_central_is_not_cut_off(
    context: Context, reason: Reason, near: bool
) -> None:
    """A machine that refuses answers; and no network is between central and its own machine."""
    pulses = fleet(context, 20, near=near)

    for _ in range(3):
        for pulse in pulses:
            take(pulse, "-", reason)

    assert not context.isolation.isolated
    assert {pulse.known.live for pulse in pulses} == {"down"}


def test_what_is_silent_still_after_the_return_is_down(context: Context) -> None:
    """The misses of the time before count for nothing."""
    pulses = fleet(context, 5)
    for _ in range(10):
        for pulse in pulses:
            take(pulse, "-")
    pulses[0].answered()

    take(pulses[4], "--")
    early = pulses[4].known.live
    take(pulses[4], "-")

    assert early in ("up", "suspect")
    assert pulses[4].known.live == "down"


def test_our_own_fault_changes_nothing_but_the_reason(context: Context, paper: Paper) -> None:
    (pulse,) = fleet(context, 1)
    paper.lines.clear()

    take(pulse, "-" * 10, "internal")

    assert dataclasses.astuple(pulse.known) == ("up", 0, "internal", "no")
    assert paper.lines == []
