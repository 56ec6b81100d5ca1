"""A view on which nodes and runs are chosen: pull, push, cancel, and all else that acts on them."""

from collections.abc import Sequence
from functools import partial

from cluster.protocol.views import NodeView, Run
from console.keymap import Command
from console.screens.forms import RateOfSource
from console.screens.node_forms import EditNode
from console.screens.view import View

#: Commands that act on every marked node, or on the one under the cursor.
ON_MARKED = ("pull", "push", "again", "auto")
#: Commands that act on one node.
ON_ONE = ("details", "source", "rate", "sync", "edit", "remove")


class ActingView(View):
    """Whoever inherits says what is chosen."""

    def selected_node(self) -> str | None:
        """The node that p, u and r are meant for."""
        raise NotImplementedError

    def selected_run(self) -> int | None:
        """The run that x and R are meant for."""
        raise NotImplementedError

    def marked_nodes(self) -> Sequence[str]:
        """Nodes that were marked to be acted on together."""
        return ()

    def why_not(self, command: Command) -> str | None:
        if command.name == "again" and not self.desk.feed.up:
            return None  # then it asks central to come back
        if (why := super().why_not(command)) is not None:
            return why
        if command.name in ON_MARKED and not self._chosen():
            return "Select a node first."
        if command.name in ON_ONE and self._node() is None:
            return "Select a node first."
        if command.name in ("pull_all", "push_all") and not self.store.nodes:
            return "There are no nodes yet."
        if command.name in ("cancel", "retry"):
            return self._why_not_run(command.name)
        if command.name in ("source", "rate"):
            return self._why_no_source()
        return None

    def _why_not_run(self, name: str) -> str | None:
        run = self._run()
        if name == "cancel":
            open_run = run is not None and not run.ended_already
            return None if open_run else "There is no open run here to cancel."
        if run is None or not run.ended_already:
            return "Select a run that has ended."
        gone = run.node not in self.store.nodes
        return f"{run.node} is no longer polled." if gone else None

    def _why_no_source(self) -> str | None:
        view = self._node()
        kind = view.source.kind if view is not None and view.source is not None else "none"
        return "This node has no source of its own." if kind == "none" else None

    def do_pull(self) -> None:
        self.desk.give(self.desk.orders.move("pull", self._chosen()))

    def do_push(self) -> None:
        self.desk.give(self.desk.orders.move("push", self._chosen()))

    def do_pull_all(self) -> None:
        self.desk.give(self.desk.orders.move_all("pull"))

    def do_push_all(self) -> None:
        self.desk.give(self.desk.orders.move_all("push"))

    def do_cancel(self) -> None:
        if (run := self._run()) is not None:
            self.desk.give(self.desk.orders.cancel(run))

    def do_retry(self) -> None:
        if (run := self._run()) is not None:
            self.desk.give(self.desk.orders.retry(run))

    def do_again(self) -> None:
        """Poll the node now; while central is away, try it now."""
        if self.desk.feed.up:
            self.desk.give(self.desk.orders.poll(self._chosen()))
        else:
            self.desk.reconnect()

    def do_auto(self) -> None:
        self.desk.give(self.desk.orders.auto(self._chosen()))

    def do_source(self) -> None:
        if (view := self._node()) is not None:
            self.desk.give(self.desk.orders.source(view))

    def do_rate(self) -> None:
        if (view := self._node()) is not None:
            self.desk.open_dialog(RateOfSource(view), partial(self._set_rate, view))

    def _set_rate(self, view: NodeView, per_s: float | None) -> None:
        if per_s is not None:
            self.desk.give(self.desk.orders.rate(view, per_s))

    def do_sync(self) -> None:
        if (view := self._node()) is not None:
            self.desk.give(self.desk.orders.sync(view))

    def do_edit(self) -> None:
        if (view := self._node()) is not None:
            self.desk.open_dialog(EditNode(view))

    def do_remove(self) -> None:
        if (view := self._node()) is not None:
            self.desk.give(self.desk.orders.remove(view))

    def do_details(self) -> None:
        if (name := self.selected_node()) is not None:
            self.desk.open_node(name)

    def _node(self) -> NodeView | None:
        """The node under the cursor, if central still has it."""
        return self.store.nodes.get(self.selected_node() or "")

    def _run(self) -> Run | None:
        return self.store.runs.get(self.selected_run() or 0)

    def _chosen(self) -> list[NodeView]:
        """The marked nodes that central still has, else the one under the cursor."""
        names = self.marked_nodes() or [self.selected_node() or ""]
        return [self.store.nodes[name] for name in names if name in self.store.nodes]
