"""The database door: nobody else opens SQLite or runs a transaction.

One writer owns the one read-write connection of a file. Callers hand it work, a plain function
of the connection, and hear back after COMMIT; what is waiting is committed together (group
commit). A failing piece of work is rolled back alone, to its savepoint. Reads run on their own
connections, which can neither write nor checkpoint: SQLite before 3.51.3 loses rows when two
connections checkpoint (the WAL-reset bug), and here only the writer's ever does.
"""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from cluster.problem import Refusal
from cluster.schema import (
    DatabaseUnusable,
    Schema,
    configure,
    inspect,
    locked,
    prepare,
    sqlite_code,
    transaction,
)
from cluster.text import visible

log = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

GROUP_MAX = 256  # pieces of work in one commit
WAITING_MAX = 4096  # pieces of work in the queue; beyond it callers are told to come back
READERS, QUICK_READERS = 3, 1
LOOK_UP_S = 1.0  # how often an idle writer looks whether somebody else has written
INTERRUPT_AGAIN_S = 0.01
#: What to do when a file cannot be opened because of this.
REMEDIES = {
    sqlite3.SQLITE_BUSY: "let the other program end",
    sqlite3.SQLITE_LOCKED: "let the other program end",
    sqlite3.SQLITE_FULL: "make room",
}

READER_PRAGMAS = (
    "PRAGMA wal_autocheckpoint = 0",
    "PRAGMA busy_timeout = 5000",
)


class _Connection(aiosqlite.Connection):
    """aiosqlite's connection, able to run a whole function in its thread with one hop."""

    async def run(self, work: Work[T]) -> T:
        return await self._execute(work, self._conn)  # type: ignore[no-any-return, no-untyped-call]


def _connect(path: Path, *, read_only: bool) -> _Connection:
    uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
    return _Connection(
        partial(sqlite3.connect, uri, uri=True, isolation_level=None, timeout=5.0),
        iter_chunk_size=1,
    )


class Database:
    """An open database file. Made by `open_database`."""

    def __init__(self, path: Path, schema: Schema) -> None:
        self.path = path
        self._schema = schema
        self._version: int | None = None  # of the file, as the writer left it
        self._queue: asyncio.Queue[tuple[Work[Any], asyncio.Future[Any]] | None] = asyncio.Queue(
            WAITING_MAX
        )
        self._readers: asyncio.LifoQueue[_Connection] = asyncio.LifoQueue()
        self._quick_readers: asyncio.LifoQueue[_Connection] = asyncio.LifoQueue()
        self._closed = False

    async def write(self, work: Work[T]) -> T:
        """Run `work` in a transaction; its result comes after COMMIT.

        `work` may be run again after a failed group, so it must touch nothing but the
        connection. Once handed over it runs to its end even when the caller is cancelled.
        Refusal `busy` when too much waits, `storage_failed` when SQLite could not commit:
        then the outcome is unknown and the same rows should be sent again.
        """
        if self._closed:
            raise Refusal("not_ready", "the service is stopping", retry_after_s=1)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait((work, future))
        except asyncio.QueueFull:
            raise Refusal("busy", f"{WAITING_MAX} writes wait already", retry_after_s=1) from None
        return await future

    async def read(self, work: Work[T], *, quick: bool = False) -> T:
        """Run `work` on a read-only connection; it sees what is committed, and one state of it.

        `quick` work touches a few rows only and never waits behind work that may take long. When
        the caller is cancelled, its query is interrupted.
        """
        free = self._quick_readers if quick else self._readers
        reader = await free.get()
        reading = asyncio.ensure_future(reader.run(partial(_read, work)))
        reading.add_done_callback(partial(_set_free, free, reader))
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            while not reading.done():  # at first there may be nothing to interrupt
                await reader.interrupt()
                await asyncio.wait([reading], timeout=INTERRUPT_AGAIN_S)
            raise
        except sqlite3.DatabaseError as error:
            raise Refusal("storage_failed", f"reading failed: {error}", retry_after_s=1) from error

    def size(self) -> int:
        """Bytes on disk, with the write-ahead log."""
        total = 0
        for name in (self.path, self.path.with_name(self.path.name + "-wal")):
            with suppress(FileNotFoundError):
                total += name.stat().st_size
        return total

    async def _write_forever(self, writer: _Connection) -> None:
        """Commit what waits, together, until the sentinel. Look up now and then in between."""
        while True:
            try:
                async with asyncio.timeout(LOOK_UP_S):
                    first = await self._queue.get()
            except TimeoutError:
                await self._commit(writer, [])
                continue
            if first is None:
                return
            jobs = [first]
            while len(jobs) < GROUP_MAX and not self._queue.empty():
                job = self._queue.get_nowait()
                if job is None:
                    self._queue.put_nowait(None)
                    break
                jobs.append(job)
            await self._commit(writer, jobs)

    async def _commit(
        self, writer: _Connection, jobs: list[tuple[Work[Any], asyncio.Future[Any]]]
    ) -> None:
        try:
            results = await writer.run(partial(self._group, [work for work, _ in jobs]))
        except _Broken as broken:
            if len(jobs) > 1:  # nothing was kept, so each can be tried alone
                for job in jobs:
                    await self._commit(writer, [job])
                return
            results = [broken.error]
        except sqlite3.Error as error:  # no transaction could begin, or it could not commit
            results = [error] * len(jobs)
        _answer(jobs, results)

    def _group(self, works: list[Work[Any]], sql: sqlite3.Connection) -> list[Any]:
        """Run works in one transaction, each behind a savepoint. Exceptions come back as results.

        A piece that ended the transaction itself (disk full, I/O) raises _Broken: nothing was kept.
        """
        results: list[Any] = []
        with transaction(sql):
            # It changes only with what other connections commit.
            (version,) = sql.execute("PRAGMA main.data_version").fetchone()
            self._schema.before(sql, version != self._version)
            self._version = version
            for work in works:
                sql.execute("SAVEPOINT piece")
                try:
                    results.append(work(sql))
                except Exception as error:
                    if not sql.in_transaction or isinstance(error, sqlite3.OperationalError):
                        raise _Broken(error) from error
                    sql.execute("ROLLBACK TO piece")
                    results.append(error)
                sql.execute("RELEASE piece")
            self._schema.after(sql)
        return results


def _set_free(
    free: asyncio.LifoQueue[_Connection], reader: _Connection, reading: asyncio.Future[Any]
) -> None:
    """Not before its thread is done: whoever got the reader earlier would wait for that."""
    if not reading.cancelled():
        reading.exception()  # who was cancelled does not ask for it any more
    free.put_nowait(reader)


def _answer(jobs: list[tuple[Work[Any], asyncio.Future[Any]]], results: list[Any]) -> None:
    """Tell each caller what became of its work."""
    for (_, future), result in zip(jobs, results, strict=True):
        if future.done():  # the caller has gone; the work is done all the same
            continue
        if isinstance(result, sqlite3.Error):
            log.error("not stored", extra={"event": "storage-failed", "error": str(result)})
            future.set_exception(Refusal("storage_failed", str(result), retry_after_s=1))
        elif isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)


class _Broken(Exception):
    """A piece of work broke the transaction of its whole group."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


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
        try:
            writer = await _open_writer(path, schema)
        except DatabaseUnusable as error:
            raise DatabaseUnusable(f"{path}: {error}") from None
        except sqlite3.Error as error:
            remedy = REMEDIES.get(sqlite_code(error), "give another --data folder")
            said = visible(str(error).partition("\n")[0])  # it may hold what is in the file
            raise DatabaseUnusable(f"{path}: SQLite says: {said}; {remedy}") from None
        try:
            async with _serving(Database(path, schema), writer) as database:
                yield database
        finally:
            await writer.close()


async def _open_writer(path: Path, schema: Schema) -> _Connection:
    """The one read-write connection of a file that is ours, and ready."""
    await asyncio.to_thread(inspect, path, schema)
    writer = _connect(path, read_only=False)
    await writer
    try:
        await writer.run(partial(prepare, schema))
    except BaseException:
        await writer.close()
        raise
    return writer


@asynccontextmanager
async def _serving(database: Database, writer: _Connection) -> AsyncIterator[Database]:
    readers = [_connect(database.path, read_only=True) for _ in range(READERS + QUICK_READERS)]
    async with asyncio.TaskGroup() as group:  # a crash of the writer ends the service
        group.create_task(database._write_forever(writer), name="database-writer")
        try:
            for number, reader in enumerate(readers):
                await reader
                await reader.run(partial(configure, (*READER_PRAGMAS, *database._schema.attach)))
                free = database._readers if number < READERS else database._quick_readers
                free.put_nowait(reader)
            yield database
        finally:
            database._closed = True
            for reader in readers:
                await reader.close()
            await database._queue.put(None)
