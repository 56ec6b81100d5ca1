"""Runs: the open ones with their progress, the ended ones below with what came of them."""

from collections.abc import Sequence

from rich.cells import cell_len

from cluster.protocol.views import Run
from console import format as fmt
from console.model import KIND_GLYPH, Line, Tone, bar, percent, result_of, time_left_s
from console.store import Store
from console.widgets.rows import Rows

RULE, HEADER = -1, -2
NUMBER, NAME_MIN, NAME_MAX = 5, 6, 20
BAR_MIN = 8


class RunTable(Rows[int]):
    """Keys are the ids of runs; two rows that are none divide the open from the ended."""

    def __init__(self, store: Store, node: str | None = None, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._store = store
        self._node = node
        self._name_width = NAME_MIN

    def reorder(self) -> None:
        """Open runs, running ones first; then the ended, the latest first."""
        mine = [run for run in self._store.open_runs() if self._node in (None, run.node)]
        done = [run for run in self._store.ended_runs() if self._node in (None, run.node)]
        names = [cell_len(run.node) for run in (*mine, *done)]
        self._name_width = max(NAME_MIN, min(max(names, default=0), NAME_MAX))
        keys = [run.id for run in mine]
        if done:
            keys += [RULE] if mine else []
            keys += [HEADER, *(run.id for run in done)]
        self.set_keys(keys)

    def selectable(self, key: int) -> bool:
        return key > 0

    def draw(self, key: int, width: int) -> Line:
        if key == RULE:
            return (("─" * (width - 1), "muted"),)
        if key == HEADER:
            return self._ended_header()
        run = self._store.runs.get(key)
        if run is None:
            return ()
        return self._ended(run, width) if run.ended_already else self._open(run, width)

    def empty(self) -> Sequence[Line]:
        return (
            (),
            (("   No runs yet.", "plain"),),
            (),
            (("   p pulls the selected node, u pushes to it; P and U do it for all.", "muted"),),
        )

    def _open(self, run: Run, width: int) -> Line:
        head = (
            f"{KIND_GLYPH[run.kind]} {fmt.right(str(run.id), NUMBER)} "
            f"{fmt.left(fmt.safe(run.node), self._name_width)} {run.kind} "
        )
        says = self._says(run)
        room = width - 1 - cell_len(head) - 2
        bar_width = min(60, max(BAR_MIN, room - max(cell_len(says), 32)))
        text = fmt.cut(says, max(0, room - bar_width))
        tone: Tone = "primary" if run.state == "running" else "muted"
        return (head, "plain"), *bar(run, bar_width), (f"  {text}", tone)

    def _says(self, run: Run) -> str:
        """How far it is, how fast, how long still; or why it waits."""
        if run.state != "running":
            return f"{run.state}: {fmt.safe(run.reason)}" if run.reason else run.state
        per_s, known = self._store.rate_of(run), percent(run)
        parts = [fmt.short(run.received) + (f"/{fmt.short(run.expected)}" if run.expected else "")]
        if known is not None:
            parts.insert(0, f"{known:>3}%")
        if per_s is not None:
            parts.append(fmt.rate(per_s))
        if (left_s := time_left_s(run, per_s)) is not None:
            parts.append(f"{fmt.span(left_s)} left")
        return "  ".join(parts)

    def _ended_header(self) -> Line:
        cells = ("ENDED   ", fmt.right("RUN", NUMBER), fmt.left("NODE", self._name_width), "KIND  ")
        return ((" ".join(cells) + "    RECEIVED    TOOK  RESULT", "muted"),)

    def _ended(self, run: Run, width: int) -> Line:
        took_s = None
        if run.started is not None and run.ended is not None:
            took_s = (run.ended - run.started) / fmt.SECOND_US
        cells = (
            fmt.left(fmt.clock_time(run.ended), 8),
            fmt.right(str(run.id), NUMBER),
            fmt.left(fmt.safe(run.node), self._name_width),
            f"{KIND_GLYPH[run.kind]} {run.kind}",
            fmt.right(fmt.fit(run.received, 11), 11),
            fmt.right(fmt.took(took_s), 7),
        )
        head = " ".join(cells) + "  "
        said, tone = result_of(run)
        return (head, "plain"), (fmt.cut(said, max(0, width - 1 - cell_len(head))), tone)
