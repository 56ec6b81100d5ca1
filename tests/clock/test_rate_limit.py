"""How often one client may ask for the time: told the time, so nothing waits."""

from hypothesis import given
from hypothesis import strategies as st

from central.rate_limit import BURST, PER_S, RateLimit

ALICE, BOB = "192.0.2.1", "192.0.2.2"

ASKS = st.lists(st.tuples(st.sampled_from([ALICE, BOB]), st.floats(0, 3)), max_size=200)


def test_a_burst_is_answered_and_then_so_many_a_second() -> None:
    """Eight clients behind one address may start together; nobody may hammer."""
    limit = RateLimit()

    at_once = [limit.judge(ALICE, 100.0) for _ in range(BURST + 1)]
    afterwards = [limit.judge(ALICE, 100.0 + second / PER_S) for second in range(1, 20)]

    assert at_once == ["answer"] * BURST + ["kiss"]
    assert afterwards == ["answer"] * 19


def test_over_the_limit_a_kiss_comes_once_a_second_at_most() -> None:
    """An answer to each would make us the amplifier of whoever forges an address."""
    limit = RateLimit(burst=1, per_s=0.01)
    limit.judge(ALICE, 100.0)

    verdicts = [limit.judge(ALICE, 100.0 + tenth / 10) for tenth in range(1, 31)]

    assert verdicts == (["kiss"] + ["silence"] * 9) * 3


def test_who_is_refused_owes_nothing_for_it() -> None:
    """A client that slows down is answered again, however long it has hammered."""
    limit = RateLimit(burst=2, per_s=1.0)
    for _ in range(1000):
        limit.judge(ALICE, 100.0)

    assert limit.judge(ALICE, 101.0) == "answer"
    assert limit.judge(ALICE, 101.0) != "answer"


def test_one_client_does_not_spend_what_is_anothers() -> None:
    """Each has its own bucket."""
    limit = RateLimit(burst=1)
    limit.judge(ALICE, 100.0)

    assert limit.judge(ALICE, 100.0) == "kiss"
    assert limit.judge(BOB, 100.0) == "answer"


def test_loopback_is_spared() -> None:
    """A whole cluster may live on one machine, behind one address."""
    limit = RateLimit(burst=1)
    local = ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"]

    assert {limit.judge(host, 100.0) for host in local * 100} == {"answer"}
    assert len(limit) == 0


def test_the_longest_silent_client_is_forgotten_first() -> None:
    """Made-up addresses fill no memory, and a client that goes on asking stays known."""
    limit = RateLimit(burst=2, per_s=0.001, clients=10)
    for made_up in range(1000):
        limit.judge(f"198.51.{made_up // 256}.{made_up % 256}", 100.0)
        limit.judge(ALICE, 100.0)

    assert len(limit) == 10
    assert limit.judge(ALICE, 100.0) == "silence"


@given(ASKS, st.integers(1, 10), st.floats(0.1, 20))
def test_never_more_answers_than_a_burst_and_the_rate(
    asks: list[tuple[str, float]], burst: int, per_s: float
) -> None:
    """Over every stretch of time that begins with a client's first question."""
    limit, now_s = RateLimit(burst, per_s), 100.0
    answered = {ALICE: 0, BOB: 0}

    for client, pause_s in asks:
        now_s += pause_s
        answered[client] += limit.judge(client, now_s) == "answer"

        assert answered[client] <= burst + per_s * (now_s - 100.0) + 1e-6
