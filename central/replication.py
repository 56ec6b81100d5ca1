"""Replication: pull and push of one node. No timing, no retries, no HTTP, no SQL.

Both begin with a status, which fixes the node's set at one moment: epoch, last position and
digest. Pull brings central to that set, push the node to central's. Both may be cut anywhere and
be begun again: rows are inserted only if missing, and the tidemark moves with the rows.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from central.link import Link, checked
from central.reconcile import differences
from central.standing import Comparison, Standing, Tidemark
from central.store import CentralStore, SetAside
from central.tally import Tally
from cluster.digest import EMPTY, Digest
from cluster.protocol.node import NodeStatus
from cluster.record import Record, next_id

STATUS_TIMEOUT_S = 10.0
BATCH_RECORDS = 500
BATCH_BYTES = 1024 * 1024


@dataclass(slots=True)
class Replication:
    """One node's link, central's store, and the tally of the run."""

    link: Link
    store: CentralStore
    now_us: Callable[[], int]
    tally: Tally = field(default_factory=Tally)
    _found: int = 0  # records that are known to be moved by this run
    _held: int = 0  # the position up to which pages were taken before

    async def pull(self, mode: str) -> None:
        """Bring central to all that the node holds now. PeerFailed when the node fails."""
        status = (await self.link.status(STATUS_TIMEOUT_S)).status
        own, standing = await self.store.standing(self.link.name)
        if mode == "incremental" and status.records.as_digest() == own:
            await self._prove(status)
            return
        if standing.tidemark is not None and standing.tidemark.epoch == status.epoch:
            self._held = standing.tidemark.position
        if own == EMPTY:
            await self._begin(status)
        start = 0 if mode == "full" or own == EMPTY else _follows(standing, status)
        if start is not None:
            await self._take_pages(status, start)
            if await self._agrees(status):
                return
        self._foresee(_known(standing, status).missing_at_central)
        await self._take_missing(status)

    async def push(self, mode: str) -> None:
        """Bring the node to all of its records that central holds. PeerFailed if it fails."""
        status = (await self.link.status(STATUS_TIMEOUT_S)).status
        if mode == "full":
            await self._send_all()
        else:
            _, standing = await self.store.standing(self.link.name)
            self._foresee(_known(standing, status).missing_at_node)
            await self._send_missing(status)
        await self.look(refused=self.tally.rejected)

    async def look(self, refused: int = 0) -> bool:
        """Remember that the sets are equal, or exactly how they differ; whether they do.

        `refused`: how many of the differing records the node is known not to take.
        """
        status = (await self.link.status(STATUS_TIMEOUT_S)).status
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
            if part:
                self.tally.changed()
            found = replace(
                found,
                missing_at_central=found.missing_at_central + len(part.missing_at_central),
                missing_at_node=found.missing_at_node + len(part.missing_at_node),
                conflicts=found.conflicts + len(part.conflicts),
            )
        # A tidemark is a promise; central does not hold all that the node has.
        mark = None if found.missing_at_central else standing.tidemark
        await self.store.settle(self.link.name, Standing(mark, found))
        return True

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

    async def _take_pages(self, status: NodeStatus, start: int) -> None:
        """Page after page up to the status's position, each with its tidemark."""
        last = status.records.last_position
        self.tally.expected = self.tally.received + last - start
        after = start
        while after < last:
            page = await self.link.page(status.epoch, after)
            good, bad = await asyncio.to_thread(checked, self.link.name, page.records)
            rows = [record for record, position in good if position <= last]
            whole = page.more and len(rows) == len(good)
            after = min(page.next, last) if whole else last
            await self._take(rows, bad, Tidemark(status.epoch, after))

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
        async for part in differences(self.link, self.store, status):
            self._expect(len(part.missing_at_central))
            asked += len(part.missing_at_central)
            for start in range(0, len(part.missing_at_central), BATCH_RECORDS):
                await self._fetch(part.missing_at_central[start : start + BATCH_RECORDS])
            found = replace(
                found,
                missing_at_node=found.missing_at_node + len(part.missing_at_node),
                conflicts=found.conflicts + len(part.conflicts),
            )
        own, standing = await self.store.standing(self.link.name)
        difference, rejected = status.records.as_digest() - own, self.tally.rejected
        left = replace(
            found,
            difference=difference,
            missing_at_central=max(0, asked - (self.tally.received - received_before)),
            rejected=rejected - rejected_before or _refused_before(standing, difference),
        )
        mark = Tidemark(left.epoch, left.position)
        await self.store.settle(self.link.name, Standing(mark, left))

    async def _fetch(self, ids: list[bytes]) -> None:
        """Fetch by id, as many times as pages are full."""
        wanted = ids
        while wanted:
            reply = await self.link.fetch(wanted)
            good, bad = await asyncio.to_thread(checked, self.link.name, reply.records)
            await self._take([record for record, _ in good], bad)
            wanted = wanted[len(reply.records) :] if reply.more else []

    async def _take(
        self, rows: list[Record], bad: list[SetAside], mark: Tidemark | None = None
    ) -> None:
        taken = await self.store.take(
            self.link.name, rows, bad, now_us=self.now_us(), tidemark=mark
        )
        self.tally.add(
            received=len(rows) + len(bad),
            inserted=taken.inserted,
            duplicate=taken.duplicate,
            conflict=taken.conflict,
            rejected=len(bad),
        )
        further = mark is not None and mark.position > self._held
        self.tally.gained += len(rows) + len(bad) if further else taken.inserted
        if rows or bad:  # an empty page is no progress: there might be no end of them
            self._moved()

    async def _send_missing(self, status: NodeStatus) -> None:
        waiting: list[bytes] = []
        async for part in differences(self.link, self.store, status):
            self._expect(len(part.missing_at_node))
            waiting += part.missing_at_node
            while len(waiting) >= BATCH_RECORDS:
                await self._send_ids(waiting[:BATCH_RECORDS])
                waiting = waiting[BATCH_RECORDS:]
        await self._send_ids(waiting)

    async def _send_ids(self, ids: list[bytes]) -> None:
        rows: list[Record] = []
        while ids:
            fetched = await self.store.fetch(self.link.name, ids)
            rows += fetched
            got = {row.id for row in fetched}
            ids = [one for one in ids if one not in got] if got else []
        await self._send(rows)

    async def _send_all(self) -> None:
        own, _ = await self.store.standing(self.link.name)
        self._expect(own.count)
        first: bytes | None = b""
        while first is not None:
            listed = await self.store.elements(self.link.name, "", first, BATCH_RECORDS)
            await self._send_ids(list(listed))
            first = next_id(max(listed)) if listed else None

    async def _send(self, rows: list[Record]) -> None:
        """Hand rows over in bodies of at most about BATCH_BYTES."""
        while rows:
            size, count = 0, 0
            while count < len(rows) and size < BATCH_BYTES:
                size += len(rows[count].payload) + 200
                count += 1
            receipt = await self.link.append(rows[:count])
            rows = rows[count:]
            self.tally.add(
                received=receipt.received,
                inserted=receipt.inserted,
                duplicate=receipt.duplicate,
                conflict=receipt.conflict,
                rejected=len(receipt.rejected),
            )
            self.tally.gained += receipt.inserted
            self._moved()

    def _moved(self) -> None:
        self.tally.bytes = self.link.bytes_moved
        self.tally.changed()

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


def _known(standing: Standing, status: NodeStatus) -> Comparison:
    """The last comparison with this database of the node; an empty one where there is none."""
    known = standing.comparison
    return known if known and known.epoch == status.epoch else Comparison(status.epoch, 0)


def _refused_before(standing: Standing, difference: Digest) -> int:
    """How many records were refused when the sets differed by just the same."""
    known = standing.comparison
    return known.rejected if known is not None and known.difference == difference else 0


def _follows(standing: Standing, status: NodeStatus) -> int | None:
    """The position after which pages bring what central lacks; None: it must be reconciled.

    After a comparison beyond the tidemark (a push, a disk restored) many of the pages would
    hold what central itself has sent; the exact difference is fetched instead.
    """
    mark, known = standing.tidemark, standing.comparison
    if mark is None or mark.epoch != status.epoch or mark.position > status.records.last_position:
        return None
    if known is not None and known.epoch == mark.epoch and known.position > mark.position:
        return None
    return mark.position
