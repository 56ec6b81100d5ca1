"""A real node on a machine whose clock is hours wrong, killed before it ever heard the time."""

import asyncio
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from central.time_server import time_server
from cluster.clock.base import RealBase
from cluster.clock.cluster_clock import ClusterClock
from cluster.protocol import central, node
from cluster.protocol.shared import ServedRecord
from tests.clock.hand import sample_of
from tests.program import Program, until
from tests.world import world

pytestmark = pytest.mark.e2e

THREE = b'{"stream":"t","payload":{}}\n' * 3
HOUR_MS = 3_600_000


async def records_of(program: Program) -> Sequence[ServedRecord]:
    return (await program.call(node.RECORDS, node.RecordsAsk())).records


@pytest.mark.parametrize("wrong_by_ms", [5 * HOUR_MS, -5 * HOUR_MS])
async def test_ids_and_positions_grow_over_a_kill_and_the_first_sync(
    wrong_by_ms: int, tmp_path: Path
) -> None:
    """Only the run that heard the time can tell by how much it was wrong; central is not told."""
    upstream = ClusterClock(RealBase())
    async with (
        time_server(upstream, "127.0.0.1", 0) as server,
        world(tmp_path, 0.2, "--ntp", f"127.0.0.1:{server.port}") as w,
    ):
        program = await w.node("n1", f"--skew-ms={wrong_by_ms}", ntp=[f"127.0.0.1:{server.port}"])
        await w.post("n1", THREE)
        program.kill()
        await program.start()
        await w.post("n1", THREE)

        upstream.adopt(sample_of(upstream.base, upstream.base.system_ns(), delay_ns=10_000))

        async def corrected() -> bool:
            return (await records_of(program))[-1].correction_us is not None

        await until(corrected, "the correction is told")
        await w.post("n1", THREE)
        memory = program.folder / "clock.json"
        await until(partial(asyncio.to_thread, memory.exists), "the clock's memory is saved")
        program.kill()  # what is born next is, by the clock, hours from the last id
        await program.start()
        await w.post("n1", THREE)
        records = await records_of(program)
        await w.until_live("n1", "up")
        run = await w.pull("n1")
        copies = (await w.central.call(central.RECORDS, central.CentralRecordsAsk())).records

        assert [record.position for record in records] == list(range(1, 13))
        assert all(before.id < after.id for before, after in pairwise(records))
        assert [record.unsynced for record in records] == [True] * 6 + [False] * 6
        assert [record.correction_us is None for record in records] == (
            [True] * 3 + [False] * 3 + [True] * 6
        )
        for record in records[3:6]:
            assert record.correction_us == pytest.approx(-wrong_by_ms * 1000, abs=1_000_000)
        assert (run.state, run.inserted) == ("succeeded", 12)
        assert {(one.id, one.hash) for one in copies} == {(one.id, one.hash) for one in records}
        assert not any(one.unsynced for one in copies)
