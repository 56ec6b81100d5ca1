"""How a database file becomes ours, and comes to its present shape.

A file of another program is refused before a byte of it can change, one that a newer Tidehold
wrote is refused, an older one is migrated in one transaction a version, and no two processes
have the same file.
"""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

WRITER_PRAGMAS = (
    "PRAGMA journal_mode = WAL",  # readers go on while the writer commits
    "PRAGMA synchronous = FULL",  # an acknowledged commit survives a power cut
    "PRAGMA foreign_keys = ON",
    "PRAGMA busy_timeout = 5000",  # a person may hold a lock with the sqlite3 shell
    "PRAGMA trusted_schema = OFF",
    "PRAGMA journal_size_limit = 67108864",  # a log that once grew gives its room back
)

READER_PRAGMAS = (
    "PRAGMA wal_autocheckpoint = 0",
    "PRAGMA busy_timeout = 5000",
)

#: SQLite's codes for a file that is not whole; 0 stands for a text in it that is none.
DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, 0}
#: Drawn when a file is made, and different in each.
_IDENTITY = "SELECT value FROM meta WHERE key = 'epoch'"
#: A database is these files together.
BESIDE = ("", "-wal", "-shm", "-journal")


class DatabaseUnusable(Exception):
    """A file that cannot serve as this database; the text says why and what to do."""


class Damaged(DatabaseUnusable):
    """A file that is ours, or was, and is not whole."""


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

    @property
    def version(self) -> int:
        """The present one."""
        return len(self.migrations)


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


def inspect(path: Path, schema: Schema, *, thorough: bool = False) -> int:
    """The version of a file; 0 where there is none yet. DatabaseUnusable when it is not ours.

    It is read by a connection that cannot change a byte of it: a read-write one would, on closing,
    move another program's write-ahead log, or one that belongs to another file, into it.
    `thorough`: Damaged when SQLite finds that it is.
    """
    check_there(path)
    if not path.exists():
        return 0
    log = has_log(path)
    with closing(_connect(path, "mode=ro" if log else "immutable=1")) as sql:
        version = _own_version(sql, schema)
        if thorough and log:
            _check_log(path, sql)
        if thorough:
            check_soundness(sql)
        if thorough and version == schema.version:
            _check_shape(sql, schema)
        return version


def check_there(path: Path) -> None:
    """Damaged when a log is all there is: SQLite would delete it."""
    empty = not path.exists() or not path.stat().st_size
    if empty and has_log(path) and log_of(path).stat().st_size:
        raise Damaged(f"it is damaged (there is only its log, {path.name}-wal)")


def ask_without_log(path: Path, question: str) -> object:
    """The first value of the first row as it is in the file alone; None where there is none."""
    with suppress(sqlite3.Error), closing(_connect(path, "immutable=1")) as sql:
        if row := sql.execute(question).fetchone():
            return row[0]
    return None


def _check_log(path: Path, sql: sqlite3.Connection) -> None:
    """Damaged when the log belongs to another file: SQLite would mix the two."""
    before = ask_without_log(path, _IDENTITY)
    with suppress(sqlite3.OperationalError):  # a file without this table
        after = sql.execute(_IDENTITY).fetchone()
        if before is not None and (before,) != after:
            raise Damaged(f"it is damaged ({path.name}-wal belongs to another database)")


def has_log(path: Path) -> bool:
    """Whether a write-ahead log lies beside a file."""
    return log_of(path).exists()


def log_of(path: Path) -> Path:
    """The write-ahead log of a file."""
    return path.with_name(f"{path.name}-wal")


def connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that changes nothing in a file which a service may have open."""
    # With a log SQLite needs its index beside it; where none can be made, nobody writes either.
    shared = has_log(path) or os.access(path.parent, os.W_OK)
    how = "mode=ro" if shared else "immutable=1"
    return _connect(path, how)


def _connect(path: Path, how: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, isolation_level=None)


def check_soundness(sql: sqlite3.Connection) -> None:
    """Damaged when SQLite finds it: in its structure, not in the content of rows."""
    problems = [text for (text,) in sql.execute("PRAGMA quick_check(1)") if text != "ok"]
    if problems:
        raise Damaged(f"it is damaged ({problems[0].splitlines()[-1]})")


def prepare(schema: Schema, sql: sqlite3.Connection) -> None:
    """Make a sound file ready."""
    version = _own_version(sql, schema)
    configure((*WRITER_PRAGMAS, *schema.attach), sql)
    for number in range(version, schema.version):
        _migrate(sql, schema, number)
    if version < schema.version:
        _check_shape(sql, schema)
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


def _check_shape(sql: sqlite3.Connection, schema: Schema) -> None:
    """Damaged without a table, index or trigger that a new file has."""
    objects = "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as new:
        for number in range(schema.version):
            _migrate(new, schema, number)
        wanted = list(new.execute(objects))
    found = set(sql.execute(objects))
    for name, text in wanted:
        if (name, text) not in found:
            raise Damaged(f"it is damaged ({name} is missing or altered)")


def _own_version(sql: sqlite3.Connection, schema: Schema) -> int:
    """The schema version of the file. DatabaseUnusable when it is not ours or too new."""
    (application_id,) = sql.execute("PRAGMA application_id").fetchone()
    (version,) = sql.execute("PRAGMA user_version").fetchone()
    (tables,) = sql.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application_id != schema.application_id and (tables or application_id):
        raise DatabaseUnusable("it belongs to another program; give another --data folder")
    if version > schema.version:
        raise DatabaseUnusable(
            f"it was written by a newer Tidehold (schema {version}, "
            f"this one knows {schema.version}); upgrade this program"
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
        if not path.parent.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_folder(path.parent.parent)
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


def sync_folder(folder: Path) -> None:
    """Names that were given or taken in `folder` outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def configure(pragmas: Sequence[str], sql: sqlite3.Connection) -> None:
    for pragma in pragmas:
        sql.execute(pragma)
