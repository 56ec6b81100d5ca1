"""The members of a local cluster: their processes, and what central thinks of them."""

from collections.abc import Sequence

from rich.cells import cell_len

from cluster.protocol.local import MemberView
from console import format as fmt
from console.model import Line, Piece, beside_of, state_of
from console.store import Store
from console.widgets.rows import Rows
from console.workbench import Workbench

PROCESS, PID, COUNT, SKEW, DISK = 11, 7, 8, 8, 7


class MemberTable(Rows[str]):
    """Member, process, starts, clock, disk; and at the right what the fleet says of it."""

    def __init__(self, store: Store, workbench: Workbench | None, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._store = store
        self._workbench = workbench
        self.wrong = ""

    def reorder(self) -> None:
        if self._workbench is not None:
            self.set_keys(list(self._workbench.members))

    def header(self, width: int) -> Line:
        cells = (
            fmt.left("MEMBER", self._name_width()),
            fmt.left("PROCESS", PROCESS),
            fmt.right("PID", PID),
            fmt.right("RESTARTS", COUNT),
            fmt.right("SKEW", SKEW),
            fmt.right("DISK", DISK),
            " CENTRAL SEES",
        )
        return ((f"  {' '.join(cells)}", "muted"),)

    def draw(self, key: str, width: int) -> Line:
        member = self._workbench.members.get(key) if self._workbench is not None else None
        if member is None:
            return ()
        pid = fmt.NO_VALUE if member.pid is None else str(member.pid)
        skew = fmt.drift(member.skew_ms) if member.skew_ms else fmt.ZERO
        disk = fmt.NO_VALUE if member.disk_bytes is None else fmt.size(member.disk_bytes)
        numbers = (
            fmt.right(pid, PID),
            fmt.right(fmt.count(member.restarts), COUNT),
            fmt.right(skew, SKEW),
            fmt.right(disk, DISK),
        )
        head = f" {fmt.left(fmt.safe(key), self._name_width())} "
        process, tone = process_of(member)
        pieces: list[Piece] = [
            (head, "plain"),
            (fmt.left(process, PROCESS) + " ", tone),
            (" ".join(numbers) + "  ", "plain"),
        ]
        room = width - sum(cell_len(text) for text, _ in pieces) - 1
        return *pieces, *self._fleet_says(key, room)

    def empty(self) -> Sequence[Line]:
        said = fmt.safe(self.wrong) or "Asking run_cluster.py who is there…"
        return (), ((f"   {said}", "warning" if self.wrong else "muted"),)

    def _fleet_says(self, key: str, room: int) -> Line:
        view = self._store.nodes.get(key)
        if view is None:
            return ()
        state, (beside, tone) = state_of(view), beside_of(view, self._store.now_us())
        word = f"{state.glyph} {state.word} "
        return (fmt.cut(word, room), state.tone), (fmt.cut(beside, room - len(word)), tone)

    def _name_width(self) -> int:
        return min(20, max(cell_len(fmt.safe(name)) for name in (*self.keys, "MEMBER")))


def process_of(member: MemberView) -> Piece:
    """What becomes of a member's process, in a word."""
    if member.frozen:
        return "❄ frozen", "warning"
    if member.state == "running":
        return "● running", "success"
    if member.state == "failed":
        return "✗ given up", "error"
    return f"◐ {member.state}", "warning"
