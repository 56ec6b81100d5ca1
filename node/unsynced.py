"""Which records were stamped before the clock was first set, and by how much it was wrong.

A record never changes, so its `ts` stays what the machine's clock said. What the node knows
besides is kept here, in spans of positions; it is the node's own, and goes with its disk: a
record that comes back from central is not marked. Nor is one whose client gave its `ts`, although
its id is of the same clock: ids are for the order, and that holds.
"""

import sqlite3
from collections.abc import Sequence

from cluster.protocol.shared import Span

TABLE = """CREATE TABLE unsynced (
            first INTEGER PRIMARY KEY,
            last INTEGER NOT NULL CHECK (last >= first),
            correction_us INTEGER
        ) STRICT"""

_POSITION = "SELECT position FROM records WHERE node = ? AND id = ?"
# Only the last span can go on; to look at all of them would cost more with each.
_EXTEND = """UPDATE unsynced SET last = ?1 WHERE first = (SELECT max(first) FROM unsynced)
    AND first >= ?2 AND last = ?1 - 1 AND correction_us IS NULL"""
_BEGIN = "INSERT INTO unsynced (first, last) VALUES (?1, ?1)"
_CORRECT = "UPDATE unsynced SET correction_us = ? WHERE first >= ? AND correction_us IS NULL"
_SPANS = (
    "SELECT first, last, correction_us FROM unsynced WHERE last >= ? AND first <= ? ORDER BY first"
)
_TIDY = "DELETE FROM unsynced WHERE last < (SELECT coalesce(min(position), 0) FROM records)"


class Unsynced:
    """What this process has stamped before its clock was set. Used inside of transactions.

    `since`: the first position that this process can give; spans before it are of others. Fixed,
    as whatever a transaction changed here would stay when that is rolled back.
    """

    def __init__(self, since: int) -> None:
        self._since = since

    def note(self, sql: sqlite3.Connection, node: str, ids: Sequence[bytes]) -> None:
        """These records, stored just now, have their time from a clock that was never set."""
        for record_id in ids:
            (position,) = sql.execute(_POSITION, (node, record_id)).fetchone()
            if sql.execute(_EXTEND, (position, self._since)).rowcount == 0:
                sql.execute(_BEGIN, (position,))

    def correct(self, correction_us: int, sql: sqlite3.Connection) -> None:
        """The clock is set: what it shows now is so much later than what it showed before."""
        sql.execute(_CORRECT, (correction_us, self._since))


def spans(sql: sqlite3.Connection, first: int, last: int) -> list[Span]:
    """What is known of the positions from `first` to `last`, in their order."""
    return [Span(*row) for row in sql.execute(_SPANS, (first, last))]


def count(sql: sqlite3.Connection) -> int:
    """How many records."""
    (number,) = sql.execute("SELECT coalesce(sum(last - first + 1), 0) FROM unsynced").fetchone()
    return int(number)


def tidy(sql: sqlite3.Connection) -> None:
    """Forget what is known of records that were given up."""
    sql.execute(_TIDY)
