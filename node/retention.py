"""Retention: which windows this node would like to give up, and giving them up.

Off unless a limit is set. A window is due when all of it is older than the limit, or while the
database is larger than its limit, the oldest first. It is dropped only when central has proven
that it holds the same digest of it, and its digest is kept for ever: so the sets still compare,
and a push does not bring the records back.
"""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from cluster import windows
from cluster.digest import Digest, bounds, children
from cluster.problem import Refusal
from cluster.protocol.node import WINDOWS_MAX, RetentionState
from node import unsynced
from node.store import NodeStore

LOOK_EVERY_S = 5.0
WINDOW_RECORDS_MAX = 20_000  # dropped in one transaction
DUE_RECORDS_MAX = 200_000  # central works all their hashes out anew before it answers
DAY_MS = 86_400_000

Windows = dict[str, Digest]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a node keeps; None: all. `bytes` is of the database in use."""

    days: float | None = None
    bytes: int | None = None

    def __bool__(self) -> bool:
        return self.days is not None or self.bytes is not None


class Retention:
    """Knows what is due, and drops it when it is proven."""

    def __init__(self, store: NodeStore, limits: Limits) -> None:
        self.state = RetentionState()
        self._store = store
        self._limits = limits

    async def run(self) -> None:
        """Look for ever what is due."""
        while True:
            with suppress(Refusal):  # the database cannot be read for the moment
                await self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> Windows:
        """The windows that are due, the oldest first."""
        # A clock that was never set may be years ahead: by it, nothing is old.
        limits = self._limits if self._store.synced else replace(self._limits, days=None)
        work = partial(_due, self._store.node, self._store.now_ms(), limits)
        due, dropped = await self._store.database.read(work)
        self.state = RetentionState(bool(due), dropped)
        return due

    async def drop(self, proven: Windows) -> int:
        """Drop what is due and has this digest; how many records that were."""
        due = await self.look()
        count = 0
        for window, digest in proven.items():
            if due.get(window) == digest:
                work = partial(_drop, self._store.node, window, digest)
                count += await self._store.database.write(work)
        await self.look()
        return count


def _due(node: str, now_ms: int, limits: Limits, sql: sqlite3.Connection) -> tuple[Windows, int]:
    """The first windows that are due, and how many records were dropped so far."""
    dropped = windows.dropped(sql, node)
    gone = sum(digest.count for digest in dropped.values())
    if not limits:
        return {}, gone
    excess = _excess(sql, windows.digest(sql, node).count - gone, limits.bytes)
    oldest = now_ms - limits.days * DAY_MS if limits.days is not None else 0
    before, most = (now_ms, excess) if excess > 0 else (oldest, WINDOW_RECORDS_MAX)
    due: Windows = {}
    room = DUE_RECORDS_MAX
    for one in _Search(sql, node, dropped, before, min(most, WINDOW_RECORDS_MAX)).below(""):
        is_old = _newest_ms(one.window) < oldest
        fits = excess > 0 and (one.live <= excess or not due)  # else a smaller one, next time
        if len(due) == WINDOWS_MAX or room <= 0 or not (is_old or fits):
            break
        due[one.window] = one.digest
        room -= one.digest.count
        excess -= one.live
    return due, gone


def _newest_ms(window: str) -> int:
    """When the last record that can be in a window is born: ids are UUIDv7."""
    return int.from_bytes(bounds(window)[1][:6], "big")


def _excess(sql: sqlite3.Connection, count: int, limit: int | None) -> int:
    """How many records of average size are too many."""
    if limit is None or not count:
        return 0
    (pages,) = sql.execute("PRAGMA main.page_count").fetchone()
    (free,) = sql.execute("PRAGMA main.freelist_count").fetchone()
    (size,) = sql.execute("PRAGMA main.page_size").fetchone()
    used = (pages - free) * size
    return int((used - limit) / used * count) + 1 if used > limit else 0


class _Candidate(NamedTuple):
    window: str
    digest: Digest
    live: int  # records that are still here


@dataclass(frozen=True, slots=True)
class _Search:
    """For windows that are over before `before_ms`, as large as holds `most` records."""

    sql: sqlite3.Connection
    node: str
    dropped: Windows
    before_ms: float
    most: int

    def below(self, window: str) -> Iterator[_Candidate]:
        """In the order of ids. Where all is dropped already, the windows become one."""
        kept = windows.find(self.sql, self.node, window)
        if kept is None or kept.state == "dropped" or not kept.digest.count:
            return
        inside = (one.count for name, one in self.dropped.items() if name.startswith(window))
        live = kept.digest.count - sum(inside)
        whole = live <= self.most and kept.digest.count <= WINDOW_RECORDS_MAX
        if _newest_ms(window) < self.before_ms and (whole or kept.state == "leaf"):
            yield _Candidate(window, kept.digest, live)
        elif kept.state == "split":
            for child in children(window):
                yield from self.below(child)


def _drop(node: str, window: str, digest: Digest, sql: sqlite3.Connection) -> int:
    windows.fold_new(sql)  # what was stored in this same transaction is not proven
    kept = windows.find(sql, node, window)
    if kept is None or kept.state == "dropped" or kept.digest != digest:
        return 0  # it has changed since
    count = windows.drop(sql, node, window)
    unsynced.tidy(sql)
    return count
