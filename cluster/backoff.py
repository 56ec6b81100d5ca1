"""How long to wait before trying again, so that the many who failed together return apart.

Full jitter: each wait is drawn evenly between zero and a ceiling that doubles up to a cap
(Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015). Pure: whoever waits
owns the clock, and whoever tests owns the random numbers.
"""

from random import Random


class Backoff:
    """Waits in seconds: uniform between 0 and min(cap_s, base_s * 2**failures)."""

    def __init__(self, base_s: float, cap_s: float, rng: Random) -> None:
        """Raise ValueError unless both seconds are above zero: a zero would be a busy loop."""
        if not (base_s > 0 and cap_s > 0):
            raise ValueError(f"base_s and cap_s must be above zero, not {base_s} and {cap_s}")
        self._base_s = min(base_s, cap_s)
        self._cap_s = cap_s
        self._rng = rng
        self._ceiling_s = self._base_s

    def next_s(self) -> float:
        """Return the next wait in seconds and double the ceiling of the one after it."""
        wait_s = self._rng.uniform(0.0, self._ceiling_s)
        self._ceiling_s = min(self._cap_s, self._ceiling_s * 2)
        return wait_s

    def reset(self) -> None:
        """Start again from `base_s`: the last try went well."""
        self._ceiling_s = self._base_s
