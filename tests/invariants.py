"""The invariants: what must hold of a node and central after whatever has happened.

One checker for every test and for `run_cluster.py --verify`. It reads the two database files by
itself, with nothing of the services in between: each row's hash is worked out anew from its
content, each digest from the hashes.

I1 nothing acknowledged is lost
I2 nothing is there twice
I3 nothing is altered
I4 the digest is that of the rows, with those that were dropped: only central has them by now
I5 central holds, or has set aside, all that the node stored up to the tidemark
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cluster.digest import EMPTY, Digest
from cluster.record import hash_of, id_text


@dataclass(slots=True)
class Side:
    """One side's set of one node's records, as its file tells it.

    `dropped`: windows whose records were given up, with their digests. The digest covers both.
    """

    where: str
    rows: dict[bytes, int] = field(default_factory=dict)  # id -> hash
    positions: dict[bytes, int] = field(default_factory=dict)
    dropped: dict[str, Digest] = field(default_factory=dict)
    digest: Digest = EMPTY
    broken: list[str] = field(default_factory=list)

    def has_dropped(self, record_id: bytes) -> bool:
        """Whether an id lies in a window that was dropped."""
        return any(record_id.hex().startswith(window) for window in self.dropped)


@dataclass(slots=True)
class Verdict:
    """What was found of one node. `broken` names each invariant that does not hold."""

    name: str
    node: Side
    central: Side
    broken: list[str]

    @property
    def equal(self) -> bool:
        """Nothing is broken, and the sets are the same."""
        return not self.broken and self.same

    @property
    def same(self) -> bool:
        """Both have all, but for what the node has dropped; the digests say the same."""
        node, central = self.node, self.central
        return (
            node.rows.items() <= central.rows.items()
            and all(map(node.has_dropped, central.rows.keys() - node.rows.keys()))
            and node.digest == central.digest
        )

    def line(self) -> str:
        """One line for people."""
        word = "equal" if self.equal else "BROKEN" if self.broken else "DIFFER"
        return (
            f"{self.name:12} {word:7} node {len(self.node.rows):>9,} {self.node.digest.text}  "
            f"central {len(self.central.rows):>9,} {self.central.digest.text}"
            + "".join(f"\n    {text}" for text in self.broken[:10])
        )


def check(
    name: str, node_file: Path, central_file: Path, acknowledged: Iterable[bytes] = ()
) -> Verdict:
    """Check one node. `acknowledged`: ids that a client was told are stored."""
    with _open(node_file) as node_sql, _open(central_file) as central_sql:
        return compare(name, node_sql, central_sql, acknowledged)


def compare(
    name: str,
    node_sql: sqlite3.Connection,
    central_sql: sqlite3.Connection,
    acknowledged: Iterable[bytes] = (),
) -> Verdict:
    """The same of databases that are open."""
    node, central = _side(node_sql, "node.db", name), _side(central_sql, "central.db", name)
    broken = [*node.broken, *central.broken]
    broken += [
        f"I1 {id_text(record_id)} was acknowledged and is nowhere"
        for record_id in acknowledged
        if record_id not in node.rows and record_id not in central.rows
    ]
    broken += _tidemark_holds(name, node_sql, central_sql, node, central)
    return Verdict(name, node, central, broken)


def read_side(file: Path, name: str) -> Side:
    """Read and check one file."""
    with _open(file) as sql:
        return _side(sql, file.name, name)


@contextmanager
def _open(file: Path) -> Iterator[sqlite3.Connection]:
    """A file as it is at one moment."""
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as sql:
        sql.execute("BEGIN")
        yield sql


def _side(sql: sqlite3.Connection, where: str, name: str) -> Side:
    side = Side(where)
    for window, count, total in sql.execute(
        "SELECT window, count, sum FROM digests WHERE node = ? AND state = 'dropped'", (name,)
    ):
        side.dropped[window] = Digest(count, total)
    side.digest = sum(side.dropped.values(), EMPTY)
    for position, record_id, ts, stream, payload, value in sql.execute(
        "SELECT position, id, ts, stream, payload, hash FROM records "
        "WHERE node = ? ORDER BY position",
        (name,),
    ):
        if record_id in side.rows:
            side.broken.append(f"I2 {where}: {id_text(record_id)} is there twice")
        if hash_of(record_id, name, ts, stream, payload) != value:
            side.broken.append(f"I3 {where}: {id_text(record_id)} was altered")
        side.rows[record_id] = value
        side.positions[record_id] = position
        if not side.has_dropped(record_id):  # or the window's digest covers it
            side.digest += Digest(1, value)
    kept = sql.execute(
        "SELECT count, sum FROM digests WHERE node = ? AND window = ''", (name,)
    ).fetchone()
    if Digest(*(kept or (0, 0))) != side.digest:
        side.broken.append(f"I4 {where}: the digest kept is not that of the rows")
    return side


def _tidemark_holds(
    name: str,
    node_sql: sqlite3.Connection,
    central_sql: sqlite3.Connection,
    node: Side,
    central: Side,
) -> list[str]:
    """I5, when the tidemark speaks of this database of the node."""
    mark = central_sql.execute(
        "SELECT tidemark_epoch, tidemark_position FROM nodes WHERE name = ?", (name,)
    ).fetchone()
    aside = central_sql.execute("SELECT count(*) FROM quarantine WHERE node = ?", (name,))
    (epoch,) = node_sql.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
    if mark is None or mark[0] != epoch:
        return []
    passed = {one for one, position in node.positions.items() if position <= mark[1]}
    lacking = len(passed - central.rows.keys())
    if lacking <= aside.fetchone()[0]:
        return []
    return [f"I5 the tidemark is {mark[1]}, and central lacks {lacking} records before it"]
