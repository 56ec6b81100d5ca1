"""Who tries one token after another has to wait; who was let in before, and others, need not."""

import pytest

from cluster.peer import PeerFailed
from cluster.problem import Refusal
from cluster.protocol import central
from cluster.trust.guesses import ADDRESSES_MAX, DIFFERENT_MAX, WHILE_S, Guesses
from tests.security.members import Members, ask

OPERATOR = "an-operator-of-tests-0123456789"
pytestmark = pytest.mark.fault(63)


async def test_guesses_end_in_a_wait(fleet: Members) -> None:
    url = await fleet.central(viewer_token_file=fleet.token("viewers", "a-viewer-of-tests-012345"))
    known, guesser = await fleet.peer(url, OPERATOR), await fleet.peer(url, "")
    await ask(known, central.STATUS)

    codes = []
    for number in range(DIFFERENT_MAX + 2):
        guesser.authorize(f"a-guess-0123456789-{number}")
        with pytest.raises(PeerFailed) as failed:
            await ask(guesser, central.STATUS)
        assert failed.value.problem is not None
        codes.append(failed.value.problem.code)
        if codes[-1] == "too_many_requests":
            assert 0 < (failed.value.problem.retry_after_s or 0) <= WHILE_S

    assert codes == ["unauthorized"] * DIFFERENT_MAX + ["too_many_requests"] * 2
    assert (await ask(known, central.STATUS)).role == "operator"
    guesser.authorize("a-viewer-of-tests-012345")  # a right guess is not told from a wrong one
    with pytest.raises(PeerFailed, match="10 wrong tokens"):
        await ask(guesser, central.STATUS)


def test_a_member_with_an_old_token_is_no_guesser() -> None:
    """It says the same again and again, for days."""
    seen = Guesses()

    for _ in range(1000):
        seen.failed("10.0.0.1", b"old")
    seen.let_in("10.0.0.1", b"right")


def test_an_address_is_forgiven_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [0.0]
    monkeypatch.setattr("cluster.trust.guesses.time.monotonic", lambda: now_s[0])
    seen = Guesses()
    for number in range(DIFFERENT_MAX):
        seen.failed("10.0.0.1", b"%d" % number)
    with pytest.raises(Refusal):
        seen.let_in("10.0.0.1", b"right")
    seen.let_in("10.0.0.2", b"right")

    now_s[0] = WHILE_S

    seen.let_in("10.0.0.1", b"right")


def test_a_million_addresses_cost_no_memory() -> None:
    seen = Guesses()

    for number in range(ADDRESSES_MAX * 3):
        seen.failed(f"10.0.{number >> 8}.{number & 255}", b"wrong")
        seen.let_in(f"10.1.{number >> 8}.{number & 255}", b"right")

    assert len(seen._wrong) == len(seen._let_in) == ADDRESSES_MAX
