"""When a node is polled next: on its phase, or with a backoff."""

from random import Random

import pytest

from central.liveness import ANSWERED, Liveness
from central.schedule import RETRY_CAP_S, Schedule

SUSPECT = Liveness("suspect", 1, "timeout")
DOWN = Liveness("down", 3, "bad_json")
NO_ENTRY = Liveness("suspect", 1, "auth")


def schedule(name: str = "n1", interval_s: float = 1.0) -> Schedule:
    return Schedule(name, interval_s, Random(1))


@pytest.mark.parametrize("known", [ANSWERED, SUSPECT, Liveness(), Liveness("new", 2, "refused")])
@pytest.mark.parametrize("now_s", [0.0, 0.3, 12_345.678])
def test_a_poll_is_due_at_the_nodes_phase(known: Liveness, now_s: float) -> None:
    """Whatever was late before: the grid is absolute."""
    one = schedule()

    due_s = one.next_s(now_s, known)

    assert now_s < due_s <= now_s + 1.0
    assert due_s % 1.0 == pytest.approx(one.phase_s)


def test_slots_that_were_missed_are_let_go() -> None:
    """A poll that ended ten slots late is followed by one poll, not by ten."""
    one = schedule()
    first_s = one.next_s(0.0, ANSWERED)

    second_s = one.next_s(first_s + 10.2, ANSWERED)

    assert second_s == pytest.approx(first_s + 11.0)


@pytest.mark.parametrize("early_s", [0.0, 1e-9, 0.0007, 0.002])
def test_an_answer_before_its_slot_is_of_that_slot(early_s: float) -> None:
    """uvloop's timers may be a millisecond early: nobody is asked twice in one slot."""
    one = schedule()
    slot_s = one.next_s(5_000.0, ANSWERED)

    following_s = one.next_s(slot_s - early_s, ANSWERED, slot_s=slot_s)

    assert following_s == pytest.approx(slot_s + 1.0)


def test_phases_are_the_nodes_own_and_spread() -> None:
    """The same after a restart; of 1,000 nodes no tenth of the interval has twice its share."""
    phases = [schedule(f"node-{number}").phase_s for number in range(1_000)]

    assert schedule("node-7").phase_s == phases[7]
    assert max(sum(low <= 10 * one < low + 1 for one in phases) for low in range(10)) < 200


@pytest.mark.parametrize("interval_s", [0.1, 1.0, 3600.0])
def test_the_first_polls_after_a_start_are_soon_and_spread(interval_s: float) -> None:
    """Within a second, however long the interval is."""
    nodes = [schedule(f"node-{number}", interval_s) for number in range(1_000)]

    first_s = sorted(one.first_s(50.0) - 50.0 for one in nodes)

    span_s = min(1.0, interval_s)
    assert 0 <= first_s[0] < 0.1 * span_s
    assert 0.9 * span_s < first_s[-1] <= span_s
    assert 0.4 * span_s < first_s[500] < 0.6 * span_s


@pytest.mark.fault(9)
@pytest.mark.parametrize(("asked_s", "rested_s"), [(5.0, 5.0), (1e9, RETRY_CAP_S)])
@pytest.mark.parametrize("known", [SUSPECT, DOWN])
def test_a_node_that_asks_for_time_gets_it_up_to_the_cap(
    known: Liveness, asked_s: float, rested_s: float
) -> None:
    one = schedule()

    due_s = one.next_s(100.0, known, asked_s)

    assert 100.0 + rested_s <= due_s <= 100.0 + rested_s + 1.0


@pytest.mark.fault(10)
@pytest.mark.parametrize("known", [DOWN, NO_ENTRY])
def test_one_that_is_down_or_refuses_the_token_is_not_hammered(known: Liveness) -> None:
    """The waits grow up to a minute, and never end: 30 s apart in the mean."""
    one, now_s, waits = schedule(), 0.0, []
    for _ in range(1_000):
        due_s = one.next_s(now_s, known)
        waits.append(due_s - now_s)
        now_s = due_s

    assert max(waits[:2]) <= 2.0
    assert max(waits) <= RETRY_CAP_S
    assert 28.0 < sum(waits) / len(waits) < 32.0


def test_an_answer_ends_the_backoff() -> None:
    one = schedule()
    for _ in range(20):
        one.next_s(0.0, DOWN)

    one.next_s(0.0, ANSWERED)

    assert one.next_s(0.0, DOWN) <= 1.0
