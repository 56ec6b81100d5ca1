"""What Fleet, Runs, Journal and a node's screen share: the top bar, the banner and the key bar.

A view draws from the store when the app tells it what has changed, and all of it when it comes
back into sight.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.css.query import NoMatches
from textual.screen import Screen

from cluster.protocol.views import RunKind
from console.questions import Question, ask_all, ask_cancel, ask_one
from console.screens.dialog import Confirm
from console.store import Changes, Store
from console.widgets.hint import Hint
from console.widgets.rows import Rows
from console.widgets.top_bar import Banner, TopBar

if TYPE_CHECKING:
    from console.app import ConsoleApp

HintText = tuple[str, str, str]


class View(Screen[None]):
    """One of the places of the console."""

    PLACE: ClassVar[str] = "fleet"
    HINTS: ClassVar[Sequence[HintText]] = ()
    BINDINGS: ClassVar[list[BindingType]] = [
        ("p", "pull", "Pull"),
        ("u", "push", "Push"),
        ("P", "pull_all", "Pull all"),
        ("U", "push_all", "Push all"),
        ("x", "cancel", "Cancel run"),
        ("r", "again", "Poll now"),
    ]

    @property
    def console_app(self) -> ConsoleApp:
        return cast("ConsoleApp", self.app)

    @property
    def store(self) -> Store:
        return self.console_app.store

    def compose(self) -> ComposeResult:
        yield TopBar(self.PLACE)
        yield Banner(classes="banner")
        yield from self.body()
        with Horizontal(classes="hints"):
            for key, label, action in self.HINTS:
                yield Hint(key, label, action)

    def body(self) -> ComposeResult:
        """The widgets between the banner and the key bar."""
        raise NotImplementedError

    def draw(self, changes: Changes) -> None:
        """Show what the store holds now."""
        raise NotImplementedError

    def show(self, changes: Changes) -> None:
        """Draw the frame and the body; called by the app, several times a second."""
        # A screen that is being put up or taken down lacks some of its widgets.
        if self.is_mounted:
            with suppress(NoMatches):
                self._show(changes)

    def _show(self, changes: Changes) -> None:
        app = self.console_app
        self.query_one(TopBar).show(self.store, app.feed)
        self.query_one(Banner).show(self.store, app.feed, app.token_from)
        if changes.everything:
            self.set_class(self.store.stale, "-stale")
        self.draw(changes)

    def on_screen_resume(self) -> None:
        self.call_after_refresh(self.show, Changes(everything=True))

    def on_resize(self) -> None:
        self.call_after_refresh(self.show, Changes(everything=True))

    def begin(self) -> None:
        """Somebody has come here by a key, not by closing what lay over it."""
        for rows in self.query(Rows):
            rows.begin()

    def selected_node(self) -> str | None:
        """The node that p, u and r are meant for."""
        return None

    def selected_run(self) -> int | None:
        """The run that x is meant for."""
        return None

    def action_pull(self) -> None:
        self._start_one("pull")

    def action_push(self) -> None:
        self._start_one("push")

    def action_pull_all(self) -> None:
        self._start_all("pull")

    def action_push_all(self) -> None:
        self._start_all("push")

    def action_details(self) -> None:
        """Open the selected node."""
        if (name := self._chosen_node()) is not None:
            self.console_app.open_node(name)

    def action_cancel(self) -> None:
        """Cancel the run under the cursor, or of the node under it."""
        app, run = self.console_app, self.store.runs.get(self.selected_run() or 0)
        if run is None or run.ended_already:
            app.say("There is no open run here to cancel.", severity="warning")
        elif app.can_ask():
            asking = f"Asking central to cancel run {run.id}…"
            self._confirm(ask_cancel(run), asking, lambda: app.commands.cancel(run.id))

    def action_again(self) -> None:
        """Poll the node now; while central is away, try it now."""
        app = self.console_app
        if not app.feed.up:
            app.reconnect()
        elif (name := self._chosen_node()) is not None:
            app.work(app.ask(f"Polling {name}…", lambda: app.commands.poll(name)))

    def _start_one(self, kind: RunKind) -> None:
        app, name = self.console_app, self._chosen_node()
        if name is not None and app.can_ask():
            view = self.store.nodes[name]
            question = ask_one(kind, view, self.store.last_rate(name, kind))
            asking = f"Asking central to {kind} {name}…"
            self._confirm(question, asking, lambda: app.commands.start(kind, view))

    def _start_all(self, kind: RunKind) -> None:
        app, views = self.console_app, list(self.store.nodes.values())
        if not views:
            app.say("There are no nodes yet.", severity="warning")
        elif app.can_ask():
            asking = f"Asking central to {kind} all…"
            self._confirm(ask_all(kind, views), asking, lambda: app.commands.start_all(kind))

    def _chosen_node(self) -> str | None:
        """The selected node, if central still has it."""
        name = self.selected_node()
        if name is not None and name in self.store.nodes:
            return name
        self.console_app.say("Select a node first.", severity="warning")
        return None

    def _confirm(self, question: Question, asking: str, ask: Callable[[], Awaitable[str]]) -> None:
        app = self.console_app

        def answered(yes: bool | None) -> None:
            if yes:
                app.work(app.ask(asking, ask))

        app.open_dialog(Confirm(question), answered)
