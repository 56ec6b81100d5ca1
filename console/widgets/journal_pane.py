"""The journal: the newest line at the bottom, followed until somebody scrolls up."""

from collections.abc import Iterable, Sequence

from rich.cells import cell_len

from cluster.protocol.views import JournalLine
from console import format as fmt
from console.model import Line, Tone
from console.store import Store
from console.widgets.rows import Rows

LEVEL_TONE: dict[str, Tone] = {"info": "muted", "warning": "warning", "error": "error"}
LEVEL_GLYPH = {"info": "·", "warning": "▲", "error": "✗"}
NAME_MAX = 24
LEVEL_FROM = 100  # the word; in a narrower pane the glyph says it


class JournalPane(Rows[int]):
    """Keys are the numbers of the lines."""

    has_cursor = False

    def __init__(self, store: Store, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._store = store
        self._lines: dict[int, JournalLine] = {}
        self.follows = True
        self._measures = (0, 0)
        self._name_width = 0

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Scrolling up holds the pane where it is; back at the bottom it follows again."""
        super().watch_scroll_y(old_value, new_value)
        self._measure_names()
        measures, self._measures = self._measures, (len(self.keys), self.size.height)
        if new_value >= self.max_scroll_y:
            self.follows = True
        elif new_value < old_value and measures == self._measures:
            # With other measures it was the layout that moved the pane, not a person.
            self.follows = False

    def reload(self) -> None:
        """Show the store's lines, at the bottom if it was there before."""
        first = next(iter(self._lines), None)
        self._lines = {line.seq: line for line in self._store.journal}
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
