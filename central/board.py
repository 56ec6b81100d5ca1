"""The board: what consoles see now, and who is looking.

Lanes, runs and the journal put their newest views here. Each watcher keeps only the names of
what changed since it last looked, so a slow console costs constant memory and skips the states
in between; journal lines are never merged, and a watcher that falls far behind starts anew.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from cluster.protocol.views import JournalLine, NodeView, Run

RUNS_SHOWN = 100
LINES_SHOWN = 200
LINES_BEHIND_MAX = 1_000
RUNS_BEHIND_MAX = 10_000  # a pull of all is a run for each node


class Watcher:
    """One console's changes since it last looked."""

    def __init__(self) -> None:
        self.nodes: set[str] = set()
        self.runs: dict[int, Run] = {}
        self.gone: set[str] = set()
        self.lines: list[JournalLine] = []
        self.ended = False
        self._changed = asyncio.Event()

    def touch(self) -> None:
        self._changed.set()

    async def wait(self) -> None:
        """Until something changed."""
        await self._changed.wait()
        self._changed.clear()

    def clear(self) -> None:
        """Everything was looked at."""
        self.nodes, self.runs, self.gone, self.lines = set(), {}, set(), []


class Board:
    """The newest view of every node, of the latest runs, and the latest journal lines."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeView] = {}
        self.runs: dict[int, Run] = {}
        self.lines: deque[JournalLine] = deque(maxlen=LINES_SHOWN)
        self._watchers: set[Watcher] = set()

    def show_node(self, view: NodeView) -> None:
        if self.nodes.get(view.name) == view:
            return
        self.nodes[view.name] = view
        for watcher in self._watchers:
            watcher.gone.discard(view.name)
            watcher.nodes.add(view.name)
            watcher.touch()

    def drop_node(self, name: str) -> None:
        self.nodes.pop(name, None)
        for watcher in self._watchers:
            watcher.nodes.discard(name)
            watcher.gone.add(name)
            watcher.touch()

    def show_run(self, run: Run) -> None:
        self.runs[run.id] = run
        if len(self.runs) > RUNS_SHOWN:
            ended = [run.id for run in self.runs.values() if run.ended_already]
            for run_id in sorted(ended)[:-RUNS_SHOWN]:
                del self.runs[run_id]
        for watcher in list(self._watchers):
            # The run itself: by the time that the watcher looks it may be one of the old ones.
            watcher.runs[run.id] = run
            if len(watcher.runs) > RUNS_BEHIND_MAX:
                self._give_up(watcher)
            watcher.touch()

    def show_line(self, line: JournalLine) -> None:
        self.lines.append(line)
        for watcher in list(self._watchers):
            watcher.lines.append(line)
            if len(watcher.lines) > LINES_BEHIND_MAX:
                self._give_up(watcher)
            watcher.touch()

    def _give_up(self, watcher: Watcher) -> None:
        """It is too far behind: it begins anew."""
        watcher.clear()
        watcher.ended = True
        self._watchers.discard(watcher)

    @contextmanager
    def watch(self) -> Iterator[Watcher]:
        """See changes from now on."""
        watcher = Watcher()
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)

    def close(self) -> None:
        """End every watch: the service stops."""
        for watcher in self._watchers:
            watcher.ended = True
            watcher.touch()
