"""Columns as wide as what is in them, for lines that are read one below the other.

Widths only grow, so that lines that come later stand below the earlier ones. Where a line is
longer than there is room, the columns that bear it are cut, what is said before who it is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from console import format as fmt
from console.model import Line, Piece

Row = tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """At most `most` cells, `least` where there is no room; numbers stand at the right."""

    head: str
    most: int
    least: int | None = None
    number: bool = False


class Table:
    """`room`: cells of a line, if the columns can be cut so far."""

    def __init__(self, columns: Sequence[Column], room: int) -> None:
        self._columns = columns
        self._room = room
        self._wanted = [len(column.head) for column in columns]
        self._widths = list(self._wanted)

    def fit(self, rows: Iterable[Row]) -> None:
        """Make room for these."""
        for row in rows:
            for place, (text, _) in enumerate(row):
                most = min(cell_len(text), self._columns[place].most)
                self._wanted[place] = max(self._wanted[place], most)
        too_wide = sum(self._wanted) + len(self._wanted) - 1 - self._room
        for place, column in reversed([*enumerate(self._columns)]):
            width = self._wanted[place]
            if column.least is not None:
                width -= min(max(too_wide, 0), max(width - column.least, 0))
            too_wide -= self._wanted[place] - width
            self._widths[place] = width

    def head(self) -> Line:
        return self.line(tuple((column.head, "muted") for column in self._columns))

    def line(self, row: Row) -> Line:
        """A row, each piece in its column."""
        pieces: list[Piece] = []
        for (text, tone), column, width in zip(row, self._columns, self._widths, strict=True):
            pad = fmt.right if column.number else fmt.left
            pieces += [(pad(text, width), tone), (" ", "plain")]
        return tuple(pieces[:-1])
