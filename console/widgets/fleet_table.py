"""The fleet: one row a node, the worst first or by a column, and only those that are wanted.

Rows move only when a state changes or somebody sorts; and never while an operator has just
pressed a key or reads a dialog, for whom the order is held.
"""

from collections.abc import Callable, Iterable, Sequence

from rich.cells import cell_len

from cluster.protocol.views import NodeView
from console import format as fmt
from console.model import (
    DRIFT_WARN_MS,
    IN_SYNC,
    Line,
    Piece,
    at_node_cell,
    beside_of,
    drift_cell,
    missing_both_cell,
    missing_cell,
    state_of,
)
from console.plot import spark
from console.query import FIELDS, NodeQuery
from console.store import Store
from console.widgets.columns import DRIFT, STATE, Columns, columns
from console.widgets.rows import Rows

MARK = "•"


def _number(name: str) -> Callable[[NodeView], float]:
    """The largest first; what is not known comes last."""
    field = FIELDS[name]

    def largest_first(view: NodeView) -> float:
        value = field(view)
        return 1.0 if value is None else -value

    return largest_first


Rank = tuple[float, str]

#: By what rows can be sorted: the word for it, and the key; by name where equal.
SORTS: tuple[tuple[str, Callable[[NodeView], float]], ...] = (
    ("worst first", lambda view: state_of(view).severity),
    ("by name", lambda view: 0),
    ("by drift", _number("drift")),
    ("by records", _number("records")),
    ("by central", _number("central")),
    ("by missing", _number("missing")),
)


class FleetTable(Rows[str]):
    """Node, state, drift, records at the node, at central, and missing."""

    def __init__(
        self, store: Store, central_url: str, *, sparks: bool = True, id: str | None = None
    ) -> None:
        super().__init__(id=id)
        self._store = store
        self._central_url = central_url
        self._sparks = sparks
        self._longest_name = 0
        self._ranks: dict[str, Rank | None] = {}
        self.query_now = NodeQuery()
        self.faults_only = False
        self.sort = 0
        self.reversed = False
        self.marked: set[str] = set()

    def reorder(self) -> None:
        """Those that are wanted, in the order that is wanted."""
        nodes = self._store.nodes
        self._longest_name = max(cell_len(fmt.safe(name)) for name in ("NODE", *nodes))
        self.marked &= nodes.keys()
        self._ranks = {name: self._rank(view) for name, view in nodes.items()}
        ranked = [(rank, name) for name, rank in self._ranks.items() if rank is not None]
        self.set_keys([name for _, name in sorted(ranked, reverse=self.reversed)])

    def reorder_for(self, names: Iterable[str]) -> None:
        """The same, when only these nodes have changed: mostly none of them moves."""
        nodes = self._store.nodes
        for name in names:
            view = nodes.get(name)
            if view is None or name not in self._ranks or self._rank(view) != self._ranks[name]:
                self.reorder()
                return

    @property
    def sorted_by(self) -> str:
        return SORTS[self.sort][0] + (", reversed" if self.reversed else "")

    def sort_by(self, column: int) -> None:
        """The same column twice: the other way round."""
        column %= len(SORTS)
        self.reversed = column == self.sort and not self.reversed
        self.sort = column
        self.reorder()
        self.refresh()

    def toggle_mark(self) -> None:
        if self.cursor is not None:
            self.marked ^= {self.cursor}
            self.repaint()

    def mark_all(self) -> None:
        """All that are shown, or none if they all are."""
        shown = set(self.keys)
        self.marked = self.marked - shown if shown <= self.marked else self.marked | shown
        self.repaint()

    def header(self, width: int) -> Line:
        if wrong := self.query_now.wrong:
            return ((fmt.cut(f"  {wrong}", width), "warning"),)
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
        cells += [fmt.left("DRIFT 4m", size.spark)] if size.spark else []
        return ((f"  {' '.join(cells)}", "muted"),)

    def header_clicked(self, x: int) -> None:
        """Sort by the column that was clicked."""
        size = self._columns(self.size.width - 1)
        ends = [2 + size.name]
        for wide in (STATE + 1 + size.beside, DRIFT, size.number, size.number):
            ends.append(ends[-1] + 1 + wide)
        column = next((place for place, end in enumerate(ends) if x <= end), len(ends))
        self.sort_by((1, 0, 2, 3, 4, 5)[column])

    def draw(self, key: str, width: int) -> Line:
        size = self._columns(width)
        view = self._store.nodes.get(key)
        mark: Piece = (MARK if key in self.marked else " ", "primary")
        name: Piece = (f"{fmt.left(fmt.safe(key), size.name)} ", "plain")
        if view is None:
            return mark, name, ("removed", "muted")
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
            mark,
            name,
            (fmt.left(f"{state.glyph} {state.word}", STATE) + " ", state.tone),
            (fmt.left(beside, size.beside), beside_tone),
            *((" " + fmt.right(text, width), tone) for (text, tone), width in numbers),
            *self._spark(key, size),
        )

    def empty(self) -> Sequence[Line]:
        if self._store.status is None:
            return ((), (), (("   Waiting for central…", "muted"),))
        if self._store.nodes:
            if not self._ranks:
                return ()  # they came just now, and stand in no order yet
            return (
                (),
                ((f"   None of {len(self._store.nodes):,} nodes is like that.", "plain"),),
                (),
                (("   Esc shows them all.", "muted"),),
            )
        central = fmt.safe(self._central_url)
        start = f"   python -m node --name NAME --data DIR --central {central}"
        return (
            (),
            (("   No nodes yet.", "plain"),),
            (),
            (("   A node that is told where central is says hello and appears here:", "muted"),),
            ((start, "plain"),),
            (),
            (("   a adds one that runs already, by its address. Or a whole cluster:", "muted"),),
            (("   python run_cluster.py --nodes 3", "plain"),),
            (),
            (("   Central is up and polls nothing.", "muted"),),
        )

    def _rank(self, view: NodeView) -> Rank | None:
        """Where a node stands among the others; None: it is not wanted."""
        if not self._is_wanted(view):
            return None
        return SORTS[self.sort][1](view), fmt.natural(view.name)

    def _is_wanted(self, view: NodeView) -> bool:
        if self.faults_only and state_of(view).severity >= IN_SYNC.severity:
            return False
        return self.query_now.holds(view)

    def _spark(self, key: str, size: Columns) -> Line:
        if not size.spark or (kept := self._store.sparks.get(key)) is None:
            return ()
        text = spark(kept.values(), DRIFT_WARN_MS)
        return ((f" {fmt.right(text, size.spark)}", "muted"),)

    def _columns(self, width: int) -> Columns:
        return columns(width, self._longest_name, sparks=self._sparks)
