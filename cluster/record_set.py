"""A set of records in an open database: what both stores do with it.

Whatever others have done to the rows, with the sqlite3 shell or on a dying disk, is folded into
the digests before they are told to anybody, and digests that are wrong are worked out anew.
"""

import logging
import sqlite3
from collections.abc import Sequence
from functools import partial

from cluster import page_file, records, windows
from cluster.connection import T, Work
from cluster.database import Database
from cluster.inside import POSITION_MAX, Inconsistent, Inside, open_windows
from cluster.page_file import PageFile
from cluster.records import Filter, Page
from cluster.schema import Schema, Step

log = logging.getLogger(__name__)

#: Rows that are no records, as they came, with the reason. Released: not a space may change.
QUARANTINE = """CREATE TABLE quarantine (
                node TEXT NOT NULL,
                code TEXT NOT NULL,
                row TEXT NOT NULL,
                detail TEXT NOT NULL,
                seen INTEGER NOT NULL,
                PRIMARY KEY (node, code, row)
            ) STRICT"""


def schema(application_id: int, *own: tuple[Step, ...]) -> Schema:
    """The schema of a database with records; `own` are the owner's steps by version."""
    # The third is of the node's own, the fourth of central's.
    ours = (records.STATEMENTS, windows.STATEMENTS, (), ())
    later = own + ((),) * (len(ours) - len(own))
    return Schema(
        application_id,
        tuple((*shared, *steps) for shared, steps in zip(ours, later, strict=True)),
        attach=page_file.ATTACH,
        before=windows.adopt,
        after=windows.fold_new,
    )


class RecordSet:
    """The records of one database file."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read_folded(self, work: Work[T]) -> T:
        """Quick `work` that reads digests."""
        is_folded, result = await self._database.read(
            lambda sql: (windows.is_folded(sql), work(sql)), quick=True
        )
        if is_folded:
            return result
        await self._database.write(_nothing)  # every transaction adopts what it finds
        return await self._database.read(work, quick=True)

    async def open(self, node: str, asked: Sequence[str], upto: int = POSITION_MAX) -> list[Inside]:
        """Windows of a node, open. Refusal `status_old` when too much came after `upto`."""
        work = partial(open_windows, node=node, asked=asked, upto=upto)
        try:
            return await self._database.read(work)
        except Inconsistent as error:
            extra = {"event": "digests-rebuilt", "node": node, "window": str(error)}
            log.warning("kept digests are not those of the rows", extra=extra)
        await self._database.write(partial(_rebuild, node=node))
        return await self._database.read(work)

    async def page(self, after: int, limit: int, wanted: Filter, upto: int = POSITION_MAX) -> Page:
        return await self._database.read(
            lambda sql: records.page_after(sql, after, limit, wanted, upto)
        )

    async def page_file(
        self, after: int, limit: int, wanted: Filter, upto: int = POSITION_MAX
    ) -> PageFile:
        """A page as a SQLite file."""
        return await self._database.read(
            lambda sql: page_file.build_after(sql, after, limit, wanted, upto)
        )

    async def window_file(
        self, node: str, asked: Sequence[str], first: bytes, limit: int, upto: int = POSITION_MAX
    ) -> PageFile:
        """What is inside of windows, as a SQLite file."""
        return await self._database.read(
            lambda sql: page_file.build_windows(sql, node, asked, first, limit, upto)
        )

    async def span(self, node: str) -> str | None:
        """The smallest window that holds a node's whole set; None when it is empty."""
        return await self._database.read(lambda sql: records.span(sql, node))


def _rebuild(sql: sqlite3.Connection, node: str) -> None:
    windows.fold_new(sql)  # others may have stored rows in this same transaction
    windows.rebuild(sql, node)


def _nothing(sql: sqlite3.Connection) -> None:
    """Work that only makes a transaction happen."""
