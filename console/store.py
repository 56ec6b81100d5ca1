"""What the console knows: the last snapshot with every delta since applied to plain dicts.

The feed writes here, the screens read. The store remembers which nodes and runs have changed
since it was last asked, tells the time by central's clock, and works out the rates of runs.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from cluster.protocol.views import (
    CentralStatus,
    Delta,
    JournalLine,
    NodeView,
    Run,
    RunKind,
    Snapshot,
)
from console.format import SECOND_US

JOURNAL_LINES = 2_000
ENDED_RUNS = 500
RATE_WINDOW_US = 8 * SECOND_US


@dataclass
class Changes:
    """What is new since the last look. `everything`: a snapshot came, or the link changed."""

    nodes: set[str] = field(default_factory=set)
    runs: set[int] = field(default_factory=set)
    journal: int = 0
    everything: bool = False

    def __bool__(self) -> bool:
        return bool(self.everything or self.nodes or self.runs or self.journal)


class Store:
    """Nodes by name, runs by id, and the last lines of the journal."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.nodes: dict[str, NodeView] = {}
        self.runs: dict[int, Run] = {}
        self.journal: deque[JournalLine] = deque(maxlen=JOURNAL_LINES)
        self.status: CentralStatus | None = None
        self.heard_us: int | None = None
        self.stale = False
        self._monotonic = monotonic
        self._heard_at = 0.0
        self._changes = Changes()
        self._progress: dict[int, deque[tuple[int, int]]] = {}
        self._node_rate: dict[tuple[str, RunKind], float] = {}

    def now_us(self) -> int:
        """Central's time now; while central is away, the time of what is shown."""
        heard_us = self.heard_us or 0
        return heard_us if self.stale else heard_us + int(self.silent_s() * SECOND_US)

    def silent_s(self) -> float:
        """Seconds since central last said something new."""
        return 0.0 if self.heard_us is None else self._monotonic() - self._heard_at

    @property
    def last_seq(self) -> int | None:
        return self.journal[-1].seq if self.journal else None

    def mark_stale(self, stale: bool) -> None:
        """Central went away or came back."""
        if stale is not self.stale:
            self.stale = stale
            self._changes.everything = True

    def apply_snapshot(self, snapshot: Snapshot) -> bool:
        """Everything anew. False: central has another database, so ask again from its beginning."""
        known = self.status
        same = known is None or known.epoch == snapshot.status.epoch
        if not same:
            self.runs, self._progress = {}, {}
            self.journal.clear()
        self._hear(snapshot.now)
        self.status = snapshot.status
        self.nodes = {view.name: view for view in snapshot.nodes}
        self._take_runs(snapshot.runs)
        if same:
            self._take_journal(snapshot.journal)
        self._changes.everything = True
        return same

    def apply_delta(self, delta: Delta) -> None:
        """Whole new views of what changed."""
        self._hear(delta.now)
        for view in delta.nodes:
            self.nodes[view.name] = view
        for name in delta.gone:
            self.nodes.pop(name, None)
        self._changes.nodes.update((view.name for view in delta.nodes), delta.gone)
        self._take_runs(delta.runs)
        self._take_journal(delta.journal)

    def add_runs(self, runs: Iterable[Run]) -> None:
        """Older runs that were asked for; what the stream said since is newer and stays."""
        self._take_runs([run for run in runs if run.id not in self.runs])

    def take_changes(self) -> Changes:
        """What has changed since this was last called."""
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
        """Records a second of a running run, over the last seconds."""
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
