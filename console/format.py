"""How values look: numbers, durations, drift, ages, and text that came from elsewhere.

`--` is no value, `-` is zero. Everything that somebody else wrote goes through `safe` before it
reaches the screen, and is cut and padded by the cells it takes there, not by its length.
"""

import re
import unicodedata
from datetime import UTC, datetime
from functools import lru_cache

from rich.cells import cell_len, set_cell_size

NO_VALUE, ZERO, UNKNOWN = "--", "-", "?"
TEXT_MAX = 500
PICTURE = "\ufffd"
SECOND_US = 1_000_000


def count(number: int | None) -> str:
    """12,345; `-` for zero, `--` for no value."""
    if number is None:
        return NO_VALUE
    return f"{number:,}" if number else ZERO


def short(number: float, digits: int = 1) -> str:
    """A number in at most six cells: 999, 13.9k, 2.1M."""
    for unit, size in (("", 1.0), ("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12)):
        if abs(number) < size * 999.5:
            return f"{number:.0f}" if not unit else f"{number / size:.{digits}f}{unit}"
    return f"{number:.0e}"


def brief(number: float) -> str:
    """A number in at most four cells: 999, 14k, 2M."""
    return short(number, digits=0)


def fit(number: int | None, width: int, mark: str = "") -> str:
    """`count`, with `mark` before it, shortened when it is wider than `width`."""
    text = mark + count(number)
    return text if len(text) <= width or number is None else mark + short(number)


def size(number: float) -> str:
    """Bytes as a person reads them: 61 kB, 1.9 MB."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= step:
            return f"{number / step:.{0 if number >= 10 * step else 1}f} {unit}"
    return f"{number:.0f} B"


def rate(per_s: float | None) -> str:
    return NO_VALUE if per_s is None else f"{short(per_s)}/s"


def drift(ms: float | None) -> str:
    """Always signed, in the unit that fits: +3.1ms, -2.41s, +1.5h."""
    if ms is None:
        return NO_VALUE
    for unit, size, below, digits in (
        ("ms", 1.0, 999.95, 1),
        ("s", 1e3, 99_995.0, 2),
        ("m", 6e4, 5_994_000.0, 1),
        ("h", 3.6e6, 3.6e8, 1),
    ):
        if abs(ms) < below:
            # Adding zero makes a plus of the minus of what was rounded away.
            return f"{round(ms / size, digits) + 0.0:+.{digits}f}{unit}"
    days = ms / 8.64e7
    return f"{days:+.0f}d" if abs(days) < 1e5 else f"{days:+.0e}d"


def around(ms: float | None) -> str:
    """An error bar: ±3.0ms."""
    return "" if ms is None else f"±{drift(abs(ms))[1:]}"


def span(seconds: float) -> str:
    """A time to go: 0:24, 1:02:03."""
    whole = max(0, int(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def took(seconds: float | None) -> str:
    """How long something took: 0.2s, then 1:05."""
    if seconds is None:
        return NO_VALUE
    return f"{max(0.0, seconds):.1f}s" if seconds < 60 else span(seconds)


def age(seconds: float) -> str:
    """How old something is, in its largest unit: 2s, 4m, 3h, 9d."""
    whole = max(0, int(seconds))
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if whole >= size:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def clock_time(us: int | None) -> str:
    """The time of day of a moment, in this machine's time zone."""
    if us is None:
        return NO_VALUE
    try:
        return f"{datetime.fromtimestamp(us / SECOND_US, tz=UTC).astimezone():%H:%M:%S}"
    except (OverflowError, OSError, ValueError):
        return NO_VALUE


@lru_cache(maxsize=16_384)
def natural(name: str) -> str:
    """A key that sorts node-2 before node-10."""
    return re.sub(r"[0-9]+", lambda digits: digits[0].zfill(TEXT_MAX), name)


@lru_cache(maxsize=8192)
def safe(text: str) -> str:
    """Text from elsewhere with a visible picture for each character that could act or hide.

    Control characters, marks that change the direction of writing, and all that take no cell.
    """
    if len(text) > TEXT_MAX:
        text = text[: TEXT_MAX - 1] + "…"
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_visible, unicodedata.normalize("NFC", text)))


def _visible(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    kind = unicodedata.category(character)
    if kind == "Zs":
        return " "
    if kind[0] == "C" or kind in ("Zl", "Zp") or cell_len(character) == 0:
        return PICTURE
    return character


def cut(text: str, width: int) -> str:
    """At most `width` cells, with an ellipsis where something is missing."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…" if width > 0 else ""


def left(text: str, width: int) -> str:
    """Exactly `width` cells, the text at the left."""
    text = cut(text, width)
    return text + " " * (width - cell_len(text))


def right(text: str, width: int) -> str:
    """Exactly `width` cells, the text at the right."""
    text = cut(text, width)
    return " " * (width - cell_len(text)) + text
