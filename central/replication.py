"""Replication: pull and push of one node. No timing, no retries, no HTTP, no SQL.

Both begin with a status, which fixes the node's set at one moment: epoch, last position and
digest. Pull brings central to that set, push the node to central's. Both may be cut anywhere and
be begun again: rows are inserted only if missing, and the tidemark moves with the rows. The next
page is fetched, or prepared, while this one is inserted.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace

from central.link import Link
from central.page_size import PageSize
from central.prefetch import prefetched
from central.reconcile import Difference, differences
from central.standing import Comparison, Head, Part, Standing, Tidemark
from central.store import CentralStore
from central.tally import Tally
from central.transfer import Transfer
from cluster.digest import EMPTY, Digest
from cluster.peer import PeerFailed
from cluster.protocol.node import WINDOWS_MAX, NodeStatus
from cluster.protocol.shared import PAGE_FILE_RECORDS_MAX, POSITION_MAX

STATUS_TIMEOUT_S = 10.0
BACKLOG = 50_000  # more than this, and records that are born now do not wait for its end
HEAD_RECORDS = 1_000
HEAD_EVERY_S = 1.0
REMEMBERED = 1_000  # windows of a difference


@dataclass(slots=True)
class Replication:
    """One node's link, central's store, and the tally of the run."""

    link: Link
    store: CentralStore
    now_us: Callable[[], int]
    tally: Tally = field(default_factory=Tally)
    size: PageSize = field(default_factory=PageSize)
    backlog: int = BACKLOG
    _found: int = 0  # records that are known to be moved by this run
    _transfer: Transfer = field(init=False)

    def __post_init__(self) -> None:
        self._transfer = Transfer(self.link, self.store, self.now_us, self.tally, self.size)

    async def pull(self, mode: str) -> None:
        """Bring central to all that the node holds now. PeerFailed when the node fails."""
        status = await self._status()
        own, standing = await self.store.standing(self.link.name)
        if mode == "incremental" and status.records.as_digest() == own:
            await self._prove(status)
            return
        if standing.tidemark is not None and standing.tidemark.epoch == status.epoch:
            self._transfer.held = standing.tidemark.position
        if own == EMPTY:
            await self._begin(status)
        start = _start(mode, own, standing, status)
        if start is not None:
            many = status.records.last_position - start > self.backlog or standing.head is not None
            if mode == "incremental" and many:
                status, start = await self._take_backlog(status, start)
            await self._take_pages(status, start, status.records.last_position)
            if await self._agrees(status):
                return
        self._foresee(_known(standing, status).missing_at_central)
        await self._take_missing(status)

    async def push(self, mode: str) -> None:
        """Bring the node to all of its records that central holds. PeerFailed if it fails."""
        status = await self._status()
        if mode == "full":
            own, _ = await self.store.standing(self.link.name)
            self._expect(own.count)
            await self._transfer.send([""])
        else:
            _, standing = await self.store.standing(self.link.name)
            self._foresee(_known(standing, status).missing_at_node)
            async for part in self._differences(status):
                self._expect(part.missing_at_node)
                await self._transfer.send(sorted(one.window for one in part.at_central))
        await self.look(refused=self.tally.rejected)

    async def look(self, refused: int = 0) -> bool:
        """Remember that the sets are equal, or exactly how they differ; whether they do.

        `refused`: how many of the differing records the node is known not to take.
        """
        status = await self._status()
        own, standing = await self.store.standing(self.link.name)
        difference = status.records.as_digest() - own
        if difference == EMPTY:
            await self._prove(status)
            return False
        found = Comparison(
            status.epoch,
            status.records.last_position,
            difference,
            rejected=refused or _refused_before(standing, difference),
        )
        async for part in differences(self.link, self.store, status):
            if not part.is_none:
                self.tally.changed()
            found = _added(found, part, part.at_node)
        # A tidemark is a promise; central does not hold all that the node has.
        mark = None if found.missing_at_central else standing.tidemark
        head = standing.head if mark is not None else None
        await self.store.settle(self.link.name, Standing(mark, found, head))
        return True

    async def release(self) -> int:
        """Let the node drop windows that both sides hold alike; how many records it dropped."""
        due = await self.link.due()
        proven = []
        for one in due.windows:
            # Not the digest that is kept: the node's copy may be the only one that can be read.
            own = await self.store.proven_digest(self.link.name, one.window)
            if own == Digest.parse(one.count, one.digest):
                proven.append(one)
        return (await self.link.drop(due.epoch, proven)) if proven else 0

    async def _status(self) -> NodeStatus:
        return (await self.link.status(STATUS_TIMEOUT_S)).status

    async def _prove(self, status: NodeStatus) -> None:
        """The digests were equal: remember that central holds all, without moving a row."""
        mark = Tidemark(status.epoch, status.records.last_position)
        await self.store.settle(
            self.link.name, Standing(mark, Comparison(mark.epoch, mark.position))
        )

    async def _begin(self, status: NodeStatus) -> None:
        """Central holds nothing of this node: that is exactly known."""
        mark = Tidemark(status.epoch, 0)
        await self.store.settle(self.link.name, Standing(mark, Comparison(mark.epoch, 0)))

    async def _take_backlog(self, status: NodeStatus, start: int) -> tuple[NodeStatus, int]:
        """Take many pages, and between them what is born meanwhile; the newest come first.

        Returns a new status, with the position from which to go on to it.
        """
        head = await self._open_head(status, start)
        later = max(0, status.records.last_position - head.last)
        self.tally.expected = self.tally.received + max(0, head.first - start) + later
        now_s = asyncio.get_running_loop().time
        due_s = now_s() + HEAD_EVERY_S
        async with prefetched(self._transfer.pages(status.epoch, start, head.first)) as pages:
            async for arrived in pages:
                end = min(arrived.next, head.first) if arrived.more else head.first
                await self._transfer.take(arrived, mark=Tidemark(status.epoch, end))
                if now_s() >= due_s:
                    head = await self._take_head(head)
                    due_s = now_s() + HEAD_EVERY_S
        mark = Tidemark(status.epoch, head.last)
        _, standing = await self.store.standing(self.link.name)
        await self.store.settle(self.link.name, standing.moved(mark))
        status = await self._status()
        if status.epoch != mark.epoch:
            raise PeerFailed("epoch_changed", f"the epoch is {status.epoch} now")
        return status, mark.position

    async def _open_head(self, status: NodeStatus, start: int) -> Head:
        """Where records that are born from now on are added."""
        _, standing = await self.store.standing(self.link.name)
        last, head = status.records.last_position, standing.head
        if head is None or head.epoch != status.epoch or not 0 <= last - head.last <= self.backlog:
            first = max(start, last - HEAD_RECORDS)
            head = Head(status.epoch, first, first)
        return await self._take_head(head)

    async def _take_head(self, head: Head) -> Head:
        """A page of what came after the head, which grows by it."""
        arrived = await self.link.page(head.epoch, head.last, self.size.records, POSITION_MAX)
        head = replace(head, last=arrived.next)
        await self._transfer.take(arrived, head=head)
        return head

    async def _take_pages(self, status: NodeStatus, start: int, last: int) -> None:
        """Page after page up to the position `last`, each with its tidemark."""
        expected = self.tally.received + last - start
        self.tally.expected = max(expected, self.tally.expected or 0)
        async with prefetched(self._transfer.pages(status.epoch, start, last)) as pages:
            async for arrived in pages:
                end = min(arrived.next, last) if arrived.more else last
                await self._transfer.take(arrived, mark=Tidemark(status.epoch, end))

    async def _agrees(self, status: NodeStatus) -> bool:
        """After all pages: is what is left known already, and nothing of it to be pulled?"""
        own, standing = await self.store.standing(self.link.name)
        difference = status.records.as_digest() - own
        if difference == EMPTY:
            await self._prove(status)
            return True
        known = standing.comparison
        return (
            known is not None
            and (known.epoch, known.position) == (status.epoch, status.records.last_position)
            and known.difference == difference
            and known.missing_at_central == 0
        )

    async def _take_missing(self, status: NodeStatus) -> None:
        """Reconcile: fetch exactly what central lacks, then remember what is left."""
        found = Comparison(status.epoch, status.records.last_position)
        rejected_before, received_before, asked = self.tally.rejected, self.tally.received, 0
        self.tally.gained = 0  # new rows in each attempt's pages do not help what comes now
        async for part in self._differences(status):
            self._expect(part.missing_at_central)
            asked += part.missing_at_central
            for some in _bundles(part.at_node):
                async with prefetched(self._transfer.inside(status, some)) as pages:
                    async for arrived in pages:
                        await self._transfer.take(arrived)
            found = _added(found, part, ())
        own, standing = await self.store.standing(self.link.name)
        difference, rejected = status.records.as_digest() - own, self.tally.rejected
        left = replace(
            found,
            difference=difference,
            missing_at_central=max(0, asked - (self.tally.received - received_before)),
            rejected=rejected - rejected_before or _refused_before(standing, difference),
        )
        if left.missing_at_central:
            left = left.without_list()  # what did not come is not on it
        mark = Tidemark(left.epoch, left.position)
        await self.store.settle(self.link.name, Standing(mark, left))

    async def _differences(self, status: NodeStatus) -> AsyncIterator[Difference]:
        """How the sets differ: as it is remembered while it stays the same, else found out."""
        own, standing = await self.store.standing(self.link.name)
        known = standing.comparison
        if (
            known is not None
            and known.epoch == status.epoch
            and known.difference == status.records.as_digest() - own
            and known.at_node is not None
            and known.at_central is not None
            and (known.at_node or known.at_central)
        ):
            yield Difference(
                list(known.at_node), list(known.at_central), known.conflicts, known.gone
            )
            return
        async for part in differences(self.link, self.store, status):
            yield part

    def _foresee(self, known: int) -> None:
        """What an earlier comparison has found is to come, on top of what has been moved."""
        self._found = self.tally.received
        self.tally.expected = self._found + known

    def _expect(self, more: int) -> None:
        """More was found for certain."""
        self._found += more
        self.tally.expected = max(self.tally.expected or 0, self._found)
        if more:
            self.tally.changed()


def _bundles(parts: Sequence[Part]) -> list[list[Part]]:
    """Windows in order, as many together as fit into one page."""
    bundles: list[list[Part]] = []
    room = 0
    for part in sorted(parts):
        if part.size > room or len(bundles[-1]) == WINDOWS_MAX:
            bundles.append([])
            room = PAGE_FILE_RECORDS_MAX
        bundles[-1].append(part)
        room -= part.size
    return bundles


def _added(found: Comparison, part: Difference, at_node: Sequence[Part]) -> Comparison:
    """A comparison with one part more; of what is only at the node, `at_node` stays there."""
    more = replace(
        found,
        missing_at_central=found.missing_at_central + sum(one.size for one in at_node),
        missing_at_node=found.missing_at_node + part.missing_at_node,
        conflicts=found.conflicts + part.conflicts,
        gone=found.gone + part.gone,
    )
    if found.at_node is None or found.at_central is None:
        return more
    listed = (*found.at_node, *at_node), (*found.at_central, *part.at_central)
    if sum(map(len, listed)) > REMEMBERED:
        return more.without_list()
    return replace(more, at_node=listed[0], at_central=listed[1])


def _known(standing: Standing, status: NodeStatus) -> Comparison:
    """The last comparison with this database of the node; an empty one where there is none."""
    known = standing.comparison
    return known if known and known.epoch == status.epoch else Comparison(status.epoch, 0)


def _refused_before(standing: Standing, difference: Digest) -> int:
    """How many records were refused when the sets differed by just the same."""
    known = standing.comparison
    return known.rejected if known is not None and known.difference == difference else 0


def _start(mode: str, own: Digest, standing: Standing, status: NodeStatus) -> int | None:
    """The position after which pages bring what central lacks; None: it must be reconciled.

    After a comparison beyond the tidemark (a push, a disk restored) many of the pages would
    hold what central itself has sent; the exact difference is fetched instead.
    """
    if mode == "reconcile":
        return None
    if mode == "full" or own == EMPTY:
        return 0
    mark, known = standing.tidemark, standing.comparison
    if mark is None or mark.epoch != status.epoch or mark.position > status.records.last_position:
        return None
    if known is not None and known.epoch == mark.epoch and known.position > mark.position:
        return None
    return mark.position
