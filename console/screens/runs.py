"""Runs: what is under way and how long it takes, and what came of the earlier ones."""

from textual.app import ComposeResult

from console.messages import RowChosen
from console.screens.view import View
from console.store import Changes
from console.widgets.run_table import RunTable


class RunsScreen(View):
    """Key 2."""

    PLACE = "runs"
    HINTS = (
        ("x", "Cancel run", "screen.cancel"),
        ("⏎", "Node", "screen.details"),
        ("p", "Pull", "screen.pull"),
        ("u", "Push", "screen.push"),
        ("P", "Pull all", "screen.pull_all"),
        ("U", "Push all", "screen.push_all"),
        ("?", "Help", "app.help"),
        ("q", "Quit", "app.leave"),
    )

    def body(self) -> ComposeResult:
        yield RunTable(self.store, id="runs")

    def on_mount(self) -> None:
        table = self.query_one(RunTable)
        table.reorder()
        table.focus()

    def draw(self, changes: Changes) -> None:
        table = self.query_one(RunTable)
        if not self.console_app.order_is_held:
            table.reorder()
        table.repaint()

    def selected_run(self) -> int | None:
        return self.query_one(RunTable).cursor

    def selected_node(self) -> str | None:
        run = self.store.runs.get(self.selected_run() or 0)
        return run.node if run is not None else None

    def on_row_chosen(self, _: RowChosen) -> None:
        self.action_details()
