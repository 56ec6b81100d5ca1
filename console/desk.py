"""The desk: what every screen of the console can reach, whatever wires it up.

It holds the store, the feed and the commands; it says things, asks central, and knows when rows
must keep their places and why a command cannot be given now.
"""

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Literal

from textual import events
from textual.app import App
from textual.notifications import Notify

from cluster.peer import PeerFailed
from console import format as fmt
from console.commands import Answer, Commands, explain
from console.dialog import Confirm, Dialog
from console.feed import Feed
from console.keymap import Command
from console.model import results_of
from console.orders import Order, Orders
from console.settings import ConsoleSettings
from console.store import Store
from console.workbench import Workbench

Severity = Literal["information", "warning", "error"]

ASKING_S = 30.0  # longer than any answer is waited for
SAID_S, FAILED_S, RESULT_S = 3.0, 10.0, 6.0


class Desk(App[None]):
    """`deaf_s`: how long a new dialog takes no key; the tests set it to 0."""

    settings: ConsoleSettings
    token_from: str
    store: Store
    feed: Feed
    commands: Commands
    orders: Orders
    workbench: Workbench | None = None

    def __init__(self, *, deaf_s: float, hold_order_s: float) -> None:
        super().__init__()
        self.store = Store()
        self._deaf_s = deaf_s
        self._hold_order_s = hold_order_s
        self._key_at = time.monotonic() - hold_order_s
        self._asked_runs: set[int] = set()

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

    def let_order_go(self) -> None:
        """The key that opened another screen does not hold the order there."""
        self._key_at = time.monotonic() - self._hold_order_s

    def why_not(self, command: Command) -> str | None:
        """Why a command cannot be given now, whatever it is meant for; None when it can."""
        if command.name == "workbench" or command.group == "Break":
            if self.workbench is None:
                return "Members can be broken only where run_cluster.py has started them."
            return None
        if not command.asks:
            return None
        if self.settings.read_only:
            return "This console only looks: it was started with --read-only."
        if self.store.role == "viewer":
            return "This token may only look; an operator's token is needed."
        if self.store.paused:
            return "What is shown is paused, so it may be old: z goes on."
        if not self.feed.up:
            return "Central is away: nothing can be asked of it now."
        return None

    def open_dialog(
        self, dialog: Dialog[Any], answered: Callable[[Any], None] | None = None
    ) -> None:
        """Put a dialog over the screen, and no toast over the dialog."""
        self.unsay()
        self.push_screen(dialog, answered)

    def give(self, order: Order) -> None:
        """Ask central for something, after a question where there is one."""
        if order.question is None:
            self.work(self._carry_out(order))
        else:

            def answered(yes: bool | None) -> None:
                if yes:
                    self.work(self._carry_out(order))

            self.open_dialog(Confirm(order.question), answered)

    async def _carry_out(self, order: Order) -> None:
        await self.ask(order.asking, order.ask)

    async def ask(self, asking: str, ask: Callable[[], Awaitable[Answer]]) -> None:
        """Ask, say so, and show the answer in that place, or why there is none."""
        self.say(asking, timeout=ASKING_S)
        said: Callable[[], None]
        try:
            answer = await ask()
            self._asked_runs |= answer.runs
            said = partial(self.say, answer.text)
        except PeerFailed as failure:
            title, text = explain(failure)
            said = partial(self.say, text, title=title, severity="error", timeout=FAILED_S)
        # In the queue behind what was just said, which may not have come up yet.
        self.call_later(self.unsay)
        self.call_later(said)

    def tell_results(self) -> None:
        """Say how the runs ended that were asked for here; many in one sentence."""
        ended = [
            run
            for run_id in sorted(self._asked_runs)
            if (run := self.store.runs.get(run_id)) is not None and run.ended_already
        ]
        self._asked_runs -= {run.id for run in ended}
        if ended:
            text, bad = results_of(ended)
            self.say(text, severity="warning" if bad else "information", timeout=RESULT_S)

    def say(
        self,
        text: str,
        *,
        title: str = "",
        severity: Severity = "information",
        timeout: float = SAID_S,
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

    def work(self, work: Awaitable[None]) -> None:
        """Run something that takes its time; a bug in it is told, not fatal."""
        self.run_worker(work, group="ask", exit_on_error=False)

    def reconnect(self) -> None:
        """Try central now instead of waiting on."""
        raise NotImplementedError

    def look_back(self, name: str) -> None:
        """Ask how a node went, for its plots."""
        raise NotImplementedError

    def open_node(self, name: str) -> None:
        """Show the details of a node."""
        raise NotImplementedError
