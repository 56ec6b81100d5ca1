"""Where plain lines go: standard output, with colours only on a terminal that wants them.

Whatever is written is safe text, and ASCII where the terminal or the pipe knows no other.
"""

from collections.abc import Mapping
from typing import TextIO

from rich.cells import cell_len

from console import format as fmt
from console.ascii import ascii_of
from console.model import Line, Tone

COLOURS: dict[Tone, str] = {
    "plain": "",
    "muted": "2",
    "error": "1;31",
    "warning": "33",
    "primary": "1;36",
    "success": "32",
}


class Page:
    """`terminal`: somebody looks at it, so that lines may be drawn anew."""

    def __init__(
        self, out: TextIO, environ: Mapping[str, str], *, ascii_only: bool = False
    ) -> None:
        self._out = out
        self.terminal = out.isatty()
        self._coloured = self.terminal and not environ.get("NO_COLOR")
        encoding = (out.encoding or "ascii").lower().replace("-", "")
        self._ascii_only = ascii_only or encoding != "utf8"
        self._drawn = 0

    def say(self, text: str, tone: Tone = "plain") -> None:
        """One line of text from anywhere."""
        self.write((fmt.safe(text), tone))

    def write(self, *pieces: tuple[str, Tone]) -> None:
        """One line of pieces that are safe already."""
        self._wipe()
        print(self._text(pieces), file=self._out, flush=True)

    def raw(self, text: str) -> None:
        """A line of JSON."""
        print(text, file=self._out, flush=True)

    def draw(self, lines: list[Line], width: int) -> None:
        """Lines in the place of those that were drawn last; only on a terminal."""
        self._wipe()
        for line in lines:
            print(self._text(line, width - 1), file=self._out)
        self._out.flush()
        self._drawn = len(lines)

    def _wipe(self) -> None:
        if self._drawn:
            print(f"\x1b[{self._drawn}F\x1b[J", end="", file=self._out)
            self._drawn = 0

    def _text(self, line: Line, width: int = 10_000) -> str:
        parts = []
        for text, tone in line:
            text = fmt.cut(ascii_of(text) if self._ascii_only else text, width)
            width -= cell_len(text)
            colour = COLOURS[tone] if self._coloured else ""
            parts.append(f"\x1b[{colour}m{text}\x1b[0m" if colour and text.strip() else text)
        return "".join(parts).rstrip()
