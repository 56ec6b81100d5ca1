"""Tokens and certificates are changed while everything runs: no poll is missed."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cluster.peer import PeerFailed
from cluster.protocol import central
from cluster.settings import SettingsWrong
from cluster.trust.tokens import Tokens, fingerprint
from tests.program import until
from tests.security.members import Members, ask

OLD, NEW = "an-old-token-0123456789", "a-new-token-0123456789"
OPERATOR = "an-operator-of-tests-0123456789"


@pytest.mark.fault(65)
async def test_what_central_brings_is_changed_under_polls(fleet: Members) -> None:
    brought, let_in = fleet.token("brought", OLD), fleet.token("let-in", OLD)
    url = await fleet.central(central_token_file=brought)
    await fleet.node("n1", central_token_file=let_in)
    operator = await fleet.peer(url, OPERATOR)
    await fleet.until_up(operator, "n1")

    fleet.token("let-in", OLD, NEW)
    await until_known(fleet, "n1", NEW)
    fleet.token("brought", NEW, OLD)
    await until_brought(fleet, NEW)
    fleet.token("let-in", NEW)
    await until_known(fleet, "n1", OLD, known=False)
    seen = (await fleet.until_up(operator, "n1")).last_seen
    view = await fleet.until(operator, "n1", lambda view: view.last_seen > seen)

    journal = await ask(operator, central.JOURNAL)
    kinds = [line.kind for line in journal.lines]
    assert "keys-renewed" in kinds
    assert "node-suspect" not in kinds
    assert not [line for line in journal.lines if "missed" in line.text]
    assert (view.live, view.failures) == ("up", 0)


async def until_known(fleet: Members, name: str, token: str, *, known: bool = True) -> None:
    async def looked() -> bool:
        holder = fleet.trust[name].keyring.holder(fingerprint(token))
        return (holder is not None) == known

    await until(looked, "the file is taken up")


async def until_brought(fleet: Members, token: str) -> None:
    async def looked() -> bool:
        return fleet.trust["central"].keyring.bring("n1") == token

    await until(looked, "the file is taken up")


@pytest.mark.fault(65)
async def test_a_file_that_cannot_be_used_changes_nothing(fleet: Members) -> None:
    url = await fleet.central()
    operator = await fleet.peer(url, OPERATOR)

    fleet.token("operators", "half")

    async def told() -> bool:
        lines = (await ask(operator, central.JOURNAL)).lines
        return any(line.kind == "keys-wrong" and "16 or more" in line.text for line in lines)

    await until(told, "the journal tells of it")
    assert not [
        line for line in (await ask(operator, central.JOURNAL)).lines if "half" in line.text
    ]


def test_a_token_ends_by_itself(tmp_path: Path) -> None:
    """Then the next one is brought."""
    soon = datetime.now(UTC) + timedelta(milliseconds=1)
    file = tmp_path / "tokens"
    file.touch(mode=0o600)
    file.write_text(f"{OLD} until={soon.isoformat()}\n{NEW}\n")

    tokens = Tokens.of_file(str(file), "--token-file")

    while time.time() < soon.timestamp():
        pass
    assert tokens.for_node() == NEW


def test_a_nodes_own_token_goes_before_everybodys(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.touch(mode=0o600)
    file.write_text(f"{OLD}\n{NEW} node=n1\n# a word\n\nsha256:{'0' * 64}\n")

    tokens = Tokens.of_file(str(file), "--token-file")

    assert [tokens.for_node(name) for name in (None, "n1", "n2")] == [OLD, NEW, OLD]
    assert OLD not in repr(tokens.tokens)


@pytest.mark.fault(64)
def test_a_file_that_has_become_open_to_others_is_not_taken_up(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.touch(mode=0o600)
    file.write_text(OLD)
    tokens = Tokens.of_file(str(file), "--token-file")

    file.chmod(0o644)

    with pytest.raises(SettingsWrong, match="others can read it"):
        tokens.renew()
    assert not tokens.renew()  # told once
    assert tokens.for_node() == OLD


async def test_an_old_token_is_refused_once_it_is_out(fleet: Members) -> None:
    url = await fleet.central()
    peer = await fleet.peer(url, OPERATOR)
    await ask(peer, central.STATUS)

    fleet.token("operators", NEW)
    await until_known(fleet, "central", OPERATOR, known=False)

    with pytest.raises(PeerFailed, match="auth"):
        await ask(peer, central.STATUS)
