"""Transfer: moves pages of one node between its link and central's store, and counts them.

It learns how large a page should be, prepares the next one while this one is on its way, and
leaves it to `central.replication` which pages are wanted.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from central.link import Arrived, Link
from central.page_size import PageSize
from central.prefetch import prefetched
from central.standing import Head, Part, Tidemark
from central.store import CentralStore
from central.tally import Tally
from cluster.page_file import PageFile
from cluster.peer import PeerFailed
from cluster.protocol.node import WINDOWS_MAX, NodeStatus
from cluster.record import next_id

T = TypeVar("T")


@dataclass(slots=True)
class Transfer:
    """One node's link, central's store, and the tally of the run.

    `held`: the position up to which pages were taken before this run.
    """

    link: Link
    store: CentralStore
    now_us: Callable[[], int]
    tally: Tally
    size: PageSize
    held: int = 0

    async def pages(self, epoch: str, after: int, last: int) -> AsyncGenerator[Arrived, None]:
        while after < last:
            limit = min(self.size.records, last - after)
            arrived, seconds = await self._timed(self.link.page(epoch, after, limit, last))
            self.size.took(arrived.page.count, seconds)
            yield arrived
            after = arrived.next if arrived.more else last

    async def inside(
        self, status: NodeStatus, parts: Sequence[Part]
    ) -> AsyncGenerator[Arrived, None]:
        """What is inside of these windows, as many pages as it takes."""
        windows, first = [part.window for part in parts], b"\0" * 16
        # One more than there should be: a page that is not full is the last.
        whole = sum(part.size for part in parts) + 1
        upto, more = status.records.last_position, True
        while more:
            limit = min(self.size.records, whole)
            arrived, seconds = await self._timed(
                self.link.fetch(status.epoch, windows, first, limit, upto)
            )
            self.size.took(arrived.page.count, seconds)
            yield arrived
            following = next_id(arrived.page.max_id) if arrived.more else None
            more, first = following is not None, following or first

    async def take(
        self, arrived: Arrived, mark: Tidemark | None = None, head: Head | None = None
    ) -> None:
        page, received = arrived.page, arrived.page.count
        taken = await self.store.take(
            self.link.name, page, now_us=self.now_us(), tidemark=mark, head=head
        )
        self.tally.add(
            received=received,
            inserted=taken.inserted,
            duplicate=taken.duplicate,
            conflict=taken.conflict,
            rejected=len(page.bad),
        )
        further = mark is not None and mark.position > self.held
        self.tally.gained += received if further else taken.inserted
        if received:  # an empty page is no progress: there might be no end of them
            self._moved()

    async def send(self, windows: Sequence[str]) -> None:
        """Hand over what is inside of windows, each page prepared while the last one is sent."""
        for start in range(0, len(windows), WINDOWS_MAX):
            some = windows[start : start + WINDOWS_MAX]
            async with prefetched(self._own_pages(some)) as pages:
                async for page in pages:
                    await self._send_page(page)

    async def _own_pages(self, windows: Sequence[str]) -> AsyncGenerator[PageFile, None]:
        first: bytes | None = b"\0" * 16
        while first is not None:
            page = await self.store.records.window_file(
                self.link.name, windows, first, self.size.records
            )
            if page.count:
                yield page
            first = next_id(page.max_id) if page.more else None

    async def _send_page(self, page: PageFile) -> None:
        receipt, seconds = await self._timed(self.link.append(page))
        self.size.took(page.count, seconds)
        dropped = sum(row.code == "dropped" for row in receipt.rejected)
        self.tally.add(
            received=receipt.received,
            inserted=receipt.inserted,
            duplicate=receipt.duplicate + dropped,  # proven to be the same, and given up there
            conflict=receipt.conflict,
            rejected=len(receipt.rejected) - dropped,
        )
        self.tally.gained += receipt.inserted
        self._moved()

    async def _timed(self, moving: Awaitable[T]) -> tuple[T, float]:
        """What came of a page on its way, and the seconds; where it fails, the next is smaller."""
        now_s = asyncio.get_running_loop().time
        began_s = now_s()
        try:
            result = await moving
        except PeerFailed:
            self.size.failed()
            raise
        return result, now_s() - began_s

    def _moved(self) -> None:
        self.tally.bytes = self.link.bytes_moved
        self.tally.changed()
