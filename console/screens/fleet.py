"""Fleet: the table of nodes, worst first, with the last journal lines under it."""

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from console import format as fmt
from console.messages import CursorMoved, RowChosen
from console.model import KIND_GLYPH, Line, bar, run_says
from console.screens.view import View
from console.store import Changes
from console.widgets.fleet_table import FleetTable
from console.widgets.hint import Hint
from console.widgets.journal_pane import flow
from console.widgets.lines import Lines
from console.widgets.node_facts import side_lines

SIDE_WIDTH = 46
TALL_LINES, LOW_LINES = 7, 2
STRIP_BAR = 16


class FleetScreen(View):
    """Key 1."""

    HINTS = (
        ("⏎", "Details", "screen.details"),
        ("p", "Pull", "screen.pull"),
        ("u", "Push", "screen.push"),
        ("P", "Pull all", "screen.pull_all"),
        ("U", "Push all", "screen.push_all"),
        ("r", "Poll", "screen.again"),
        ("?", "Help", "app.help"),
        ("q", "Quit", "app.leave"),
    )

    def __init__(self) -> None:
        super().__init__()
        self._order_is_old = True

    def body(self) -> ComposeResult:
        with Horizontal(id="middle"):
            yield FleetTable(self.store, self.console_app.central_url, id="fleet")
            with Vertical(id="side"):
                yield Lines(id="facts")
                with Horizontal(id="side-buttons"):
                    yield Hint("", "⇣ Pull", "screen.pull", classes="button")
                    yield Hint("", "⇡ Push", "screen.push", classes="button")
                    yield Hint("", "↻ Poll now", "screen.again", classes="button")
        with Horizontal(id="strip"):
            yield Lines(id="strip-journal")
            yield Lines(id="strip-runs")
        with Horizontal(id="buttons"):
            yield Hint("", "⇣ Pull", "screen.pull", classes="button")
            yield Hint("", "⇡ Push", "screen.push", classes="button")
            yield Hint("", "⇣⇣ Pull all", "screen.pull_all", classes="button")
            yield Hint("", "⇡⇡ Push all", "screen.push_all", classes="button")
            yield Hint("", "✕ Cancel", "screen.cancel", classes="button")
            yield Lines(id="place")

    def on_mount(self) -> None:
        self.query_one(FleetTable).focus()

    def draw(self, changes: Changes) -> None:
        table = self.query_one(FleetTable)
        self._order_is_old |= bool(changes.nodes) or changes.everything
        if self._order_is_old and not self.console_app.order_is_held:
            table.reorder()
            self._order_is_old = False
        table.repaint()
        self._draw_place()
        self._draw_strip()
        if self.has_class("-wide"):
            self._draw_side()

    def selected_node(self) -> str | None:
        return self.query_one(FleetTable).cursor

    def selected_run(self) -> int | None:
        view = self.store.nodes.get(self.selected_node() or "")
        return view.run.id if view is not None and view.run is not None else None

    def on_cursor_moved(self, _: CursorMoved) -> None:
        self._draw_place()
        if self.has_class("-wide"):
            self._draw_side()

    def on_row_chosen(self, _: RowChosen) -> None:
        self.action_details()

    def _draw_place(self) -> None:
        table = self.query_one(FleetTable)
        here = table.keys.index(table.cursor) + 1 if table.cursor in table.keys else 0
        said = f"worst first  {here:,}/{len(table.keys):,} "
        self.query_one("#place", Lines).show_lines(((said, "muted"),))

    def _draw_side(self) -> None:
        view = self.store.nodes.get(self.selected_node() or "")
        lines = side_lines(view, self.store, SIDE_WIDTH - 3) if view is not None else []
        self.query_one("#facts", Lines).show_lines(*lines)

    def _draw_strip(self) -> None:
        newest = reversed(self.store.journal)
        width, target = self.app.size.width, self.query_one("#strip-journal", Lines)
        if not self.has_class("-tall"):
            target.show_lines(*flow(newest, width, LOW_LINES))
            return
        half = width // 2 - 1
        lines = [line for _, line in zip(range(TALL_LINES - 1), newest, strict=False)]
        rows = [row for line in lines for row in flow([line], half, 1)]
        target.show_lines(((" journal (3)", "muted"),), *rows)
        runs = self._run_lines(width - half - 3)
        self.query_one("#strip-runs", Lines).show_lines((("runs (2)", "muted"),), *runs)

    def _run_lines(self, width: int) -> list[Line]:
        """The open runs in short."""
        runs = self.store.open_runs()
        if not runs:
            return [(("none open", "muted"),)]
        lines: list[Line] = []
        shown = TALL_LINES - 1 if len(runs) <= TALL_LINES - 1 else TALL_LINES - 2
        for run in runs[:shown]:
            head = f"{KIND_GLYPH[run.kind]} {fmt.left(fmt.safe(run.node), 12)} "
            node, now_us = self.store.nodes.get(run.node), self.store.now_us()
            said = run_says(run, node, now_us, self.store.rate_of(run))
            said = fmt.cut(said, max(0, width - len(head) - STRIP_BAR - 1))
            lines.append(((head, "plain"), *bar(run, STRIP_BAR), (f" {said}", "plain")))
        if len(runs) > shown:
            lines.append(((f"and {len(runs) - shown:,} more", "muted"),))
        return lines
