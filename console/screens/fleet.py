"""Fleet: the table of nodes, worst first, with what is wanted of them at hand."""

from typing import ClassVar

from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Input

from cluster.protocol.views import NodeView
from console import format as fmt
from console.changes import Changes
from console.keymap import Command, Place, bindings
from console.messages import CursorMoved, RowChosen
from console.model import KIND_GLYPH, Line, bar, run_says
from console.query import NodeQuery
from console.screens.acting import ActingView
from console.screens.node_forms import AddNode
from console.widgets.entry import Entry
from console.widgets.fleet_table import MARK, FleetTable
from console.widgets.journal_pane import flow
from console.widgets.lines import Lines
from console.widgets.node_facts import side_lines
from console.widgets.plots import drift_chart

SIDE_PLOT_ROWS, SIDE_PLOT_S = 8, 240
TALL_LINES, LOW_LINES = 7, 2
STRIP_BAR = 16
LOOK_BACK_S = 0.4


class FleetScreen(ActingView):
    """Key 1."""

    PLACE: ClassVar[Place] = "fleet"
    BINDINGS: ClassVar[list[BindingType]] = bindings("fleet")
    BUTTONS = ("pull", "push", "pull_all", "push_all", "cancel", "add")

    def __init__(self) -> None:
        super().__init__()
        self._moved: set[str] = set()  # since the rows were last put in order
        self._order_is_old = True

    def body(self) -> ComposeResult:
        settings = self.desk.settings
        with Horizontal(id="middle"):
            with Vertical():
                yield Entry(id="filter", hint="name, state, missing>100, !down")
                yield FleetTable(self.store, settings.central, sparks=not settings.slow, id="fleet")
            with Vertical(id="side"):
                yield Lines(id="facts")
        with Horizontal(id="strip"):
            yield Lines(id="strip-journal")
            yield Lines(id="strip-runs")

    def beside_buttons(self) -> ComposeResult:
        yield Lines(id="place")

    @property
    def table(self) -> FleetTable:
        return self.query_one(FleetTable)

    def on_mount(self) -> None:
        self.table.focus()

    def draw(self, changes: Changes) -> None:
        table = self.table
        self._order_is_old |= changes.everything
        self._moved |= changes.nodes
        if not self.desk.order_is_held:
            if self._order_is_old:
                table.reorder()
            elif self._moved:
                table.reorder_for(self._moved)
            self._order_is_old, self._moved = False, set()
        table.repaint()
        self._draw_place()
        self._draw_strip()
        self._draw_side()

    def selected_node(self) -> str | None:
        return self.table.cursor

    def selected_run(self) -> int | None:
        view = self.store.nodes.get(self.selected_node() or "")
        return view.run.id if view is not None and view.run is not None else None

    def marked_nodes(self) -> list[str]:
        return sorted(self.table.marked, key=fmt.natural)

    def on_cursor_moved(self, _: CursorMoved) -> None:
        self._draw_place()
        self._draw_side()

    def on_row_chosen(self, _: RowChosen) -> None:
        self.action_act("details")

    def why_not(self, command: Command) -> str | None:
        if command.name == "back":
            return None
        return super().why_not(command)

    def do_add(self) -> None:
        self.desk.open_dialog(AddNode())

    def do_filter(self) -> None:
        self.query_one("#filter", Input).display = True
        self.query_one("#filter", Input).focus()

    def do_faults(self) -> None:
        self.table.faults_only = not self.table.faults_only
        self._again()

    def do_sort(self) -> None:
        self.table.sort_by(self.table.sort + 1)
        self._draw_place()

    def do_reverse(self) -> None:
        self.table.sort_by(self.table.sort)
        self._draw_place()

    def do_mark(self) -> None:
        self.table.toggle_mark()
        self.table.action_move(1)
        self._draw_place()

    def do_mark_all(self) -> None:
        self.table.mark_all()
        self._draw_place()

    def do_back(self) -> None:
        """Take off, one at a time, what hides or marks rows."""
        table, entry = self.table, self.query_one("#filter", Input)
        if table.marked:
            table.marked.clear()
        elif entry.value or entry.display:
            entry.value, entry.display = "", False
            table.query_now = NodeQuery()
        else:
            table.faults_only = False
        table.focus()
        self._again()

    @on(Input.Changed, "#filter")
    def _narrow(self, event: Input.Changed) -> None:
        self.table.query_now = NodeQuery.parse(event.value)
        self._again()

    @on(Input.Submitted, "#filter")
    def _narrowed(self) -> None:
        entry = self.query_one("#filter", Input)
        entry.display = bool(entry.value)
        self.table.focus()

    def _again(self) -> None:
        """What somebody asked for is done at once, whatever holds the order."""
        self.table.reorder()
        self.table.repaint()
        self._draw_place()
        self._draw_side()

    def _draw_place(self) -> None:
        table = self.table
        here = table.keys.index(table.cursor) + 1 if table.cursor in table.keys else 0
        shown, total = len(table.keys), len(self.store.nodes)
        parts = [f"{len(table.marked):,} marked"] if table.marked else []
        parts += ["faults only"] if table.faults_only else []
        parts.append(f"{shown:,} of {total:,} shown" if shown < total else table.sorted_by)
        said = f"{' · '.join(parts)}  {here:,}/{shown:,} "
        target = self.query_one("#place", Lines)
        if cell_len(said) > target.size.width:
            marks = f"{MARK}{len(table.marked):,} " if table.marked else ""
            said = f"{marks}{here:,}/{shown:,} "
        target.show_lines(((said, "muted"),))

    def _draw_side(self) -> None:
        if not self.query_one("#side").display:
            return
        view = self.store.nodes.get(self.selected_node() or "")
        lines = self._side_lines(view) if view is not None else []
        self.query_one("#facts", Lines).show_lines(*lines)

    def _side_lines(self, view: NodeView) -> list[Line]:
        """The numbers, the drift, the last runs."""
        width = self.query_one("#facts", Lines).size.width
        if view.name not in self.store.histories:
            name = view.name
            self.set_timer(LOOK_BACK_S, lambda: self._look_back(name))
        chart = drift_chart(view, self.store, (width, SIDE_PLOT_ROWS), SIDE_PLOT_S)
        return side_lines(view, self.store, width, chart)

    def _look_back(self, name: str) -> None:
        """Ask for a node's past, if the cursor has stayed on it."""
        if self.selected_node() == name and self.desk.feed.up:
            self.desk.look_back(name)

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
