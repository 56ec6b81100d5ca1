"""What counts as progress: a node that gives page after page with nothing in it is stalled."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from central.link import Arrived, Polled
from central.replication import Replication
from central.store import open_central_store
from central.tally import Tally
from cluster import arrival
from cluster.clock.state import ClockSummary
from cluster.protocol.node import NodeStatus, SourceState
from cluster.protocol.shared import Disk, RecordCounts
from tests.page_files import page_of

ENDLESS = 2**62
PAGES = 500
BAD = (bytes(16), "n1", 0, "s", "no JSON", 0)


class Liar:
    """A node that says it has very much, and gives page after page with nothing in it."""

    name, bytes_moved = "n1", 0

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self.given = 0
        self._page = arrival.check(page_of(rows), self.name, None)

    async def status(self, timeout_s: float) -> Polled:
        status = NodeStatus(
            node="n1",
            epoch="e",
            boot="b",
            version="0",
            now=0,
            records=RecordCounts(ENDLESS, ENDLESS, f"{7:016x}"),
            clock=ClockSummary(status="UNSYNC"),
            source=SourceState("none", False, 0.0, 0),
            uptime_s=0.0,
            disk=Disk(0, 0, 0),
        )
        return Polled(status, 0.0)

    async def page(self, epoch: str, after: int, limit: int, upto: int) -> Arrived:
        self.given += 1
        if self.given == PAGES:
            raise asyncio.CancelledError  # enough has been seen
        return Arrived(self._page, after + 1, more=True)


@pytest.mark.parametrize(
    ("rows", "progress"), [([], 0), ([BAD], PAGES - 1)], ids=["empty", "bad rows"]
)
async def test_an_empty_page_is_no_progress(
    tmp_path: Path, rows: list[tuple[Any, ...]], progress: int
) -> None:
    """A row that is set aside is some."""
    moved: list[int] = []
    async with open_central_store(tmp_path) as store:
        await store.add_node("n1", "http://127.0.0.1:1")
        liar = Liar(rows)
        tally = Tally(changed=lambda: moved.append(1))

        with pytest.raises(asyncio.CancelledError):
            await Replication(liar, store, lambda: 0, tally).pull("incremental")  # type: ignore[arg-type]

        assert liar.given == PAGES
        assert len(moved) == progress
