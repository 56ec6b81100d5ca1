"""A connection to SQLite in a thread of its own, with one hop to it for a whole piece of work."""

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import aiosqlite

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


class Connection(aiosqlite.Connection):
    """aiosqlite's connection, able to run a whole function in its thread with one hop."""

    async def run(self, work: Work[T]) -> T:
        return await self._execute(work, self._conn)  # type: ignore[no-any-return, no-untyped-call]


def connect(path: Path, *, read_only: bool) -> Connection:
    """A connection that opens when it is awaited."""
    uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
    return Connection(
        partial(sqlite3.connect, uri, uri=True, isolation_level=None, timeout=5.0),
        iter_chunk_size=1,
    )
