"""A node in detail: every number that is known of it, and its runs."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal

from console.model import Line
from console.screens.view import View
from console.store import Changes
from console.widgets.hint import Hint
from console.widgets.lines import Lines
from console.widgets.node_facts import (
    beside,
    clock_facts,
    column,
    link_facts,
    member_facts,
    numbers,
    record_facts,
    title_lines,
    trouble_line,
)
from console.widgets.run_table import RunTable


class NodeScreen(View):
    """Enter on a row; Esc goes back."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "app.go_back", "Back")]
    HINTS = (
        ("esc", "Back", "app.go_back"),
        ("p", "Pull", "screen.pull"),
        ("u", "Push", "screen.push"),
        ("r", "Poll now", "screen.again"),
        ("x", "Cancel run", "screen.cancel"),
        ("?", "Help", "app.help"),
        ("q", "Quit", "app.leave"),
    )

    def __init__(self, node: str) -> None:
        super().__init__()
        self._node = node

    def body(self) -> ComposeResult:
        yield Lines(id="node-facts")
        yield RunTable(self.store, self._node, id="node-runs")
        with Horizontal(id="buttons"):
            yield Hint("", "⇣ Pull", "screen.pull", classes="button")
            yield Hint("", "⇡ Push", "screen.push", classes="button")
            yield Hint("", "↻ Poll now", "screen.again", classes="button")
            yield Hint("", "✕ Cancel run", "screen.cancel", classes="button")

    def on_mount(self) -> None:
        self.query_one(RunTable).focus()

    def draw(self, changes: Changes) -> None:
        self.query_one("#node-facts", Lines).show_lines(*self._facts())
        table = self.query_one(RunTable)
        if not self.console_app.order_is_held:
            table.reorder()
        table.repaint()

    def selected_node(self) -> str | None:
        return self._node

    def selected_run(self) -> int | None:
        view = self.store.nodes.get(self._node)
        under_cursor = self.query_one(RunTable).cursor
        run = self.store.runs.get(under_cursor or 0)
        if run is not None and not run.ended_already:
            return run.id
        return view.run.id if view is not None and view.run is not None else None

    def _facts(self) -> list[Line]:
        view = self.store.nodes.get(self._node)
        if view is None:
            return [((f"{self._node} is no longer polled; its records stay at central.", "muted"),)]
        width = self.app.size.width - 2
        lines = title_lines(view, self.store, width)
        records, clock = numbers(record_facts(view), 13), column(clock_facts(view), 15)
        link, member = column(link_facts(view, self.store), 19), member_facts(view)
        if width >= 110:
            lines += [(), *beside(records, clock, link, column(member, 16))]
        else:
            lines += beside(records, clock, link)
            lines += beside(column(member[:2], 13), column(member[2:4], 15), column(member[4:], 19))
        return [*lines, trouble_line(view, width)]
