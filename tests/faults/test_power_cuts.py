"""Power cuts while a node stores: whatever was acknowledged is there, and the rest is sound."""

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.digest import EMPTY
from node.store import Draft, open_node_store
from tests.faults.power import Call, Disk, record
from tests.invariants import read_side
from tests.sides import CLOCK
from tests.strace import needs_strace

pytestmark = [pytest.mark.e2e, needs_strace]

CUTS = int(os.environ.get("TIDEHOLD_POWER_CUTS", "25"))
BATCHES = 40 + CUTS // 5


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Call]]:
    """What a node's store did to its files from its making to its end, and what it told."""
    folder = tmp_path_factory.mktemp("recorded")
    argv = [sys.executable, "-m", "tests.faults.told", str(folder / "data"), str(BATCHES)]
    (folder / "data").mkdir()
    return folder / "data", record(argv, folder / "log", timeout_s=300)


def cuts(
    calls: tuple[Path, list[Call]], count: int, into: Path, *, honest: bool
) -> Iterator[tuple[Path, set[bytes]]]:
    """The folder after each cut, and the ids that were acknowledged before it."""
    (folder, made), rng = calls, random.Random(75)
    disk = Disk(folder, honest=honest)
    moments = sorted(rng.randrange(len(made)) for _ in range(count))
    for number, call in enumerate(made):
        while moments and moments[0] == number:
            moments.pop(0)
            left = into / f"{len(moments)}"
            disk.cut(rng, left)
            yield left, {bytes.fromhex(one) for one in disk.told.decode().split()}
        disk.apply(call)


@pytest.mark.fault(75)
@pytest.mark.timeout(600)
async def test_a_power_cut_costs_nothing_that_was_acknowledged(
    calls: tuple[Path, list[Call]], tmp_path: Path
) -> None:
    """At any moment, checkpoints and both starts among them; and it goes on storing."""
    seen = 0
    for left, acknowledged in cuts(calls, CUTS, tmp_path, honest=True):
        async with open_node_store(left, "n1", CLOCK) as store:
            await store.store([Draft("t", '{"after":"the cut"}')])

        side = read_side(left / "node.db", "n1")
        assert acknowledged <= side.rows.keys(), f"lost {len(acknowledged - side.rows.keys())}"
        assert side.broken == []
        assert side.digest != EMPTY
        seen += bool(acknowledged)

    assert seen > CUTS // 2


async def test_a_disk_that_only_says_that_it_synced_would_be_noticed(
    calls: tuple[Path, list[Call]], tmp_path: Path
) -> None:
    """The same cuts cost much where no sync was obeyed: so these tests can fail."""
    lost = 0
    for left, acknowledged in cuts(calls, 5, tmp_path, honest=False):
        try:
            kept = read_side(left / "node.db", "n1").rows.keys()
        except Exception:
            lost += len(acknowledged)
        else:
            lost += len(acknowledged - kept)

    assert lost > 0
