"""`--ascii` on the screen: the last step before the terminal, so that nothing can be forgotten."""

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from console.ascii import ascii_of


class AsciiOnly(LineFilter):
    """Makes ASCII of every segment that is drawn."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [Segment(ascii_of(text), style, control) for text, style, control in segments]
