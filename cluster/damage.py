"""Damage: rows whose content is not what their hash says, and kept digests that are not the rows'.

Both are found by reading the whole file once, with nothing held but a few numbers a node. Texts are
read as bytes, so that broken UTF-8 is found like any other damage and stops nothing. All functions
here are plain work on a connection.
"""

import sqlite3
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from cluster.digest import EMPTY, MODULUS, Digest, bounds
from cluster.record import RowError, check_content, hash_of_bytes, id_text

_ROWS = (
    "SELECT position, CAST(id AS BLOB), CAST(node AS BLOB), ts, CAST(stream AS BLOB), "
    "CAST(payload AS BLOB), hash FROM records NOT INDEXED ORDER BY position"
)
_INSIDE = (
    "SELECT id, ts, CAST(stream AS BLOB), CAST(payload AS BLOB) FROM records "
    "WHERE node = ? AND id BETWEEN ? AND ?"
)
# Halves of 32 bits, as in cluster.windows: SUM() of whole hashes would overflow.
_KEPT = (
    "SELECT CAST(kept.node AS BLOB), CAST(window AS BLOB), kept.count, sum, state, count(position),"
    " coalesce(sum(hash >> 32), 0), coalesce(sum(hash & 4294967295), 0) "
    "FROM digests AS kept LEFT JOIN records ON state <> 'split' AND records.node = kept.node "
    "AND id BETWEEN lowest_id(CAST(window AS BLOB)) AND highest_id(CAST(window AS BLOB)) "
    "GROUP BY kept.node, window ORDER BY kept.node, window"
)

_Row = tuple[Any, ...]  # the columns of _ROWS; on a damaged page they may be of any type


class DamagedRow(NamedTuple):
    """A row that is no whole record; `row` is what can be shown of it, as JSON."""

    position: int
    id: str
    node: str
    wrong: str
    row: str


@dataclass(slots=True)
class Tally:
    """What was found of one node."""

    rows: Digest = EMPTY
    dropped: Digest = EMPTY
    windows: int = 0
    wrong: int = 0  # how many of the windows
    first_wrong: str = ""
    uncovered: bool = False  # the windows do not hold exactly the rows

    @property
    def fits(self) -> bool:
        """Whether every kept digest is that of the rows."""
        return not self.wrong and not self.uncovered


Tallies = dict[bytes, Tally]


def damaged_rows(sql: sqlite3.Connection, tallies: Tallies) -> Iterator[DamagedRow]:
    """Each row that is no whole record; all rows are added to the tallies by node."""
    for node, rows in groupby(sql.execute(_ROWS), key=itemgetter(2)):
        count = total = 0
        for row in rows:
            count += 1
            wrong = _wrong(row)
            if not wrong:
                total += row[6]
            else:
                total += row[6] if isinstance(row[6], int) else 0
                yield _shown(row, wrong)
        tally = tallies.setdefault(node or b"", Tally())
        tally.rows += Digest(count, total % MODULUS)


def proven_digest(node: str, window: str, sql: sqlite3.Connection) -> Digest:
    """The digest of a window, every hash of it worked out anew from the record's content.

    A damaged record counts with the hash of what is left of it, so that the digest is another.
    """
    name, count, value = node.encode(), 0, 0
    for record_id, ts, stream, payload in sql.execute(_INSIDE, (node, *bounds(window))):
        count += 1
        value += hash_of_bytes(record_id, name, ts, stream, payload)
    return Digest(count, value % MODULUS)


def check_windows(sql: sqlite3.Connection, tallies: Tallies) -> None:
    """Compare every kept digest with the rows; `tallies` are those of all rows.

    What is kept of a dropped window is all there is of it, so it is taken as it is.
    """
    sql.create_function("lowest_id", 1, _lowest, deterministic=True)
    sql.create_function("highest_id", 1, _highest, deterministic=True)
    covered: dict[bytes, Digest] = {}
    for node, kept in groupby(sql.execute(_KEPT), key=itemgetter(0)):
        walk = _Walk(tallies.setdefault(node, Tally()))
        for _, window, count, total, state, *sums in kept:
            walk.step(_text(window), Digest(count, total), state, _digest(*sums))
        walk.end()
        covered[node] = walk.covered
    for node, tally in tallies.items():
        tally.uncovered = covered.get(node, EMPTY) != tally.rows


@dataclass(slots=True)
class _Split:
    """A split window on the way: what is kept of it, and what is inside so far."""

    window: str
    kept: Digest
    real: Digest = EMPTY


class _Walk:
    """Goes over one node's kept windows, each before those inside it."""

    def __init__(self, tally: Tally) -> None:
        self.covered = EMPTY  # the rows inside of leaves
        self._tally = tally
        self._path: list[_Split] = []

    def step(self, window: str, kept: Digest, state: str, rows: Digest) -> None:
        """The next window. `rows`: what is inside, unless it is split."""
        while self._path and not window.startswith(self._path[-1].window):
            self._leave()
        if window and (not self._path or self._path[-1].window != window[:-1]):
            self._note(window)  # nothing above leads to it
        self._tally.windows += 1
        self.covered += rows
        if state == "split":
            self._path.append(_Split(window, kept))
        elif state == "dropped":
            self._tally.dropped += kept
            self._add(kept)
        else:
            if rows != kept:
                self._note(window)
            self._add(rows)

    def end(self) -> None:
        while self._path:
            self._leave()

    def _leave(self) -> None:
        split = self._path.pop()
        if split.real != split.kept:
            self._note(split.window)
        self._add(split.real)

    def _add(self, digest: Digest) -> None:
        if self._path:
            self._path[-1].real += digest

    def _note(self, window: str) -> None:
        self._tally.first_wrong = self._tally.first_wrong if self._tally.wrong else window
        self._tally.wrong += 1


def _digest(count: int, high: int, low: int) -> Digest:
    return Digest(count, ((high << 32) + low) % MODULUS)


def _lowest(window: bytes) -> bytes | None:
    return _bounds(window)[0]


def _highest(window: bytes) -> bytes | None:
    return _bounds(window)[1]


def _bounds(window: bytes) -> tuple[bytes, bytes] | tuple[None, None]:
    """Nothing lies in what is no window."""
    try:
        return bounds(window.decode())
    except ValueError:
        return None, None


def _wrong(row: _Row) -> str:
    """What is wrong with a row; empty when it is a whole record."""
    try:
        check_content(*row[1:])
    except RowError as error:
        return str(error)
    except (TypeError, struct.error):
        return "a column is not of its type"
    return ""


def _shown(row: _Row, wrong: str) -> DamagedRow:
    position, record_id, node, ts, stream, payload, value = row
    raw = record_id or b""
    columns = (raw.hex(), _text(node), ts, _text(stream), _text(payload), value)
    return DamagedRow(
        position,
        id_text(raw) if len(raw) == 16 else raw.hex(),
        _text(node),
        wrong,
        msgspec.json.encode(columns).decode(),
    )


def _text(content: bytes | None) -> str:
    return (content or b"").decode("utf-8", "replace")
