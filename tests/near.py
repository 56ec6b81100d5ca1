"""A node without HTTP: its real store and retention, asked through the exchanges of the contract.

`NearNode` answers as `node.api` does, `NearPeer` carries the question to it as `cluster.peer`
does. So a real `central.link.Link` notices no difference, and checks what it always checks.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec

from cluster import VERSION
from cluster.clock.cluster_clock import ClusterClock
from cluster.clock.report import summary_of
from cluster.digest import Digest
from cluster.exchange import Exchange
from cluster.handler import problem_response
from cluster.page_file import CHECKSUM, PageFile, checksum
from cluster.pages import _headers as page_headers
from cluster.pages import check_epoch
from cluster.peer import NO_HEADERS, Download, PeerFailed
from cluster.peer import _refused as refused
from cluster.problem import Refusal
from cluster.protocol import node as protocol
from cluster.protocol.shared import PAGE_FILE_RECORDS_MAX, Disk, Receipt
from cluster.record import parse_id
from cluster.records import Filter
from node.api import _view as view_of
from node.append import append_page
from node.retention import Limits, Retention
from node.store import NodeStore

T = TypeVar("T")
NO_LIMITS = Limits()
_NO_SOURCE = protocol.SourceState("none", False, 0.0, 0)


class NearNode:
    """One process of a node: its store, and what it answers. Refusal as from the real one."""

    def __init__(
        self,
        store: NodeStore,
        clock: ClusterClock,
        *,
        limits: Limits = NO_LIMITS,
        boot: str = "b",
        page_max: int = PAGE_FILE_RECORDS_MAX,
    ) -> None:
        self.store = store
        self.boot = boot
        self._clock = clock
        self._retention = Retention(store, limits)
        self._prunes, self._looked = bool(limits), False
        self._page_max = page_max
        self._answers: dict[str, Callable[[Any], Awaitable[Any]]] = {
            protocol.STATUS.path: self._status,
            protocol.RECORDS.path: self._page,
            protocol.FETCH.path: self._fetch,
            protocol.DIGEST.path: self._digest,
            protocol.DUE.path: self._due,
            protocol.DROP.path: self._drop,
        }

    async def answer(
        self, exchange: Exchange[Any, Any], ask: Any, body: bytes | None, headers: Mapping[str, str]
    ) -> Any:
        """The reply; of a page its content with headers."""
        if body is not None:
            return await self._append(body, headers.get(CHECKSUM))
        return await self._answers[exchange.path](ask)

    async def _status(self, ask: object) -> protocol.NodeStatus:
        if self._prunes or not self._looked:
            await self._retention.look()
            self._looked = True
        return protocol.NodeStatus(
            node=self.store.node,
            epoch=self.store.epoch,
            boot=self.boot,
            version=VERSION,
            now=self._clock.now_us(),
            records=await self.store.counts(),
            clock=summary_of(self._clock),
            source=_NO_SOURCE,
            retention=self._retention.state,
            uptime_s=0.0,
            disk=Disk(0, 0, 0),
        )

    async def _page(self, ask: protocol.RecordsAsk) -> Download:
        check_epoch(ask.epoch, self.store.epoch)
        limit = min(ask.limit, self._page_max)
        return self._file(await self.store.records.page_file(ask.after, limit, Filter(), ask.upto))

    async def _fetch(self, ask: protocol.FetchAsk) -> Download:
        check_epoch(ask.epoch, self.store.epoch)
        limit, first = min(ask.limit, self._page_max), parse_id(ask.first)
        found = await self.store.records.window_file(
            self.store.node, ask.windows, first, limit, ask.upto
        )
        return self._file(found)

    def _file(self, page: PageFile) -> Download:
        headers = page_headers(self.store.epoch, page.next, page.more)
        return Download(page.content, headers | {CHECKSUM: checksum(page.content)})

    async def _digest(self, ask: protocol.DigestAsk) -> protocol.Digests:
        opened = await self.store.records.open(self.store.node, ask.windows, ask.upto)
        return protocol.Digests(self.store.epoch, [view_of(inside) for inside in opened])

    async def _append(self, body: bytes, expected: str | None) -> Receipt:
        receipt = await append_page(self.store, body, expected)
        if receipt.rejected and len(receipt.rejected) == receipt.received:
            raise Refusal("rows_rejected", "see `rejected`", rejected=receipt.rejected)
        return receipt

    async def _due(self, ask: object) -> protocol.Due:
        found = await self._retention.look()
        due = [protocol.WindowDigest(window, one.count, one.text) for window, one in found.items()]
        return protocol.Due(self.store.epoch, due)

    async def _drop(self, ask: protocol.DropAsk) -> protocol.Dropped:
        check_epoch(ask.epoch, self.store.epoch)
        proven = {one.window: Digest.parse(one.count, one.digest) for one in ask.windows}
        return protocol.Dropped(await self._retention.drop(proven))


class NearPeer:
    """Carries questions to a node. Fails after `calls_left` of them, as a line does.

    When the last one that comes through brings rows, its reply is lost after the commit.
    """

    def __init__(self, node: NearNode, calls_left: int | None = None) -> None:
        self.bytes_moved = 0
        self._node = node
        self._calls_left = calls_left

    async def call(
        self,
        exchange: Exchange[Any, T],
        ask: Any,
        *,
        timeout_s: float,
        body: bytes | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
        compress: bool = False,
    ) -> T:
        reply: T = await self._carry(exchange, ask, body, headers)
        if body is not None and self._calls_left == 0:
            raise PeerFailed("reset", "the reply was lost after the commit")
        return reply

    async def download(
        self,
        exchange: Exchange[Any, Any],
        ask: Any,
        *,
        accept: str,
        timeout_s: float,
        compress: bool,
    ) -> Download:
        page: Download = await self._carry(exchange, ask, None, NO_HEADERS)
        self.bytes_moved += len(page.content)
        return page

    async def _carry(
        self, exchange: Exchange[Any, Any], ask: Any, body: bytes | None, headers: Mapping[str, str]
    ) -> Any:
        if self._calls_left is not None:
            self._calls_left -= 1
            if self._calls_left < 0:
                raise PeerFailed("reset", "cut")
        try:
            return await self._node.answer(exchange, ask, body, headers)
        except Refusal as refusal:
            raise as_told(refusal) from None


def as_told(refusal: Refusal) -> PeerFailed:
    """A node's refusal as it comes out of a peer that was told it."""
    answer = problem_response(refusal.problem)
    return refused(answer, msgspec.json.encode(refusal.problem))  # type: ignore[arg-type]
