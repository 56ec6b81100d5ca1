"""A fresh database, with what is whole in a damaged one.

The new one waits beside the old one, and takes its place as after a restore: not a byte of the
damaged file is lost. What is missing afterwards the other side has, and a push or a pull brings.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import groupby, islice
from pathlib import Path

from cluster import records, windows
from cluster.record import Record
from cluster.replacement import next_of
from cluster.salvage import find_records
from cluster.schema import Schema, configure, prepare, transaction
from cluster.snapshot import check_room, making

BATCH = 5_000
#: What a program rescues besides the records; it says in words what it could not.
Rescue = Callable[[sqlite3.Connection, Path], list[str]]


def rebuild(path: Path, schema: Schema, rescue: Rescue) -> list[str]:
    """Put what is whole into a new database, which waits; what could not be saved, in words.

    NoCopy when there is no room.
    """
    check_room(path.parent, path)
    with (
        making(next_of(path)) as (unnamed, _),
        closing(sqlite3.connect(unnamed.as_uri(), uri=True, isolation_level=None)) as sql,
    ):
        prepare(schema, sql)
        configure(("PRAGMA synchronous = OFF",), sql)  # it is synced as a whole
        for batch in _batches(find_records(path)):
            with transaction(sql):
                _insert(sql, batch)
        lost = rescue(sql, path)
        with transaction(sql):
            schema.before(sql, True)
            schema.after(sql)
        sql.execute("PRAGMA journal_mode = DELETE")
    return lost


def _batches(found: Iterable[Record]) -> Iterator[list[Record]]:
    found = iter(found)
    while batch := list(islice(found, BATCH)):
        yield batch


def _insert(sql: sqlite3.Connection, batch: list[Record]) -> None:
    for node, rows in groupby(sorted(batch, key=lambda one: one.node), key=lambda one: one.node):
        records.insert_missing(sql, node, list(rows))
    windows.fold_new(sql)
