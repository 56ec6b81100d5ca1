"""Two sides without HTTP: the real stores of a node and of central on real files, and verbs.

What moves records is the services' own replication; only the line between is left out, and may be
cut after any number of exchanges.
"""

import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, closing, contextmanager
from pathlib import Path

import pytest

from central import replication as module
from central.link import Link
from central.page_size import PageSize
from central.replication import Replication
from central.standing import Judgement, judge
from central.store import CentralStore, open_central_store
from cluster import inside, windows
from cluster.clock.base import RealBase
from cluster.clock.cluster_clock import ClusterClock
from cluster.peer import PeerFailed
from cluster.record import Record
from node import retention
from node.retention import Limits
from node.store import Draft, NodeStore, Stored, open_node_store
from tests.invariants import Verdict, check
from tests.near import NO_LIMITS, NearNode, NearPeer

CLOCK = ClusterClock.reference(RealBase())
PAGE = 40  # small, so that a cut leaves something half done
BACKLOG = 60  # so that some stories have one


@contextmanager
def small_sizes() -> Iterator[None]:
    """All sizes are such that a story of some hundred records goes beyond them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "SPLIT_ABOVE", 16)
        patch.setattr(inside, "LIST_MAX", 4)
        patch.setattr(module, "HEAD_RECORDS", 20)
        patch.setattr(module, "HEAD_EVERY_S", 0.0)
        patch.setattr(retention, "WINDOW_RECORDS_MAX", 64)
        yield


class SmallPages(PageSize):
    """Learns nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.records = PAGE

    def took(self, records: int, seconds: float) -> None:
        pass


class NearLink(Link):
    """A real link to a node without HTTP. Fails after `calls_left` exchanges, as a line does."""

    def __init__(
        self, store: NodeStore, calls_left: int | None, limits: Limits = NO_LIMITS
    ) -> None:
        node = NearNode(store, CLOCK, limits=limits, page_max=PAGE)
        super().__init__(NearPeer(node, calls_left), "n1")  # type: ignore[arg-type]


class Sides:
    """A node and central, with verbs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._disks: dict[str, AsyncExitStack] = {}
        self._made = 0
        self.node: NodeStore
        self.central: CentralStore

    async def open(self) -> None:
        await self._open("central")
        await self._open("node")

    async def _open(self, side: str) -> None:
        disk = self._disks[side] = AsyncExitStack()
        if side == "node":
            opening = open_node_store(self._folder / side, "n1", CLOCK)
            self.node = await disk.enter_async_context(opening)
        else:
            self.central = await disk.enter_async_context(open_central_store(self._folder / side))
            await self.central.add_node("n1", "http://127.0.0.1:1")

    async def close(self) -> None:
        for disk in self._disks.values():
            await disk.aclose()

    def file(self, side: str) -> Path:
        return self._folder / side / f"{side}.db"

    async def ingest(self, count: int) -> None:
        await self.store(self.drafts(count))

    def drafts(self, count: int) -> list[Draft]:
        first, self._made = self._made, self._made + count
        return [Draft("t", f'{{"n":{number}}}') for number in range(first, self._made)]

    async def store(self, rows: Sequence[Draft | Record]) -> Stored:
        return await self.node.store(rows)

    async def lose_rows(self, side: str, nth: int) -> None:
        database = (self.node if side == "node" else self.central).database
        statement = f"DELETE FROM records WHERE position % {nth} = 0"
        await database.write(lambda sql: sql.execute(statement))

    async def lose_rows_to_a_shell(self, side: str, nth: int, how: str) -> None:
        """Behind the program's back, which is told the next time that it looks."""
        with self.shell(side) as sql:
            sql.execute(SHELL[how], (nth,))
        await self.notice(side)

    @contextmanager
    def shell(self, side: str) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.file(side), timeout=10)) as sql, sql:
            yield sql

    async def notice(self, side: str) -> None:
        """Digests are told only when all that others have done is in them."""
        store = self.node if side == "node" else self.central
        await store.records.read_folded(lambda sql: windows.digest(sql, "n1"))

    async def kill(self, side: str) -> None:
        """As after kill -9: what was committed is in the log beside the file, nothing is closed."""
        file, saved = self.file(side), self._folder / "killed"
        saved.mkdir()
        for one in (file, file.with_name(f"{file.name}-wal")):
            shutil.copy(one, saved / one.name)
        await self._disks[side].aclose()
        shutil.rmtree(file.parent)
        saved.rename(file.parent)
        await self._open(side)

    async def lose_disk(self, side: str = "node") -> None:
        await self._disks[side].aclose()
        shutil.rmtree(self.file(side).parent)
        await self._open(side)

    async def back_up(self) -> None:
        await self._disks["node"].aclose()  # closing leaves everything in the one file
        shutil.copy(self.file("node"), self._folder / "backup.db")
        await self._open("node")

    async def restore(self) -> None:
        await self._bring_back(keep=False)

    async def swap(self) -> None:
        """A copy takes the node's place, and the node that of the copy: each goes its own way."""
        await self._bring_back(keep=True)

    async def _bring_back(self, *, keep: bool) -> None:
        backup = self._folder / "backup.db"
        if backup.exists():
            await self._disks["node"].aclose()
            other = shutil.copy(self.file("node"), self._folder / "other.db")
            shutil.copy(backup, self.file("node"))
            if keep:
                shutil.copy(other, backup)
            await self._open("node")

    async def replicate(self, kind: str, mode: str, calls: int | None) -> None:
        replication = self._replication(NearLink(self.node, calls))
        try:
            await (replication.pull(mode) if kind == "pull" else replication.push(mode))
        except PeerFailed:
            assert calls is not None

    async def prune(self, limits: Limits, calls: int | None = None) -> None:
        """What a lane does when something is due at the node."""
        try:
            await self._replication(NearLink(self.node, calls, limits)).release()
        except PeerFailed:
            assert calls is not None

    def _replication(self, link: NearLink) -> Replication:
        return Replication(link, self.central, CLOCK.now_us, size=SmallPages(), backlog=BACKLOG)

    async def judgement(self) -> Judgement:
        """What a poll would tell."""
        status = (await NearLink(self.node, None).status(1.0)).status
        own, standing = await self.central.standing("n1")
        return judge(status.epoch, status.records, own, standing, status.retention.dropped)

    async def poll(self) -> Judgement:
        """What a lane does: judge and, when that explains nothing, compare. Never a lie."""
        told, verdict = await self.judgement(), self.verdict()
        assert (told.data == "in_sync") == verdict.same
        if not told.explained:
            await self._replication(NearLink(self.node, None)).look()
            told = await self.judgement()
            node, central = verdict.node, verdict.central
            only_central = [
                one for one in central.rows.keys() - node.rows.keys() if not node.has_dropped(one)
            ]
            only_node = node.rows.keys() - central.rows.keys()
            assert told.records.missing_at_central == len(only_node)
            assert told.records.missing_at_node == len(only_central)
        return told

    def verdict(self) -> Verdict:
        return check("n1", self.file("node"), self.file("central"))


SHELL = {
    "delete": "DELETE FROM records WHERE position % ? = 0",
    # The same content at another position: nothing is lost, and nothing may seem to be.
    "replace": "INSERT OR REPLACE INTO records (id, node, ts, stream, payload, hash) "
    "SELECT id, node, ts, stream, payload, hash FROM records WHERE position % ? = 0",
}
