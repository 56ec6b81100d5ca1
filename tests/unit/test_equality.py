"""A status that is the last one again is a proof only of the node that was proven equal."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from central.equality import Equality
from central.standing import Standing, Tidemark
from central.store import open_central_store
from cluster.digest import Digest
from cluster.peer import PeerFailed
from cluster.protocol.shared import RecordCounts

EQUAL = Digest(10, 77)


class Asked:
    """What was asked of the runner and the journal."""

    def __init__(self) -> None:
        self.what: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **more: self.what.append(name)


class Mute:
    """A node that answers statuses, and no question about its digests."""

    async def digest(self, *question: object) -> object:
        raise PeerFailed("timeout", "no answer in time")


def status(boot: str, held: Digest) -> Any:
    counts = RecordCounts(held.count, held.count, held.text, 0)
    retention = SimpleNamespace(due=False, dropped=0)
    return SimpleNamespace(boot=boot, epoch="e", records=counts, retention=retention)


async def poll(equality: Equality, told: Any, at_us: int) -> bool:
    """Judge it; whether that needed nobody."""
    if equality.is_still_proven(told, at_us, at_us):
        return True
    await equality.judge(told, Mute(), at_us, at_us)  # type: ignore[arg-type]
    return False


async def test_the_proof_of_one_process_is_none_of_its_twin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes with copies of one file answer in turn, and only one is equal to central."""
    async with open_central_store(tmp_path) as store:
        await store.add_node("n1", "http://n1")

        async def equal(name: str) -> tuple[Digest, Standing]:
            return await store.database.kept.get(name, lambda: known())

        async def known() -> tuple[Digest, Standing]:
            return EQUAL, Standing(Tidemark("e", EQUAL.count))

        monkeypatch.setattr(store, "standing", equal)
        asked = Asked()
        context = SimpleNamespace(pull_every_s=0.0, store=store, runs=asked, journal=asked)
        equality = Equality(context, "n1", asked)  # type: ignore[arg-type]
        behind, twin = status("a", Digest(5, 33)), status("b", EQUAL)
        words: list[str] = []
        for at_us, told in enumerate((behind, twin, twin, behind), 1):
            await poll(equality, told, at_us)
            words.append(equality.judgement.data)

        assert words == ["unknown", "in_sync", "in_sync", "unknown"]
        assert equality.proven == 3
