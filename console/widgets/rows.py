"""A list of rows drawn line by line: only the visible ones that look different are repainted.

Rows are known by their keys. Until somebody moves the cursor it is on the first row, so that what
comes first is in sight; from then on it is pinned to a key, not to a place, and stays on its node
when the order changes. Whoever inherits says how a row looks and what the header is.
"""

from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from console.messages import CursorMoved, RowChosen
from console.model import Line
from console.widgets.lines import TONES, strip_of

KeyT = TypeVar("KeyT", str, int)
CURSOR_MARK = "▌"


class Rows(ScrollView, Generic[KeyT], can_focus=True):
    """Keys in order, at most one of them under the cursor."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "rows--cursor",
        "rows--header",
        *(f"tone--{tone}" for tone in TONES),
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        ("up,k", "move(-1)"),
        ("down,j", "move(1)"),
        ("pageup", "page(-1)"),
        ("pagedown", "page(1)"),
        ("home,g", "end(-1)"),
        ("end,G", "end(1)"),
        ("enter", "choose"),
    ]
    has_cursor = True
    #: Until somebody moves the cursor it is on the first row; else on none.
    begins_at_first = True

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.keys: list[KeyT] = []
        self.cursor: KeyT | None = None
        self._pinned = False
        self._places: dict[KeyT, int] = {}
        self._painted: dict[int, Line] = {}

    def header(self, width: int) -> Line | None:
        """The fixed first line, if there is one."""
        return None

    def draw(self, key: KeyT, width: int) -> Line:
        """One row, `width` cells at most: the mark of the cursor has its own."""
        raise NotImplementedError

    def empty(self) -> Sequence[Line]:
        """What to show instead of rows when there are none."""
        return ()

    def selectable(self, key: KeyT) -> bool:
        return self.has_cursor

    def header_clicked(self, x: int) -> None:
        """Somebody clicked on the header, `x` cells from the left."""

    def move_to(self, key: KeyT) -> None:
        """Put the cursor on this row, if it is there."""
        if (place := self._places.get(key)) is not None:
            self._pinned = True
            self._put_cursor(place, 1)
            self._scroll_to_cursor()

    def top(self) -> int:
        """The place of the first row in sight."""
        return self.scroll_offset.y

    def set_keys(self, keys: list[KeyT]) -> None:
        """Other rows, or another order. A pinned cursor stays on its key, else near its place."""
        if keys == self.keys:
            return
        place = self._place()
        self.keys, self._places = keys, {key: row for row, key in enumerate(keys)}
        self.virtual_size = Size(0, len(keys) + self._head())
        if not self._pinned:
            self._unpin()
        elif self._place() is None:
            self._put_cursor(place or 0, 1)
        self._scroll_to_cursor()
        self.repaint()

    def begin(self) -> None:
        """Somebody has just come here: the cursor is on the first row again."""
        self._unpin()
        self._scroll_to_cursor()

    def repaint(self) -> None:
        """Draw again those visible rows that have changed."""
        for y in range(self.size.height):
            line = self._painted.get(y)
            if line is None or line != self._line(y):
                self.refresh(Region(0, y, self.size.width, 1))

    def render_line(self, y: int) -> Strip:
        line = self._line(y)
        self._painted[y] = line
        row = y - self._head() + self.top()
        chosen = y >= self._head() and row == self._place()
        return self._strip(line, chosen, y < self._head())

    def action_move(self, step: int) -> None:
        place, self._pinned = self._place(), True
        if place is None:
            self._scroll(self.scroll_offset.y + step)
        elif self._put_cursor(place + step, step):
            self._scroll_to_cursor()

    def action_page(self, step: int) -> None:
        rows = max(1, self.size.height - self._head() - 1)
        place, self._pinned = self._place(), True
        if place is None:
            self._scroll(self.scroll_offset.y + step * rows)
            return
        there = min(max(place + step * rows, 0), len(self.keys) - 1)
        if self._put_cursor(there, step) or self._put_cursor(there, -step):
            self._scroll_to_cursor()

    def action_end(self, step: int) -> None:
        self._pinned = True
        if self._place() is None:
            self._scroll(0 if step < 0 else len(self.keys))
        elif self._put_cursor(0 if step < 0 else len(self.keys) - 1, -step):
            self._scroll_to_cursor()

    def action_choose(self) -> None:
        if self.cursor is not None:
            self.post_message(RowChosen(self.cursor))

    def on_click(self, event: events.Click) -> None:
        row = event.y - self._head() + self.top()
        if event.y < self._head():
            self.header_clicked(event.x)
            return
        if not 0 <= row < len(self.keys):
            return
        self._pinned = True
        if self._place() == row:
            self.action_choose()
        elif self.selectable(self.keys[row]):
            self._put_cursor(row, 1)

    def on_resize(self) -> None:
        self._painted.clear()
        self._scroll_to_cursor()

    def _unpin(self) -> None:
        """The cursor is where it is when nobody has moved it."""
        self._pinned = False
        if self.begins_at_first:
            self._put_cursor(0, 1)
        else:
            self.cursor = None

    def _head(self) -> int:
        return 0 if self.header(0) is None else 1

    def _place(self) -> int | None:
        return None if self.cursor is None else self._places.get(self.cursor)

    def _put_cursor(self, place: int, step: int) -> bool:
        """On the first selectable row from `place` in the direction of `step`."""
        place = min(place, len(self.keys) - 1) if step > 0 and self._place() is None else place
        while 0 <= place < len(self.keys):
            if self.selectable(self.keys[place]):
                break
            place += step
        else:
            if self._place() is None:
                self.cursor = None
            return False
        self.cursor = self.keys[place]
        self.refresh()
        self.post_message(CursorMoved())
        return True

    def _scroll_to_cursor(self) -> None:
        place, rows = self._place(), self.size.height - self._head()
        if place is None or rows <= 0:
            return
        top = self.scroll_offset.y
        if place < rows and not any(map(self.selectable, self.keys[:place])):
            self._scroll(0)  # what stands above the first row is a header
        elif place < top:
            self._scroll(place)
        elif place >= top + rows:
            self._scroll(place - rows + 1)

    def _scroll(self, top: int) -> None:
        self.scroll_to(y=max(0, top), animate=False)

    def _line(self, y: int) -> Line:
        """What stands in line `y` of the window."""
        head, width = self._head(), self.size.width
        if y < head:
            return self.header(width) or ()
        row = y - head + self.top()
        if row < len(self.keys):
            return self.draw(self.keys[row], width - 1 if self.has_cursor else width)
        lines = self.empty() if not self.keys else ()
        return lines[y - head] if y - head < len(lines) else ()

    def _strip(self, line: Line, chosen: bool, header: bool) -> Strip:
        over = Style(dim=self.text_style.dim or None)
        if header:
            over += self.get_component_rich_style("rows--header")
        elif chosen:
            cursor = self.get_component_rich_style("rows--cursor")
            over += Style(bgcolor=cursor.bgcolor, reverse=cursor.reverse or None)
        if self.has_cursor and not header and self.keys:
            line = ((CURSOR_MARK if chosen else " ", "primary"), *line)
        return strip_of(self, line, self.size.width, over)
