"""Several servers -> one line: who is believed, and what they say together.

Pure. The majority's region decides who may speak at all; a weighted median of those who may keeps
one that is wrong within its rights from pulling the others along. Two that contradict each other
are no majority: then the one stays that agrees with the running clock, and without any the clock
runs on by itself. One alone is believed, and said to be alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cluster.clock.filter import Estimate
from cluster.clock.interval import Interval, majority_of, region
from cluster.clock.source import Belief, Source


@dataclass(frozen=True, slots=True)
class Choice:
    """What the servers say together."""

    estimate: Estimate
    interval: Interval  # of the offset, at the estimate's moment, for certain
    selected: Source
    survivors: tuple[Source, ...]  # the selected one too

    def interval_at(self, at_ns: int) -> Interval:
        """Where the offset is at `at_ns`, if a majority of the servers is right."""
        return self.estimate.carried(self.interval, at_ns)


@dataclass(frozen=True, slots=True)
class _Voice:
    source: Source
    belief: Belief
    claim: Interval

    @property
    def weight(self) -> float:
        # By its path, not by its claim: that of one that creeps away narrows until it breaks.
        sample = self.belief.sample
        lowest_ns = self.source.lowest_ns or sample.delay_ns
        distance_ns = lowest_ns / 2 + sample.root_delay_ns / 2 + sample.root_dispersion_ns
        return max(1.0, distance_ns) ** -2


def voters(sources: Iterable[Source]) -> list[Source]:
    """Whom to ask for their opinion: those in reach; over HTTP only when no other is."""
    believed = [source for source in sources if source.belief is not None]
    in_reach = [source for source in believed if source.transport == "ntp" and source.reach]
    spare = [source for source in believed if source.transport == "http"]
    return in_reach or spare


def choose(sources: Iterable[Source], at_ns: int, running_ns: int | None) -> Choice | None:
    """The choice at `at_ns`; None when nobody can be believed.

    `running_ns`: the offset of the clock as it runs, None when it was never set.
    """
    asked = voters(sources)
    voices = [
        _Voice(source, source.belief, source.belief.claim_at(at_ns))
        for source in asked
        if source.belief is not None and not source.suspect
    ]
    agreed = region([voice.claim for voice in voices], majority_of(len(asked)))
    if agreed is None and running_ns is not None:
        running = Interval(running_ns, running_ns)
        voices = [voice for voice in voices if voice.claim.meets(running)]
        agreed = region([voice.claim for voice in voices], max(1, len(voices)))
    if agreed is None:
        return None
    survivors = sorted(
        (voice for voice in voices if voice.claim.meets(agreed)), key=lambda v: v.claim.width
    )
    return Choice(
        estimate=_combined(survivors, at_ns, agreed),
        interval=agreed,
        selected=survivors[0].source,
        survivors=tuple(voice.source for voice in survivors),
    )


def _combined(voices: Sequence[_Voice], at_ns: int, agreed: Interval) -> Estimate:
    estimates = [voice.belief.estimate for voice in voices]
    offset_ns = _middle(
        [estimate.offset_at(at_ns) for estimate in estimates], [voice.weight for voice in voices]
    )
    surest = min(estimates, key=lambda estimate: estimate.freq_sigma)
    weights = [estimate.freq_sigma**-2 for estimate in estimates]
    freqs = zip(estimates, weights, strict=True)
    return Estimate(
        at_ns=at_ns,
        offset_ns=min(max(offset_ns, agreed.lo), agreed.hi),
        sigma_ns=min(estimate.sigma_at(at_ns) for estimate in estimates),
        freq=sum(estimate.freq * weight for estimate, weight in freqs) / sum(weights),
        freq_sigma=surest.freq_sigma,
        wander=surest.wander,
    )


def _middle(values: Sequence[int], weights: Sequence[float]) -> int:
    """The weighted median; between two, the weighted mean, as neither is the middle."""
    if len(values) == 2:
        low, high = values
        return low + round((high - low) * weights[1] / (weights[0] + weights[1]))
    half = sum(weights) / 2
    for value, weight in sorted(zip(values, weights, strict=True)):
        half -= weight
        if half <= 0:
            return value
    return max(values)
