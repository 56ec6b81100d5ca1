"""Kept reads: what every poll asks is read once, and again when somebody has written.

A quiet node says the same at each poll, and central compares it with the same digest: to read that
anew a thousand times a second would cost more than the polls. Whoever writes says what about; what
was kept about that is forgotten before he hears that it is committed. A person with the sqlite3
shell says nothing, but touches the log; while that is not as our writer left it, nothing kept is
told to anybody. (It is not opened for that: to close a file again would end SQLite's locks.) What a
person commits in the moment after a commit of ours may not show; the writer looks each second.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from cluster.connection import T

#: What a write can be about, besides a single node by its name.
ALL = "*"
NOTHING = ""  # that is kept

Mark = tuple[int, int, int]  # of a file: which one it is, its size, when it was written


class KeptReads:
    """The last outcome of each read, by its subject. `log`: the database's write-ahead log."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._kept: dict[str, Any] = {}
        self._writes = 0
        self._left: Mark | None = None  # how our writer left the log

    def leave(self) -> None:
        """Our writer has just committed, and nobody else had since it did before. From any thread.

        Not to be called when somebody had: what is kept must be forgotten first.
        """
        self._left = self._mark()

    def find(self, about: str) -> Any | None:
        """What is kept, if it still holds."""
        return self._kept.get(about) if self._is_ours() else None

    async def get(self, about: str, read: Callable[[], Awaitable[T]]) -> T:
        """What is kept, or else what `read` says; it is kept unless somebody wrote meanwhile."""
        kept: T | None = self.find(about)
        if kept is not None:
            return kept
        writes = self._writes
        result = await read()
        if writes == self._writes and self._is_ours():
            self._kept[about] = result
        return result

    def forget(self, about: str) -> None:
        """Something was written, or may have been; what is kept about all depends on each."""
        if about == NOTHING:
            return
        self._writes += 1
        if about == ALL:
            self._kept.clear()
        else:
            self._kept.pop(about, None)
            self._kept.pop(ALL, None)

    def _is_ours(self) -> bool:
        """Whether the log is as our writer left it."""
        return (mark := self._mark()) is not None and mark == self._left

    def _mark(self) -> Mark | None:
        try:
            found = self._log.stat()
        except OSError:  # nothing is known of it
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns
