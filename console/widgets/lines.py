"""Lines of toned pieces as a widget: never parsed as markup, each drawn only when it differs.

What stays the same costs nothing on a slow terminal line, however often it is shown.
"""

from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from console.model import Line, cut_line

TONES = ("plain", "muted", "error", "warning", "primary", "success")


class Lines(Widget):
    """A block of text. Its tones are component classes, so that the sheet says how they look."""

    DEFAULT_CSS = "Lines { width: 1fr; height: auto; }"
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"tone--{tone}" for tone in TONES}
    ALLOW_SELECT = False

    def __init__(self, *lines: Line, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._shown = lines

    def show_lines(self, *lines: Line) -> None:
        """These lines from now on."""
        before, self._shown = self._shown, lines
        if before == lines:
            return
        if len(before) != len(lines) and self._grows:
            self.refresh(layout=True)
            return
        for y in range(max(len(before), len(lines))):
            if before[y : y + 1] != lines[y : y + 1]:
                self.refresh(Region(0, y, self.size.width, 1))

    @property
    def _grows(self) -> bool:
        height = self.styles.height
        return height is not None and height.is_auto

    def get_content_width(self, container: Size, viewport: Size) -> int:
        return max((_cells(line) for line in self._shown), default=0)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self._shown)

    def render_line(self, y: int) -> Strip:
        line: Line = self._shown[y] if y < len(self._shown) else ()
        width = self.size.width
        if _cells(line) > width:
            line = cut_line(line, width)
        if self.styles.text_align in ("right", "end"):
            line = ((" " * (width - _cells(line)), "plain"), *line)
        return strip_of(self, line, width, Style(dim=self.text_style.dim or None))


def strip_of(widget: Widget, line: Line, width: int, over: Style) -> Strip:
    """A line as the terminal gets it, exactly `width` cells wide."""
    looks = {tone: widget.get_component_rich_style(f"tone--{tone}") for _, tone in line}
    segments = [Segment(text, looks[tone] + over) for text, tone in line]
    base = widget.get_component_rich_style("tone--plain") + over
    return Strip(segments).adjust_cell_length(width, base)


def _cells(line: Line) -> int:
    return sum(cell_len(text) for text, _ in line)
