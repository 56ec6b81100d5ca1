"""The console: wires the feed, the store and the screens, and does what keys ask for.

One worker reads the stream into the store; four times a second the screen in sight is told what
has changed. Losing central is a state to be shown, never an end.
"""

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar, Literal

from textual import events
from textual.app import App
from textual.binding import Binding, BindingType
from textual.notifications import Notify
from textual.screen import Screen
from textual.worker import Worker, WorkerCancelled, WorkerFailed, WorkerState

from cluster.backoff import Backoff
from cluster.peer import Peer, PeerFailed, open_session
from console import format as fmt
from console.commands import Commands, explain
from console.feed import LOST_S, Feed
from console.screens.dialog import Dialog, Note, NotLetIn
from console.screens.fleet import FleetScreen
from console.screens.help import help_lines, not_let_in_lines
from console.screens.journal import JournalScreen
from console.screens.node import NodeScreen
from console.screens.runs import RunsScreen
from console.screens.view import View
from console.store import Store

Severity = Literal["information", "warning", "error"]

FLUSH_S = 0.25
HOLD_ORDER_S = 2.0
DEAF_S = 0.3
ASKING_S = 30.0  # longer than any answer is waited for
RETRY_FIRST_S, RETRY_MAX_S = 1.0, 30.0
WIDTHS = [(0, "-narrow"), (130, "-wide")]
HEIGHTS = [(0, "-low"), (34, "-tall")]


class ConsoleApp(App[None]):
    """`deaf_s`: how long a new dialog takes no key; the tests set it to 0."""

    CSS_PATH = "console.tcss"
    TITLE = "Tidehold"
    ENABLE_COMMAND_PALETTE = False
    DEFAULT_MODE = "fleet"
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {
        "fleet": FleetScreen,
        "runs": RunsScreen,
        "journal": JournalScreen,
    }
    HORIZONTAL_BREAKPOINTS = WIDTHS
    VERTICAL_BREAKPOINTS = HEIGHTS
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q,ctrl+c", "leave", "Quit", priority=True),
        Binding("q", "leave", "Quit"),
        Binding("1", "place('fleet')", "Fleet"),
        Binding("2", "place('runs')", "Runs"),
        Binding("3", "place('journal')", "Journal"),
        Binding("question_mark,f1", "help", "Help"),
    ]

    def __init__(
        self,
        central_url: str,
        token: str,
        *,
        token_from: str = "TIDEHOLD_TOKEN",
        deaf_s: float = DEAF_S,
        hold_order_s: float = HOLD_ORDER_S,
        backoff: Backoff | None = None,
        lost_s: float = LOST_S,
    ) -> None:
        super().__init__()
        self.central_url = central_url.rstrip("/")
        self.token_from = token_from
        self.store = Store()
        self._token = token
        self._deaf_s = deaf_s
        self._hold_order_s = hold_order_s
        self._backoff = backoff or Backoff(RETRY_FIRST_S, RETRY_MAX_S, random.Random())
        self._lost_s = lost_s
        self._listening: Worker[None] | None = None
        self._key_at = time.monotonic() - hold_order_s
        self._second = -1
        self._told_refusals = 0
        if "TEXTUAL_ANIMATIONS" not in os.environ:
            self.animation_level = "none"

    async def on_load(self) -> None:
        self._session = open_session()
        peer = Peer(self._session, self.central_url, self._token)
        address = self.central_url.partition("://")[2]
        self.commands = Commands(peer)
        self.feed = Feed(self.store, peer, self._backoff, address=address, lost_s=self._lost_s)

    def on_mount(self) -> None:
        # Whoever ends this process gets the terminal back as it was.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.exit)
        self._listen()
        self.set_interval(FLUSH_S, self._tell_view)

    async def on_unmount(self) -> None:
        for worker in list(self.workers):
            worker.cancel()
            with suppress(WorkerCancelled, WorkerFailed):
                await worker.wait()
        await self._session.close()

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Key | events.Paste):
            self._key_at = time.monotonic()
            screen = self.screen
            deaf = isinstance(screen, Dialog) and screen.is_younger_than(self._deaf_s)
            if deaf and getattr(event, "key", "") not in ("ctrl+q", "ctrl+c"):
                return
        await super().on_event(event)

    @property
    def order_is_held(self) -> bool:
        """Rows keep their places while somebody is about to act on one."""
        pressed = time.monotonic() - self._key_at < self._hold_order_s
        return pressed or isinstance(self.screen, Dialog)

    def _let_order_go(self) -> None:
        """The key that opened another screen does not hold the order there."""
        self._key_at = time.monotonic() - self._hold_order_s

    @property
    def view(self) -> View | None:
        """The screen in sight, or the one under a dialog."""
        for screen in reversed(self.screen_stack):
            if isinstance(screen, View):
                return screen
        return None

    def action_place(self, mode: str) -> None:
        """Fleet, Runs or Journal, without what lies over it."""
        came = mode != self.current_mode
        if came:
            self.switch_mode(mode)
        self._let_order_go()
        while len(self.screen_stack) > 1:
            self.pop_screen()
        if came and self.view is not None:
            self.view.begin()

    def action_go_back(self) -> None:
        if len(self.screen_stack) > 1:
            self.pop_screen()
            self._let_order_go()

    def action_leave(self) -> None:
        self.exit()

    def action_help(self) -> None:
        self.open_dialog(Note("Help", help_lines(), wide=True))

    def open_dialog(
        self, dialog: Dialog, answered: Callable[[bool | None], None] | None = None
    ) -> None:
        """Put a dialog over the screen, and no toast over the dialog."""
        self.unsay()
        self.push_screen(dialog, answered)

    def open_node(self, name: str) -> None:
        """The details of a node; its earlier runs are asked for."""
        self.push_screen(NodeScreen(name))
        self._let_order_go()
        self.work(self._load_runs(name))

    def say(
        self, text: str, *, title: str = "", severity: Severity = "information", timeout: float = 3
    ) -> None:
        """A toast; whatever stands in it, it is only text."""
        self.notify(
            fmt.safe(text),
            title=fmt.safe(title),
            severity=severity,
            timeout=timeout,
            markup=False,
        )

    def on_notify(self, event: Notify) -> None:
        """No two toasts say the same at a time."""
        new = event.notification
        if (new.title, new.message) in [(old.title, old.message) for old in self._notifications]:
            event.prevent_default()

    def unsay(self) -> None:
        """Take all toasts down, with their holders, which Textual would leave behind."""
        self.clear_notifications()
        self.screen.query("ToastHolder").remove()

    async def ask(self, asking: str, ask: Callable[[], Awaitable[str]]) -> None:
        """Ask central, say so, and show its answer in that place, or why there is none."""
        self.say(asking, timeout=ASKING_S)
        answer: Callable[[], None]
        try:
            answer = partial(self.say, await ask())
        except PeerFailed as failure:
            title, text = explain(failure)
            answer = partial(self.say, text, title=title, severity="error", timeout=10)
        # In the queue behind what was just said, which may not have come up yet.
        self.call_later(self.unsay)
        self.call_later(answer)

    def can_ask(self) -> bool:
        """Whether central listens; says so when it does not."""
        if not self.feed.up:
            self.say("Central is away: nothing can be asked of it now.", severity="warning")
        return self.feed.up

    def reconnect(self) -> None:
        """Try central now instead of waiting on."""
        self.feed.retry_now()
        if self._listening is not None and self._listening.is_finished:
            self._listen()

    def _retry_if(self, asked: bool | None) -> None:
        if asked:
            self.reconnect()

    async def _load_runs(self, name: str) -> None:
        """A node's earlier runs; without them the screen shows those since the start."""
        try:
            self.store.add_runs(await self.commands.runs_of(name))
        except PeerFailed:
            return

    def work(self, work: Awaitable[None]) -> None:
        """Run something that takes its time; a bug in it is told, not fatal."""
        self.run_worker(work, group="ask", exit_on_error=False)

    def _listen(self) -> None:
        self._listening = self.run_worker(
            self.feed.run(), group="feed", exclusive=True, exit_on_error=False
        )

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """A bug in a worker is told, and ends neither the console nor the operator's work."""
        if event.state is not WorkerState.ERROR:
            return
        text = f"{type(event.worker.error).__name__}: {event.worker.error}"
        if event.worker is self._listening:
            self.feed.failed(f"a bug in the console: {text}")
        self.say(text, title="A bug in the console", severity="error", timeout=10)

    def _tell_view(self) -> None:
        """Tell the screen in sight, when there is anything new or a second has passed."""
        changes, second = self.store.take_changes(), int(time.monotonic())
        self._tell_refused()
        if self.view is not None and (changes or second != self._second):
            self._second = second
            self.view.show(changes)

    def _tell_refused(self) -> None:
        """Each refusal is told: after the first one, somebody has asked for the try."""
        told, self._told_refusals = self._told_refusals, self.feed.refusals
        if self.feed.refusals > told:
            lines = not_let_in_lines(self.feed.address, self.feed.reason, self.token_from)
            title = "Not let in" + (f", try {self.feed.refusals}" if told else "")
            self.open_dialog(NotLetIn(title, lines), self._retry_if)
