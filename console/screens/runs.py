"""Runs: what is under way and how long it takes, and what came of the earlier ones."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from console.changes import Changes
from console.keymap import Place, bindings
from console.messages import RowChosen
from console.screens.acting import ActingView
from console.widgets.run_table import RunTable


class RunsScreen(ActingView):
    """Key 2."""

    PLACE: ClassVar[Place] = "runs"
    BINDINGS: ClassVar[list[BindingType]] = bindings("runs")
    TAB: ClassVar[Place] = "runs"
    BUTTONS = ("pull", "push", "pull_all", "push_all", "cancel", "retry")

    def body(self) -> ComposeResult:
        yield RunTable(self.store, id="runs")

    def on_mount(self) -> None:
        table = self.query_one(RunTable)
        table.reorder()
        table.focus()

    def draw(self, changes: Changes) -> None:
        table = self.query_one(RunTable)
        if not self.desk.order_is_held:
            table.reorder()
        table.repaint()

    def selected_run(self) -> int | None:
        return self.query_one(RunTable).cursor

    def selected_node(self) -> str | None:
        run = self.store.runs.get(self.selected_run() or 0)
        return run.node if run is not None else None

    def on_row_chosen(self, _: RowChosen) -> None:
        self.action_act("details")
