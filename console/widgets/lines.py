"""Lines of toned pieces as a widget: never parsed as markup, and drawn only when they differ.

What stays the same costs nothing on a slow terminal line, however often it is shown.
"""

from collections.abc import Iterable

from textual.content import Content
from textual.widgets import Static

from console.model import Line, Tone

STYLES: dict[Tone, str] = {
    "plain": "",
    "muted": "$foreground 60%",
    "error": "bold $text-error",
    "warning": "$text-warning",
    "primary": "bold $text-primary",
    "success": "$text-success",
}


class Lines(Static):
    """A block of text."""

    def __init__(self, *lines: Line, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(content(*lines), id=id, classes=classes, markup=False)
        self._shown = lines

    def show_lines(self, *lines: Line) -> None:
        """These lines from now on."""
        if lines != self._shown:
            higher = len(lines) != len(self._shown)
            self._shown = lines
            self.update(content(*lines), layout=higher)


def content(*lines: Line) -> Content:
    """Lines under one another."""
    return Content("\n").join([_content(line) for line in lines])


def _content(line: Iterable[tuple[str, Tone]]) -> Content:
    return Content.assemble(*((text, STYLES[tone]) for text, tone in line))
