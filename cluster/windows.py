"""Windows: how digests of parts of a set are kept on disk, and read.

The digest of each node's whole set is that of the window "". A window is split, and its children
are kept as well, once it holds more than SPLIT_ABOVE records: a tree of hex digits that is deep
where ids lie close together and flat elsewhere. So an append touches about ten rows whatever the
size of the set, a page of 20,000 records a hundred, and a comparison reads rows only inside of
leaves.

Digests are folded: they cover all rows up to the position in `folded`, less those in `removed`,
where a trigger puts every row that is deleted. Whoever writes folds within his transaction; what a
person does with the sqlite3 shell is found by two looks at those tables, and folded by the next
reader. All functions here are plain work for `Database.write` and `Database.read`.
"""

import sqlite3
from collections import Counter
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from cluster.digest import EMPTY, ID_DIGITS, MODULUS, Digest, bounds, children, common_window, total

SPLIT_ABOVE = 256
#: Bytes of the id by which many rows are grouped at first; more where windows are kept deeper.
GRAIN = 5

STATEMENTS = (
    "DROP TRIGGER records_added",
    "DROP TRIGGER records_removed",
    "DROP TRIGGER records_unreplaced",
    "DROP TABLE digests",
    """CREATE TABLE digests (
        node   TEXT NOT NULL,
        window TEXT NOT NULL,
        count  INTEGER NOT NULL,
        sum    INTEGER NOT NULL,
        state  TEXT NOT NULL CHECK (state IN ('leaf', 'split', 'dropped')),
        PRIMARY KEY (node, window)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX digests_dropped ON digests (node, window) WHERE state = 'dropped'",
    "CREATE TABLE folded (position INTEGER NOT NULL) STRICT",
    "INSERT INTO folded VALUES (0)",
    "CREATE TABLE removed (node TEXT, id BLOB, position INTEGER, hash INTEGER) STRICT",
    """CREATE TRIGGER records_removed AFTER DELETE ON records BEGIN
        INSERT INTO removed VALUES (old.node, old.id, old.position, old.hash);
    END""",
)

State = Literal["leaf", "split", "dropped"]

# Halves of 32 bits, because SUM() of whole hashes would overflow: exact up to 2^31 rows.
_SUMS = "count(*), sum(hash >> 32), sum(hash & 4294967295)"
# NOT INDEXED, or SQLite would read the whole index to save itself a small sort.
_ADDED = (
    f"SELECT node, substr(id, 1, ?), {_SUMS} FROM records NOT INDEXED WHERE position > ? "
    "GROUP BY 1, 2"
)
_REMOVED = f"SELECT node, substr(id, 1, ?), {_SUMS} FROM removed WHERE position <= ? GROUP BY 1, 2"
_ENDS = (
    "SELECT (SELECT id FROM records WHERE position > ? ORDER BY position LIMIT 1), "
    "(SELECT id FROM records WHERE position > ? ORDER BY position DESC LIMIT 1)"
)
# Two subqueries, as SQLite finds one minimum or maximum in an index, but reads all for both.
_EDGES = (
    "SELECT (SELECT min(id) FROM records WHERE node = ?1 AND id BETWEEN ?2 AND ?3), "
    "(SELECT max(id) FROM records WHERE node = ?1 AND id BETWEEN ?2 AND ?3)"
)
_INSIDE = (
    f"SELECT substr(id, 1, ?), {_SUMS} FROM records WHERE node = ? AND id BETWEEN ? AND ? "
    "GROUP BY 1"
)
_BY_NODE = f"SELECT node, {_SUMS} FROM records NOT INDEXED GROUP BY node"
_ALL = f"SELECT {_SUMS} FROM records NOT INDEXED"
_COUNTS = "SELECT node, count(*) FROM records GROUP BY node"
_WHOLES = "SELECT node, count, sum FROM digests WHERE window = ''"
_FOLDED = "SELECT position FROM folded"
_UNFOLDED = (
    "SELECT EXISTS (SELECT 1 FROM removed) OR coalesce((SELECT seq FROM sqlite_sequence "
    "WHERE name = 'records'), 0) > (SELECT position FROM folded)"
)
_LAST = "SELECT seq FROM sqlite_sequence WHERE name = 'records'"
_KEPT = "SELECT count, sum, state FROM digests WHERE node = ? AND window = ?"
_CHILDREN = (
    "SELECT window, count, sum FROM digests WHERE node = ? AND window IN ("
    + ", ".join("?" * 16)
    + ")"
)
# INDEXED BY, or SQLite would read all digests of the node.
_DROPPED = (
    "SELECT window, count, sum FROM digests INDEXED BY digests_dropped "
    "WHERE node = ? AND state = 'dropped'"
)
_KEEP = "INSERT OR REPLACE INTO digests VALUES (?, ?, ?, ?, ?)"
_FORGET = "DELETE FROM digests WHERE node = ? AND window = ?"

Groups = dict[str, Digest]  # by window, all of the same length


@dataclass(frozen=True, slots=True)
class Kept:
    """A window as it stands on disk."""

    digest: Digest
    state: State


def last_position(sql: sqlite3.Connection) -> int:
    """The highest position ever given; 0 when there was none."""
    row = sql.execute(_LAST).fetchone()
    return int(row[0]) if row else 0


def folded(sql: sqlite3.Connection) -> int:
    """The position up to which digests cover the rows."""
    return int(sql.execute(_FOLDED).fetchone()[0])


def is_folded(sql: sqlite3.Connection) -> bool:
    """Whether the digests are those of the rows, as far as counting can tell."""
    return not sql.execute(_UNFOLDED).fetchone()[0]


def digest(sql: sqlite3.Connection, node: str, window: str = "") -> Digest:
    """The digest of a window that is kept; of the node's whole set by default."""
    kept = find(sql, node, window)
    return kept.digest if kept else EMPTY


def find(sql: sqlite3.Connection, node: str, window: str) -> Kept | None:
    row = sql.execute(_KEPT, (node, window)).fetchone()
    return Kept(Digest(row[0], row[1]), row[2]) if row else None


def dropped(sql: sqlite3.Connection, node: str) -> Groups:
    """The windows whose records were given up, with the digests that are left of them."""
    rows = sql.execute(_DROPPED, (node,))
    return {window: Digest(count, total) for window, count, total in rows}


def is_dropped(sql: sqlite3.Connection, node: str, window: str) -> bool:
    """Whether the window lies inside one that was dropped."""
    gone = dropped(sql, node)
    return any(window[:end] in gone for end in range(len(window) + 1))


def kept_children(sql: sqlite3.Connection, node: str, window: str) -> Groups:
    """The digests of a split window's children that are not empty."""
    rows = sql.execute(_CHILDREN, (node, *children(window)))
    return {child: Digest(count, total) for child, count, total in rows if count}


def sum_rows(sql: sqlite3.Connection, node: str, window: str) -> Digest:
    """The digest of the rows inside a window."""
    return total(group_rows(sql, node, window).values())


def group_rows(sql: sqlite3.Connection, node: str, window: str, least: int = 1) -> Groups:
    """The digests of the rows inside a window, by as many bytes of their ids as tell them apart.

    All groups are smaller windows of one length, of at least `least` bytes.
    """
    low, high = sql.execute(_EDGES, (node, *bounds(window))).fetchone()
    if low is None:
        return {}
    rows = sql.execute(_INSIDE, (max(least, _grain(low, high)), node, low, high))
    return {prefix.hex(): _digest(*sums) for prefix, *sums in rows}


def _grain(one: bytes, other: bytes) -> int:
    """By how many bytes two ids have to be grouped to fall apart."""
    return min(len(common_window(one, other)) // 2 + 1, ID_DIGITS // 2)


def adopt(sql: sqlite3.Connection, foreign: bool) -> None:
    """Fold what others have done to the rows, before our own work.

    `foreign`: another connection has written. Rows that it has appended or deleted are known one
    by one; INSERT OR REPLACE deletes without a word to the trigger, and the count betrays it. When
    neither has happened it may have put rows at old positions, so all hashes are summed up.
    """
    if is_folded(sql):
        for node in _misfits(sql) if foreign else ():
            rebuild(sql, node)
        return
    are_new = last_position(sql) > folded(sql)
    touched = {node for (node,) in sql.execute("SELECT DISTINCT node FROM removed")}
    touched.update(fold(sql))
    for node in touched if are_new else ():
        if _count_rows(sql, node) != digest(sql, node).count:
            rebuild(sql, node)


def _misfits(sql: sqlite3.Connection) -> list[str]:
    """The nodes whose digest is not that of their rows.

    At first all rows are summed up together and counted by node in the index, which takes half of
    the time that sorting them by node does. Rows that two nodes have exchanged, each with its old
    hash, are not seen so: `cluster.verify` finds that their hashes are not those of their content.
    """
    kept = {node: Digest(*sums) for node, *sums in sql.execute(_WHOLES)}
    gone = {node: _without_rows(sql, node) for node in kept}
    count, *halves = sql.execute(_ALL).fetchone()
    whole = _digest(count, *halves) if count else EMPTY
    counts = Counter(dict(sql.execute(_COUNTS).fetchall()))
    counts.update({node: digest.count for node, digest in gone.items()})
    if whole + total(gone.values()) == total(kept.values()) and all(
        kept.get(node, EMPTY).count == counts[node] for node in kept | counts
    ):
        return []
    found = {node: _digest(*sums) for node, *sums in sql.execute(_BY_NODE)}
    for node, digest in gone.items():
        found[node] = found.get(node, EMPTY) + digest
    return [one for one in found | kept if found.get(one, EMPTY) != kept.get(one, EMPTY)]


def _without_rows(sql: sqlite3.Connection, node: str) -> Digest:
    """The digest of what was dropped, less the rows that somebody has put there since."""
    gone = dropped(sql, node)
    return total(gone.values()) - total([sum_rows(sql, node, window) for window in gone])


def _count_rows(sql: sqlite3.Connection, node: str) -> int:
    """How many rows there are, with those that were dropped."""
    (count,) = sql.execute("SELECT count(*) FROM records WHERE node = ?", (node,)).fetchone()
    return int(count) + _without_rows(sql, node).count


def fold_new(sql: sqlite3.Connection) -> None:
    """Fold what our own work has done, at its end."""
    if not is_folded(sql):
        fold(sql)


def fold(sql: sqlite3.Connection) -> list[str]:
    """Bring the digests to what the rows are; the nodes whose sets have changed."""
    done = folded(sql)
    for grain in range(_first_grain(sql, done), ID_DIGITS // 2 + 1):
        changes = _changes(sql, grain, done)
        trees = {node: _Tree(sql, node) for node in changes}
        if not any(
            trees[node].reaches_below(window) for node in changes for window in changes[node]
        ):
            break
    for node, groups in changes.items():
        trees[node].grow("", groups)
        trees[node].save()
    sql.execute("DELETE FROM removed")
    sql.execute("UPDATE folded SET position = ?", (last_position(sql),))
    return list(changes)


def rebuild(sql: sqlite3.Connection, node: str) -> None:
    """Work a node's digests out from its rows anew; dropped windows keep theirs.

    What is not folded yet has to be folded before, or it would count twice.
    """
    gone = dropped(sql, node)
    sql.execute("DELETE FROM digests WHERE node = ?", (node,))
    tree = _Tree(sql, node)
    tree.grow("", group_rows(sql, node, "", GRAIN))
    for window, kept in gone.items():
        tree.plant(window, kept)
    tree.save()


def drop(sql: sqlite3.Connection, node: str, window: str) -> int:
    """Delete the rows of a kept window, and keep its digest for ever; how many rows that were."""
    fold_new(sql)
    tree = _Tree(sql, node)
    low, high = bounds(window)
    where = "node = ? AND id BETWEEN ? AND ?"
    rows = sql.execute(f"DELETE FROM records WHERE {where}", (node, low, high))
    sql.execute("DELETE FROM removed")  # its digest stays, with that of its parents
    tree.seal(window)
    tree.save()
    return rows.rowcount


def _first_grain(sql: sqlite3.Connection, done: int) -> int:
    """How finely to group what is new: a batch of one millisecond has much in common."""
    first, last = sql.execute(_ENDS, (done, done)).fetchone()
    return GRAIN if first is None else max(GRAIN, _grain(first, last))


def _changes(sql: sqlite3.Connection, grain: int, done: int) -> dict[str, Groups]:
    """By node and window: what was added after the position `done`, less what was removed."""
    changes: dict[str, Groups] = {}
    for node, prefix, *sums in sql.execute(_ADDED, (grain, done)):
        changes.setdefault(node, {})[prefix.hex()] = _digest(*sums)
    for node, prefix, *sums in sql.execute(_REMOVED, (grain, done)):
        groups, window = changes.setdefault(node, {}), prefix.hex()
        groups[window] = groups.get(window, EMPTY) - _digest(*sums)
    return changes


def _digest(count: int, high: int, low: int) -> Digest:
    return Digest(count, ((high << 32) + low) % MODULUS)


class _Tree:
    """One node's kept windows, as far as they are touched; written back by `save`."""

    def __init__(self, sql: sqlite3.Connection, node: str) -> None:
        self._sql = sql
        self._node = node
        self._known: dict[str, Kept | None] = {}
        self._touched: set[str] = set()

    def find(self, window: str) -> Kept | None:
        if window not in self._known:
            self._known[window] = find(self._sql, self._node, window)
        return self._known[window]

    def reaches_below(self, window: str) -> bool:
        """Whether windows inside this one are kept."""
        kept = self.find(window)
        return kept is not None and kept.state == "split"

    def grow(self, window: str, changes: Groups) -> None:
        """Add changes that lie inside the window to it and to the windows below."""
        kept = self.find(window)
        digest = (kept.digest if kept else EMPTY) + total(changes.values())
        if kept is not None and kept.state == "split":
            self._keep(window, digest, "split")
            self._grow_children(window, changes)
        elif kept is not None and kept.state == "dropped":
            self._keep(window, digest, "dropped")
        elif digest.count <= SPLIT_ABOVE or len(window) == ID_DIGITS:
            self._keep(window, digest, "leaf")
        else:
            if kept is not None or window in changes:  # more is inside, or it is not known where
                changes = group_rows(self._sql, self._node, window)
            self._keep(window, digest, "split")
            self._grow_children(window, changes)

    def _grow_children(self, window: str, changes: Groups) -> None:
        end = len(window) + 1
        for child, inside in groupby(sorted(changes), key=lambda one: one[:end]):
            self.grow(child, {one: changes[one] for one in inside})

    def plant(self, window: str, gone: Digest) -> None:
        """Put a dropped window into a tree that was grown from all rows that are there.

        Its digest covers the rows that somebody has put into it since, so these count once.
        """
        live = sum_rows(self._sql, self._node, window)
        for end in range(len(window)):
            parent = self.find(window[:end]) or Kept(EMPTY, "leaf")
            self._keep(window[:end], parent.digest + gone - live, "split")
            if parent.state == "leaf":
                rows = group_rows(self._sql, self._node, window[:end])
                self._grow_children(window[:end], rows)
        self._keep(window, gone, "dropped")
        self._forget_below(window)

    def seal(self, window: str) -> None:
        """A window was dropped: its digest stays, and nothing is kept below it."""
        kept = self.find(window)
        assert kept is not None, "only kept windows are dropped"
        self._keep(window, kept.digest, "dropped")
        self._forget_below(window)

    def _forget_below(self, window: str) -> None:
        query = "SELECT window FROM digests WHERE node = ? AND window > ? AND window < ?"
        stored = [one for (one,) in self._sql.execute(query, (self._node, window, window + "g"))]
        for below in {*stored, *self._known}:
            if below.startswith(window) and below != window:
                self._keep(below, EMPTY, "leaf")

    def save(self) -> None:
        for window in self._touched:
            kept = self._known[window]
            assert kept is not None, "only what was kept is touched"
            if kept.digest.count or not window or kept.state == "dropped":
                digest = kept.digest
                self._sql.execute(_KEEP, (self._node, window, digest.count, digest.sum, kept.state))
            else:
                self._sql.execute(_FORGET, (self._node, window))

    def _keep(self, window: str, digest: Digest, state: State) -> None:
        self._known[window] = Kept(digest, state)
        self._touched.add(window)
