"""A machine's disk in memory: one SQLite database, and the door to it without threads.

The work of the stores, their transactions and savepoints are the real ones, on a real SQLite. In
place of files, threads and fsync there are a connection in memory, one thread, and a commit that
takes a moment of virtual time. What was committed outlives the process; what waits dies with it.
"""

import asyncio
import itertools
import sqlite3
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from random import Random

from cluster.connection import T, Work
from cluster.database import Database, _read
from cluster.kept import ALL, KeptReads
from cluster.problem import Refusal
from cluster.schema import READER_PRAGMAS, WRITER_PRAGMAS, Schema, configure, prepare
from cluster.writer import Job, Writer, _answer, _Broken

FAILED = sqlite3.OperationalError("disk I/O error")
OTHERS_FIRST = 0.3  # of the reads; to let others come first at each one would cost too much


class Disk:
    """What is left of a machine when its process is killed. Empty until it is first opened."""

    def __init__(self) -> None:
        self.writer: sqlite3.Connection | None = None
        self.reader: sqlite3.Connection | None = None

    @property
    def is_empty(self) -> bool:
        return self.reader is None

    @property
    def sql(self) -> sqlite3.Connection:
        """For whoever wants to know what is stored."""
        assert self.reader is not None, "nothing is on it"
        return self.reader

    def connect(self, schema: Schema) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        """The writer and the reader of the database, which is made when there is none."""
        if self.writer is None or self.reader is None:
            self.restore(_template(schema), schema)
        assert self.writer is not None
        assert self.reader is not None
        return self.writer, self.reader

    def wipe(self) -> None:
        for one in (self.writer, self.reader):
            if one is not None:
                one.close()
        self.writer = self.reader = None

    def copy(self) -> sqlite3.Connection:
        """A backup."""
        copied = sqlite3.connect(":memory:", isolation_level=None)
        self.sql.backup(copied)
        return copied

    def restore(self, backup: sqlite3.Connection, schema: Schema) -> None:
        """What the backup holds, and nothing else."""
        self.wipe()
        uri = f"file:/{next(_NAMES)}?vfs=memdb"  # two connections to one database in memory
        self.writer, self.reader = _connect(uri), _connect(uri)
        backup.backup(self.writer)
        configure((*WRITER_PRAGMAS, *schema.attach), self.writer)
        configure((*READER_PRAGMAS, *schema.attach), self.reader)


_NAMES = itertools.count()


def _connect(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, isolation_level=None, cached_statements=256)


@cache
def _template(schema: Schema) -> sqlite3.Connection:
    """A new database, made by the real migrations once."""
    sql = sqlite3.connect(":memory:", isolation_level=None)
    prepare(schema, sql)
    return sql


class _Writer(Writer):
    """Has no log that could grow."""

    def _bound_log(self, sql: sqlite3.Connection, *, idle: bool) -> None:
        """Nothing to be done."""


class _Kept(KeptReads):
    """Nobody else can write to a database in memory."""

    def _is_ours(self) -> bool:
        """It has no log."""
        return True


class MemoryDatabase(Database):
    """The door of one process to its disk. After `kill` nothing goes in or out."""

    def __init__(self, path: Path, schema: Schema, disk: Disk, rng: Random) -> None:
        kept = _Kept(path)
        super().__init__(path, _Writer(path, schema, kept), kept)
        self._writing, self._reading = disk.connect(schema)
        self._rng = rng
        self._jobs: deque[Job] = deque()
        self.slow = 1.0  # how many times longer than usual a commit takes
        self.killed = asyncio.Event()
        self.failing = False  # as a disk that is full, or worse
        self.closed = False
        self._fuse: int | None = None  # commits until it is killed
        self._before = False

    def close(self) -> None:
        self._commit_jobs()
        self.closed = True

    def kill(self) -> None:
        self.killed.set()

    def kill_at(self, commit: int) -> None:
        """Just before that commit, or just after it, so that nobody hears of it; 1: the next."""
        self._fuse, self._before = commit, self._rng.random() < 0.5

    async def write(self, work: Work[T], *, about: str = ALL) -> T:
        """As the real one: what waits is committed together, also when who asked has gone."""
        self._check()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if not self._jobs:
            loop.call_later(self._rng.uniform(0.0002, 0.005) * self.slow, self._commit_jobs)
        self._jobs.append(Job(work, about, future))
        return await future

    async def read(self, work: Work[T], *, quick: bool = False) -> T:
        """Others may come first; then it sees one state of what is committed."""
        if (chance := self._rng.random()) < OTHERS_FIRST:
            await asyncio.sleep(0 if chance > OTHERS_FIRST / 4 else chance / 10)
        self._check()
        try:
            # A page makes a reader's statements stale, so quick ones have another connection.
            return work(self._writing) if quick else _read(work, self._reading)
        except sqlite3.DatabaseError as error:
            raise Refusal("storage_failed", f"reading failed: {error}", retry_after_s=1) from error

    def _check(self) -> None:
        if self.killed.is_set() or self.closed:
            raise Refusal("not_ready", "the service is stopping", retry_after_s=1)

    def _commit_jobs(self) -> None:
        jobs = list(self._jobs)
        self._jobs.clear()
        burns = self._burns_down()
        if not jobs or (self.killed.is_set() and (self._before or not burns)):
            return
        if self.failing and self._rng.random() < 0.7:  # or it is kept, and told to have failed
            _answer(jobs, [FAILED] * len(jobs))
            return
        try:
            results = self._writer._group([job.work for job in jobs], self._writing)
        except _Broken as broken:
            raise broken.error from None  # nothing is wrong with this disk
        for job in jobs:
            self.kept.forget(job.about)
        if self.failing:
            results = [FAILED] * len(jobs)
        if not burns:
            _answer(jobs, results)

    def _burns_down(self) -> bool:
        """Whether this is the commit at which the process is killed."""
        if self._fuse is None:
            return False
        self._fuse -= 1
        if self._fuse:
            return False
        self._fuse = None
        self.kill()
        return True


@asynccontextmanager
async def serve(database: MemoryDatabase) -> AsyncIterator[MemoryDatabase]:
    """While it is open. A process that ends well commits what waits."""
    try:
        yield database
    finally:
        database.close()
