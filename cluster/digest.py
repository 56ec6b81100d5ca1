"""Digests: what lets two sides prove that they hold the same set of records.

A digest is (count, sum of the records' hashes mod 2^63). It does not depend on order, so it can
be kept up to date row by row, and digests of disjoint sets add and subtract: the difference of
two sides' digests is the digest of what they do not share (an additive multiset hash; Clarke et
al., "Incremental Multiset Hash Functions", 2003). A window is the set of records whose id starts
with the same hex digits; both sides cut their sets at the same places, 16 ways a digit.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Self

MODULUS = 1 << 63
ID_DIGITS = 32
HEX = "0123456789abcdef"


@dataclass(frozen=True, slots=True)
class Digest:
    """`count` may be negative in a difference; `sum` is always in [0, 2^63)."""

    count: int = 0
    sum: int = 0

    def __add__(self, other: Self) -> "Digest":
        return Digest(self.count + other.count, (self.sum + other.sum) % MODULUS)

    def __sub__(self, other: Self) -> "Digest":
        return Digest(self.count - other.count, (self.sum - other.sum) % MODULUS)

    @property
    def text(self) -> str:
        """The sum as 16 hex digits, as it is written in JSON."""
        return f"{self.sum:016x}"

    @classmethod
    def parse(cls, count: int, text: str) -> "Digest":
        """Read what `text` wrote. ValueError when it is no 63-bit hex number."""
        value = int(text, 16)
        if not 0 <= value < MODULUS:
            raise ValueError(f"not a 63-bit sum: {text!r}")
        return cls(count, value)


EMPTY = Digest()


def total(digests: Collection[Digest]) -> Digest:
    """The digest of disjoint sets together."""
    return Digest(sum(one.count for one in digests), sum(one.sum for one in digests) % MODULUS)


def bounds(window: str) -> tuple[bytes, bytes]:
    """The lowest and the highest id (16 bytes each, inclusive) of a window."""
    return (
        bytes.fromhex(window.ljust(ID_DIGITS, "0")),
        bytes.fromhex(window.ljust(ID_DIGITS, "f")),
    )


def children(window: str) -> list[str]:
    """The 16 windows just below this one."""
    return [window + digit for digit in HEX]


def outermost(windows: Iterable[str]) -> list[str]:
    """The same records in disjoint windows, in order: none that lies inside of another."""
    kept: list[str] = []
    for window in sorted(windows):  # one comes right before all that lie inside of it
        if not kept or not window.startswith(kept[-1]):
            kept.append(window)
    return kept


def common_window(low: bytes, high: bytes) -> str:
    """The smallest window that holds every id from `low` to `high`."""
    one, other = low.hex(), high.hex()
    length = next((i for i in range(ID_DIGITS) if one[i] != other[i]), ID_DIGITS)
    return one[:length]
