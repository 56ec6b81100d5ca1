"""How many readings are due: a bucket that fills at the rate in force and never overflows.

Pure: told the time in seconds of any steady clock. What could not be made in time is made up for,
but never more than a few seconds' worth; while nothing is wanted, nothing becomes due.
"""

TICK_S = 0.1  # readings are made in ticks, so that a high rate becomes few commits
BEHIND_S_MAX = 5.0  # what was not made within this is not made up for


class Pace:
    """Counts what is due at `rate` readings a second since `now_s`."""

    def __init__(self, rate: float, now_s: float) -> None:
        self._rate = rate
        self._now_s = now_s
        self._due = 0.0

    def set(self, rate: float, now_s: float) -> None:
        """Another rate from now on; 0 forgets what was due."""
        self.due(now_s)
        self._rate = rate
        self._due = min(self._due, self._most())

    def due(self, now_s: float) -> int:
        """How many whole readings are due."""
        self._due = min(self._due + (now_s - self._now_s) * self._rate, self._most())
        self._now_s = now_s
        return int(self._due)

    def made(self, count: int) -> None:
        """So many are due no more."""
        self._due -= count

    def wait_s(self) -> float | None:
        """Seconds to the next look, as of the last one; None while nothing is wanted."""
        if not self._rate:
            return None
        return max(TICK_S, (1 - self._due) / self._rate)

    def _most(self) -> float:
        return self._rate * BEHIND_S_MAX + (1.0 if self._rate else 0.0)
