"""A link: one node as central reaches it, in typed calls.

What comes back from a node is checked here: it must be the node that it was taken for. Failures
come out as PeerFailed with a reason from a closed set.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from central.store import SetAside
from cluster.exchange import Exchange, Nothing
from cluster.peer import Peer, PeerFailed
from cluster.protocol import node as protocol
from cluster.protocol.shared import Count, Mark, Receipt, ServedRecord, served
from cluster.record import Record, RowError, id_text

TRANSFER_TIMEOUT_S = 30.0  # one page, even on a slow line
PAGE_RECORDS = 2_000


class RawPage(msgspec.Struct, frozen=True):
    """A page whose records are still to be read, one by one: a bad one must not cost the rest."""

    epoch: Mark
    records: list[msgspec.Raw]
    next: Count
    more: bool


class RawFetched(msgspec.Struct, frozen=True):
    """The same for records by id."""

    records: list[msgspec.Raw]
    more: bool


RAW_RECORDS: Exchange[protocol.RecordsAsk, RawPage] = Exchange(
    **(vars(protocol.RECORDS) | {"reply": RawPage})
)
RAW_FETCH: Exchange[protocol.FetchAsk, RawFetched] = Exchange(
    **(vars(protocol.FETCH) | {"reply": RawFetched})
)
_RECORD = msgspec.json.Decoder(ServedRecord)


@dataclass(frozen=True, slots=True)
class Polled:
    """A status and how long it took, in seconds of the monotonic clock."""

    status: protocol.NodeStatus
    rtt_s: float


class Link:
    """One node at its address."""

    def __init__(self, peer: Peer, name: str) -> None:
        self._peer = peer
        self.name = name

    @property
    def bytes_moved(self) -> int:
        """Bytes of all bodies, both ways, since this link was made."""
        return self._peer.bytes_moved

    async def status(self, timeout_s: float) -> Polled:
        start = time.monotonic()
        status = await self._peer.call(protocol.STATUS, Nothing(), timeout_s=timeout_s)
        if status.node != self.name:
            raise PeerFailed("wrong_node", f"{status.node} answers there, not {self.name}")
        return Polled(status, time.monotonic() - start)

    async def page(self, epoch: str, after: int) -> RawPage:
        """PeerFailed `epoch_changed` when the node's database is another one by now."""
        ask = protocol.RecordsAsk(after=after, limit=PAGE_RECORDS, epoch=epoch)
        page = await self._peer.call(RAW_RECORDS, ask, timeout_s=TRANSFER_TIMEOUT_S)
        if page.epoch != epoch:
            raise PeerFailed("epoch_changed", f"the epoch is {page.epoch} now")
        if (page.more and page.next <= after) or len(page.records) > PAGE_RECORDS:
            raise PeerFailed("bad_schema", "the page is not the one that was asked for")
        return page

    async def fetch(self, ids: Sequence[bytes]) -> RawFetched:
        ask = protocol.FetchAsk([id_text(one) for one in ids])
        reply = await self._peer.call(RAW_FETCH, ask, timeout_s=TRANSFER_TIMEOUT_S)
        if len(reply.records) > len(ids) or (reply.more and not reply.records):
            raise PeerFailed("bad_schema", "other records than those asked for")
        return reply

    async def digest(self, windows: list[str], upto: int) -> protocol.Digests:
        ask = protocol.DigestAsk(windows, upto)
        reply = await self._peer.call(protocol.DIGEST, ask, timeout_s=TRANSFER_TIMEOUT_S)
        if [view.window for view in reply.windows] != windows:
            raise PeerFailed("bad_schema", "other windows than those asked for")
        return reply

    async def append(self, rows: Sequence[Record]) -> Receipt:
        """Hand records over; the node inserts what it lacks."""
        body = msgspec.json.Encoder().encode_lines([served(row, 0).row() for row in rows])
        try:
            receipt = await self._peer.call(
                protocol.APPEND, Nothing(), timeout_s=TRANSFER_TIMEOUT_S, body=body
            )
        except PeerFailed as failure:
            if failure.problem is None or failure.problem.code != "rows_rejected":
                raise
            rejected = failure.problem.rejected or []  # none could be taken; others may
            receipt = Receipt(
                received=len(rejected), inserted=0, duplicate=0, conflict=0, rejected=rejected
            )
        taken = receipt.inserted + receipt.duplicate + receipt.conflict + len(receipt.rejected)
        if not receipt.received == taken == len(rows):
            raise PeerFailed("bad_schema", "the receipt does not add up")
        return receipt


def checked(
    name: str, rows: Sequence[msgspec.Raw]
) -> tuple[list[tuple[Record, int]], list[SetAside]]:
    """Records that central can take, with their positions, and the others with their reason."""
    good: list[tuple[Record, int]] = []
    bad: list[SetAside] = []
    for raw in rows:
        try:
            row = _RECORD.decode(raw)
            good.append((row.row().record(name), row.position))
        except RowError as error:
            bad.append(SetAside(error.code, _text(raw), str(error)))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            bad.append(SetAside("bad_row", _text(raw), str(error)))
    return good, bad


def _text(raw: msgspec.Raw) -> str:
    return bytes(raw).decode("utf-8", "replace")
