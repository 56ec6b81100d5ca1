"""The cluster's time on one machine: base clock + estimated offset + frequency.

The machine's own clock is never touched, so no root is needed: time is a function of a counter
(feed-forward, after Veitch, CACM 53/5, 2010). Before the first synchronisation this clock shows
the system time; the first one sets it, either way. From then on it only moves forward: it is
slewed towards each new line, and stepped only when it is over a second behind.
"""

import threading
from typing import Self

from cluster.clock.base import Base, tight_pair
from cluster.clock.interval import Interval, majority_of
from cluster.clock.line import Line
from cluster.clock.memory import Memory
from cluster.clock.sample import Reason, Sample, Transport
from cluster.clock.selection import Choice, choose, voters
from cluster.clock.source import Prior, Source

LOOK_NS = 1_000_000_000
SYSTEM_STEP_NS = 10_000_000
REBOOT_FREQ_SIGMA = 2e-6  # a crystal that was known, after a reboot


class ClusterClock:
    """Strictly increasing Unix time, shared by all threads of a process.

    What it knows (`choice`, `line`, `sources`, the counts) is for reading only from outside.
    """

    def __init__(self, base: Base, memory: Memory | None = None) -> None:
        self.base = base
        self.lock = threading.RLock()
        self.is_reference = False
        self.sources: dict[str, Source] = {}
        self.choice: Choice | None = None
        self.line: Line | None = None
        self.remembered: Memory | None = None
        self.synced_ns: int | None = None  # the base's reading at the last good sample
        self.first_step_us: int | None = None
        self.doubted = False  # what was heard last, or a suspend, does not fit what is believed
        self.steps = 0
        self.last_step_ns: int | None = None
        self.system_steps = 0
        self._last_ns = 0
        self._floor_ns = 0
        self._ahead_ns = 0  # of the system time, to stay above the floor while unset
        self._prior = Prior()
        self._suspends = base.suspends
        self._look_ns = 0
        self._apart_ns = self._system_line().offset_ns  # when last looked at
        if memory is not None:
            self._recall(memory)

    @classmethod
    def reference(cls, base: Base) -> Self:
        """The clock that others follow: synchronised from the start, stratum 10, "local".

        It keeps to the machine's system time, slewed like any other: left to a raw oscillator it
        would lead the whole cluster seconds a day away from the time an administrator sees.
        """
        clock = cls(base)
        clock.is_reference = True
        clock._aim(clock._system_line())
        return clock

    @property
    def synced(self) -> bool:
        """Whether this clock was ever set; until then it shows the machine's system time."""
        return self.line is not None

    def now_ns(self) -> int:
        """Unix nanoseconds, later than every answer before. Only the first sync may set it back."""
        return self._tick(1)

    def now_us(self) -> int:
        """Unix microseconds, later than every answer before, as `now_ns`."""
        return self._tick(1000) // 1000

    def stamp_us(self) -> tuple[int, bool]:
        """`now_us`, and whether the clock was set by then."""
        with self.lock:
            return self.now_us(), self.line is not None

    def shown_at(self, at_ns: int) -> int:
        """What is shown at a moment of the base, by what is known now. ValueError when unset."""
        with self.lock:
            if self.line is None:
                raise ValueError("the clock was never set")
            return self.line.read_ns(at_ns)

    def bound_ns(self) -> int | None:
        """How far what is shown now may be from the true time; None before the first sync."""
        with self.lock:
            return self.bound_at(self.base.monotonic_ns())

    def bound_at(self, at_ns: int) -> int | None:
        """The same at a moment of the base."""
        if self.line is None:
            return None
        if self.is_reference:
            return abs(self.line.slew_left_ns(at_ns))
        off_ns = self.line.read_ns(at_ns) - at_ns
        lo, hi = self._interval_at(at_ns)
        return max(hi - off_ns, off_ns - lo) + self.gap_ns()

    def gap_ns(self) -> int:
        """By how much the latest samples contradict what is believed; 0 when all is well."""
        if not self.doubted:
            return 0
        return max((source.gap_ns() for source in voters(self.sources.values())), default=0)

    def source(self, name: str, transport: Transport = "ntp") -> Source:
        """The server of that name, known from now on."""
        with self.lock:
            return self.sources.setdefault(name, Source(name, transport))

    def adopt(self, sample: Sample) -> None:
        """Take what a server said: set at the first sample, slew at every later one."""
        assert not self.is_reference, "a reference clock follows no server"
        with self.lock:
            source = self.source(sample.source)
            source.take(sample, self._prior)
            if source.suspect and not self._is_outvoted(source):
                self.doubted = True
            choice = self._decide()
            if choice is not None and source in choice.survivors:
                self.synced_ns, self.doubted = sample.at_ns, False

    def miss(self, name: str, reason: Reason) -> None:
        """Count a poll that brought no usable sample."""
        with self.lock:
            self.source(name).miss(reason)

    def look(self) -> bool:
        """Notice what happened to the machine's clocks; whether it slept. For once a second."""
        with self.lock:
            self._notice_system_step()
            self._keep_to_system(self.base.monotonic_ns())
            slept = self.base.suspends > self._suspends
            self._suspends = self.base.suspends
            if slept:
                self.doubted = bool(self.sources)
                for source in self.sources.values():
                    source.disturb()
                self._decide()
            return slept

    def _notice_system_step(self) -> None:
        before_ns, self._apart_ns = self._apart_ns, self._system_line().offset_ns
        self.system_steps += abs(self._apart_ns - before_ns) > SYSTEM_STEP_NS

    def memory(self) -> Memory | None:
        """What is worth keeping over a restart; None before the first synchronisation."""
        with self.lock:
            at_ns = self.base.monotonic_ns()
            bound_ns = self.bound_at(at_ns)
            if self.line is None or bound_ns is None or self.is_reference:
                return None
            return Memory(
                base=self.base.name,
                at_ns=at_ns,
                shown_ns=max(self.line.read_ns(at_ns), self._last_ns),
                bound_ns=bound_ns,
                slew_left_ns=self.line.slew_left_ns(at_ns),
                freq=self._prior.freq,
                freq_sigma=self._prior.sigma,
            )

    def _decide(self) -> Choice | None:
        """Steer towards what the servers say together; None when nobody can be believed."""
        at_ns = self.base.monotonic_ns()
        running_ns = None if self.line is None else self.line.target_ns(at_ns) - at_ns
        choice = choose(self.sources.values(), at_ns, running_ns)
        if choice is not None:
            self.choice, self.remembered = choice, None
            estimate = choice.estimate
            self._prior = Prior(estimate.freq, max(estimate.freq_sigma, REBOOT_FREQ_SIGMA))
            self._aim(Line(estimate.at_ns, estimate.offset_ns, estimate.freq))
        return choice

    def _recall(self, memory: Memory) -> None:
        self._prior = Prior(memory.freq, memory.freq_sigma)
        if memory.continues(self.base.name, self.base.monotonic_ns()):
            self.remembered, self.line = memory, memory.line
            self._last_ns = memory.shown_ns
        else:
            self._last_ns = self._floor_ns = memory.floor_ns
            self._ahead_ns = max(0, memory.floor_ns - self.base.system_ns())

    def _tick(self, grain_ns: int) -> int:
        with self.lock:
            at_ns = self.base.monotonic_ns()
            if at_ns >= self._look_ns:
                self._keep_to_system(at_ns)
            line = self.line
            now_ns = self._unset_ns() if line is None else line.read_ns(at_ns)
            if now_ns < self._last_ns + grain_ns:  # no max(): this is where records wait
                now_ns = (self._last_ns // grain_ns + 1) * grain_ns
            self._last_ns = now_ns
            return now_ns

    def _unset_ns(self) -> int:
        """What is shown before the first synchronisation."""
        return self.base.system_ns() + self._ahead_ns

    def _aim(self, line: Line) -> None:
        at_ns = self.base.monotonic_ns()
        if self.line is None:
            shown_ns = max(line.target_ns(at_ns), self._floor_ns)
            self._notice_system_step()
            if not self.system_steps:  # else nobody knows how wrong each stamp was
                self.first_step_us = (shown_ns - self._unset_ns()) // 1000
            self._last_ns = shown_ns - 1
        else:
            shown_ns = self.line.read_ns(at_ns)
        self.line, stepped_ns = line.steered(shown_ns, at_ns)
        if stepped_ns:
            self.steps += 1
            self.last_step_ns = stepped_ns

    def _keep_to_system(self, at_ns: int) -> None:
        self._look_ns = at_ns + LOOK_NS
        if self.is_reference:
            self._aim(self._system_line())

    def _system_line(self) -> Line:
        at_ns, system_ns = tight_pair(self.base.monotonic_ns, self.base.system_ns)
        return Line(at_ns, system_ns - at_ns, freq=0.0)

    def _interval_at(self, at_ns: int) -> Interval:
        if self.choice is not None:
            return self.choice.interval_at(at_ns)
        assert self.remembered is not None, "a line comes from a choice or from memory"
        return self.remembered.interval_at(at_ns)

    def _is_outvoted(self, doubter: Source) -> bool:
        """Whether those who see nothing odd are a majority without the one that does."""
        asked = voters(self.sources.values())
        calm = sum(not source.suspect for source in asked)
        return doubter not in asked or calm >= majority_of(len(asked))
