"""The fleet in one line: how many are up, what is the matter, what each side lacks."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from cluster.protocol.views import Live, NodeView
from console.model import counts_hold


@dataclass(slots=True)
class Overview:
    """The fleet in one line: every node counts once among the lives, the rest are marks beside.

    `unsure`: of so many it is not known what is missing.
    """

    lives: dict[Live, int] = field(default_factory=dict)
    diverged: int = 0
    clock_bad: int = 0
    running: int = 0
    at_central: int = 0
    at_node: int = 0
    unsure: int = 0

    def count(self, view: NodeView, by: int = 1) -> None:
        """Take a node in; with -1 out again, so that a change costs no look at all the others."""
        self.lives[view.live] = self.lives.get(view.live, 0) + by
        self.diverged += by * (view.data == "diverged")
        self.clock_bad += by * (view.clock_word == "BAD")
        self.running += by * (view.run is not None and not view.run.ended_already)
        missing = (view.records.missing_at_central, view.records.missing_at_node)
        if counts_hold(view):
            self.at_central += by * (missing[0] or 0)
            self.at_node += by * (missing[1] or 0)
        self.unsure += by * (not counts_hold(view) or None in missing)


def overview(views: Iterable[NodeView]) -> Overview:
    """Count the nodes, and add up what each side is known to lack."""
    fleet = Overview()
    for view in views:
        fleet.count(view)
    return fleet
