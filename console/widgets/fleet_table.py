"""The fleet: one row a node, the worst first.

Sorted by how bad the state is, then by name, so rows move only when a state changes; and never
while an operator has just pressed a key or reads a dialog, for whom the order is held.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from console import format as fmt
from console.model import (
    Line,
    Piece,
    at_node_cell,
    beside_of,
    drift_cell,
    missing_both_cell,
    missing_cell,
    state_of,
)
from console.store import Store
from console.widgets.rows import Rows

STATE, DRIFT = 11, 8
NAME_MIN, NAME_MAX = 8, 24
BESIDE_MIN = len("⇣43% retry 0:24 #12")
BOTH_MISSING_FROM = 93
#: From which width on a count, and what is missing, may be how wide.
NUMBERS = ((100, 12, 9), (83, 10, 9), (0, 9, 8))


@dataclass(frozen=True, slots=True)
class Columns:
    """Widths in cells. `both`: there is room for a column for each side that lacks records."""

    name: int
    beside: int
    number: int
    missing: int
    both: bool


def columns(width: int, longest_name: int) -> Columns:
    """Share out the width: numbers first, then what the state says; a long name gives way."""
    both = width >= BOTH_MISSING_FROM
    number, missing = next(sizes for least, *sizes in NUMBERS if max(width, 0) >= least)
    fixed = 1 + STATE + DRIFT + 2 * number + missing * (2 if both else 1) + (7 if both else 6)
    free = width - fixed - 1  # the last cell is the scroll bar's
    name = min(longest_name, NAME_MAX, max(NAME_MIN, free - BESIDE_MIN))
    return Columns(name, max(0, free - name), number, missing, both)


class FleetTable(Rows[str]):
    """Node, state, drift, records at the node, at central, and missing."""

    def __init__(self, store: Store, central_url: str, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._store = store
        self._central_url = central_url
        self._longest_name = 0

    def reorder(self) -> None:
        """Worst first, by name where equal."""
        nodes = self._store.nodes
        self._longest_name = max(cell_len(fmt.safe(name)) for name in ("NODE", *nodes))
        self.set_keys(
            sorted(nodes, key=lambda name: (state_of(nodes[name]).severity, fmt.natural(name)))
        )

    def header(self, width: int) -> Line:
        size = self._columns(width - 1)
        cells = [
            fmt.left("NODE", size.name),
            fmt.left("STATE", STATE + 1 + size.beside),
            fmt.right("DRIFT", DRIFT),
            fmt.right("AT NODE", size.number),
            fmt.right("CENTRAL", size.number),
        ]
        missing = ("MISSING⇣", "MISSING⇡") if size.both else ("MISSING",)
        cells += [fmt.right(word, size.missing) for word in missing]
        return ((f"  {' '.join(cells)}", "muted"),)

    def draw(self, key: str, width: int) -> Line:
        size = self._columns(width)
        view = self._store.nodes.get(key)
        name: Piece = (f" {fmt.left(fmt.safe(key), size.name)} ", "plain")
        if view is None:
            return name, ("removed", "muted")
        state, now_us = state_of(view), self._store.now_us()
        beside, beside_tone = beside_of(view, now_us, self._store.rate_of(view.run))
        numbers: list[tuple[Piece, int]] = [
            (drift_cell(view), DRIFT),
            (at_node_cell(view, size.number), size.number),
            ((fmt.fit(view.records.central, size.number), "plain"), size.number),
        ]
        if size.both:
            numbers.append((missing_cell(view, "central", size.missing), size.missing))
            numbers.append((missing_cell(view, "node", size.missing), size.missing))
        else:
            numbers.append((missing_both_cell(view, size.missing), size.missing))
        return (
            name,
            (fmt.left(f"{state.glyph} {state.word}", STATE) + " ", state.tone),
            (fmt.left(beside, size.beside), beside_tone),
            *((" " + fmt.right(text, width), tone) for (text, tone), width in numbers),
        )

    def empty(self) -> Sequence[Line]:
        if self._store.status is None:
            return ((), (), (("   Waiting for central…", "muted"),))
        central = fmt.safe(self._central_url)
        start = f"   python -m node --name NAME --data DIR --central {central}"
        return (
            (),
            (("   No nodes yet.", "plain"),),
            (),
            (("   A node that is told where central is says hello and appears here:", "muted"),),
            ((start, "plain"),),
            (),
            (("   Or a whole cluster to try things out:", "muted"),),
            (("   python run_cluster.py --nodes 3", "plain"),),
            (),
            (("   Central is up and polls nothing.", "muted"),),
        )

    def _columns(self, width: int) -> Columns:
        return columns(width, self._longest_name)
