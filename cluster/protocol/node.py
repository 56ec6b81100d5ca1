"""What a node answers."""

from typing import Annotated, Literal

import msgspec

from cluster.clock.state import ClockState
from cluster.exchange import JSON, MIB, NDJSON, Exchange, Nothing
from cluster.protocol.shared import (
    HEALTH,
    METRICS,
    OPENAPI,
    PAGE_RECORDS_MAX,
    READY,
    RECORD_TYPES,
    Count,
    Disk,
    Mark,
    Position,
    Receipt,
    RecordCounts,
    RecordPage,
    ServedRecord,
)
from cluster.record import HashText, NodeName, RecordId, StreamName, Timestamp
from cluster.shape import END, shape

Rate = Annotated[float, msgspec.Meta(ge=0, le=10_000, description="records per second")]
Window = Annotated[str, shape(r"^[0-9a-f]{0,32}" + END, "a hex prefix of ids, 0-32 of 0-9 a-f")]
SourceKind = Literal["synthetic", "host", "none"]

#: A window with at most this many records is answered with its list instead of its children.
LIST_MAX = 128


class SourceState(msgspec.Struct, frozen=True):
    """The node's own source of records; `made` counts since the start of the process."""

    kind: SourceKind
    running: bool
    rate: float
    made: Count


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a poll."""

    node: NodeName
    epoch: Mark
    boot: Mark
    version: Mark
    now: Timestamp
    records: RecordCounts
    clock: ClockState
    source: SourceState
    uptime_s: float
    disk: Disk


class RecordsAsk(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which page. `epoch`: refuse with `epoch_changed` unless the database is this one."""

    after: Position = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_RECORDS_MAX)] = 1_000
    stream: StreamName | None = None
    since: Timestamp | None = None
    until: Timestamp | None = None
    epoch: str | None = None


class FetchAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Records by id; ids that are not there are left out of the answer."""

    ids: Annotated[list[RecordId], msgspec.Meta(min_length=1, max_length=1_000)]


class Fetched(msgspec.Struct, frozen=True):
    """The records found. May be fewer than asked for: `more` says that the page was full."""

    records: list[ServedRecord]
    more: bool


class DigestAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Windows to be compared. `upto`: as if nothing had been stored after this position."""

    windows: Annotated[list[Window], msgspec.Meta(min_length=1, max_length=64)]
    upto: Position = 2**63 - 1


class WindowDigest(msgspec.Struct, frozen=True):
    """The digest of one window."""

    window: Window
    count: Count
    digest: HashText


class WindowView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One window: its children that are not empty or, when it is small, its (id, hash) list."""

    window: Window
    count: Count
    digest: HashText
    children: list[WindowDigest] | None = None
    elements: list[tuple[RecordId, HashText]] | None = None


class Digests(msgspec.Struct, frozen=True):
    """The windows asked for, in their order."""

    epoch: Mark
    windows: list[WindowView]


class SourceChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to change of the source; what is left out stays."""

    running: bool | None = None
    rate: Rate | None = None


STATUS = Exchange("Everything a poll needs", "GET", "/v1/status", Nothing, NodeStatus)
RECORDS = Exchange(
    "A page of records after a position",
    "GET",
    "/v1/records",
    RecordsAsk,
    RecordPage,
    gives=RECORD_TYPES,
    reply_max=16 * MIB,
    refusals=("epoch_changed", "not_acceptable"),
)
APPEND = Exchange(
    "Store rows: new ones, or ones with their id that are inserted if missing",
    "POST",
    "/v1/records",
    Nothing,
    Receipt,
    takes=(NDJSON, JSON),
    body_max=8 * MIB,
    refusals=("bad_json", "too_large", "unsupported_type", "rows_rejected", "storage_failed"),
)
FETCH = Exchange(
    "Records by id",
    "POST",
    "/v1/fetch",
    FetchAsk,
    Fetched,
    reply_max=16 * MIB,
)
DIGEST = Exchange(
    "Digests of the children of windows, or the lists of small ones",
    "POST",
    "/v1/digest",
    DigestAsk,
    Digests,
    reply_max=4 * MIB,
)
SOURCE = Exchange(
    "Start, stop or pace the node's source",
    "PATCH",
    "/v1/source",
    SourceChange,
    SourceState,
    refusals=("no_source",),
)
CLOCK = Exchange("The clock's whole state", "GET", "/v1/clock", Nothing, ClockState)
CLOCK_SYNC = Exchange(
    "Measure and correct the clock now",
    "POST",
    "/v1/clock/sync",
    Nothing,
    ClockState,
    refusals=("no_time_server", "time_unreachable"),
)

EXCHANGES = (
    HEALTH,
    READY,
    METRICS,
    OPENAPI,
    STATUS,
    RECORDS,
    APPEND,
    FETCH,
    DIGEST,
    SOURCE,
    CLOCK,
    CLOCK_SYNC,
)
