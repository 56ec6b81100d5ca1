"""What central answers: to consoles, to scripts, and to nodes that say hello."""

from typing import Annotated, Literal

import msgspec

from cluster.clock.state import ClockState
from cluster.clock.verdict import ClockWord
from cluster.exchange import MIB, SSE, Exchange, Nothing
from cluster.protocol.node import Rate, RecordsAsk
from cluster.protocol.shared import (
    FOLLOWING,
    HEALTH,
    METRICS,
    OPENAPI,
    PAGE_RECORDS_MAX,
    READY,
    RECORD_TYPES,
    Count,
    Mark,
    Position,
    RecordPage,
)
from cluster.protocol.views import (
    CentralStatus,
    ClockPoint,
    JournalLine,
    Level,
    NodeView,
    PollPoint,
    Run,
    Snapshot,
)
from cluster.record import NodeName, Timestamp
from cluster.shape import END, shape

_LABEL = r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_BYTE = r"(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"{_BYTE}(\.{_BYTE}){{3}}"
#: What ends in a number is an IPv4 address, in whatever way it is written: only the usual one.
_NAME = rf"({_LABEL}\.)*(?!([0-9]+|0[xX][0-9A-Fa-f]*)(:[0-9]+)?$){_LABEL}"
_GROUP = r"[0-9A-Fa-f]{1,4}"
_SPLIT = "|".join(
    rf"({_GROUP}:){{1,{before}}}(:{_GROUP}){{1,{7 - before}}}" for before in range(1, 7)
)
_IPV6 = (
    rf"({_GROUP}:){{7}}{_GROUP}|({_GROUP}:){{1,7}}:|:(:{_GROUP}){{1,7}}|::|{_SPLIT}"
    rf"|::([fF]{{4}}:)?{_IPV4}"
)
_HOST = rf"({_IPV4}|{_NAME}|\[({_IPV6})\])"
_PORT = r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
Url = Annotated[
    str, shape(f"^https?://{_HOST}(:{_PORT})?{END}", "http://HOST:PORT and no path", max_length=300)
]


class Hello(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An operator adds a node, or a node, which knows its boot, says that it is there.

    A node that an operator removed comes back only when an operator adds it again.
    """

    name: NodeName
    url: Url
    boot: Mark | None = None


class Named(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One node, by its name in the path."""

    name: NodeName


PullMode = Literal["incremental", "full", "reconcile"]
PullEvery = Annotated[
    float, msgspec.Meta(ge=0, le=31_536_000, description="seconds between two pulls; 0: never")
]


class NodeChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new address for a node, or how often central pulls it; what is left out stays."""

    name: NodeName
    url: Url | None = None
    pull_every: PullEvery | None = None


class Address(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a node may be."""

    url: Url


class SourceSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Start, stop or pace a node's own source of records; what is left out stays."""

    name: NodeName
    running: bool | None = None
    rate: Rate | None = None


class PullAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`incremental`: what central lacks. `full`: the node sends all it has.

    `reconcile`: what central lacks by comparing windows at once, without pages first.
    """

    name: NodeName
    mode: PullMode = "incremental"


class PushAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`missing`: what the node lacks. `full`: all that central holds of it."""

    name: NodeName
    mode: Literal["missing", "full"] = "missing"


class PullAllAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mode: PullMode = "incremental"


class PushAllAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mode: Literal["missing", "full"] = "missing"


class RunId(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]


class RunsAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The latest runs first; `open` gives only those that have not ended."""

    node: NodeName | None = None
    open: bool = False
    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 100


class CentralRecordsAsk(RecordsAsk, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As at a node, from central's database; `node` picks one node's records."""

    node: NodeName | None = None


class JournalAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Lines after `after`, oldest first; without it the latest, of those before `before`.

    `text`: somewhere in the text or the node's name, whatever its case.
    """

    after: Position | None = None
    before: Position | None = None
    level: Level | None = None
    node: NodeName | None = None
    kind: Mark | None = None
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=100)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_RECORDS_MAX)] = 200


class HistoryAsk(Named, frozen=True, forbid_unknown_fields=True):
    """One node, and only what is not before `since`."""

    since: Timestamp = 0


class StreamAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`since`: journal lines after this one only (or the header Last-Event-ID)."""

    since: Position | None = None


class NodeList(msgspec.Struct, frozen=True):
    nodes: list[NodeView]


class PollHistory(msgspec.Struct, frozen=True):
    """Points [ts, rtt_ms, at_node, at_central], oldest first; empty after a restart."""

    points: list[PollPoint]


class NodeFound(msgspec.Struct, frozen=True, kw_only=True):
    """Who answers at an address. `known_as`: the node in the fleet that it is already."""

    name: NodeName
    rtt_ms: float
    version: Mark
    epoch: Mark
    records: Count
    drift_ms: float | None = None
    bound_ms: float | None = None
    clock_word: ClockWord | None = None
    known_as: NodeName | None = None


class ClockHistory(msgspec.Struct, frozen=True):
    """Points [ts, drift_ms, bound_ms], oldest first; in memory, so empty after a restart."""

    points: list[ClockPoint]


class RunList(msgspec.Struct, frozen=True):
    runs: list[Run]


class JournalPage(msgspec.Struct, frozen=True):
    lines: list[JournalLine]


class Gone(msgspec.Struct, frozen=True):
    """The node is no longer polled; its records stay at central."""

    name: NodeName
    records_kept: int


STATUS = Exchange("Central's own state", "GET", "/v1/status", Nothing, CentralStatus)
NODES = Exchange("All nodes", "GET", "/v1/nodes", Nothing, NodeList, reply_max=16 * MIB)
HELLO = Exchange(
    "Add a node, or tell that it is there; it is polled at once",
    "POST",
    "/v1/nodes",
    Hello,
    NodeView,
    also=("node",),
    refusals=("name_taken", "node_removed"),
)
NODE = Exchange("One node", "GET", "/v1/nodes/{name}", Named, NodeView, refusals=("unknown_node",))
NODE_CLOCK = Exchange(
    "How a node's clock went: every poll of the last ten minutes, one a minute of the last day",
    "GET",
    "/v1/nodes/{name}/clock",
    HistoryAsk,
    ClockHistory,
    refusals=("unknown_node",),
)
NODE_POLLS = Exchange(
    "How the polls of a node went: all of the last ten minutes, one a minute of the last day",
    "GET",
    "/v1/nodes/{name}/polls",
    HistoryAsk,
    PollHistory,
    refusals=("unknown_node",),
)
TEST = Exchange(
    "Poll an address once and tell who answers; changes nothing",
    "POST",
    "/v1/nodes/test",
    Address,
    NodeFound,
    refusals=("node_unreachable",),
)
SOURCE = Exchange(
    "Start, stop or pace a node's own source of records",
    "PATCH",
    "/v1/nodes/{name}/source",
    SourceSet,
    NodeView,
    refusals=("unknown_node", "no_source", "node_unreachable"),
)
SYNC_CLOCK = Exchange(
    "Have a node measure and correct its clock now",
    "POST",
    "/v1/nodes/{name}/clock/sync",
    Named,
    ClockState,
    refusals=("unknown_node", "no_time_server", "time_unreachable", "node_unreachable"),
)
CHANGE = Exchange(
    "Change a node's address, or how often it is pulled",
    "PATCH",
    "/v1/nodes/{name}",
    NodeChange,
    NodeView,
    refusals=("unknown_node",),
)
REMOVE = Exchange(
    "Forget a node; its records stay",
    "DELETE",
    "/v1/nodes/{name}",
    Named,
    Gone,
    refusals=("unknown_node",),
)
PULL = Exchange(
    "Pull a node: central inserts what it lacks",
    "POST",
    "/v1/nodes/{name}/pull",
    PullAsk,
    Run,
    status=202,
    refusals=("unknown_node",),
)
PUSH = Exchange(
    "Push to a node: it inserts what it lacks",
    "POST",
    "/v1/nodes/{name}/push",
    PushAsk,
    Run,
    status=202,
    refusals=("unknown_node",),
)
PULL_ALL = Exchange("Pull all nodes", "POST", "/v1/pull", PullAllAsk, RunList, status=202)
PUSH_ALL = Exchange("Push to all nodes", "POST", "/v1/push", PushAllAsk, RunList, status=202)
POLL = Exchange(
    "Poll a node now, skip the wait; answers after the poll",
    "POST",
    "/v1/nodes/{name}/poll",
    Named,
    NodeView,
    refusals=("unknown_node",),
)
RUNS = Exchange("Runs, the latest first", "GET", "/v1/runs", RunsAsk, RunList)
RUN = Exchange("One run", "GET", "/v1/runs/{id}", RunId, Run, refusals=("unknown_run",))
CANCEL = Exchange(
    "Cancel a run", "DELETE", "/v1/runs/{id}", RunId, Run, refusals=("unknown_run", "run_ended")
)
RECORDS = Exchange(
    "A page of records from central's database",
    "GET",
    "/v1/records",
    CentralRecordsAsk,
    RecordPage,
    gives=RECORD_TYPES,
    reply_max=16 * MIB,
    refusals=("epoch_changed", "not_acceptable"),
    following=FOLLOWING,
)
JOURNAL = Exchange("Past journal lines", "GET", "/v1/journal", JournalAsk, JournalPage)
STREAM = Exchange(
    "Live: a `snapshot` event, then a `delta` event for each change",
    "GET",
    "/v1/stream",
    StreamAsk,
    Snapshot,
    gives=(SSE,),
    reply_max=64 * MIB,
)
CLOCK = Exchange("The clock's whole state", "GET", "/v1/clock", Nothing, ClockState)


EXCHANGES = (
    HEALTH,
    READY,
    METRICS,
    OPENAPI,
    STATUS,
    NODES,
    HELLO,
    NODE,
    NODE_CLOCK,
    NODE_POLLS,
    TEST,
    SOURCE,
    SYNC_CLOCK,
    CHANGE,
    REMOVE,
    PULL,
    PUSH,
    PULL_ALL,
    PUSH_ALL,
    POLL,
    RUNS,
    RUN,
    CANCEL,
    RECORDS,
    JOURNAL,
    STREAM,
    CLOCK,
)
