"""What is inside a window: its children's digests or, when it is small, its (id, hash) list.

Both sides open windows with this one function, so they cannot come to disagree about what one is.
A busy node is opened as of a position: what came later, the tail, is taken off again, as digests
subtract.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cluster import windows
from cluster.digest import EMPTY, ID_DIGITS, MODULUS, Digest, bounds, total
from cluster.problem import Refusal
from cluster.windows import Groups, Kept

#: A window with at most this many records is opened as its list.
LIST_MAX = 32
TAIL_MAX = 100_000
POSITION_MAX = MODULUS - 1

_ELEMENTS = (
    "SELECT id, hash, position FROM records WHERE node = ? AND id BETWEEN ? AND ? ORDER BY id"
)
_TAIL = "SELECT id, hash FROM records WHERE position > ? AND position <= ? AND node = ?"


class Inconsistent(Exception):
    """A kept digest is not that of the rows: the file was damaged, or changed behind our back."""


@dataclass(frozen=True, slots=True)
class Inside:
    """An open window. One of `children` (by window, none of them empty) and `elements` is given.

    `dropped`: its records are not here any more, only their digest.
    """

    window: str
    digest: Digest
    children: Groups | None = None
    elements: dict[bytes, int] | None = None
    dropped: bool = False


class Tail:
    """What was stored after a position: to be taken off."""

    def __init__(self, upto: int, rows: Iterable[tuple[bytes, int]]) -> None:
        self.upto = upto
        self._rows = [(record_id.hex(), value) for record_id, value in rows]
        self._by_length: dict[int, Groups] = {}

    def off(self, window: str) -> Digest:
        """The digest of what has to be taken off this window."""
        if not self._rows:
            return EMPTY
        end = len(window)
        if end not in self._by_length:
            groups = self._by_length[end] = {}
            for digits, value in self._rows:
                groups[digits[:end]] = groups.get(digits[:end], EMPTY) + Digest(1, value)
        return self._by_length[end].get(window, EMPTY)


def open_windows(
    sql: sqlite3.Connection, node: str, asked: Sequence[str], upto: int = POSITION_MAX
) -> list[Inside]:
    """Each window as of the position `upto`.

    Refusal `status_old` when too much came after it. Inconsistent when a kept digest is wrong.
    """
    tail = _tail(sql, node, upto)
    return [_open(sql, node, window, tail) for window in asked]


def list_window(
    sql: sqlite3.Connection, node: str, window: str, upto: int = POSITION_MAX
) -> dict[bytes, int]:
    """The (id, hash) list of a window in the order of ids."""
    rows = sql.execute(_ELEMENTS, (node, *bounds(window)))
    return {record_id: value for record_id, value, position in rows if position <= upto}


def _tail(sql: sqlite3.Connection, node: str, upto: int) -> Tail:
    end = windows.folded(sql)
    upto = min(upto, end)
    if end - upto > TAIL_MAX:
        raise Refusal("status_old", f"{end - upto} records came since; begin with a new status")
    return Tail(upto, sql.execute(_TAIL, (upto, end, node)) if end > upto else ())


def _open(sql: sqlite3.Connection, node: str, window: str, tail: Tail) -> Inside:
    kept = windows.find(sql, node, window)
    if kept is not None and kept.state == "dropped":
        return Inside(window, kept.digest - tail.off(window), dropped=True)
    if kept is None and windows.is_dropped(sql, node, window):
        return Inside(window, EMPTY, dropped=True)
    if kept is not None and kept.state == "split":
        return _from_children(sql, node, window, kept.digest, tail)
    return _from_rows(sql, node, window, kept, tail)


def _from_children(
    sql: sqlite3.Connection, node: str, window: str, digest: Digest, tail: Tail
) -> Inside:
    kept = windows.kept_children(sql, node, window)
    if total(kept.values()) != digest:
        raise Inconsistent(window)
    then = {child: part - tail.off(child) for child, part in kept.items()}
    children = {child: part for child, part in then.items() if part != EMPTY}
    return Inside(window, total(children.values()), children=children)


def _from_rows(
    sql: sqlite3.Connection, node: str, window: str, kept: Kept | None, tail: Tail
) -> Inside:
    listed = list_window(sql, node, window, tail.upto)
    digest = digest_of(listed)
    if kept is None and not window:
        kept = Kept(EMPTY, "leaf")  # a whole set that is kept nowhere has to be empty
    if kept is not None and kept.digest - tail.off(window) != digest:
        raise Inconsistent(window)
    if len(listed) <= LIST_MAX or len(window) == ID_DIGITS:
        return Inside(window, digest, elements=listed)
    return Inside(window, digest, children=group(listed, len(window) + 1))


def digest_of(listed: dict[bytes, int]) -> Digest:
    """The digest of an (id, hash) list."""
    return Digest(len(listed), sum(listed.values()) % MODULUS)


def group(listed: dict[bytes, int], digits: int) -> Groups:
    """The digests of an (id, hash) list, by the first digits of the ids."""
    hashes: dict[str, list[int]] = {}
    for record_id, value in listed.items():
        hashes.setdefault(record_id.hex()[:digits], []).append(value)
    return {window: Digest(len(some), sum(some) % MODULUS) for window, some in hashes.items()}
