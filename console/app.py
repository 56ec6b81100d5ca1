"""The console: wires the feed, the store and the screens.

One worker reads the stream into the store, another tells the screen in sight what has changed.
Losing central is a state to be shown, never an end.
"""

import asyncio
import gc
import os
import random
import signal
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.filter import LineFilter
from textual.screen import Screen
from textual.worker import Worker, WorkerCancelled, WorkerFailed, WorkerState

from cluster.backoff import Backoff
from cluster.peer import Peer, PeerFailed, open_session
from console import themes
from console.ascii_only import AsciiOnly
from console.commands import Commands
from console.desk import FAILED_S, Desk
from console.dialog import Note, NotLetIn
from console.feed import LOST_S, Feed
from console.keymap import Place
from console.orders import Orders
from console.palette import Palette
from console.screens.fleet import FleetScreen
from console.screens.help import help_lines, not_let_in_lines
from console.screens.journal import JournalScreen
from console.screens.node import NodeScreen
from console.screens.runs import RunsScreen
from console.screens.view import View
from console.screens.workbench import WorkbenchScreen
from console.settings import ConsoleSettings
from console.workbench import Workbench

#: No more often than this is anything drawn that nobody asked for.
FRAME_S, SLOW_FRAME_S = 0.1, 2.0
#: What lies under a dialog is drawn no more often: Textual then draws all of it, 16 kB.
COVERED_S = 5.0
HOLD_ORDER_S = 2.0
DEAF_S = 0.3
RETRY_FIRST_S, RETRY_MAX_S = 1.0, 30.0
WIDTHS = [(0, "-narrow"), (120, "-wide"), (140, "-wider")]
HEIGHTS = [(0, "-low"), (34, "-tall")]


class ConsoleApp(Desk):
    """`deaf_s`: how long a new dialog takes no key; the tests set it to 0.

    `alone`: the process is ours, so that its garbage collector may be told what lives long.
    """

    CSS_PATH = Path(__file__).parent / "console.tcss"  # also for whoever inherits
    TITLE = "Tidehold"
    COMMANDS: ClassVar[set[type[Palette]]] = {Palette}  # type: ignore[assignment]
    DEFAULT_MODE = "fleet"
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {
        "fleet": FleetScreen,
        "runs": RunsScreen,
        "journal": JournalScreen,
        "workbench": WorkbenchScreen,
    }
    HORIZONTAL_BREAKPOINTS = WIDTHS
    VERTICAL_BREAKPOINTS = HEIGHTS
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q,ctrl+c", "leave", "Quit", priority=True, show=False),
    ]

    def __init__(
        self,
        settings: ConsoleSettings,
        token: str,
        *,
        tls: ssl.SSLContext | None = None,
        token_from: str = "TIDEHOLD_TOKEN",
        deaf_s: float = DEAF_S,
        hold_order_s: float = HOLD_ORDER_S,
        backoff: Backoff | None = None,
        lost_s: float = LOST_S,
        alone: bool = False,
    ) -> None:
        self.settings = settings
        self.token_from = token_from
        super().__init__(deaf_s=deaf_s, hold_order_s=hold_order_s)
        self._token = token
        self._tls = tls
        self._backoff = backoff or Backoff(RETRY_FIRST_S, RETRY_MAX_S, random.Random())
        self._lost_s = lost_s
        self._may_freeze = alone
        self._listening: Worker[None] | None = None
        self._second = -1
        self._drawn_s = 0.0
        self._told_refusals = 0
        self._ascii_only = AsciiOnly(enabled=settings.ascii)
        if "TEXTUAL_ANIMATIONS" not in os.environ:
            self.animation_level = "none"
        for theme in themes.OWN:
            self.register_theme(theme)
        if "TEXTUAL_THEME" not in os.environ:
            self.theme = themes.NAMES[settings.theme]

    def get_line_filters(self) -> list[LineFilter]:
        """ASCII comes last, when all else is drawn."""
        own = [self._ascii_only] if self._ascii_only.enabled else []
        return [*super().get_line_filters(), *own]

    async def on_load(self) -> None:
        self._session = open_session(self._tls)
        central = self.settings.central.rstrip("/")
        self._peer = peer = Peer(self._session, central, self._token)
        address = central.partition("://")[2]
        self.commands = Commands(peer)
        self.orders = Orders(self.store, self.commands)
        self.feed = Feed(self.store, peer, self._backoff, address=address, lost_s=self._lost_s)
        if (workbench := self.settings.workbench) is not None:
            self.workbench = Workbench(Peer(self._session, workbench, self._token))

    def on_mount(self) -> None:
        # Whoever ends this process gets the terminal back as it was.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.exit)
        self._listen()
        self.run_worker(self._draw_for_ever(), group="draw")

    async def on_unmount(self) -> None:
        for worker in list(self.workers):
            worker.cancel()
            with suppress(WorkerCancelled, WorkerFailed):
                await worker.wait()
        await self._session.close()

    @property
    def view(self) -> View | None:
        """The screen in sight, or the one under a dialog."""
        for screen in reversed(self.screen_stack):
            if isinstance(screen, View):
                return screen
        return None

    def do_fleet(self) -> None:
        self._go_to("fleet")

    def do_runs(self) -> None:
        self._go_to("runs")

    def do_journal(self) -> None:
        self._go_to("journal")

    def do_workbench(self) -> None:
        self._go_to("workbench")

    def _go_to(self, place: Place) -> None:
        """One of the tabs, without what lies over it."""
        came = place != self.current_mode
        if came:
            self.switch_mode(place)
        self.let_order_go()
        while len(self.screen_stack) > 1:
            self.pop_screen()
        if came and self.view is not None:
            self.view.begin()

    def open_node(self, name: str) -> None:
        """The details of a node; its earlier runs and its past are asked for."""
        self.push_screen(NodeScreen(name))
        self.let_order_go()
        self.work(self._load_runs(name))
        self.look_back(name)

    def look_back(self, name: str) -> None:
        """Ask how a node went, for its plots."""
        if name not in self.store.histories:
            self.work(self._load_history(name))

    def do_leave(self) -> None:
        self.exit()

    def action_leave(self) -> None:
        self.exit()

    def do_help(self) -> None:
        place = self.view.PLACE if self.view is not None else "fleet"
        self.open_dialog(
            Note("HELP", help_lines(place, workbench=self.workbench is not None), wide=True)
        )

    def do_palette(self) -> None:
        self.action_command_palette()

    def do_theme(self) -> None:
        self.theme = themes.after(self.theme)

    def do_pause(self) -> None:
        """Draw nothing new for a while; everything goes on behind it."""
        if self.store.paused:
            self.store.resume()
        else:
            self.store.pause()

    def do_shoot(self) -> None:
        self.deliver_screenshot()

    def reconnect(self) -> None:
        """Try central now instead of waiting on."""
        self.feed.retry_now()
        if self._listening is not None and self._listening.is_finished:
            self._listen()

    def _retry_with(self, token: str | None) -> None:
        """Try again, with another token where one was given; None: not now."""
        if token:
            self._peer.authorize(token)
            self.token_from = "this console"
        if token is not None:
            self.reconnect()

    async def _load_runs(self, name: str) -> None:
        """A node's earlier runs; without them the screen shows those since the start."""
        with suppress(PeerFailed):
            self.store.add_runs(await self.commands.runs_of(name))

    async def _load_history(self, name: str) -> None:
        """A node's past; without it the plots begin now."""
        with suppress(PeerFailed):
            self.store.keep_history(name, await self.commands.history(name))

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
        self.say(text, title="A bug in the console", severity="error", timeout=FAILED_S)

    async def _draw_for_ever(self) -> None:
        """Draw as soon as something is new, and each second for what only time changes."""
        frame_s = SLOW_FRAME_S if self.settings.slow else FRAME_S
        while self.is_running:  # the screens go first, before the workers are stopped
            self._tell_view()
            await asyncio.sleep(frame_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(1 - time.monotonic() % 1):
                    await self.store.changed.wait()

    def _tell_view(self) -> None:
        """Tell the screen in sight, when there is anything new or a second has passed."""
        self._tell_refused()
        self.tell_results()
        now_s = time.monotonic()
        covered = self.screen is not self.view and not self.store.renewed
        if covered and now_s - self._drawn_s < COVERED_S:
            return
        self._drawn_s = now_s
        changes, second = self.store.take_changes(), int(now_s)
        if self._may_freeze and self.store.nodes:
            gc.freeze()  # else a look at ten thousand nodes holds up a key for 50 ms
            self._may_freeze = False
        if self.view is not None and (changes or second != self._second):
            self._second = second
            self.view.show(changes)

    def _tell_refused(self) -> None:
        """Each refusal is told: after the first one, somebody has asked for the try."""
        told, self._told_refusals = self._told_refusals, self.feed.refusals
        if self.feed.refusals > told:
            lines = not_let_in_lines(self.feed.address, self.feed.reason, self.token_from)
            title = "Not let in" + (f", try {self.feed.refusals}" if told else "")
            self.open_dialog(NotLetIn(title, lines), self._retry_with)
