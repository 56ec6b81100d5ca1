"""The tally: what one attempt of a run has moved so far."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

SPEED_S = 5.0


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
    _lately: deque[tuple[float, int]] = field(default_factory=deque)

    def speed(self) -> float | None:
        """Records a second during the last SPEED_S seconds, or since the last look if it is older.

        None at the first look.
        """
        now = time.monotonic()
        self._lately.append((now, self.received))
        while len(self._lately) > 2 and now - self._lately[0][0] > SPEED_S:
            self._lately.popleft()
        since, received = self._lately[0]
        return (self.received - received) / (now - since) if now > since else None

    def add(
        self, *, received: int, inserted: int, duplicate: int, conflict: int, rejected: int
    ) -> None:
        """Count one page."""
        self.received += received
        self.inserted += inserted
        self.duplicate += duplicate
        self.conflict += conflict
        self.rejected += rejected
