"""What central shows: nodes, runs, journal lines, and the events of its stream.

There are thousands of views at a time, and none can refer to itself: the garbage collector need
not look at them (`gc=False`), which would hold up whoever waits for an answer or for a key.
"""

from typing import Literal

import msgspec

from cluster.clock.state import ClockSummary
from cluster.clock.verdict import ClockWord
from cluster.exchange import Role
from cluster.protocol.node import SourceState
from cluster.protocol.shared import Count, Disk
from cluster.record import NodeName, Timestamp

Live = Literal["new", "up", "suspect", "down"]
DOWN_AFTER = 3  # misses in a row
Agreement = Literal["in_sync", "behind", "diverged", "unknown"]
RunKind = Literal["pull", "push"]
RunState = Literal["queued", "waiting", "running", "succeeded", "failed", "cancelled"]
Level = Literal["info", "warning", "error"]


class Run(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One pull or push of one node. `expected`: records to move, when known before the end.

    `rate`: records a second at last; `left_s`: seconds to the end, at that rate. `scheduled`:
    central asked for it by itself.

    Times are microseconds; `reason` says why a run waits or how it ended badly.
    """

    id: int
    node: NodeName
    kind: RunKind
    mode: str
    state: RunState
    asked: Timestamp
    started: Timestamp | None = None
    ended: Timestamp | None = None
    received: Count = 0
    inserted: Count = 0
    duplicate: Count = 0
    conflict: Count = 0
    rejected: Count = 0
    bytes: Count = 0
    expected: Count | None = None
    rate: float | None = None
    left_s: float | None = None
    scheduled: bool = False
    attempts: Count = 0
    reason: str | None = None
    error: str | None = None

    @property
    def ended_already(self) -> bool:
        return self.state in ("succeeded", "failed", "cancelled")


class NodeRecords(msgspec.Struct, frozen=True, gc=False):
    """Counts at both sides; `null` where it is not known.

    `dropped` of the node's were given up there, after central had proven that it holds them.
    """

    node: Count | None = None
    central: Count = 0
    missing_at_central: Count | None = None
    missing_at_node: Count | None = None
    dropped: Count = 0


class Loss(msgspec.Struct, frozen=True, gc=False):
    """What went with a node's disk: at least so many `records` that were never pulled.

    Born after `since`, where that is known, and before `until`. `restorable`: how many central
    held of the node at that moment; a push gives them back.
    """

    records: Count
    restorable: Count
    since: Timestamp | None
    until: Timestamp


class NodeView(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One node as central sees it.

    `data` is `in_sync` only when the two digests were equal at the last poll (`proven`: when);
    `last_seen`, `next_try` and `proven` are microseconds of central's clock; `pull_every`: seconds
    between two pulls that central starts by itself. `clock_word`: OK, WARN, BAD or UNSYNC, by
    central's limits. `apart_ms` is the node's cluster clock minus central's, known to within half
    of `rtt_ms`; `clock_agrees`: whether that is within what both say of themselves. `flapping`: it
    comes and goes too often for the journal.
    """

    name: NodeName
    url: str
    live: Live
    data: Agreement
    records: NodeRecords
    clock: ClockSummary | None = None
    clock_word: ClockWord | None = None
    clock_agrees: bool | None = None
    apart_ms: float | None = None
    source: SourceState | None = None
    rtt_ms: float | None = None
    last_seen: Timestamp | None = None
    next_try: Timestamp | None = None
    proven: Timestamp | None = None
    failures: int = 0
    reason: str | None = None
    detail: str | None = None
    flapping: bool = False
    conflicts: int = 0
    version: str | None = None
    epoch: str | None = None
    tidemark: int | None = None
    pull_every: float | None = None
    loss: Loss | None = None
    run: Run | None = None


class ClockPoint(msgspec.Struct, frozen=True, array_like=True):
    """A clock at one poll: when (microseconds of central's clock), drift and bound."""

    ts: Timestamp
    drift_ms: float
    bound_ms: float


class PollPoint(msgspec.Struct, frozen=True, array_like=True):
    """One poll: when it was answered or missed, how long it took, and the records at both sides.

    `rtt_ms` and `at_node` are null when it was missed.
    """

    ts: Timestamp
    rtt_ms: float | None
    at_node: Count | None
    at_central: Count


class JournalLine(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One line of the journal, numbered without gaps."""

    seq: int
    ts: Timestamp
    level: Level
    kind: str
    node: str | None
    text: str


class StateCounts(msgspec.Struct, frozen=True):
    """Nodes by state."""

    new: int
    up: int
    suspect: int
    down: int
    in_sync: int


class TimeService(msgspec.Struct, frozen=True):
    """The SNTP server: its UDP port, and how many requests it answered or not.

    `limited`: from clients that asked too often; `ignored`: no requests.
    """

    port: int
    answered: int
    limited: int
    ignored: int


class CentralStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Central itself. `poll_interval_s`: how often each node is asked.

    `isolated`: no node answers any more, so central may be cut off, and marks none down by it.
    `runs_at_once`: how many nodes replicate at the same time; `role`: what the asker may do;
    `journal_head`: number and hash of the journal's last line, to be kept by somebody else.
    """

    epoch: str
    boot: str
    version: str
    now: Timestamp
    nodes: StateCounts
    records: int
    runs_open: int
    poll_interval_s: float
    runs_at_once: int
    isolated: bool = False
    role: Role = "operator"
    clock: ClockSummary
    clock_word: ClockWord
    time: TimeService
    disk: Disk
    uptime_s: float
    journal_head: str = ""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The first event of a stream: everything a console shows."""

    now: Timestamp
    role: Role = "operator"
    status: CentralStatus
    nodes: list[NodeView]
    runs: list[Run]
    journal: list[JournalLine]


class Delta(msgspec.Struct, frozen=True, kw_only=True):
    """Each later event: whole new views of what changed, names of nodes that are gone.

    `status`: central's own, every five seconds, also when nothing changed.
    """

    now: Timestamp
    nodes: list[NodeView]
    runs: list[Run]
    journal: list[JournalLine]
    gone: list[str]
    status: CentralStatus | None = None
