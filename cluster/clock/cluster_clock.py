"""The cluster's time on one machine: base clock + estimated offset + frequency.

The machine's own clock is never touched, so no root is needed. Before the first synchronisation
this clock shows the system time; the first one sets it, either way. From then on it only moves
forward: it is slewed towards each new line, and stepped only when it is over a second behind.
"""

import threading
from dataclasses import dataclass, replace
from typing import Self

import msgspec

from cluster.clock.base import Base, tight_pair
from cluster.clock.discipline import WANDER, Discipline, Estimate
from cluster.clock.ntp import Reason, Sample
from cluster.clock.state import ClockState, ClockStatus

REFERENCE_STRATUM = 10
REFERENCE_NAME = "local"
HOLDOVER_POLLS = 4
SLEW_NS = 4_000_000_000  # a small correction is spread over this long
MAX_SLEW = 80_000e-6  # about what chrony allows itself
STEP_NS = 1_000_000_000
SYSTEM_CHECK_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class _Line:
    """Where time goes, and what is still missing on the way there."""

    at_ns: int
    offset_ns: int
    freq: float
    slew_from_ns: int = 0
    slew_ns: int = 0

    def read_ns(self, at_ns: int) -> int:
        return self.target_ns(at_ns) - self.slew_left_ns(at_ns)

    def target_ns(self, at_ns: int) -> int:
        return at_ns + self.offset_ns + round(self.freq * (at_ns - self.at_ns))

    def slew_left_ns(self, at_ns: int) -> int:
        rate = min(abs(self.slew_ns) / SLEW_NS, MAX_SLEW)
        left_ns = max(0, abs(self.slew_ns) - int(rate * (at_ns - self.slew_from_ns)))
        return left_ns if self.slew_ns > 0 else -left_ns


@dataclass(frozen=True, slots=True)
class _Fix:
    """The latest sample and what it made of the estimate."""

    sample: Sample
    estimate: Estimate


class ClusterClock:
    """Strictly increasing Unix time, shared by all threads of a process."""

    def __init__(self, base: Base) -> None:
        self.base = base
        self._lock = threading.Lock()
        self._discipline = Discipline()
        self._line: _Line | None = None
        self._fix: _Fix | None = None
        self._is_reference = False
        self._last_ns = 0
        self._poll_s: float | None = None
        self._samples = 0
        self._failures = 0
        self._last_failure: Reason | None = None
        self._steps = 0

    @classmethod
    def reference(cls, base: Base) -> Self:
        """The clock that others follow: synchronised from the start, stratum 10, "local".

        It keeps to the machine's system time, slewed like any other: left to a raw oscillator it
        would lead the whole cluster seconds a day away from the time an administrator sees.
        """
        clock = cls(base)
        clock._is_reference = True
        clock._aim(clock._system_line())
        return clock

    def now_ns(self) -> int:
        """Unix nanoseconds, later than every answer before. Only the first sync may set it back."""
        return self._tick(1)

    def now_us(self) -> int:
        """Unix microseconds, later than every answer before, as `now_ns`."""
        return self._tick(1000) // 1000

    def adopt(self, sample: Sample) -> None:
        """Follow what a server said: set at the first sample, slew at every later one."""
        assert not self._is_reference, "a reference clock follows no server"
        with self._lock:
            estimate = self._discipline.take(sample)
            self._fix = _Fix(sample, estimate)
            self._samples += 1
            self._aim(_Line(estimate.at_ns, estimate.offset_ns, estimate.freq))

    def discard(self, reason: Reason) -> None:
        """Count a poll that brought no usable sample."""
        with self._lock:
            self._failures += 1
            self._last_failure = reason

    def expect(self, poll_s: float) -> None:
        """Say how long polls are apart: four of them without a sample make a holdover."""
        with self._lock:
            self._poll_s = poll_s

    def state(self) -> ClockState:
        """What this clock knows of itself, now."""
        with self._lock:
            at_ns, system_ns = tight_pair(self.base.monotonic_ns, self.base.system_ns)
            self._keep_to_system(at_ns)
            state = ClockState(
                status=self._status(at_ns),
                poll_s=self._poll_s,
                samples=self._samples,
                failures=self._failures,
                last_failure=self._last_failure,
                steps=self._steps,
            )
            if self._line is None:
                return state
            slew_ns = self._line.slew_left_ns(at_ns)
            state = msgspec.structs.replace(
                state,
                drift_ms=(system_ns - self._line.read_ns(at_ns)) / 1e6,
                slew_left_ms=slew_ns / 1e6,
            )
            if self._fix is None:
                return _reference_state(state, abs(slew_ns))
            return _follower_state(state, self._fix, at_ns, abs(slew_ns))

    def _tick(self, grain_ns: int) -> int:
        with self._lock:
            at_ns = self.base.monotonic_ns()
            self._keep_to_system(at_ns)
            now_ns = self.base.system_ns() if self._line is None else self._line.read_ns(at_ns)
            self._last_ns = max(now_ns, (self._last_ns // grain_ns + 1) * grain_ns)
            return self._last_ns

    def _aim(self, line: _Line) -> None:
        at_ns = self.base.monotonic_ns()
        if self._line is None:
            self._line = line
            self._last_ns = line.read_ns(at_ns) - 1
            return
        behind_ns = line.target_ns(at_ns) - self._line.read_ns(at_ns)
        if behind_ns > STEP_NS:
            self._steps += 1
            behind_ns = 0
        self._line = replace(line, slew_from_ns=at_ns, slew_ns=behind_ns)

    def _keep_to_system(self, at_ns: int) -> None:
        if not self._is_reference or self._line is None:
            return
        if at_ns - self._line.at_ns >= SYSTEM_CHECK_NS:
            self._aim(self._system_line())

    def _system_line(self) -> _Line:
        at_ns, system_ns = tight_pair(self.base.monotonic_ns, self.base.system_ns)
        return _Line(at_ns, system_ns - at_ns, freq=0.0)

    def _status(self, at_ns: int) -> ClockStatus:
        if self._is_reference:
            return "SYNC"
        if self._fix is None:
            return "UNSYNC"
        if self._poll_s is None:
            return "SYNC"
        age_ns = at_ns - self._fix.sample.at_ns
        return "HOLDOVER" if age_ns > HOLDOVER_POLLS * self._poll_s * 1e9 else "SYNC"


def _reference_state(state: ClockState, slew_ns: int) -> ClockState:
    return msgspec.structs.replace(
        state,
        bound_ms=slew_ns / 1e6,
        root_delay_ms=0.0,
        root_dispersion_ms=slew_ns / 1e6,
        stratum=REFERENCE_STRATUM,
        reference=REFERENCE_NAME,
    )


def _follower_state(state: ClockState, fix: _Fix, at_ns: int, slew_ns: int) -> ClockState:
    sample, estimate = fix.sample, fix.estimate
    age_ns = max(0, at_ns - sample.at_ns)
    # The estimate's error has the way to the server in it; only the server's own is added.
    bound_ns = (
        slew_ns
        + estimate.error_ns
        + sample.root_delay_ns / 2
        + sample.root_dispersion_ns
        + age_ns * (WANDER + estimate.freq_error)
    )
    root_delay_ns = min(sample.delay_ns + sample.root_delay_ns, 2 * bound_ns)
    return msgspec.structs.replace(
        state,
        bound_ms=bound_ns / 1e6,
        freq_ppm=-estimate.freq * 1e6,
        jitter_ms=estimate.jitter_ns / 1e6,
        delay_ms=estimate.delay_ns / 1e6,
        root_delay_ms=root_delay_ns / 1e6,
        root_dispersion_ms=(bound_ns - root_delay_ns / 2) / 1e6,
        stratum=sample.stratum + 1,
        reference=str(sample.server),
        last_sync_age_s=age_ns / 1e9,
    )
