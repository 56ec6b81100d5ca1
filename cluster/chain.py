"""The journal's chain: each line carries a hash of its content and of the hash before it.

Whoever edits, removes or reorders a line breaks the chain at that place, and `cluster.verify` says
where. Nobody can see from inside the file that its end was cut off and its counter set back, or
that the whole chain was worked out anew. For that the head is told in GET /v1/status and in the
log: somebody outside keeps it, and gives it to `cluster.verify --head`.

A hash is the SHA-256 of six lines without a last line break: the hash before in hex (64 zeros
before the first), ts, level, kind, node or nothing, text. No field holds a line break, so `printf`
and `sha256sum` can check it.
"""

import sqlite3
from collections.abc import Iterator
from hashlib import sha256
from typing import NamedTuple

#: Released: not even a space of these texts may change.
COLUMN = "ALTER TABLE journal ADD COLUMN hash BLOB NOT NULL DEFAULT x''"

_START = bytes(32)
# Texts as bytes: on a damaged page they may be no UTF-8.
_LINES = (
    "SELECT seq, ts, CAST(level AS BLOB), CAST(kind AS BLOB), CAST(node AS BLOB), "
    "CAST(text AS BLOB), coalesce(CAST(hash AS BLOB), x'') FROM journal ORDER BY seq"
)
_LAST = "SELECT seq, coalesce(CAST(hash AS BLOB), x'') FROM journal ORDER BY seq DESC LIMIT 1"
_COUNTER = "SELECT seq FROM sqlite_sequence WHERE name = 'journal'"
_CHAIN = "UPDATE journal SET hash = ? WHERE seq = ?"


class Head(NamedTuple):
    """The number of a line and its hash, which stands for that line and all before it."""

    seq: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash.hex()}"


EMPTY = Head(0, _START)


def parse_head(text: str) -> Head:
    """The head in `NUMBER:HASH`. ValueError when it is none."""
    number, _, digits = text.partition(":")
    if not (number.isascii() and number.isdigit() and len(digits) == 2 * len(_START)):
        raise ValueError("a head is NUMBER:HASH, as GET /v1/status tells it (journal_head)")
    return Head(int(number), bytes.fromhex(digits))


def link(before: bytes, ts: int, level: str, kind: str, node: str | None, text: str) -> bytes:
    """The hash of the line that follows on the one with the hash `before`."""
    return _link(before, ts, level.encode(), kind.encode(), (node or "").encode(), text.encode())


def _link(before: bytes, ts: int, *texts: bytes | None) -> bytes:
    parts = (before.hex().encode(), str(ts).encode(), *(text or b"" for text in texts))
    return sha256(b"\n".join(parts)).digest()


def head(sql: sqlite3.Connection) -> Head:
    """The last line that is there."""
    return Head(*(sql.execute(_LAST).fetchone() or EMPTY))


def chain_all(sql: sqlite3.Connection) -> None:
    """Give a hash to every line of a journal that had none."""
    before, hashes = _START, list[tuple[bytes, int]]()
    for seq, *content, _ in sql.execute(_LINES):
        before = _link(before, *content)
        hashes.append((before, seq))
    sql.executemany(_CHAIN, hashes)


class Finding(NamedTuple):
    """What was found of a journal; `wrong` is empty when the chain is whole."""

    lines: int
    head: Head
    wrong: str


def examine(sql: sqlite3.Connection, kept: Head | None = None) -> Finding:
    """Follow the chain to its end. `kept`: a head that somebody outside was told."""
    (counter,) = sql.execute(_COUNTER).fetchone() or (0,)
    (count,) = sql.execute("SELECT count(*) FROM journal").fetchone()
    return Finding(count, head(sql), next(_breaks(sql, counter, kept), ""))


def _breaks(sql: sqlite3.Connection, counter: int, kept: Head | None) -> Iterator[str]:
    """Each place where the chain is not what it should be, the first first."""
    before = EMPTY
    for seq, ts, *texts, found in sql.execute(_LINES):
        if seq != before.seq + 1:
            yield _missing(before.seq + 1, seq - 1)
        if found != _link(before.hash, ts, *texts):
            yield f"line {seq} was edited or does not belong there"
        if kept is not None and kept.seq == seq and kept.hash != found:
            yield f"line {seq} is not the one that was kept: the chain was worked out anew"
        before = Head(seq, found)
    if before.seq != max(counter, before.seq):
        yield _missing(before.seq + 1, counter)
    if kept is not None and kept.seq > before.seq:
        yield _missing(before.seq + 1, kept.seq)


def _missing(first: int, last: int) -> str:
    return f"line {first} is missing" if first == last else f"lines {first} to {last} are missing"
