"""How a database file becomes ours, and comes to its present shape.

A file of another program is refused before a byte of it can change, one that a newer Tidehold
wrote is refused, an older one is migrated in one transaction a version, and no two processes
have the same file.
"""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

WRITER_PRAGMAS = (
    "PRAGMA journal_mode = WAL",  # readers go on while the writer commits
    "PRAGMA synchronous = FULL",  # an acknowledged commit survives a power cut
    "PRAGMA foreign_keys = ON",
    "PRAGMA busy_timeout = 5000",  # a person may hold a lock with the sqlite3 shell
    "PRAGMA trusted_schema = OFF",
)


class DatabaseUnusable(Exception):
    """A file that cannot serve as this database; the text says why and what to do."""


def _leave_alone(sql: sqlite3.Connection, foreign: bool) -> None:
    """Nothing to be done first."""


def _leave(sql: sqlite3.Connection) -> None:
    """Nothing to be done."""


#: A statement, or what takes more than one: work on the connection.
Step = str | Callable[[sqlite3.Connection], None]


@dataclass(frozen=True)
class Schema:
    """What makes a file ours, and how it comes to its present shape.

    `migrations[n]` are the steps that lead from version n to n + 1; each version is reached in
    one transaction together with its number. One that was released is never edited, not even a
    space of it: files hold these texts, and one that lacks any of them is called damaged.
    `attach` is run on every connection; `before` and `after` are plain work, the first and the
    last thing in every transaction. `before` is told whether another connection may have written
    since the last one.
    """

    application_id: int
    migrations: tuple[tuple[Step, ...], ...]
    attach: tuple[str, ...] = ()
    before: Callable[[sqlite3.Connection, bool], None] = _leave_alone
    after: Callable[[sqlite3.Connection], None] = _leave


@contextmanager
def transaction(sql: sqlite3.Connection) -> Iterator[None]:
    sql.execute("BEGIN IMMEDIATE")
    try:
        yield
        sql.execute("COMMIT")
    except BaseException:
        if sql.in_transaction:
            sql.execute("ROLLBACK")
        raise


def inspect(path: Path, schema: Schema) -> None:
    """Refuse a file that is not ours, by a connection that cannot change a byte of it.

    A read-write one would, on closing, move another program's write-ahead log into its file.
    """
    if not path.exists():
        return
    how = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "immutable=1"
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True)) as sql:
        _own_version(sql, schema)


def prepare(schema: Schema, sql: sqlite3.Connection) -> None:
    """Make the file ready."""
    version = _own_version(sql, schema)
    configure((*WRITER_PRAGMAS, *schema.attach), sql)
    for number in range(version, len(schema.migrations)):
        _migrate(sql, schema, number)
    problems = [text for (text,) in sql.execute("PRAGMA quick_check(1)") if text != "ok"]
    problems += [f"{name} is missing or altered" for name in _lacking(sql, schema)]
    if problems:
        what = problems[0].splitlines()[-1]
        raise DatabaseUnusable(f"it is damaged ({what}); move it away and start anew")
    _try_to_write(sql)


def _try_to_write(sql: sqlite3.Connection) -> None:
    """sqlite3.Error now, not at the first record, when the file is read-only or somebody holds it.

    A full disk is no reason not to start: what is there can be read.
    """
    (version,) = sql.execute("PRAGMA user_version").fetchone()
    try:
        with transaction(sql):
            sql.execute(f"PRAGMA user_version = {version}")
    except sqlite3.OperationalError as error:
        if sqlite_code(error) != sqlite3.SQLITE_FULL:
            raise


def sqlite_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 for an error that Python's own module raised."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _lacking(sql: sqlite3.Connection, schema: Schema) -> list[str]:
    """What a new file has of tables, indexes and triggers, and this one has not."""
    objects = "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as new:
        for number in range(len(schema.migrations)):
            _migrate(new, schema, number)
        wanted = list(new.execute(objects))
    found = set(sql.execute(objects))
    return [name for name, text in wanted if (name, text) not in found]


def _own_version(sql: sqlite3.Connection, schema: Schema) -> int:
    """The schema version of the file. DatabaseUnusable when it is not ours or too new."""
    (application_id,) = sql.execute("PRAGMA application_id").fetchone()
    (version,) = sql.execute("PRAGMA user_version").fetchone()
    (tables,) = sql.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application_id != schema.application_id and (tables or application_id):
        raise DatabaseUnusable("it belongs to another program; give another --data folder")
    if version > len(schema.migrations):
        raise DatabaseUnusable(
            f"it was written by a newer Tidehold (schema {version}, "
            f"this one knows {len(schema.migrations)}); upgrade this program"
        )
    return int(version)


def _migrate(sql: sqlite3.Connection, schema: Schema, number: int) -> None:
    """From version `number` to the next, together with its number."""
    with transaction(sql):
        for step in schema.migrations[number]:
            if isinstance(step, str):
                sql.execute(step)
            else:
                step(sql)
        sql.execute(f"PRAGMA application_id = {schema.application_id}")
        sql.execute(f"PRAGMA user_version = {number + 1}")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the file for this process; the kernel lets go of the lock when the process ends."""
    lock = path.with_suffix(".lock")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DatabaseUnusable(f"{path}: cannot be written here: {error.strerror}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DatabaseUnusable(
                f"{path}: another process uses it; stop that one first"
            ) from None
        yield
    finally:
        os.close(descriptor)


def configure(pragmas: Sequence[str], sql: sqlite3.Connection) -> None:
    for pragma in pragmas:
        sql.execute(pragma)
