"""What the console knows: the last snapshot with every delta since applied to plain dicts.

The feed writes here, the screens read. The store remembers which nodes and runs have changed
since it was last asked, tells the time by central's clock, and works out the rates of runs.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable

from cluster.exchange import Role
from cluster.protocol.views import (
    CentralStatus,
    Delta,
    JournalLine,
    NodeView,
    Run,
    RunKind,
    Snapshot,
)
from console.changes import JOURNAL_LINES, Changes, Held
from console.format import SECOND_US
from console.history import History, Spark
from console.overview import Overview, overview

ENDED_RUNS = 500
RATE_WINDOW_US = 8 * SECOND_US
HISTORIES = 8


class Store:
    """Nodes by name, runs by id, and the last lines of the journal."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.nodes: dict[str, NodeView] = {}
        self.runs: dict[int, Run] = {}
        self.journal: deque[JournalLine] = deque(maxlen=JOURNAL_LINES)
        self.status: CentralStatus | None = None
        self.role: Role = "operator"
        self.overview = Overview()
        self.sparks: dict[str, Spark] = {}
        self.histories: dict[str, History] = {}
        self.heard_us: int | None = None
        self.stale = False
        #: Set when there is something new to be taken.
        self.changed = asyncio.Event()
        self._held: Held | None = None
        self._monotonic = monotonic
        self._heard_at = 0.0
        self._changes = Changes()
        self._progress: dict[int, deque[tuple[int, int]]] = {}
        self._node_rate: dict[tuple[str, RunKind], float] = {}

    def now_us(self) -> int:
        """Central's time now; while it is away or all is paused, the time of what is shown."""
        heard_us = self.heard_us or 0
        return (
            heard_us if self.stale or self.paused else heard_us + int(self.silent_s() * SECOND_US)
        )

    def silent_s(self) -> float:
        """Seconds since central last said something new."""
        return 0.0 if self.heard_us is None else self._monotonic() - self._heard_at

    @property
    def last_seq(self) -> int | None:
        return self.journal[-1].seq if self.journal else None

    @property
    def paused(self) -> bool:
        """Whether what comes is kept for later."""
        return self._held is not None

    def pause(self) -> None:
        """Stand still from now on."""
        self._held = self._held or Held()

    def resume(self) -> None:
        """Take what came meanwhile."""
        held, self._held = self._held, None
        if held is None:
            return
        if held.snapshot is not None:
            self.apply_snapshot(held.snapshot)
        if held.delta is not None:
            self.apply_delta(held.delta)
        self._changes.everything = True
        self.changed.set()

    def mark_stale(self, stale: bool) -> None:
        """Central went away or came back."""
        if stale is not self.stale:
            self.stale = stale
            self._changes.everything = True
            self.changed.set()

    @property
    def cut_off(self) -> bool:
        """Whether it is central that hears nobody."""
        return self.status is not None and self.status.isolated

    def know(self, status: CentralStatus, nodes: Iterable[NodeView]) -> None:
        """What was asked for once, without a stream."""
        self._hear(status.now)
        self.status, self.role = status, status.role
        self._take_nodes(nodes)

    def apply_snapshot(self, snapshot: Snapshot) -> bool:
        """Everything anew. False: central has another database, so ask again from its beginning."""
        known = self.status
        same = known is None or known.epoch == snapshot.status.epoch
        if self._held is not None:
            self._held = Held(snapshot)
            return same
        if not same:
            self.runs, self._progress = {}, {}
            self.journal.clear()
        self._hear(snapshot.now)
        self.status, self.role = snapshot.status, snapshot.role
        self._take_nodes(snapshot.nodes)
        self._follow(snapshot.nodes)
        # Every open run is in a snapshot: what ended while nobody listened is open no longer.
        told = {run.id for run in snapshot.runs}
        self.runs = {i: run for i, run in self.runs.items() if run.ended_already or i in told}
        self._take_runs(snapshot.runs)
        if same:
            self._take_journal(snapshot.journal)
        self._changes.everything = True
        return same

    def apply_delta(self, delta: Delta) -> None:
        """Whole new views of what changed."""
        if self._held is not None:
            self._held.add(delta)
            return
        self._hear(delta.now)
        self.status = delta.status or self.status
        for view in delta.nodes:
            self._forget(view.name)
            self.overview.count(view)
            self.nodes[view.name] = view
        self._follow(delta.nodes)
        for name in delta.gone:
            self._forget(name)
            self.nodes.pop(name, None)
            self.sparks.pop(name, None)
            self.histories.pop(name, None)
        self._changes.nodes.update((view.name for view in delta.nodes), delta.gone)
        self._take_runs(delta.runs)
        self._take_journal(delta.journal)

    def add_runs(self, runs: Iterable[Run]) -> None:
        """Older runs that were asked for; what the stream said since is newer and stays."""
        self._take_runs([run for run in runs if run.id not in self.runs])
        self.changed.set()

    def keep_history(self, name: str, history: History) -> None:
        """Go on with what central remembers of a node; of the last few looked at only."""
        self.histories.pop(name, None)
        self.histories[name] = history
        while len(self.histories) > HISTORIES:
            del self.histories[next(iter(self.histories))]
        self._changes.nodes.add(name)
        self.changed.set()

    @property
    def renewed(self) -> bool:
        """Whether all of it is new since the last look: a snapshot, or the link has changed."""
        return self._changes.everything

    def take_changes(self) -> Changes:
        """What has changed since this was last called."""
        self.changed.clear()
        taken, self._changes = self._changes, Changes()
        return taken

    def open_runs(self) -> list[Run]:
        """Running ones first, then in the order in which they were asked for."""
        runs = [run for run in self.runs.values() if not run.ended_already]
        return sorted(runs, key=lambda run: (run.state != "running", run.id))

    def ended_runs(self) -> list[Run]:
        """The latest end first."""
        runs = [run for run in self.runs.values() if run.ended_already]
        return sorted(runs, key=lambda run: (run.ended or 0, run.id), reverse=True)

    def runs_of(self, name: str) -> list[Run]:
        """One node's runs, the latest first."""
        runs = [run for run in self.runs.values() if run.node == name]
        return sorted(runs, key=lambda run: run.id, reverse=True)

    def rate_of(self, run: Run | None) -> float | None:
        """Records a second of a running run: what central says, else over the last seconds."""
        if run is not None and run.rate is not None:
            return run.rate
        seen = self._progress.get(run.id) if run is not None else None
        if not seen or seen[-1][0] <= seen[0][0]:
            return None
        return (seen[-1][1] - seen[0][1]) * SECOND_US / (seen[-1][0] - seen[0][0])

    def last_rate(self, name: str, kind: RunKind) -> float | None:
        """The rate of this node's latest run of that kind that moved records."""
        return self._node_rate.get((name, kind))

    def _hear(self, now_us: int) -> None:
        self.heard_us = now_us
        self._heard_at = self._monotonic()
        self.changed.set()

    def _take_nodes(self, views: Iterable[NodeView]) -> None:
        """These and no others."""
        self.nodes = {view.name: view for view in views}
        self.overview = overview(self.nodes.values())

    def _forget(self, name: str) -> None:
        """What is known of a node counts no longer."""
        if (before := self.nodes.get(name)) is not None:
            self.overview.count(before, -1)

    def _follow(self, views: Iterable[NodeView]) -> None:
        """How drifts and counts go on."""
        now_us = self.heard_us or 0
        for view in views:
            heard = view.failures == 0 and view.clock is not None and view.live == "up"
            drift_ms = view.clock.drift_ms if heard and view.clock is not None else None
            spark = self.sparks.get(view.name)
            if spark is None:
                spark = self.sparks[view.name] = Spark()
            spark.add(now_us, drift_ms)
            if (history := self.histories.get(view.name)) is not None:
                history.take(view, now_us)

    def _take_runs(self, runs: Iterable[Run]) -> None:
        for run in runs:
            self.runs[run.id] = run
            self._changes.runs.add(run.id)
            if run.ended_already:
                self._progress.pop(run.id, None)
                self._keep_rate(run)
            elif run.state == "running":
                self._watch(run)
        ended = len(self.runs) - ENDED_RUNS
        if ended > ENDED_RUNS // 2:
            for run in self.ended_runs()[ENDED_RUNS:]:
                del self.runs[run.id]

    def _watch(self, run: Run) -> None:
        """Remember how far a run was, for as long as its rate is worked out from it."""
        seen = self._progress.setdefault(run.id, deque())
        if seen and run.received < seen[-1][1]:
            seen.clear()
        seen.append((self.heard_us or 0, run.received))
        while len(seen) > 2 and seen[-1][0] - seen[0][0] > RATE_WINDOW_US:
            seen.popleft()
        if (per_s := self.rate_of(run)) is not None and per_s > 0:
            self._node_rate[run.node, run.kind] = per_s

    def _keep_rate(self, run: Run) -> None:
        if run.started is None or run.ended is None or run.ended <= run.started or not run.received:
            return
        self._node_rate[run.node, run.kind] = run.received * SECOND_US / (run.ended - run.started)

    def _take_journal(self, lines: Iterable[JournalLine]) -> None:
        last = self.last_seq
        new = [line for line in lines if last is None or line.seq > last]
        self.journal.extend(sorted(new, key=lambda line: line.seq))
        self._changes.journal += len(new)
