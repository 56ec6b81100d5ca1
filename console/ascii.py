"""Every glyph as plain ASCII, for terminals and ears that know no others.

Borders, bars, curves, and whatever came from elsewhere: as many cells as before.
"""

from rich.cells import cell_len

from console.plot import BRAILLE

#: What is drawn, and what stands for it.
GLYPHS = str.maketrans(
    "≠○◷◐◌●·⇣⇡⇅▲✗✓✕↻⟳▶✚✎✖✝❄‖━─│┤└╭╮╰╯┌┐┘├▌▐…⏎±↑↓→←•▁▂▃▄▅▆▇█▔▎▏▊▍▋",
    "!x@~.o.<>%^xvxr*>+exKF==-||+++++++++||~^~^v><*__--==##-|||||",
)
UPPER, LOWER = 0b00011011, 0b11100100  # dots of a braille cell


def ascii_of(text: str) -> str:
    """As many cells of ASCII."""
    return text if text.isascii() else "".join(map(_ascii_of, text))


def _ascii_of(character: str) -> str:
    if character.isascii():
        return character
    code = ord(character) - BRAILLE
    if 0 <= code < 256:
        if not code & LOWER:
            return "'" if code else " "
        return ":" if code & UPPER else "."
    known = GLYPHS.get(ord(character))
    return chr(known) if known is not None else "?" * cell_len(character)
