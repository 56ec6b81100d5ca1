"""Messages that nodes and central share: records on the wire, counts, health."""

from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter
from typing import Annotated, Any, NamedTuple

import msgspec

from cluster.digest import Digest
from cluster.exchange import CSV, JSON, NDJSON, SQLITE, TEXT, Exchange, Nothing
from cluster.problem import Rejected
from cluster.record import (
    HashText,
    NodeName,
    Record,
    RecordId,
    RowError,
    StreamName,
    Timestamp,
    check_payload,
    hash_of,
    id_text,
    parse_id,
)

COUNT_MAX = 2**63 - 1
Count = Annotated[int, msgspec.Meta(ge=0, le=COUNT_MAX)]
Position = Annotated[int, msgspec.Meta(ge=0, le=COUNT_MAX, description="0: from the beginning")]
PAGE_RECORDS_MAX, PAGE_FILE_RECORDS_MAX = 5_000, 20_000
POSITION_MAX = COUNT_MAX
ROWS_MAX = 10_000
#: A JSON object, byte for byte.
Payload = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": "object"})]
#: A short text: an epoch, a boot, a version.
Mark = Annotated[str, msgspec.Meta(max_length=64)]


class Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A record as a client or a peer sends it. Without `id` it is a new one.

    `position`, `unsynced` and `correction_us` are there so that what a GET gave can be POSTed as it
    is; they are not kept.
    """

    stream: StreamName
    payload: Payload
    ts: Timestamp | None = None
    id: RecordId | None = None
    node: NodeName | None = None
    hash: HashText | None = None
    position: Count | None = None
    unsynced: bool = False
    correction_us: int | None = None

    def record(self, node: str) -> Record:
        """The checked record of `node` that this row with an id and a ts is. RowError if not."""
        assert self.id is not None
        if self.ts is None:
            raise RowError("bad_value", "a row with an id needs its ts too")
        if self.node not in (None, node):
            raise RowError("wrong_node", f"belongs to {self.node}, this is {node}")
        record_id, payload = parse_id(self.id), check_payload(bytes(self.payload))
        value = hash_of(record_id, node, self.ts, self.stream, payload)
        if self.hash is not None and int(self.hash, 16) != value:
            raise RowError("hash_mismatch", "the content is not what its hash says; send it again")
        return Record(record_id, node, self.ts, self.stream, payload, value)


class Span(NamedTuple):
    """Positions whose records were stamped before the node's clock was first set.

    `correction_us`: by how much it was set, where that is known.
    """

    first: int
    last: int
    correction_us: int | None


class ServedRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A record as it is served.

    `unsynced`, at the node only and in JSON and NDJSON: `ts` is of a clock that was never set;
    `ts` + `correction_us` is the right time, as far as nobody set the machine's clock meanwhile.
    """

    id: RecordId
    node: NodeName
    ts: Timestamp
    stream: StreamName
    payload: Payload
    hash: HashText
    position: Count
    unsynced: bool = False
    correction_us: int | None = None

    def row(self) -> Row:
        """The same as a row to be checked like anything that comes from elsewhere."""
        return Row(
            id=self.id,
            node=self.node,
            ts=self.ts,
            stream=self.stream,
            payload=self.payload,
            hash=self.hash,
        )


def served(record: Record, position: int, unsynced: Sequence[Span] = ()) -> ServedRecord:
    """The record as it goes on the wire; `unsynced` says which are, in the order of positions.

    A payload that was damaged on the disk goes as a string: one bad row must not make the whole
    page unreadable. Its receiver sets it aside.
    """
    payload = record.payload.encode()
    try:
        msgspec.json.decode(payload, type=msgspec.Raw)
    except msgspec.MsgspecError:
        payload = msgspec.json.encode(record.payload)
    span = _span_of(position, unsynced)
    return ServedRecord(
        id_text(record.id),
        record.node,
        record.ts,
        record.stream,
        msgspec.Raw(payload),
        f"{record.hash:016x}",
        position,
        unsynced=span is not None,
        correction_us=span.correction_us if span is not None else None,
    )


def _span_of(position: int, spans: Sequence[Span]) -> Span | None:
    place = bisect_right(spans, position, key=attrgetter("first"))
    return spans[place - 1] if place and position <= spans[place - 1].last else None


class RecordPage(msgspec.Struct, frozen=True):
    """Records in the order of their positions. Ask again with `after=next` while `more`."""

    epoch: Mark
    records: list[ServedRecord]
    next: Count
    more: bool


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the rows of one request; answered after they are on disk.

    received = inserted + duplicate + conflict + len(rejected); `conflicts` are the indexes of
    rows whose id is already there with another content: those were kept out.
    """

    received: Count
    inserted: Count
    duplicate: Count
    conflict: Count
    rejected: list[Rejected]
    conflicts: list[Count] = []


class RecordCounts(msgspec.Struct, frozen=True):
    """A set of records in one line: how many, up to which position, and its digest.

    `unsynced`: how many were stamped before the node's clock was first set.
    """

    count: Count
    last_position: Count
    digest: HashText
    unsynced: Count = 0

    def as_digest(self) -> Digest:
        return Digest.parse(self.count, self.digest)


class Disk(msgspec.Struct, frozen=True):
    """Bytes: of the database files, free and in all on their file system."""

    database_bytes: Count
    free_bytes: Count
    total_bytes: Count


class Document(msgspec.Struct, frozen=True):
    """An OpenAPI document; only its version is fixed here."""

    openapi: str
    info: dict[str, Any]


class Health(msgspec.Struct, frozen=True):
    """Says that the service answers, and with which version."""

    ok: bool
    version: str


HEALTH = Exchange("Alive", "GET", "/healthz", Nothing, Health, public=True)
READY = Exchange(
    "Ready to work: the database answers and the disk has room",
    "GET",
    "/readyz",
    Nothing,
    Health,
    refusals=("not_ready",),
)
METRICS = Exchange("Figures for Prometheus", "GET", "/metrics", Nothing, str, gives=(TEXT,))
OPENAPI = Exchange("This contract as OpenAPI 3.1", "GET", "/openapi.json", Nothing, Document)
#: How a page leads to the next one.
FOLLOWING = (("after", "next"), ("epoch", "epoch"))
RECORD_TYPES = (JSON, NDJSON, CSV, SQLITE)
