"""Who is believed: the region of a majority, against brute force, and what follows from it."""

from hypothesis import given
from hypothesis import strategies as st

from cluster.clock.cluster_clock import ClusterClock
from cluster.clock.interval import Interval, majority_of, region
from cluster.clock.report import state_of
from cluster.clock.ride import SOURCE
from tests.clock.hand import MS, SECOND, HandBase, sample_of, settle

INTERVALS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 12)).map(lambda x: Interval(x[0], x[0] + x[1])),
    max_size=9,
)
A, B, C = "192.0.2.1:123", "192.0.2.2:123", "192.0.2.3:123"


@given(INTERVALS, st.integers(1, 9))
def test_the_region_is_what_counting_every_point_finds(
    intervals: list[Interval], needed: int
) -> None:
    points = [p for p in range(45) if sum(i.lo <= p <= i.hi for i in intervals) >= needed]

    found = region(intervals, needed)

    assert found == (Interval(points[0], points[-1]) if points else None)


@given(INTERVALS.filter(bool), st.randoms(use_true_random=False))
def test_the_region_does_not_depend_on_the_order(intervals: list[Interval], random: object) -> None:
    needed = majority_of(len(intervals))

    assert region(intervals, needed) == region(intervals[::-1], needed)


def test_fewer_than_half_may_lie() -> None:
    assert [majority_of(count) for count in range(1, 8)] == [1, 2, 2, 3, 3, 4, 4]


def test_one_of_three_that_lies_is_a_falseticker() -> None:
    """Half a second off, and first to be heard: outvoted as soon as two others agree."""
    base = HandBase()
    clock = ClusterClock(base)
    clock.adopt(sample_of(base, base.system, source=A, error_ns=500 * MS))
    for source in (B, C):
        clock.adopt(sample_of(base, base.system, source=source))

    states = {source.name: source.state for source in state_of(clock).sources}

    assert states[A] == "falseticker"
    assert sorted([states[B], states[C]]) == ["selected", "survivor"]
    assert not state_of(clock).single
    base.advance(10 * SECOND)  # slowed down by 8 % until the half second is gone
    assert abs(clock.now_ns() - base.system) < MS


def test_of_two_that_contradict_the_one_that_fits_the_running_clock_stays() -> None:
    base = HandBase()
    clock = ClusterClock(base)
    settle(clock, base, base, A, B)

    for _ in range(3):
        clock.adopt(sample_of(base, base.system, source=B, error_ns=500 * MS))
        clock.adopt(sample_of(base, base.system, source=A))

    state = state_of(clock)
    assert (state.reference, state.status) == (A, "SYNC")
    assert [source.state for source in state.sources] == ["selected", "falseticker"]
    assert state.single  # a lie of A would go unseen
    assert abs(clock.now_ns() - base.system) < MS


def test_a_jump_that_all_see_is_followed() -> None:
    """The machine was paused unseen: each server doubts, then a majority of them is right."""
    base = HandBase()
    clock = ClusterClock(base)
    settle(clock, base, base, A, B, C)
    base.system += 120 * SECOND

    for source in (A, B, C):
        clock.adopt(sample_of(base, base.system, source=source))
    assert state_of(clock).status == "SUSPECT"
    for source in (A, B, C) * 2:
        clock.adopt(sample_of(base, base.system, source=source))

    assert (state_of(clock).status, state_of(clock).steps) == ("SYNC", 1)
    assert abs(clock.now_ns() - base.system) < MS


def test_the_poll_speaks_only_where_no_ntp_server_is_in_reach() -> None:
    base = HandBase()
    clock = ClusterClock(base)
    clock.source(SOURCE, "http")
    clock.adopt(sample_of(base, base.system, source=SOURCE, delay_ns=20 * MS))
    assert state_of(clock).reference == SOURCE

    clock.adopt(sample_of(base, base.system, source=A))
    assert state_of(clock).reference == A
    assert [source.state for source in state_of(clock).sources] == ["spare", "selected"]

    for _ in range(8):
        clock.miss(A, "timeout")
    clock.adopt(sample_of(base, base.system, source=SOURCE, delay_ns=20 * MS))
    state = state_of(clock)
    assert state.reference == SOURCE
    assert state.sources[0].transport == "http"
    assert state.bound_ms is not None
    assert state.bound_ms > 10
