"""A link: one node as central reaches it, in typed calls.

What comes back from a node is checked here: it must be the node that it was taken for, and each
page is opened apart from our database before anything of it may go in. Failures come out as
PeerFailed with a reason from a closed set.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster import arrival, page_file
from cluster.arrival import CheckedPage
from cluster.clock.state import ClockState
from cluster.digest import ID_DIGITS, Digest, bounds, children, total
from cluster.exchange import SQLITE, AskT, Exchange, Nothing, ReplyT
from cluster.inside import Inside, digest_of
from cluster.page_file import CHECKSUM, PageFile
from cluster.peer import DETAIL_MAX, NO_HEADERS, Peer, PeerFailed
from cluster.problem import Refusal
from cluster.protocol import node as protocol
from cluster.protocol.node import SourceState
from cluster.protocol.shared import POSITION_MAX, Receipt
from cluster.record import RowError, id_text, parse_id

RELAY_TIMEOUT_S = 15.0
TRANSFER_TIMEOUT_S = 60.0  # one page, even on a slow line
#: A page of at most this many records is compressed even where that saves no time.
SMALL_PAGE = 1_000


def unreachable(failure: PeerFailed) -> Refusal:
    """What central tells somebody for whom it has asked a node in vain."""
    return Refusal("node_unreachable", f"{failure.reason}: {failure.detail}")


@dataclass(frozen=True, slots=True)
class Polled:
    """A status and how long it took, in seconds of the monotonic clock."""

    status: protocol.NodeStatus
    rtt_s: float


@dataclass(frozen=True, slots=True)
class Arrived:
    """A page that came. While `more`, go on after the position `next`."""

    page: CheckedPage
    next: int
    more: bool


class Link:
    """One node at its address. `compress`: always, not only small pages."""

    def __init__(self, peer: Peer, name: str, *, compress: bool = False) -> None:
        self._peer = peer
        self._compress = compress
        self.name = name

    @property
    def bytes_moved(self) -> int:
        """Bytes of all bodies, both ways, since this link was made."""
        return self._peer.bytes_moved

    async def status(self, timeout_s: float, headers: Mapping[str, str] = NO_HEADERS) -> Polled:
        polled = await self.anybody(timeout_s, headers)
        if polled.status.node != self.name:
            raise PeerFailed("wrong_node", f"{polled.status.node} answers there, not {self.name}")
        return polled

    async def anybody(self, timeout_s: float, headers: Mapping[str, str] = NO_HEADERS) -> Polled:
        """The status of whoever answers at the address."""
        now_s = asyncio.get_running_loop().time
        start_s = now_s()
        status = await self._peer.call(
            protocol.STATUS, Nothing(), timeout_s=timeout_s, headers=headers, compress=True
        )
        return Polled(status, now_s() - start_s)

    async def set_source(self, change: protocol.SourceChange) -> SourceState:
        """Refusal in the node's own words, or `node_unreachable`."""
        return await self._relay(protocol.SOURCE, change)

    async def sync_clock(self) -> ClockState:
        """Refusal in the node's own words, or `node_unreachable`."""
        return await self._relay(protocol.CLOCK_SYNC, Nothing())

    async def _relay(self, exchange: Exchange[AskT, ReplyT], ask: AskT) -> ReplyT:
        """Ask the node on behalf of somebody who waits."""
        try:
            return await self._peer.call(exchange, ask, timeout_s=RELAY_TIMEOUT_S)
        except PeerFailed as failure:
            if failure.problem is not None and failure.problem.code in exchange.refusals:
                detail = failure.problem.detail[:DETAIL_MAX]  # the node's own words
                raise Refusal(failure.problem.code, detail) from None
            raise unreachable(failure) from None

    async def page(self, epoch: str, after: int, limit: int, upto: int) -> Arrived:
        """PeerFailed `epoch_changed` when the node's database is another one by now."""
        ask = protocol.RecordsAsk(after=after, limit=limit, epoch=epoch, upto=upto)
        arrived = await self._download(protocol.RECORDS, ask, epoch, limit)
        if arrived.page.count > limit or not after <= arrived.next:
            raise PeerFailed("bad_schema", "the page is not the one that was asked for")
        if arrived.more and arrived.next == after:
            raise PeerFailed("bad_schema", "the page leads nowhere")
        return arrived

    async def fetch(
        self, epoch: str, windows: Sequence[str], first: bytes, limit: int, upto: int
    ) -> Arrived:
        """What is inside of windows, in the order of ids from `first` on."""
        ask = protocol.FetchAsk(
            windows=list(windows), epoch=epoch, first=id_text(first), limit=limit, upto=upto
        )
        arrived = await self._download(protocol.FETCH, ask, epoch, limit)
        low, high = bounds(windows[0])[0], bounds(windows[-1])[1]
        page = arrived.page
        inside = not page.count or max(low, first) <= page.min_id <= page.max_id <= high
        if not inside or page.count > limit or (arrived.more and not page.count):
            raise PeerFailed("bad_schema", "other records than those asked for")
        return arrived

    async def digest(self, epoch: str, windows: list[str], upto: int) -> list[Inside]:
        """The windows, open, as of the position `upto`."""
        ask = protocol.DigestAsk(windows, upto)
        reply = await self._peer.call(
            protocol.DIGEST, ask, timeout_s=TRANSFER_TIMEOUT_S, compress=True
        )
        if reply.epoch != epoch:
            raise PeerFailed("epoch_changed", f"the epoch is {reply.epoch} now")
        if [view.window for view in reply.windows] != windows:
            raise PeerFailed("bad_schema", "other windows than those asked for")
        return [_opened(view) for view in reply.windows]

    async def append(self, page: PageFile) -> Receipt:
        """Hand records over; the node inserts what it lacks."""
        checksum = await asyncio.to_thread(page_file.checksum, page.content)
        try:
            receipt = await self._peer.call(
                protocol.APPEND,
                Nothing(),
                timeout_s=TRANSFER_TIMEOUT_S,
                body=page.content,
                headers={"Content-Type": SQLITE, CHECKSUM: checksum},
                compress=self._compress or page.count <= SMALL_PAGE,
            )
        except PeerFailed as failure:
            if failure.problem is None or failure.problem.code != "rows_rejected":
                raise
            rejected = failure.problem.rejected or []  # none could be taken; others may
            receipt = Receipt(
                received=len(rejected), inserted=0, duplicate=0, conflict=0, rejected=rejected
            )
        taken = receipt.inserted + receipt.duplicate + receipt.conflict + len(receipt.rejected)
        if not receipt.received == taken == page.count:
            raise PeerFailed("bad_schema", "the receipt does not add up")
        return receipt

    async def due(self) -> protocol.Due:
        """What the node would like to drop."""
        return await self._peer.call(protocol.DUE, Nothing(), timeout_s=TRANSFER_TIMEOUT_S)

    async def drop(self, epoch: str, proven: list[protocol.WindowDigest]) -> int:
        """Tell the node what central holds of that; how many records it has dropped."""
        ask = protocol.DropAsk(epoch, proven)
        return (await self._peer.call(protocol.DROP, ask, timeout_s=TRANSFER_TIMEOUT_S)).records

    async def _download(
        self, exchange: Exchange[AskT, Any], ask: AskT, epoch: str, limit: int
    ) -> Arrived:
        """Ask for a page. PeerFailed when the answer is none, or not of this node."""
        content, headers = await self._peer.download(
            exchange,
            ask,
            accept=SQLITE,
            timeout_s=TRANSFER_TIMEOUT_S,
            compress=self._compress or limit <= SMALL_PAGE,
        )
        if headers.get("Tidehold-Epoch") != epoch:
            raise PeerFailed("epoch_changed", f"the epoch is {headers.get('Tidehold-Epoch')} now")
        try:
            page = await asyncio.to_thread(arrival.check, content, self.name, headers.get(CHECKSUM))
            following = int(headers.get("Tidehold-Next", ""))
            if following > POSITION_MAX:
                raise ValueError(following)
        except Refusal as refusal:
            raise PeerFailed("bad_schema", f"a page that is none: {refusal}") from None
        except ValueError:
            raise PeerFailed("bad_schema", "a page that does not say where it ends") from None
        return Arrived(page, following, headers.get("Tidehold-More") == "true")


def _opened(view: protocol.WindowView) -> Inside:
    """An open window as the node tells it. PeerFailed unless it is the sum of what is in it."""
    try:
        whole = Digest.parse(view.count, view.digest)
        if view.dropped:
            return Inside(view.window, whole, dropped=True)
        if view.children is not None:
            if len(view.window) == ID_DIGITS:
                raise ValueError("nothing is inside one record")
            parts = zip(children(view.window), view.children, strict=True)
            inside = {child: Digest.parse(*part) for child, part in parts if part is not None}
            opened = Inside(view.window, total(inside.values()), children=inside)
        else:
            listed = {parse_id(text): int(value, 16) for text, value in view.elements or ()}
            low, high = bounds(view.window)
            if not all(low <= one <= high for one in listed):
                raise ValueError("ids of other windows")
            opened = Inside(view.window, digest_of(listed), elements=listed)
    except (ValueError, RowError) as error:
        raise PeerFailed("bad_schema", f"window {view.window!r}: {error}") from None
    if opened.digest != whole:
        raise PeerFailed("bad_schema", f"window {view.window!r} is not the sum of its parts")
    return opened
