"""The journal: the newest line at the bottom, followed until somebody goes up.

Only the lines that are wanted are shown: those of the store, and older ones that were fetched.
"""

from collections.abc import Iterable, Sequence

from rich.cells import cell_len

from cluster.protocol.views import JournalLine
from console import format as fmt
from console.model import LEVEL_TONE, Line, Tone
from console.query import LineQuery
from console.store import Store
from console.widgets.rows import Rows

LEVEL_GLYPH = {"info": "·", "warning": "▲", "error": "✗"}
NAME_MAX = 24
LEVEL_FROM = 100  # the word; in a narrower pane the glyph says it


class JournalPane(Rows[int]):
    """Keys are the numbers of the lines. The cursor is on none while the pane follows."""

    begins_at_first = False

    def __init__(self, store: Store, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._store = store
        self._lines: dict[int, JournalLine] = {}
        self._older: list[JournalLine] = []
        self.wanted = LineQuery()
        self._at_bottom = True
        self._measures = (0, 0)
        self._name_width = 0

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Scrolling up holds the pane where it is; back at the bottom it follows again."""
        super().watch_scroll_y(old_value, new_value)
        self._measure_names()
        measures, self._measures = self._measures, (len(self.keys), self.size.height)
        if new_value >= self.max_scroll_y:
            self._at_bottom = True
        elif new_value < old_value and measures == self._measures:
            # With other measures it was the layout that moved the pane, not a person.
            self._at_bottom = False

    @property
    def follows(self) -> bool:
        """Whether the newest line is kept in sight."""
        return self._at_bottom and self.cursor is None

    @property
    def chosen(self) -> JournalLine | None:
        """The line under the cursor; while the pane follows, the newest."""
        key = self.cursor if self.cursor is not None else next(reversed(self.keys), 0)
        return self._lines.get(key)

    def want(self, query: LineQuery) -> None:
        """Only these lines from now on."""
        if query != self.wanted:
            self.wanted, self._older = query, []
            self.reload()
            self.repaint()

    def oldest(self) -> int | None:
        """The number of the first line that is here, wanted or not."""
        known = self._older or self._store.journal
        return known[0].seq if known else None

    def put_older(self, lines: Sequence[JournalLine]) -> None:
        """What central had of what is wanted, before the oldest."""
        first = self.oldest() or 0
        self._older = [*(line for line in lines if line.seq < first), *self._older]
        self.reload()
        self.repaint()

    def start_following(self) -> None:
        self._unpin()
        self._at_bottom = True
        self._scroll(len(self.keys))
        self.refresh()

    def action_move(self, step: int) -> None:
        if self.cursor is None and self.keys:
            self._pinned, self.cursor = True, self.keys[-1]
        super().action_move(step)
        if step > 0 and self.cursor == next(reversed(self.keys), None):
            self.start_following()

    def action_page(self, step: int) -> None:
        if self.cursor is None and self.keys:
            self._pinned, self.cursor = True, self.keys[-1]
        super().action_page(step)

    def action_end(self, step: int) -> None:
        if step > 0:
            self.start_following()
        elif self.keys:
            self.move_to(self.keys[0])

    def reload(self) -> None:
        """Show what is wanted of the store's lines, at the bottom if it was there before."""
        first = next(iter(self._lines), None)
        known = [*self._older, *self._store.journal]
        self._lines = {line.seq: line for line in known if self.wanted.holds(line)}
        self.set_keys(list(self._lines))
        self._measure_names()
        if self.follows:
            self.call_after_refresh(self._scroll, len(self.keys))
        elif first is not None and self.keys:
            # Lines that fell off the top must not push the read ones out of sight.
            self._scroll(self.scroll_offset.y - max(0, self.keys[0] - first))

    def on_resize(self) -> None:
        super().on_resize()
        self._measure_names()
        if self.follows:
            self.call_after_refresh(self._scroll, len(self.keys))

    def follow(self) -> None:
        """To the bottom, unless somebody reads further up."""
        if self.follows and self.scroll_offset.y < self.max_scroll_y:
            self._scroll(len(self.keys))

    def draw(self, key: int, width: int) -> Line:
        line = self._lines[key]
        tone = LEVEL_TONE.get(line.level, "plain")
        head = f" {fmt.clock_time(line.ts)} "
        level = LEVEL_GLYPH.get(line.level, " ") + " "
        if width >= LEVEL_FROM:
            level += fmt.left(fmt.safe(line.level), 8)
        node = fmt.left(fmt.safe(line.node or ""), self._name_width) + " "
        room = width - cell_len(head + level + node) - 1
        return (
            (head, "muted"),
            (level, tone),
            (node, "plain"),
            (fmt.cut(fmt.safe(line.text), room), "plain" if tone == "muted" else tone),
        )

    def top(self) -> int:
        """Whoever follows sees the bottom from the first paint on, before anything has scrolled."""
        return max(0, len(self.keys) - self.size.height) if self.follows else super().top()

    def _measure_names(self) -> None:
        """The column of nodes is as wide as the longest name in sight needs."""
        seen = [self._lines[key].node or "" for key in self.keys[self.top() :][: self.size.height]]
        longest = max((cell_len(fmt.safe(name)) for name in seen), default=0)
        self._name_width = min(longest, NAME_MAX)

    def empty(self) -> Sequence[Line]:
        return (), (("   Nothing in the journal yet.", "muted"),)


def flow(lines: Iterable[JournalLine], width: int, rows: int) -> list[Line]:
    """The newest lines in few rows: as many side by side as fit whole."""
    flowed: list[list[tuple[str, Tone]]] = []
    room = 0
    for line in lines:
        text = f"{fmt.safe(line.node)} " if line.node else ""
        text = fmt.cut(text + fmt.safe(line.text), width - 13)
        wide = 13 + cell_len(text)
        if not flowed or wide + 1 > room:
            if len(flowed) == rows:
                break
            flowed.append([])
            room = width
        tone = LEVEL_TONE.get(line.level, "plain")
        flowed[-1] += [
            (f" {fmt.clock_time(line.ts)} ", "muted"),
            (f"{LEVEL_GLYPH.get(line.level, ' ')} ", tone),
            (f"{text} ", "plain" if tone == "muted" else tone),
        ]
        room -= wide + 1
    return [tuple(pieces) for pieces in flowed]
