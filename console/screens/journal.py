"""Journal: what the services did, newest at the bottom; by level, node, kind and words."""

from dataclasses import replace
from typing import ClassVar

import msgspec
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Input

from cluster.peer import PeerFailed
from cluster.protocol.views import JournalLine
from console import format as fmt
from console.changes import Changes
from console.commands import explain
from console.keymap import Command, Place, bindings
from console.messages import RowChosen
from console.query import LineQuery
from console.screens.view import View
from console.widgets.entry import Entry
from console.widgets.journal_pane import JournalPane
from console.widgets.lines import Lines

OLDER_LINES = 200
NEXT_LEVEL = {None: "warning", "warning": "error", "error": None}


class JournalScreen(View):
    """Key 3."""

    PLACE: ClassVar[Place] = "journal"
    BINDINGS: ClassVar[list[BindingType]] = bindings("journal")
    TAB: ClassVar[Place] = "journal"
    BUTTONS = ("search", "level", "only_node", "only_kind", "older", "follow")

    def __init__(self) -> None:
        super().__init__()
        self._seen = 0

    def body(self) -> ComposeResult:
        yield Lines(id="journal-head")
        yield Entry(id="search", hint="words, node:NAME, kind:WORD, level:warning")
        yield JournalPane(self.store, id="journal")

    @property
    def pane(self) -> JournalPane:
        return self.query_one(JournalPane)

    def on_mount(self) -> None:
        self.pane.reload()
        self.pane.focus()

    def draw(self, changes: Changes) -> None:
        pane = self.pane
        if changes.journal or changes.everything:
            pane.reload()
        pane.follow()
        pane.repaint()
        self._draw_head()

    def why_not(self, command: Command) -> str | None:
        line = self.pane.chosen
        if command.name in ("details", "only_node") and (
            line is None or line.node not in self.store.nodes
        ):
            if command.name == "only_node" and self.pane.wanted.node:
                return None
            return "This line is not about a node of the fleet."
        if command.name == "older" and not self.desk.feed.up:
            return "Central is away: no older lines can be had now."
        return super().why_not(command)

    def on_row_chosen(self, _: RowChosen) -> None:
        self.action_act("details")

    def do_details(self) -> None:
        if (line := self.pane.chosen) is not None and line.node is not None:
            self.desk.open_node(line.node)

    def do_follow(self) -> None:
        self.pane.start_following()
        self._draw_head()

    def do_level(self) -> None:
        level = NEXT_LEVEL.get(self.pane.wanted.level)
        self._want(replace(self.pane.wanted, level=level))

    def do_only_node(self) -> None:
        """The node of the line under the cursor; every node again, if it was one."""
        line, wanted = self.pane.chosen, self.pane.wanted
        node = None if wanted.node or line is None else line.node
        self._want(replace(wanted, node=node))

    def do_only_kind(self) -> None:
        line, wanted = self.pane.chosen, self.pane.wanted
        kind = None if wanted.kind or line is None else line.kind
        self._want(replace(wanted, kind=kind))

    def do_search(self) -> None:
        entry = self.query_one("#search", Input)
        entry.value, entry.display = self.pane.wanted.text, True
        entry.focus()

    def do_back(self) -> None:
        """Every line again, and the newest in sight."""
        self.query_one("#search", Input).display = False
        self._want(LineQuery())
        self.pane.focus()
        self.pane.start_following()
        self._draw_head()

    def do_older(self) -> None:
        self.desk.work(self._fetch_older())

    @on(Input.Changed, "#search")
    def _searching(self, event: Input.Changed) -> None:
        if event.input.has_focus:
            self._want(LineQuery.parse(event.value))

    @on(Input.Submitted, "#search")
    def _searched(self) -> None:
        self.query_one("#search", Input).display = False
        self.pane.focus()
        if self.pane.wanted.text and self.desk.feed.up:
            self.do_older()

    def _want(self, query: LineQuery) -> None:
        self.pane.want(query)
        self._draw_head()

    async def _fetch_older(self) -> None:
        """Ask central for what is wanted, from before the oldest line that is here."""
        pane, wanted = self.pane, self.pane.wanted
        found: list[JournalLine] = []
        try:
            for ask in wanted.asks(limit=OLDER_LINES, before=pane.oldest()):
                found += await self.desk.commands.journal(ask)
        except msgspec.ValidationError:
            found = []  # no node and no kind can be called that
        except PeerFailed as failure:
            title, text = explain(failure)
            self.desk.say(text, title=title, severity="error")
            return
        if pane.wanted == wanted:
            pane.put_older(sorted(found, key=lambda line: line.seq))
            self.desk.say(f"{len(found):,} older lines" if found else "Nothing older is like that.")
            self._draw_head()

    def _draw_head(self) -> None:
        pane, wanted = self.pane, self.pane.wanted
        following = "following" if pane.follows else "held here, f follows again"
        parts = [
            f"level {wanted.level or 'all'}",
            f"node {fmt.safe(wanted.node or 'any')}",
            f"kind {fmt.safe(wanted.kind or 'any')}",
            *([f"with {fmt.safe(' '.join(wanted.words))}"] if wanted.words else []),
            f"{len(pane.keys):,} lines",
            following,
        ]
        said = fmt.cut(f" {' · '.join(parts)}", self.app.size.width)
        self.query_one("#journal-head", Lines).show_lines(((said, "muted"),))
