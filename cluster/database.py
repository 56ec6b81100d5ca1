"""The database door: nobody else opens SQLite or runs a transaction.

One writer owns the one read-write connection of a file. Callers hand it work, a plain function
of the connection, and hear back after COMMIT. Reads run on their own connections, which can
neither write nor checkpoint: SQLite before 3.51.3 loses rows when two connections checkpoint (the
WAL-reset bug), and here only the writer's ever does.
"""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from cluster.connection import Connection, T, Work, connect
from cluster.kept import ALL, KeptReads
from cluster.problem import Refusal
from cluster.quick import QuickReads
from cluster.replacement import put_in_place
from cluster.schema import (
    DAMAGE,
    READER_PRAGMAS,
    Damaged,
    DatabaseUnusable,
    Schema,
    configure,
    locked,
    log_of,
    sqlite_code,
)
from cluster.text import visible
from cluster.writer import Writer

log = logging.getLogger(__name__)

READERS, QUICK_READERS = 3, 1
INTERRUPT_AGAIN_S = 0.01
#: What to do when a file cannot be opened because of this.
REMEDIES = {
    sqlite3.SQLITE_BUSY: "let the other program end",
    sqlite3.SQLITE_LOCKED: "let the other program end",
    sqlite3.SQLITE_FULL: "make room",
}
WAL_RESET_MENDED = (3, 51, 3)


class Database:
    """An open database file. Made by `open_database`."""

    def __init__(self, path: Path, writer: Writer, kept: KeptReads) -> None:
        self.path = path
        self.kept = kept
        self._writer = writer
        self._readers: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
        self._quick_readers: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
        self._quick = QuickReads(self._quick_readers, _read)

    async def write(self, work: Work[T], *, about: str = ALL) -> T:
        """Run `work` in a transaction; its result comes after COMMIT.

        `work` may be run again after a failed group, so it must touch nothing but the
        connection. Once handed over it runs to its end even when the caller is cancelled.
        `about`: which kept reads may be true no longer.
        Refusal `busy` when too much waits, `storage_failed` when SQLite could not commit: then the
        outcome is unknown and the same rows should be sent again.
        """
        return await self._writer.write(work, about)

    async def read(self, work: Work[T], *, quick: bool = False) -> T:
        """Run `work` on a read-only connection; it sees what is committed, and one state of it.

        `quick` work touches a few rows only and never waits behind work that may take long. Other
        work is interrupted when its caller is cancelled.
        """
        try:
            return await (self._quick.ask(work) if quick else self._read_at_length(work))
        except sqlite3.DatabaseError as error:
            raise Refusal("storage_failed", f"reading failed: {error}", retry_after_s=1) from error

    async def _read_at_length(self, work: Work[T]) -> T:
        reader = await self._readers.get()
        reading = asyncio.ensure_future(reader.run(partial(_read, work)))
        reading.add_done_callback(partial(_set_free, self._readers, reader))
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            while not reading.done():  # at first there may be nothing to interrupt
                await reader.interrupt()
                await asyncio.wait([reading], timeout=INTERRUPT_AGAIN_S)
            raise

    async def check(self) -> None:
        """Refusal when it cannot be read now, whatever is kept of it."""
        query = "SELECT 1 FROM sqlite_schema"
        await self.read(lambda sql: sql.execute(query).fetchone(), quick=True)

    def size(self) -> int:
        """Bytes on disk, with the write-ahead log."""
        return _bytes(self.path) + self.log_bytes()

    def log_bytes(self) -> int:
        """Bytes of the write-ahead log: many only while somebody reads for long."""
        return _bytes(log_of(self.path))


def _bytes(file: Path) -> int:
    with suppress(FileNotFoundError):
        return file.stat().st_size
    return 0


def _set_free(
    free: asyncio.LifoQueue[Connection], reader: Connection, reading: asyncio.Future[Any]
) -> None:
    """Not before its thread is done: whoever got the reader earlier would wait for that."""
    if not reading.cancelled():
        reading.exception()  # who was cancelled does not ask for it any more
    free.put_nowait(reader)


def _read(work: Work[T], sql: sqlite3.Connection) -> T:
    sql.execute("BEGIN")
    try:
        return work(sql)
    except sqlite3.OperationalError as error:
        if "decode to UTF-8" not in str(error):
            raise
        # A text was damaged on the disk. Its record's hash will tell; the others must be readable.
        sql.text_factory = lambda content: content.decode("utf-8", "replace")
        try:
            return work(sql)
        finally:
            sql.text_factory = str
    finally:
        sql.execute("ROLLBACK")


@asynccontextmanager
async def open_database(path: Path, schema: Schema) -> AsyncIterator[Database]:
    """Open, lock, migrate and serve a file; on leaving, write what waits, then close.

    DatabaseUnusable with one clear line when the file cannot be used.
    """
    with locked(path):
        if (old := put_in_place(path)) is not None:
            log.warning("a replacement was cut short, and is done now; the old one is in %s", old)
        kept = KeptReads(log_of(path))
        writer = Writer(path, schema, kept)
        try:
            await writer.open()
        except DatabaseUnusable as error:
            more = f"; {_repair(path)}" if isinstance(error, Damaged) else ""
            raise DatabaseUnusable(f"{path}: {error}{more}") from None
        except sqlite3.Error as error:
            code = sqlite_code(error)
            remedy = REMEDIES.get(code, "give another --data folder")
            remedy = f"{remedy}, or {_repair(path)}" if code in DAMAGE else remedy
            said = visible(str(error).partition("\n")[0])  # it may hold what is in the file
            raise DatabaseUnusable(f"{path}: SQLite says: {said}; {remedy}") from None
        _tell_version()
        try:
            async with _serving(path, schema, writer, kept) as database:
                yield database
        finally:
            await writer.close()


def _repair(path: Path) -> str:
    return f"save what is whole: python -m {path.stem} repair --data {path.parent}"


def _tell_version() -> None:
    """Say which SQLite it is, and what must not be done with an old one."""
    text = f"SQLite {sqlite3.sqlite_version}"
    if sqlite3.sqlite_version_info < WAL_RESET_MENDED:
        text += " can lose rows when two programs write: let no other one write to the database"
    log.info(text, extra={"event": "sqlite"})


@asynccontextmanager
async def _serving(
    path: Path, schema: Schema, writer: Writer, kept: KeptReads
) -> AsyncIterator[Database]:
    database = Database(path, writer, kept)
    readers = [connect(path, read_only=True) for _ in range(READERS + QUICK_READERS)]
    async with asyncio.TaskGroup() as group:  # a crash of the writer ends the service
        group.create_task(writer.run(), name="database-writer")
        try:
            for number, reader in enumerate(readers):
                await reader
                await reader.run(partial(configure, (*READER_PRAGMAS, *schema.attach)))
                free = database._readers if number < READERS else database._quick_readers
                free.put_nowait(reader)
            yield database
        finally:
            writer.take_no_more()
            for reader in readers:
                await reader.close()
            await writer.end()
