"""Runs: the open ones with their progress, the ended ones below with what came of them."""

from collections.abc import Sequence

from rich.cells import cell_len

from cluster.protocol.views import Run
from console import format as fmt
from console.model import KIND_GLYPH, Line, bar, percent, result_of, time_left_s, wait_text
from console.store import Store
from console.widgets.rows import Rows

RULE, HEADER = -1, -2
NUMBER, NAME_MIN, NAME_MAX = 5, 6, 20
PERCENT, MOVED, RATE, LEFT = 4, len("999.9k/999.9k"), len("999.9k/s"), len("1:02:03 left")
#: All of an open run's row but its name and its bar.
FIXED = len("⇣  ") + NUMBER + len(" pull ") + PERCENT + MOVED + RATE + LEFT + 4
BAR_MIN, BAR_MAX = 4, 60


def widths(width: int, longest_name: int) -> tuple[int, int]:
    """Of the name and of the bar. The bar's follows from the table's alone, so it never jumps."""
    room = width - FIXED - 1  # the last cell is the scroll bar's
    bar_width = max(BAR_MIN, min(BAR_MAX, max(room // 2, room - NAME_MAX)))
    return max(NAME_MIN, min(longest_name, NAME_MAX, room - bar_width)), bar_width


class RunTable(Rows[int]):
    """Keys are the ids of runs; two rows that are none divide the open from the ended."""

    def __init__(self, store: Store, node: str | None = None, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._store = store
        self._node = node
        self._longest_name = NAME_MIN
        self._above: set[int] = set()

    def reorder(self) -> None:
        """Open runs, running ones first; then the ended, the latest first."""
        mine = [run for run in self._store.open_runs() if self._node in (None, run.node)]
        done = [run for run in self._store.ended_runs() if self._node in (None, run.node)]
        self._longest_name = max((cell_len(run.node) for run in (*mine, *done)), default=0)
        keys = [run.id for run in mine]
        self._above = set(keys)
        if done:
            keys += [RULE] if mine else []
            keys += [HEADER, *(run.id for run in done)]
        self.set_keys(keys)

    def selectable(self, key: int) -> bool:
        return key > 0

    def draw(self, key: int, width: int) -> Line:
        if key == RULE:
            return (("─" * (width - 1), "muted"),)
        name_width, bar_width = widths(width, self._longest_name)
        if key == HEADER:
            return _ended_header(name_width)
        run = self._store.runs.get(key)
        if run is None:
            return ()
        if key not in self._above:
            return _ended(run, name_width, width)
        head = (
            f"{KIND_GLYPH[run.kind]} {fmt.right(str(run.id), NUMBER)} "
            f"{fmt.left(fmt.safe(run.node), name_width)} {run.kind} "
        )
        said = self._said(run, bar_width, max(0, width - cell_len(head) - bar_width - 3))
        return (head, "plain"), *said

    def empty(self) -> Sequence[Line]:
        return (
            (),
            (("   No runs yet.", "plain"),),
            (),
            (("   p pulls the selected node, u pushes to it; P and U do it for all.", "muted"),),
        )

    def _said(self, run: Run, bar_width: int, room: int) -> Line:
        """How far an open run is, how fast, how long still; or why it waits."""
        if run.ended_already:  # its row moves down as soon as the order is let go
            result, tone = result_of(run)
            said = f"ended {fmt.clock_time(run.ended)}  {result}"
            return ((fmt.cut(said, bar_width + room), tone),)
        if run.state != "running":
            view, now_us = self._store.nodes.get(run.node), self._store.now_us()
            text = fmt.cut(wait_text(run, view, now_us), room)
            return *bar(run, bar_width), (f"  {text}", "muted")
        per_s, known = self._store.rate_of(run), percent(run)
        left_s = time_left_s(run, per_s)
        fields = (
            fmt.right("" if known is None else f"{known}%", PERCENT),
            fmt.right(_moved(run), MOVED),
            fmt.right("" if per_s is None else fmt.rate(per_s), RATE),
            fmt.right("" if left_s is None else f"{fmt.span(left_s)} left", LEFT),
        )
        return *bar(run, bar_width), (f" {' '.join(fields)}", "primary")


def _moved(run: Run) -> str:
    """13.9k/32.3k, or only what came when nobody knows how much there is."""
    expected = f"/{fmt.short(run.expected)}" if run.expected else ""
    return fmt.short(run.received) + expected


def _ended_header(name_width: int) -> Line:
    cells = ("ENDED   ", fmt.right("RUN", NUMBER), fmt.left("NODE", name_width), "KIND  ")
    return ((" ".join(cells) + "    RECEIVED    TOOK  RESULT", "muted"),)


def _ended(run: Run, name_width: int, width: int) -> Line:
    took_s = None
    if run.started is not None and run.ended is not None:
        took_s = (run.ended - run.started) / fmt.SECOND_US
    cells = (
        fmt.left(fmt.clock_time(run.ended), 8),
        fmt.right(str(run.id), NUMBER),
        fmt.left(fmt.safe(run.node), name_width),
        f"{KIND_GLYPH[run.kind]} {run.kind}",
        fmt.right(fmt.fit(run.received, 11), 11),
        fmt.right(fmt.took(took_s), 7),
    )
    head = " ".join(cells) + "  "
    said, tone = result_of(run)
    return (head, "plain"), (fmt.cut(said, max(0, width - 1 - cell_len(head))), tone)
