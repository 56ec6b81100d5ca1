"""Whatever happens, in whatever order, a pull and a push make both sides whole again.

Hypothesis draws what happens: rows come in, rows are deleted on either side, the node loses its
disk or gets an old backup back, pulls and pushes run or are cut after any number of exchanges.
The stores are the real ones on real files; only HTTP is left out.
"""

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, closing
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from central import replication as module
from central.link import Arrived, Polled
from central.page_size import PageSize
from central.replication import Replication
from central.standing import judge
from central.store import CentralStore, open_central_store
from cluster import VERSION, arrival, inside, windows
from cluster.clock.base import RealBase
from cluster.clock.cluster_clock import ClusterClock
from cluster.inside import Inside
from cluster.page_file import PageFile, checksum
from cluster.peer import PeerFailed
from cluster.protocol.node import NodeStatus, SourceState
from cluster.protocol.shared import Disk, Receipt
from cluster.records import Filter
from node.append import append_page
from node.store import Draft, NodeStore, open_node_store
from tests.invariants import Verdict, check

PAGE = 40  # small, so that a cut leaves something half done
BACKLOG = 60  # so that some stories have one


class SmallPages(PageSize):
    """Learns nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.records = PAGE

    def took(self, records: int, seconds: float) -> None:
        pass


class NearLink:
    """A node without HTTP between. Fails after `calls_left` exchanges, as a line does."""

    def __init__(self, store: NodeStore, calls_left: int | None) -> None:
        self.name, self.bytes_moved = "n1", 0
        self._store = store
        self._calls_left = calls_left

    def _count(self) -> None:
        if self._calls_left is not None:
            self._calls_left -= 1
            if self._calls_left < 0:
                raise PeerFailed("reset", "cut")

    async def status(self, timeout_s: float) -> Polled:
        self._count()
        status = NodeStatus(
            node="n1",
            epoch=self._store.epoch,
            boot="b",
            version=VERSION,
            now=0,
            records=await self._store.counts(),
            clock=CLOCK.state(),
            source=SourceState("none", False, 0.0, 0),
            uptime_s=0.0,
            disk=Disk(0, 0, 0),
        )
        return Polled(status, 0.0)

    async def page(self, epoch: str, after: int, limit: int, upto: int) -> Arrived:
        self._count()
        limit = min(limit, PAGE)
        return self._arrived(await self._store.records.page_file(after, limit, Filter(), upto))

    async def fetch(
        self, epoch: str, windows: Sequence[str], first: bytes, limit: int, upto: int
    ) -> Arrived:
        self._count()
        limit = min(limit, PAGE)
        return self._arrived(
            await self._store.records.window_file(self.name, windows, first, limit, upto)
        )

    def _arrived(self, page: PageFile) -> Arrived:
        checked = arrival.check(page.content, self.name, checksum(page.content))
        return Arrived(checked, page.next, page.more)

    async def digest(self, epoch: str, windows: list[str], upto: int) -> list[Inside]:
        self._count()
        return await self._store.records.open(self.name, windows, upto)

    async def append(self, page: PageFile) -> Receipt:
        self._count()
        receipt = await append_page(self._store, page.content, checksum(page.content))
        if self._calls_left == 0:
            raise PeerFailed("reset", "the reply was lost after the commit")
        return receipt


CLOCK = ClusterClock.reference(RealBase())


class Sides:
    """A node and central, with the verbs that hypothesis draws."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = AsyncExitStack()
        self._made = 0
        self.node: NodeStore
        self.central: CentralStore

    async def open(self) -> None:
        self.central = await self._stack.enter_async_context(
            open_central_store(self._folder / "central")
        )
        await self.central.add_node("n1", "http://127.0.0.1:1")
        self._disk = AsyncExitStack()
        await self._open_node()

    async def _open_node(self) -> None:
        self.node = await self._disk.enter_async_context(
            open_node_store(self._folder / "node", "n1", CLOCK)
        )

    async def close(self) -> None:
        await self._disk.aclose()
        await self._stack.aclose()

    async def ingest(self, count: int) -> None:
        first, self._made = self._made, self._made + count
        await self.node.store(
            [Draft("t", f'{{"n":{number}}}') for number in range(first, self._made)]
        )

    async def lose_rows(self, side: str, nth: int) -> None:
        database = (self.node if side == "node" else self.central).database
        statement = f"DELETE FROM records WHERE position % {nth} = 0"
        await database.write(lambda sql: sql.execute(statement))

    async def lose_rows_to_a_shell(self, side: str, nth: int, how: str) -> None:
        """Behind the program's back, which is told the next time that it looks."""
        store = self.node if side == "node" else self.central
        with closing(sqlite3.connect(store.database.path, timeout=10)) as sql, sql:
            sql.execute(SHELL[how], (nth,))
        await store.records.read_folded(lambda sql: windows.digest(sql, "n1"))

    async def lose_disk(self) -> None:
        await self._disk.aclose()
        shutil.rmtree(self._folder / "node")
        await self._open_node()

    async def back_up(self) -> None:
        await self._disk.aclose()  # closing leaves everything in the one file
        shutil.copy(self._folder / "node" / "node.db", self._folder / "backup.db")
        await self._open_node()

    async def restore(self) -> None:
        if (self._folder / "backup.db").exists():
            await self._disk.aclose()
            shutil.copy(self._folder / "backup.db", self._folder / "node" / "node.db")
            await self._open_node()

    async def replicate(self, kind: str, mode: str, calls: int | None) -> None:
        link = NearLink(self.node, calls)
        replication = self._replication(link)
        try:
            await (replication.pull(mode) if kind == "pull" else replication.push(mode))
        except PeerFailed:
            assert calls is not None

    def _replication(self, link: NearLink) -> Replication:
        return Replication(
            link,  # type: ignore[arg-type]
            self.central,
            CLOCK.now_us,
            size=SmallPages(),
            backlog=BACKLOG,
        )

    async def poll(self) -> None:
        """What a lane does: judge and, when that explains nothing, compare. Never a lie."""
        status = (await NearLink(self.node, None).status(1.0)).status
        own, standing = await self.central.standing("n1")
        told = judge(status.epoch, status.records, own, standing)
        verdict = self.verdict()
        same = verdict.node.rows == verdict.central.rows
        assert (told.data == "in_sync") == same
        if not told.explained:
            await self._replication(NearLink(self.node, None)).look()
            own, standing = await self.central.standing("n1")
            told = judge(status.epoch, status.records, own, standing)
            only_node = len(verdict.node.rows.keys() - verdict.central.rows.keys())
            only_central = len(verdict.central.rows.keys() - verdict.node.rows.keys())
            assert told.records.missing_at_central == only_node
            assert told.records.missing_at_node == only_central

    def verdict(self) -> Verdict:
        node, central = self._folder / "node" / "node.db", self._folder / "central" / "central.db"
        return check("n1", node, central)


SHELL = {
    "delete": "DELETE FROM records WHERE position % ? = 0",
    # The same content at another position: nothing is lost, and nothing may seem to be.
    "replace": "INSERT OR REPLACE INTO records (id, node, ts, stream, payload, hash) "
    "SELECT id, node, ts, stream, payload, hash FROM records WHERE position % ? = 0",
}
NORMAL = {"pull": "incremental", "push": "missing"}
KINDS = st.sampled_from(["pull", "push"])
CUTS = st.integers(0, 12)
VERBS = st.one_of(
    st.integers(1, 150).map(lambda count: partial(Sides.ingest, count=count)),
    st.tuples(st.sampled_from(["node", "central"]), st.integers(2, 9)).map(
        lambda drawn: partial(Sides.lose_rows, side=drawn[0], nth=drawn[1])
    ),
    st.tuples(
        st.sampled_from(["node", "central"]), st.integers(2, 9), st.sampled_from(sorted(SHELL))
    ).map(
        lambda drawn: partial(Sides.lose_rows_to_a_shell, side=drawn[0], nth=drawn[1], how=drawn[2])
    ),
    st.just(Sides.lose_disk),
    st.just(Sides.back_up),
    st.just(Sides.restore),
    st.just(Sides.poll),
    st.tuples(KINDS, CUTS).map(
        lambda drawn: partial(Sides.replicate, kind=drawn[0], mode=NORMAL[drawn[0]], calls=drawn[1])
    ),
    KINDS.map(lambda kind: partial(Sides.replicate, kind=kind, mode=NORMAL[kind], calls=None)),
    KINDS.map(lambda kind: partial(Sides.replicate, kind=kind, mode="full", calls=None)),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(VERBS, min_size=3, max_size=14))
def test_after_any_story_a_pull_and_a_push_make_both_sides_equal(
    story: list[Callable[[Sides], object]],
) -> None:
    """And at every step a poll says in_sync exactly when the sets are equal."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        # All sizes are such that a story of some hundred records goes beyond them.
        patch.setattr(windows, "SPLIT_ABOVE", 16)
        patch.setattr(inside, "LIST_MAX", 4)
        patch.setattr(module, "HEAD_RECORDS", 20)
        patch.setattr(module, "HEAD_EVERY_S", 0.0)
        asyncio.run(tell(Path(folder), story))


async def tell(folder: Path, story: list[Callable[[Sides], object]]) -> None:
    sides = Sides(folder)
    await sides.open()
    try:
        for verb in story:
            await verb(sides)  # type: ignore[misc]  # every verb is a coroutine function
            # I5 may be broken for a while: that is what the story does behind central's back.
            assert [text for text in sides.verdict().broken if text[:2] != "I5"] == []
            await sides.poll()
        for kind in ("pull", "push", "pull"):
            await sides.replicate(kind, NORMAL[kind], None)
        assert sides.verdict().equal
        await sides.poll()
    finally:
        await sides.close()
