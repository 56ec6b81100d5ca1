"""Break it: hurt members of a local cluster on purpose, and watch it heal.

It is there only where run_cluster.py has started the members, and says so in a loud colour.
"""

from itertools import islice
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from cluster.peer import PeerFailed
from cluster.protocol.local import MemberView
from console import format as fmt
from console.changes import Changes
from console.commands import explain
from console.keymap import Command, Place, bindings
from console.model import Line
from console.orders import Order
from console.questions import ask_wipe
from console.screens.forms import SkewOfClock
from console.screens.view import View
from console.widgets.journal_pane import flow
from console.widgets.lines import Lines
from console.widgets.member_table import MemberTable

HEAL_ROWS = 6
ABOUT: tuple[Line, ...] = (
    ((" BREAK IT ", "error"), (" what you do here happens to real processes and files", "warning")),
    ((" of this machine's cluster: watch the fleet (1) and the journal below heal.", "muted"),),
)


class WorkbenchScreen(View):
    """Key b."""

    PLACE: ClassVar[Place] = "workbench"
    BINDINGS: ClassVar[list[BindingType]] = bindings("workbench")
    TAB: ClassVar[Place] = "workbench"
    BUTTONS = ("kill", "freeze", "restart", "skew", "wipe")

    def __init__(self) -> None:
        super().__init__()
        self._looking = False

    def body(self) -> ComposeResult:
        yield Lines(*ABOUT, id="about")
        yield MemberTable(self.store, self.desk.workbench, id="members")
        yield Lines(id="healing")

    @property
    def table(self) -> MemberTable:
        return self.query_one(MemberTable)

    def on_mount(self) -> None:
        self.table.focus()

    def draw(self, changes: Changes) -> None:
        if not self._looking:
            self._looking = True
            self.desk.work(self._look())
        self.table.reorder()
        self.table.repaint()
        newest = islice(reversed(self.store.journal), HEAL_ROWS)
        rows = [row for line in newest for row in flow([line], self.app.size.width, 1)]
        self.query_one("#healing", Lines).show_lines(*rows)

    async def _look(self) -> None:
        """Ask who is there, once at a time."""
        workbench = self.desk.workbench
        if workbench is None:
            return
        try:
            await workbench.look()
            self.table.wrong = ""
        except PeerFailed as failure:
            self.table.wrong = ": ".join(explain(failure))
        finally:
            self._looking = False

    def why_not(self, command: Command) -> str | None:
        if (why := super().why_not(command)) is not None:
            return why
        if command.group != "Break":
            return None
        if self.desk.settings.read_only:
            return "This console only looks: it was started with --read-only."
        member = self._member()
        if member is None:
            return "Select a member first."
        if command.name in ("wipe", "skew") and member.kind == "central":
            return "Only a node can lose its disk or its time: central keeps everybody's records."
        if command.name in ("kill", "freeze") and member.pid is None:
            return f"{member.name} does not run at the moment."
        return None

    def do_kill(self) -> None:
        self._give("kill", "Killing")

    def do_freeze(self) -> None:
        member = self._member()
        if member is not None and member.frozen:
            self._give("thaw", "Thawing")
        else:
            self._give("freeze", "Freezing")

    def do_restart(self) -> None:
        self._give("restart", "Restarting")

    def do_wipe(self) -> None:
        workbench, member = self.desk.workbench, self._member()
        if workbench is not None and member is not None:
            name = member.name
            asking, question = f"Wiping {name}…", ask_wipe(name)
            self.desk.give(Order(asking, lambda: workbench.wipe(name), question))

    def do_skew(self) -> None:
        member = self._member()
        if member is not None:
            self.desk.open_dialog(SkewOfClock(member.name, member.skew_ms), self._skewed)

    def _skewed(self, seconds: float | None) -> None:
        workbench, member = self.desk.workbench, self._member()
        if seconds is not None and workbench is not None and member is not None:
            name = member.name
            asking = f"Skewing the clock of {name}…"
            self.desk.give(Order(asking, lambda: workbench.skew(name, seconds * 1000)))

    def _give(self, verb: str, word: str) -> None:
        workbench, member = self.desk.workbench, self._member()
        if workbench is not None and member is not None:
            ask = getattr(workbench, verb)
            name = member.name
            self.desk.give(Order(f"{word} {fmt.safe(name)}…", lambda: ask(name)))

    def _member(self) -> MemberView | None:
        workbench = self.desk.workbench
        return workbench.members.get(self.table.cursor or "") if workbench is not None else None
