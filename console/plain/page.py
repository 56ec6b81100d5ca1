"""Where plain lines go: standard output, with colours only on a terminal that wants them.

Whatever is written is safe text, and ASCII where the terminal or the pipe knows no other.
"""

import re
import shutil
import sys
from collections.abc import Mapping
from typing import TextIO

from rich.cells import cell_len

from cluster.text import visible
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
COLUMNS = 80  # where there is no terminal
_ODD = re.compile(r"[^ -~]")  # of JSON: all that some pipe does not know, or a terminal obeys


class Unwritable(Exception):
    """The output takes nothing more, such as a file on a full disk."""


class Page:
    """`terminal`: somebody sits at it. `redraws`: lines there can be drawn anew."""

    def __init__(
        self, out: TextIO, environ: Mapping[str, str], *, ascii_only: bool = False
    ) -> None:
        self._out = out
        self.terminal = out.isatty()
        self.redraws = self.terminal and environ.get("TERM") != "dumb"
        self._coloured = self.redraws and not environ.get("NO_COLOR")
        encoding = (out.encoding or "ascii").lower().replace("-", "")
        self._ascii_only = ascii_only or encoding != "utf8"
        self._drawn: list[Line] = []
        self._rows = 0  # that they take

    @property
    def columns(self) -> int:
        """Cells that a line should have at most."""
        return shutil.get_terminal_size().columns if self.terminal else COLUMNS

    def say(self, text: str, tone: Tone = "plain") -> None:
        """One line of text from anywhere."""
        self.write((fmt.safe(text), tone))

    def warn(self, text: str) -> None:
        self.say(text, "warning")

    def aside(self, text: str) -> None:
        """What is not for the reader of the output, such as a program that takes JSON."""
        sys.stderr.write(f"console: {visible(text)}\n")

    def write(self, *pieces: tuple[str, Tone]) -> None:
        """One line of pieces that are safe already."""
        self.wipe()
        self._put(self._text(pieces) + "\n")

    def raw(self, json: bytes) -> None:
        """A line of JSON, as ASCII: the same to a program, harmless to a terminal."""
        self._put(_ODD.sub(_escaped, json.decode()) + "\n")

    def draw(self, lines: list[Line]) -> None:
        """Lines in the place of those that were drawn last; only where the page `redraws`.

        Not by rich's Progress: that draws by the clock from a thread of its own, and its ASCII
        depends on the encoding alone. Lines that stay as they are are not drawn, and not read out.
        """
        if lines == self._drawn:
            return
        self.wipe()
        columns, rows = shutil.get_terminal_size()
        shown = lines if len(lines) < rows else lines[: rows - 2]
        texts = [self._text(line, columns - 1) for line in shown]
        if len(shown) < len(lines):
            texts.append(f"and {len(lines) - len(shown):,} more")
        self._put("".join(f"{text}\n" for text in texts))
        self._drawn, self._rows = lines, len(texts)

    def wipe(self) -> None:
        """Take away what was drawn."""
        if self._drawn:
            self._drawn = []
            self._put(f"\x1b[{self._rows}F\x1b[J")

    def _put(self, text: str) -> None:
        try:
            self._out.write(text)
            self._out.flush()
        except BrokenPipeError:
            raise
        except OSError as failed:
            raise Unwritable(f"nothing more can be written: {failed.strerror}") from None

    def _text(self, line: Line, width: int = 10_000) -> str:
        parts = []
        for text, tone in line:
            text = fmt.cut(text, width)
            text = ascii_of(text) if self._ascii_only else text
            width -= cell_len(text)
            colour = COLOURS[tone] if self._coloured else ""
            parts.append(f"\x1b[{colour}m{text}\x1b[0m" if colour and text.strip() else text)
        return "".join(parts).rstrip()


def _escaped(odd: re.Match[str]) -> str:
    units = odd[0].encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
