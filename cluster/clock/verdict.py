"""One word for a clock, so that a person who looks at a thousand of them sees where to look."""

from typing import Literal, NamedTuple

from cluster.clock.state import ClockSummary

ClockWord = Literal["OK", "WARN", "BAD", "UNSYNC"]
UNSYNC_PATIENCE_S = 600.0


class Limits(NamedTuple):
    """What a site tolerates, in milliseconds of system clock minus cluster clock."""

    ok_ms: float = 100.0
    bad_ms: float = 500.0


DEFAULT_LIMITS = Limits()


def word_of(clock: ClockSummary, uptime_s: float, limits: Limits) -> ClockWord:
    """The word for a clock that has run for `uptime_s`.

    OK: the system clock is certainly within `ok_ms`. BAD: it is certainly over `bad_ms` off, or
    nobody can tell: the bound is larger than that, or there was no server for ten minutes.
    UNSYNC: not set yet. WARN: anything between.
    """
    if clock.drift_ms is None or clock.bound_ms is None:
        return "BAD" if uptime_s >= UNSYNC_PATIENCE_S else "UNSYNC"
    drift_ms = abs(clock.drift_ms)
    if drift_ms - clock.bound_ms > limits.bad_ms or clock.bound_ms > limits.bad_ms:
        return "BAD"
    return "OK" if drift_ms + clock.bound_ms <= limits.ok_ms else "WARN"
