"""A copy of a database as it is at one moment, while its service goes on writing.

The copy is read by a connection that can neither write nor checkpoint, gets its name only when
all of it is on disk and SQLite has found it sound, and never takes the name of a file that is
there. One read transaction spans it all, so it shows a single state.
"""

import errno
import os
import secrets
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from cluster.schema import (
    BESIDE,
    READER_PRAGMAS,
    check_soundness,
    configure,
    connect_to_read,
    log_of,
    sync_folder,
)

#: What is synced at once: a single sync of everything would hold up others' for long.
STEP_PAGES = 2048
ROOM_LEFT = 64 * 1024 * 1024  # bytes that a copy leaves free
_COPY_PRAGMAS = (
    "PRAGMA journal_mode = OFF",  # half a copy is thrown away
    "PRAGMA synchronous = OFF",  # it is synced here, before it gets its name
)
#: What a filesystem without hard links says to `link`.
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}


class NoCopy(Exception):
    """A copy that cannot be made where it should be; the text is one clear line."""


def take(source: Path, target: Path) -> int:
    """Copy a database, with what is still in its log, to `target`; the bytes of the copy.

    NoCopy when the target is there already or has no room, Damaged when the source is. Mode 0600.
    """
    check_room(target.parent, source)
    with (
        making(target) as (unnamed, descriptor),
        closing(connect_to_read(source)) as sql,
        closing(sqlite3.connect(unnamed)) as copy,
    ):
        configure(READER_PRAGMAS, sql)
        configure(_COPY_PRAGMAS, copy)
        sql.execute("BEGIN")
        sql.execute("SELECT 1 FROM sqlite_schema").fetchone()  # from here on one state
        sql.backup(copy, pages=STEP_PAGES, progress=lambda *_: os.fdatasync(descriptor))
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, that needs no other beside it
        check_soundness(copy)
    return target.stat().st_size


def take_before_migration(path: Path, version: int) -> Path:
    """Keep a copy of a file that is about to be brought to `version`; where it is."""
    kept = path.with_name(f"{path.name}.before-v{version}")
    if kept.exists():  # of an earlier upgrade, which was taken back
        kept = kept.with_name(f"{kept.name}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
    take(path, kept)
    return kept


def check_room(folder: Path, source: Path) -> None:
    """NoCopy when a copy of `source` would fill the disk under `folder`."""
    files = (source, log_of(source))
    need = sum(file.stat().st_size for file in files if file.exists()) + ROOM_LEFT
    free = shutil.disk_usage(folder).free
    if free < need:
        raise NoCopy(
            f"{folder}: a copy needs {need >> 20} MiB free, there are {free >> 20} MiB; make room"
        )


@contextmanager
def making(target: Path) -> Iterator[tuple[Path, int]]:
    """A new file to be filled, and its descriptor; it gets its name when it is on disk.

    Until then it has one that nobody guesses; when it is not finished it is gone. NoCopy when
    the name is not free.
    """
    if os.path.lexists(target):
        raise NoCopy(f"{target}: is there already, and is not written over")
    if target.parent.is_symlink():
        raise NoCopy(f"{target.parent}: is a symbolic link; name the folder itself")
    unnamed = target.absolute().with_name(f".{target.name}.{secrets.token_hex(8)}")
    descriptor = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        yield unnamed, descriptor
        os.fsync(descriptor)
        _name(unnamed, target)
        sync_folder(target.parent)
    finally:
        os.close(descriptor)
        for end in BESIDE:
            unnamed.with_name(unnamed.name + end).unlink(missing_ok=True)


def _name(unnamed: Path, target: Path) -> None:
    """NoCopy when somebody has taken the name meanwhile."""
    try:
        os.link(unnamed, target)
    except FileExistsError:
        raise NoCopy(f"{target}: is there by now, and is not written over") from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        unnamed.rename(target)
