"""Plots of text: braille curves on fixed scales, and sparklines. Pure.

A scale never follows the noise: it is the smallest of a ladder of fixed ones that holds what is
shown, so that a healthy clock looks quiet and a bad one does not. Where a value is missing the
curve is broken.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from console.model import Line, Piece, Tone, cut_line

Point = tuple[int, float | None]  # microseconds, value
Series = tuple[Sequence[Point], Tone]

DOTS_WIDE, DOTS_HIGH = 2, 4  # of one braille cell
BRAILLE = 0x2800
#: Bits of a cell's dots: columns from the left, rows from the top.
BITS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
SPARKS = "▁▂▃▄▅▆▇█"
LABEL = 7
GAP_US = 150 * 1_000_000


def scale_of(values: Iterable[float | None], ladder: Sequence[float]) -> float:
    """The smallest step of the ladder that holds every value, else the largest."""
    top = max((abs(value) for value in values if value is not None), default=0.0)
    return next((step for step in ladder if top <= step), ladder[-1])


def spark(values: Sequence[float | None], limit: float) -> str:
    """One cell a value, from -limit to +limit; a blank where there is none."""
    steps = len(SPARKS) - 1
    return "".join(
        " "
        if value is None
        else SPARKS[round((min(limit, max(-limit, value)) + limit) / (2 * limit) * steps)]
        for value in values
    )


def chart(
    title: Line,
    series: Sequence[Series],
    *,
    size: tuple[int, int],
    span_us: tuple[int, int],
    low: float,
    high: float,
    says: Callable[[float], str],
    began: str,
) -> list[Line]:
    """A title, a curve for each series with an axis at its left, and the time below.

    `size`: cells of the whole. Of two series in one cell the first has the colour.
    """
    width, height = size[0] - LABEL - 1, size[1] - 2
    if width < 4 or height < 1:
        return [cut_line(title, size[0])]
    layers = [(curve(points, width, height, span_us, low, high), tone) for points, tone in series]
    labels = {0: says(high), height - 1: says(low)}
    if height > 2:
        labels[(height - 1) // 2] = says((high + low) / 2) if height % 2 else ""
    lines: list[Line] = [cut_line(title, size[0])]
    for row in range(height):
        axis = f"{labels.get(row, ''):>{LABEL}}┤"
        lines.append(((axis, "muted"), *_row(layers, row, width)))
    now = "now".rjust(max(0, width - len(began)))
    lines.append(((" " * LABEL + f"└{began}{now}"[: width + 1], "muted"),))
    return lines


def curve(
    points: Sequence[Point],
    width: int,
    height: int,
    span_us: tuple[int, int],
    low: float,
    high: float,
) -> list[list[int]]:
    """The bits of every braille cell, row by row."""
    cells = [[0] * width for _ in range(height)]
    wide, high_dots = width * DOTS_WIDE, height * DOTS_HIGH
    begin, end = span_us

    def place(ts: int, value: float) -> tuple[int, int]:
        x = (ts - begin) * (wide - 1) // max(1, end - begin)
        y = (high - min(high, max(low, value))) / (high - low) * (high_dots - 1)
        return x, round(y)

    def dot(x: int, y: int) -> None:
        if 0 <= x < wide and 0 <= y < high_dots:
            cells[y // DOTS_HIGH][x // DOTS_WIDE] |= BITS[x % DOTS_WIDE][y % DOTS_HIGH]

    for (before_us, before), (after_us, after) in pairwise([(0, None), *points]):
        if after is None:
            continue
        there = place(after_us, after)
        if before is None or after_us - before_us > GAP_US:
            dot(*there)
        else:
            _line(place(before_us, before), there, dot)
    return cells


def _line(before: tuple[int, int], after: tuple[int, int], dot: Callable[[int, int], None]) -> None:
    """Every dot on the way, one for each step of the longer side."""
    (x, y), (to_x, to_y) = before, after
    steps = max(abs(to_x - x), abs(to_y - y), 1)
    for step in range(steps + 1):
        dot(x + (to_x - x) * step // steps, y + (to_y - y) * step // steps)


def _row(layers: Sequence[tuple[list[list[int]], Tone]], row: int, width: int) -> list[Piece]:
    """One row of cells, neighbours of one tone together."""
    pieces: list[Piece] = []
    for column in range(width):
        bits, tone = 0, layers[0][1]
        for cells, own in reversed(layers):
            if cells[row][column]:
                bits |= cells[row][column]
                tone = own
        text = chr(BRAILLE + bits) if bits else " "
        if pieces and (pieces[-1][1] == tone or text == " "):
            pieces[-1] = (pieces[-1][0] + text, pieces[-1][1])
        else:
            pieces.append((text, tone))
    return pieces
