"""`--ascii`: not one character that an old terminal does not know."""

import pytest
from rich.cells import cell_len

from console.ascii import ascii_of
from console.plot import SPARKS


@pytest.mark.parametrize(
    "drawn",
    ["● UP ≠ ⇣ ⇡⇡ ✕ ◷", "╭─ PULL ─╮│╰", "⣀⣠⡤⠒⠉⣿", SPARKS, "測試 é 👩", "━━━───···", "plain"],
)
def test_as_many_cells_of_ascii(drawn: str) -> None:
    text = ascii_of(drawn)

    assert text.isascii()
    assert len(text) == cell_len(drawn)


def test_states_can_still_be_told_apart() -> None:
    glyphs = ascii_of("≠○◷◐⇣⇡●·")

    assert len(set(glyphs)) == len(glyphs)
