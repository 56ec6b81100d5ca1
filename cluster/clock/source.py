"""One server as a clock knows it: what it says, how sure that is, and whether it still holds.

Pure. Two views of the same samples run side by side: the filter's estimate, which is likely, and
a hard interval, which is certain as long as the server is right and the crystal behaves: each
answer puts the truth within half of its round trip. An answer whose interval does not meet what
was known is a jump, of the server or of the base: it is held back, and three that agree start
anew. One alone was a stray.
"""

from collections import Counter, deque
from dataclasses import dataclass, replace
from math import sqrt
from statistics import fmean

from cluster.clock.filter import START_SIGMA, Bank, Estimate
from cluster.clock.interval import Interval
from cluster.clock.sample import Reason, Sample, Transport
from cluster.clock.schedule import Schedule

AGREEING = 3  # samples that make a jump true
KEPT_FREQ_SIGMA = 5e-6  # a jump says little against the frequency
DISTURBED_NS = 1_000_000_000  # what a base may be off after a suspend
RESIDUALS = 16
LOST = 3  # misses in a row after which a closer look is taken


@dataclass(frozen=True, slots=True)
class Prior:
    """What is known of the oscillator before a server's first sample."""

    freq: float = 0.0
    sigma: float = START_SIGMA


@dataclass(frozen=True, slots=True)
class Belief:
    """A server's last good sample, and all that its samples say together."""

    sample: Sample
    estimate: Estimate
    interval: Interval  # of the offset, at the estimate's moment

    def interval_at(self, at_ns: int) -> Interval:
        """Where the offset is at `at_ns`, if the server is right."""
        return self.estimate.carried(self.interval, at_ns)

    def claim_at(self, at_ns: int) -> Interval:
        """The same with the server's own distance from the root."""
        sample = self.sample
        return self.interval_at(at_ns).widened(sample.root_delay_ns / 2 + sample.root_dispersion_ns)


class Source:
    """One server. `take` and `miss` tell it what became of each poll."""

    def __init__(self, name: str, transport: Transport = "ntp") -> None:
        self.name = name
        self.transport = transport
        self.schedule = Schedule()
        self.belief: Belief | None = None
        self.reach = 0  # the last eight polls, the latest in bit 0 (RFC 5905, section 9.2)
        self.rejected: Counter[Reason] = Counter()
        self.jitter_ns: float | None = None  # rms of the latest residuals
        self.lowest_ns: int | None = None  # round trip, since it was last started anew
        self._bank: Bank | None = None
        self._residuals: deque[float] = deque(maxlen=RESIDUALS)  # seconds
        self._held: list[Sample] = []
        self._held_in: Interval | None = None
        self._misses = 0
        self._apart_s = 0.0  # between the last two answers

    @property
    def poll_s(self) -> float:
        """How long until it is heard again, as a rule; in seconds."""
        return max(self.schedule.poll_s, self._apart_s)

    @property
    def suspect(self) -> bool:
        """Whether its latest answer does not fit what it said before."""
        return bool(self._held)

    def gap_ns(self) -> int:
        """How far the held answers are from what was known."""
        if self.belief is None or self._held_in is None:
            return 0
        return self.belief.interval_at(self._held[-1].at_ns).gap(self._held_in)

    def take(self, sample: Sample, prior: Prior) -> None:
        """An answer. `prior`: what is known of the oscillator from elsewhere."""
        self.reach = (self.reach << 1 | 1) & 0xFF
        self._misses = 0
        self.schedule.found_at(sample.addr)
        if self.belief is not None:
            sample = self._in_order(sample, self.belief)
            self._apart_s = (sample.at_ns - self.belief.sample.at_ns) / 1e9
        claimed = _claimed(sample)
        if self.belief is None or self._bank is None:
            self._start([sample], claimed, prior)
        elif (known := self.belief.interval_at(sample.at_ns)).meets(claimed):
            self._held, self._held_in = [], None
            self._add(self._bank, sample, known.within(claimed))
        else:
            self._hold(sample, claimed)

    def miss(self, reason: Reason) -> None:
        """A poll that brought nothing."""
        self.reach = self.reach << 1 & 0xFF
        self.rejected[reason] += 1
        self._misses += 1
        if reason == "denied":
            self.schedule.denied = True
        elif reason == "rate":
            self.schedule.slow_down()
        elif self._misses == LOST:
            self.schedule.burst()

    def disturb(self) -> None:
        """The base may be off by a second from here on: the machine slept."""
        self.schedule.burst()
        if self.belief is not None and self._bank is not None:
            estimate = self._bank.loosen(DISTURBED_NS)
            interval = self.belief.interval.widened(DISTURBED_NS)
            self.belief = Belief(self.belief.sample, estimate, interval)

    def _in_order(self, sample: Sample, belief: Belief) -> Sample:
        """A late one says the same as of the moment of the one before."""
        late_ns = belief.estimate.at_ns - sample.at_ns
        if late_ns <= 0:
            return sample
        moved_ns = round(belief.estimate.freq * late_ns)
        return replace(sample, at_ns=belief.estimate.at_ns, offset_ns=sample.offset_ns + moved_ns)

    def _hold(self, sample: Sample, claimed: Interval) -> None:
        """Keep an answer that does not fit, until others decide."""
        freq = self.belief.estimate.freq if self.belief else 0.0
        if self._held_in is not None:
            passed_ns = sample.at_ns - self._held[-1].at_ns
            held = self._held_in.moved(freq * passed_ns).widened(
                KEPT_FREQ_SIGMA * max(0, passed_ns)
            )
            self._held_in = held.within(claimed) if held.meets(claimed) else None
        if self._held_in is None:
            self._held, self._held_in = [], claimed
        self._held.append(sample)
        if len(self._held) == AGREEING:
            self._start(self._held, self._held_in, Prior(freq, KEPT_FREQ_SIGMA))
        else:
            self.schedule.burst()

    def _start(self, samples: list[Sample], interval: Interval, prior: Prior) -> None:
        first = samples[0]
        bank = Bank(first.at_ns, first.offset_ns, first.delay_ns, prior.freq, prior.sigma)
        self._held, self._held_in = [], None
        self._bank, self.lowest_ns = bank, None
        self._residuals.clear()
        for sample in samples:
            self._add(bank, sample, interval)

    def _add(self, bank: Bank, sample: Sample, interval: Interval) -> None:
        missed = bank.take(sample.at_ns, sample.offset_ns, sample.delay_ns)
        self._residuals.append(missed)
        self.jitter_ns = 1e9 * sqrt(fmean(one * one for one in self._residuals))
        lowest_ns = sample.delay_ns if self.lowest_ns is None else self.lowest_ns
        self.lowest_ns = min(lowest_ns, sample.delay_ns)
        self.belief = Belief(sample, bank.estimate, interval)


def _claimed(sample: Sample) -> Interval:
    """Where the offset is, by this answer alone."""
    half_ns = (sample.delay_ns + 1) // 2 + sample.precision_ns
    return Interval(sample.offset_ns - half_ns, sample.offset_ns + half_ns)
