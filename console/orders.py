"""Orders: what an operator wants of central, with the question that is asked before.

A key, a button and the palette all come here, so each of them asks the same.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from cluster.protocol.views import NodeView, Run, RunKind
from console import format as fmt
from console.commands import Answer, Commands
from console.questions import (
    Question,
    ask_cancel,
    ask_many,
    ask_move,
    ask_remove,
    ask_retry,
)
from console.store import Store

AUTO_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Order:
    """What to do once `question`, if there is one, is answered with yes."""

    asking: str
    ask: Callable[[], Awaitable[Answer]]
    question: Question | None = None


class Orders:
    """Makes orders from what the store knows."""

    def __init__(self, store: Store, commands: Commands) -> None:
        self._store = store
        self._commands = commands

    def move(self, kind: RunKind, views: Sequence[NodeView]) -> Order:
        """Pull from or push to these nodes."""
        return Order(
            f"Asking central to {kind} {_whom(views)}…",
            lambda: self._commands.start(kind, views),
            ask_move(kind, views, self._store),
        )

    def move_all(self, kind: RunKind) -> Order:
        views = list(self._store.nodes.values())
        return Order(
            f"Asking central to {kind} all…",
            lambda: self._commands.start_all(kind),
            ask_many(kind, views, self._store),
        )

    def cancel(self, run: Run) -> Order:
        asking = f"Asking central to cancel run {run.id}…"
        return Order(asking, lambda: self._commands.cancel(run.id), ask_cancel(run))

    def retry(self, run: Run) -> Order:
        asking = f"Asking central to {run.kind} {run.node} again…"
        return Order(asking, lambda: self._commands.retry(run), ask_retry(run))

    def poll(self, views: Sequence[NodeView]) -> Order:
        names = [view.name for view in views]
        return Order(f"Polling {_whom(views)}…", lambda: self._commands.poll(names))

    def auto(self, views: Sequence[NodeView]) -> Order:
        """Automatic pull: off for all if it is on for any, else on."""
        seconds = 0.0 if any(view.pull_every for view in views) else AUTO_EVERY_S
        names = [view.name for view in views]
        word = "on" if seconds else "off"
        return Order(
            f"Turning automatic pull of {_whom(views)} {word}…",
            lambda: self._commands.pull_every(names, seconds),
        )

    def source(self, view: NodeView) -> Order:
        """Stop the source that runs, start the one that does not."""
        running = not (view.source is not None and view.source.running)
        verb = "Starting" if running else "Stopping"
        return Order(
            f"{verb} the source of {view.name}…",
            lambda: self._commands.set_source(view.name, running=running),
        )

    def rate(self, view: NodeView, per_s: float) -> Order:
        return Order(
            f"Setting the rate of {view.name}…",
            lambda: self._commands.set_source(view.name, rate=per_s),
        )

    def sync(self, view: NodeView) -> Order:
        asking = f"{view.name} asks the time…"
        return Order(asking, lambda: self._commands.sync_clock(view.name))

    def add(self, name: str, url: str) -> Order:
        return Order(f"Adding {name}…", lambda: self._commands.add(name, url))

    def change(self, name: str, url: str, pull_every: float) -> Order:
        asking = f"Changing {name}…"
        return Order(asking, lambda: self._commands.change(name, url, pull_every))

    def remove(self, view: NodeView) -> Order:
        asking = f"Removing {view.name}…"
        return Order(asking, lambda: self._commands.remove(view.name), ask_remove(view))


def _whom(views: Sequence[NodeView]) -> str:
    return fmt.safe(views[0].name) if len(views) == 1 else f"{len(views)} nodes"
