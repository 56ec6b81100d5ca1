"""When a node is up, suspect or down: the whole table."""

import pytest

from central.liveness import ANSWERED, Liveness, missed
from cluster.peer import PeerFailed
from cluster.protocol.views import DOWN_AFTER, Live

REFUSED = PeerFailed("refused", "nobody listens there")
OUR_OWN = PeerFailed("internal", "our database is locked")
FAILURES = {"m": REFUSED, "o": OUR_OWN}


@pytest.mark.parametrize(
    ("outcomes", "live", "failures"),
    [
        ("", "new", 0),
        ("a", "up", 0),
        ("m", "new", 1),
        ("mm", "new", 2),
        ("mmm", "down", 3),
        ("am", "suspect", 1),
        ("amm", "suspect", 2),
        ("ammm", "down", 3),
        ("ammmm", "down", 4),
        ("amma", "up", 0),
        ("ammma", "up", 0),
        ("ammmam", "suspect", 1),
        ("ao", "up", 0),
        ("aooooo", "up", 0),
        ("amo", "suspect", 1),
        ("ammo", "suspect", 2),
        ("ooo", "new", 0),
    ],
)
def test_the_state_follows_from_the_outcomes_of_the_polls(
    outcomes: str, live: Live, failures: int
) -> None:
    """a: answered, m: missed, o: our own fault, which tells nothing about the node."""
    state = Liveness()

    for outcome in outcomes:
        state = ANSWERED if outcome == "a" else missed(state, FAILURES[outcome])

    assert (state.live, state.failures) == (live, failures)


def test_a_miss_keeps_its_reason_until_the_node_answers() -> None:
    """The console shows why; an answer wipes it."""
    state = missed(ANSWERED, REFUSED)

    assert (state.reason, state.detail) == ("refused", "nobody listens there")
    assert ANSWERED.reason is None
    assert DOWN_AFTER == 3
