"""A node in detail: every number that is known of it, how it went, and its runs."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal

from console.changes import Changes
from console.keymap import Place, bindings
from console.model import Line
from console.screens.acting import ActingView
from console.widgets.fleet_table import FleetTable
from console.widgets.lines import Lines
from console.widgets.node_facts import detail_lines
from console.widgets.plots import SPANS_S, drift_chart, rate_chart
from console.widgets.run_table import RunTable

PLOT_LOW, PLOT_TALL = 7, 14


class NodeScreen(ActingView):
    """Enter on a row; Esc goes back."""

    PLACE: ClassVar[Place] = "node"
    BINDINGS: ClassVar[list[BindingType]] = bindings("node")
    BUTTONS = ("pull", "push", "source", "rate", "sync", "auto", "edit", "remove")

    def __init__(self, node: str) -> None:
        super().__init__()
        self._node_name = node
        self._span = SPANS_S.index(240)

    def body(self) -> ComposeResult:
        yield Lines(id="node-facts")
        with Horizontal(id="plots"):
            yield Lines(id="drift-plot")
            yield Lines(id="rate-plot")
        yield RunTable(self.store, self._node_name, id="node-runs")

    def on_mount(self) -> None:
        self.query_one(RunTable).focus()

    def draw(self, changes: Changes) -> None:
        self.query_one("#node-facts", Lines).show_lines(*self._facts())
        self._draw_plots()
        table = self.query_one(RunTable)
        if not self.desk.order_is_held:
            table.reorder()
        table.repaint()

    def selected_node(self) -> str | None:
        return self._node_name

    def selected_run(self) -> int | None:
        """The open run, or the one under the cursor."""
        under_cursor = self.store.runs.get(self.query_one(RunTable).cursor or 0)
        view = self.store.nodes.get(self._node_name)
        if under_cursor is None and view is not None and view.run is not None:
            return view.run.id
        return under_cursor.id if under_cursor is not None else None

    def do_back(self) -> None:
        self.app.pop_screen()
        self.desk.let_order_go()

    def do_previous(self) -> None:
        self._step(-1)

    def do_following(self) -> None:
        self._step(1)

    def do_longer(self) -> None:
        self._span = min(self._span + 1, len(SPANS_S) - 1)
        self._draw_plots()

    def do_shorter(self) -> None:
        self._span = max(self._span - 1, 0)
        self._draw_plots()

    def _step(self, step: int) -> None:
        """The neighbour in the fleet's table, as it stands there."""
        table = next(
            (found for screen in self.app.screen_stack for found in screen.query(FleetTable)), None
        )
        names = table.keys if table is not None else list(self.store.nodes)
        if self._node_name not in names:
            return
        place = names.index(self._node_name) + step
        if 0 <= place < len(names):
            if table is not None:
                table.move_to(names[place])
            self.app.pop_screen()
            self.desk.open_node(names[place])

    def _facts(self) -> list[Line]:
        view = self.store.nodes.get(self._node_name)
        if view is None:
            gone = f"{self._node_name} is no longer polled; its records stay at central."
            return [((gone, "muted"),)]
        return detail_lines(view, self.store, self.app.size.width - 2)

    def _draw_plots(self) -> None:
        view = self.store.nodes.get(self._node_name)
        if view is None:
            return
        rows = PLOT_TALL if self.has_class("-tall") else PLOT_LOW
        half, span_s = self.app.size.width // 2 - 1, SPANS_S[self._span]
        drift = drift_chart(view, self.store, (half, rows), span_s)
        rate = rate_chart(view, self.store, (half, rows), span_s)
        self.query_one("#drift-plot", Lines).show_lines(*drift)
        self.query_one("#rate-plot", Lines).show_lines(*rate)
