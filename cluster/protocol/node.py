"""What a node answers."""

from typing import Annotated, Literal

import msgspec

from cluster.clock.state import ClockState, ClockSummary
from cluster.exchange import JSON, MIB, NDJSON, SQLITE, Exchange, Nothing
from cluster.protocol.shared import (
    FOLLOWING,
    HEALTH,
    METRICS,
    OPENAPI,
    PAGE_FILE_RECORDS_MAX,
    POSITION_MAX,
    READY,
    RECORD_TYPES,
    ROWS_MAX,
    Count,
    Disk,
    Mark,
    Position,
    Receipt,
    RecordCounts,
    RecordPage,
    Row,
)
from cluster.record import HashText, NodeName, RecordId, StreamName, Timestamp
from cluster.shape import END, shape

Rate = Annotated[float, msgspec.Meta(ge=0, le=10_000, description="records per second")]
Window = Annotated[str, shape(r"^[0-9a-f]{0,32}" + END, "a hex prefix of ids, 0-32 of 0-9 a-f")]
SourceKind = Literal["synthetic", "host", "none"]

WINDOWS_MAX = 512
Windows = Annotated[list[Window], msgspec.Meta(min_length=1, max_length=WINDOWS_MAX)]


class SourceState(msgspec.Struct, frozen=True, gc=False):
    """The node's own source of records; `made` counts since the start of the process."""

    kind: SourceKind
    running: bool
    rate: float
    made: Count


class RetentionState(msgspec.Struct, frozen=True):
    """`due`: some windows may be dropped once central has proven that it holds them.

    `dropped`: records that were given up so far.
    """

    due: bool = False
    dropped: Count = 0


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a poll."""

    node: NodeName
    epoch: Mark
    boot: Mark
    version: Mark
    now: Timestamp
    records: RecordCounts
    clock: ClockSummary
    source: SourceState
    retention: RetentionState = RetentionState()
    uptime_s: float
    disk: Disk


class RecordsAsk(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which page. `epoch`: refuse with `epoch_changed` unless the database is this one.

    `limit` is at most 5,000, of SQLite pages 20,000. `upto`: nothing after this position.
    """

    after: Position = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_FILE_RECORDS_MAX)] = 1_000
    stream: StreamName | None = None
    since: Timestamp | None = None
    until: Timestamp | None = None
    epoch: str | None = None
    upto: Position = POSITION_MAX


class FetchAsk(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All records inside of any of the windows, as of the position `upto`.

    32 digits are one record. The answer is in the order of ids; when it says `Tidehold-More: true`
    ask again with `first`, the id after the last one that came.
    """

    windows: Windows
    epoch: str | None = None
    first: RecordId = "00000000-0000-0000-0000-000000000000"
    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_FILE_RECORDS_MAX)] = PAGE_FILE_RECORDS_MAX
    upto: Position = POSITION_MAX


class DigestAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Windows to be compared. `upto`: as if nothing had been stored after this position."""

    windows: Windows
    upto: Position = POSITION_MAX


class WindowView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One window. `children`: [count, digest] or null for each of its 16 children, in order.

    `elements`: the [id, hash] list of a small window, instead. `dropped`: the node has given up
    these records after central had proven that it holds them; only their digest is left.
    """

    window: Window
    count: Count
    digest: HashText
    children: list[tuple[Count, HashText] | None] | None = None
    elements: list[tuple[RecordId, HashText]] | None = None
    dropped: bool = False


class Digests(msgspec.Struct, frozen=True):
    """The windows asked for, in their order."""

    epoch: Mark
    windows: list[WindowView]


class WindowDigest(msgspec.Struct, frozen=True):
    """The digest of one window."""

    window: Window
    count: Count
    digest: HashText


class Due(msgspec.Struct, frozen=True):
    """Windows that the node would like to drop, the oldest first, with their digests."""

    epoch: Mark
    windows: list[WindowDigest]


class DropAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Central's proof: the digests of these windows as it holds them."""

    epoch: str
    windows: Annotated[list[WindowDigest], msgspec.Meta(min_length=1, max_length=WINDOWS_MAX)]


class Dropped(msgspec.Struct, frozen=True):
    """How many records were dropped: those of windows that are due and have the same digest."""

    records: Count


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
    following=FOLLOWING,
)
APPEND = Exchange(
    "Store rows: new ones, or ones with their id that are inserted if missing",
    "POST",
    "/v1/records",
    Nothing,
    Receipt,
    body=Row | Annotated[list[Row], msgspec.Meta(max_length=ROWS_MAX)],
    takes=(NDJSON, JSON, SQLITE),
    body_max=16 * MIB,
    refusals=(
        "bad_json",
        "bad_page",
        "too_large",
        "unsupported_type",
        "rows_rejected",
        "storage_failed",
    ),
)
FETCH = Exchange(
    "The records inside of windows",
    "POST",
    "/v1/fetch",
    FetchAsk,
    bytes,
    gives=(SQLITE,),
    reply_max=16 * MIB,
    refusals=("epoch_changed",),
)
DIGEST = Exchange(
    "Digests of the children of windows, or the lists of small ones",
    "POST",
    "/v1/digest",
    DigestAsk,
    Digests,
    reply_max=4 * MIB,
    refusals=("status_old",),
)
DUE = Exchange("Windows that may be dropped", "GET", "/v1/retention", Nothing, Due)
DROP = Exchange(
    "Drop windows that central has proven to hold",
    "POST",
    "/v1/retention/drop",
    DropAsk,
    Dropped,
    refusals=("epoch_changed",),
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
    DUE,
    DROP,
    SOURCE,
    CLOCK,
    CLOCK_SYNC,
)
