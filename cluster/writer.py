"""The writer: the one read-write connection of a database file, and what waits for it.

What is waiting is committed together (group commit), each piece of work behind its savepoint, so
one that fails is rolled back alone. After an I/O error nobody knows what has reached the disk:
the callers are told so, and the file is opened anew before anything else is written. Only the
writer checkpoints; while somebody's long read keeps it from doing so, the log grows, which is
told, and then writes are refused until the reader has gone.
"""

import asyncio
import logging
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from cluster.connection import Connection, T, Work, connect
from cluster.kept import ALL, KeptReads
from cluster.problem import Refusal
from cluster.schema import (
    WRITER_PRAGMAS,
    DatabaseUnusable,
    Schema,
    configure,
    inspect,
    log_of,
    prepare,
    sqlite_code,
    transaction,
)
from cluster.snapshot import NoCopy, take_before_migration

log = logging.getLogger(__name__)

GROUP_MAX = 256  # pieces of work in one commit
WAITING_MAX = 4096  # pieces of work in the queue; beyond it callers are told to come back
LOOK_UP_S = 1.0  # how often an idle writer looks whether somebody else has written
LOG_LONG, LOG_MAX = 64 << 20, 256 << 20  # bytes of the log: told; no more writes
#: After these SQLite's state in memory is not to be trusted.
UNSURE = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_CANTOPEN}


class Job(NamedTuple):
    """A piece of work, what it is about, and who waits for it."""

    work: Work[Any]
    about: str
    future: "asyncio.Future[Any]"


class Writer:
    """Writes to one file. `open` it first; `run` carries the work out.

    `kept`: what has to be forgotten when something is written.
    """

    def __init__(self, path: Path, schema: Schema, kept: KeptReads) -> None:
        self._path = path
        self._kept = kept
        self._log = log_of(path)
        self._schema = schema
        self._connection: Connection | None = None
        self._version: int | None = None  # of the file, as this connection left it
        self._foreign = False  # somebody else has written to it
        self._queue: asyncio.Queue[Job | None] = asyncio.Queue(WAITING_MAX)
        self._ending = False
        self._failing = False
        self._long = False

    async def open(self) -> None:
        """Open a file that is ours and sound, and bring it to its present shape.

        DatabaseUnusable or sqlite3.Error when that cannot be.
        """
        version = await asyncio.to_thread(inspect, self._path, self._schema, thorough=True)
        if 0 < version < self._schema.version:
            try:
                await asyncio.to_thread(take_before_migration, self._path, self._schema.version)
            except NoCopy as error:
                raise DatabaseUnusable(
                    f"no copy can be kept before it is migrated: {error}"
                ) from None
        await self._connect(partial(prepare, self._schema))

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def write(self, work: Work[T], about: str) -> T:
        """See `Database.write`."""
        if self._ending:
            raise Refusal("not_ready", "the service is stopping", retry_after_s=1)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait(Job(work, about, future))
        except asyncio.QueueFull:
            raise Refusal("busy", f"{WAITING_MAX} writes wait already", retry_after_s=1) from None
        return await future

    def take_no_more(self) -> None:
        """From now on refuse new work."""
        self._ending = True

    async def end(self) -> None:
        """Let `run` return when it has written what waits."""
        await self._queue.put(None)

    async def run(self) -> None:
        """Commit what waits, together, until the end. Look up now and then in between.

        A crash comes out of here; nobody waits for ever for an answer that cannot come.
        """
        try:
            await self._write_for_ever()
        finally:
            self._ending = True
            while not self._queue.empty():
                if (job := self._queue.get_nowait()) is not None:
                    _give_up([job])

    async def _write_for_ever(self) -> None:
        while True:
            try:
                async with asyncio.timeout(LOOK_UP_S):
                    first = await self._queue.get()
            except TimeoutError:
                await self._commit([])
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
            try:
                await self._commit(jobs)
            finally:
                _give_up(jobs)  # who has an answer keeps it

    async def _commit(self, jobs: list[Job]) -> None:
        results: list[Any]
        try:
            results = await self._attempt([job.work for job in jobs])
        except _Broken as broken:
            if len(jobs) > 1:  # nothing was kept, so each can be tried alone
                for job in jobs:
                    await self._commit([job])
                return
            results = [broken.error]
        except (sqlite3.Error, Refusal) as error:  # nothing could begin, or it could not commit
            results = [error] * len(jobs)
        for about in {job.about for job in jobs}:
            self._kept.forget(about)
        self._tell(results)
        _answer(jobs, results)

    async def _attempt(self, works: list[Work[Any]]) -> list[Any]:
        """Each work's result, committed. _Broken, sqlite3.Error or Refusal when none is."""
        if self._connection is None:
            await self._connect(partial(configure, (*WRITER_PRAGMAS, *self._schema.attach)))
        assert self._connection is not None
        try:
            return await self._connection.run(partial(self._group, works))
        except (_Broken, sqlite3.Error) as error:
            cause = error.error if isinstance(error, _Broken) else error
            if isinstance(cause, sqlite3.Error) and sqlite_code(cause) in UNSURE:
                await self.close()
            raise
        finally:
            if self._foreign:
                self._kept.forget(ALL)

    async def _connect(self, ready: Work[None]) -> None:
        connection = connect(self._path, read_only=False)
        await connection
        try:
            await connection.run(ready)
        except BaseException:
            await connection.close()
            raise
        self._connection, self._version = connection, None

    def _group(self, works: list[Work[Any]], sql: sqlite3.Connection) -> list[Any]:
        """Run works in one transaction, each behind a savepoint. Exceptions come back as results.

        A piece that ended the transaction itself (disk full, I/O) raises _Broken: nothing was kept.
        """
        self._bound_log(sql, idle=not works)
        results: list[Any] = []
        with transaction(sql):
            # It changes only with what other connections commit.
            (version,) = sql.execute("PRAGMA main.data_version").fetchone()
            self._foreign = version != self._version
            self._schema.before(sql, self._foreign)
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
        self._version = version
        if not self._foreign:
            self._kept.leave()
        return results

    def _bound_log(self, sql: sqlite3.Connection, *, idle: bool) -> None:
        """Refusal `busy` when the log is too long and a reader keeps it from being cut."""
        size = self._log.stat().st_size if self._log.exists() else 0
        if size > (LOG_LONG if idle else LOG_MAX):
            sql.execute("PRAGMA busy_timeout = 0")  # whoever reads is not waited for
            sql.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            configure(WRITER_PRAGMAS, sql)
            size = self._log.stat().st_size
        if (size > LOG_LONG) != self._long:
            self._long = size > LOG_LONG
            if self._long:
                text = "the database's log grows: somebody has been reading for long"
                log.warning(text, extra={"event": "log-long", "bytes": size})
            else:
                log.info("the database's log is short again", extra={"event": "log-short"})
        if size > LOG_MAX:
            told = "somebody reads the database for so long that its log cannot be cut"
            raise Refusal("busy", f"{told}; let a backup or a sqlite3 shell end", retry_after_s=1)

    def _tell(self, results: list[Any]) -> None:
        """Log when storing begins to fail and when it works again, not each failure."""
        errors = [one for one in results if isinstance(one, sqlite3.Error)]
        if errors and not self._failing:
            log.error("not stored", extra={"event": "storage-failed", "error": str(errors[0])})
        elif self._failing and results and not errors:
            log.info("storing works again", extra={"event": "storage-works"})
        if results:
            self._failing = bool(errors)


class _Broken(Exception):
    """A piece of work broke the transaction of its whole group."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def _answer(jobs: list[Job], results: list[Any]) -> None:
    """Tell each caller what became of its work."""
    for (_, _, future), result in zip(jobs, results, strict=True):
        if future.done():  # the caller has gone; the work is done all the same
            continue
        if isinstance(result, sqlite3.Error):
            future.set_exception(Refusal("storage_failed", str(result), retry_after_s=1))
        elif isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)


def _give_up(jobs: list[Job]) -> None:
    """Tell those who have no answer that none will come."""
    for _, _, future in jobs:
        if not future.done():
            text = "the service is stopping; the outcome is unknown"
            future.set_exception(Refusal("not_ready", text, retry_after_s=1))
