"""The tally: what one attempt of a run has moved so far."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Tally:
    """Counts of records and of bytes; `changed` is called at each progress.

    `expected`: records to move in all, where known. `gained`: those of the present stage that
    another attempt need not move again; when it stays 0 in one attempt after another, none of
    them leads anywhere.
    """

    received: int = 0
    inserted: int = 0
    duplicate: int = 0
    conflict: int = 0
    rejected: int = 0
    bytes: int = 0
    expected: int | None = None
    gained: int = 0
    changed: Callable[[], None] = lambda: None

    def add(
        self, *, received: int, inserted: int, duplicate: int, conflict: int, rejected: int
    ) -> None:
        """Count one page."""
        self.received += received
        self.inserted += inserted
        self.duplicate += duplicate
        self.conflict += conflict
        self.rejected += rejected
