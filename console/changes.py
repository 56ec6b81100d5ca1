"""What is new since a screen last looked, and what is kept while a screen is paused."""

from dataclasses import dataclass, field

from cluster.protocol.views import Delta, Snapshot

JOURNAL_LINES = 2_000


@dataclass
class Held:
    """What came while the screen was paused: the latest of everything."""

    snapshot: Snapshot | None = None
    delta: Delta | None = None

    def add(self, delta: Delta) -> None:
        before = self.delta
        if before is None:
            self.delta = delta
            return
        nodes = {view.name: view for view in (*before.nodes, *delta.nodes)}
        back = {view.name for view in delta.nodes}  # removed, and added again
        runs = {run.id: run for run in (*before.runs, *delta.runs)}
        self.delta = Delta(
            now=delta.now,
            nodes=[view for view in nodes.values() if view.name not in delta.gone],
            runs=list(runs.values()),
            journal=[*before.journal, *delta.journal][-JOURNAL_LINES:],
            gone=[*(name for name in before.gone if name not in back), *delta.gone],
            status=delta.status or before.status,
        )


@dataclass
class Changes:
    """What is new since the last look. `everything`: a snapshot came, or the link changed."""

    nodes: set[str] = field(default_factory=set)
    runs: set[int] = field(default_factory=set)
    journal: int = 0
    everything: bool = False

    def __bool__(self) -> bool:
        return bool(self.everything or self.nodes or self.runs or self.journal)
