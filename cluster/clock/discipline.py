"""From samples to a straight line: how far the base is from true time, and how fast it strays.

Pure: no clock, no I/O. A weighted least-squares line through the last eight samples, in which a
sample counts less the longer it queued. `take` is the whole surface, so that a better estimator
for several servers can replace the inside.
"""

from collections import deque
from dataclasses import dataclass
from math import sqrt
from statistics import fmean
from typing import NamedTuple

from cluster.clock.ntp import Sample

WINDOW = 8
MAX_FREQ = 500e-6
ASSUMED_FREQ = 100e-6  # what an unknown crystal may be off; RFC 5905 hardware is mostly below
WANDER = 15e-6  # RFC 5905, PHI: what a known crystal may stray from its own line
JUMP_NS = 128_000_000  # RFC 5905, STEPT: beyond it the old line has nothing to say
STAMP_NOISE_NS = 10_000.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A line: the offset at `at_ns`, and how it changes from there.

    `freq` is nanoseconds of offset gained per nanosecond of base: negative for a fast oscillator.
    `error_ns` bounds the offset's error at `at_ns` on the way to the server; `freq_error` bounds
    that of `freq`. `delay_ns` is the latest sample's, `jitter_ns` the rms distance from the line.
    """

    at_ns: int
    offset_ns: int
    error_ns: int
    freq: float
    freq_error: float
    jitter_ns: int
    delay_ns: int


class Discipline:
    """Turns samples of one base into a running estimate."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=WINDOW)
        self._known_freq = 0.0
        self._estimate: Estimate | None = None

    def take(self, sample: Sample) -> Estimate:
        """Add one sample and estimate as of its arrival. Samples may come in any order."""
        if self._estimate is not None and self._breaks_with(sample, self._estimate):
            self._samples.clear()
            self._known_freq = self._estimate.freq
        self._samples.append(sample)
        self._estimate = _fit(self._samples, self._known_freq)
        return self._estimate

    def _breaks_with(self, sample: Sample, estimate: Estimate) -> bool:
        # Another server, a stepped server or a machine that slept: one line cannot join both sides.
        expected_ns = estimate.offset_ns + estimate.freq * (sample.at_ns - estimate.at_ns)
        jumped = abs(sample.offset_ns - expected_ns) > JUMP_NS + sample.delay_ns / 2
        return jumped or sample.server != self._samples[-1].server


class _Point(NamedTuple):
    x: float  # ns of base since the latest sample
    y: float  # ns of offset above the latest sample
    weight: float
    delay: float


def _fit(samples: deque[Sample], known_freq: float) -> Estimate:
    latest = samples[-1]
    points = _points(samples)
    centre_x, centre_y, slope, slope_error = _line(points, known_freq)
    freq = min(max(slope, -MAX_FREQ), MAX_FREQ)
    freq_error = min(slope_error, abs(freq - known_freq) + ASSUMED_FREQ)

    height = centre_y - freq * centre_x
    residuals = [point.y - (height + freq * point.x) for point in points]
    # The true offset lies within half a delay of each sample. Whichever says most, says it.
    error = min(
        abs(residual) + point.delay / 2 + abs(point.x) * (WANDER + freq_error)
        for residual, point in zip(residuals, points, strict=True)
    )
    return Estimate(
        at_ns=latest.at_ns,
        offset_ns=latest.offset_ns + round(height),
        error_ns=round(error),
        freq=freq,
        freq_error=freq_error,
        jitter_ns=round(sqrt(fmean(residual * residual for residual in residuals))),
        delay_ns=latest.delay_ns,
    )


def _points(samples: deque[Sample]) -> list[_Point]:
    latest = samples[-1]
    lowest_ns = min(sample.delay_ns for sample in samples)
    return [
        _Point(
            x=float(sample.at_ns - latest.at_ns),
            y=float(sample.offset_ns - latest.offset_ns),
            weight=_sigma_ns(sample.delay_ns, lowest_ns) ** -2,
            delay=float(sample.delay_ns),
        )
        for sample in samples
    ]


def _sigma_ns(delay_ns: int, lowest_ns: int) -> float:
    """A sample's likely error: what it took beyond the lowest delay was a queue on one side."""
    return STAMP_NOISE_NS + 0.02 * lowest_ns + (delay_ns - lowest_ns) / 2


def _line(points: list[_Point], known_freq: float) -> tuple[float, float, float, float]:
    """The weighted mean x and y, the slope through it, and how far off the slope may be.

    What is known already (`known_freq`, give or take ASSUMED_FREQ) counts as one more
    observation: four samples two seconds apart over a bad link say next to nothing of a slope.
    """
    total = sum(p.weight for p in points)
    centre_x = sum(p.weight * p.x for p in points) / total
    centre_y = sum(p.weight * p.y for p in points) / total
    prior = ASSUMED_FREQ**-2
    spread = sum(p.weight * (p.x - centre_x) ** 2 for p in points) + prior

    pulls = [p.weight * (p.x - centre_x) / spread for p in points]
    slope = known_freq + sum(
        pull * (p.y - centre_y - known_freq * (p.x - centre_x))
        for pull, p in zip(pulls, points, strict=True)
    )
    # Every sample may be half its delay off, all in the worst way. Their scatter would promise
    # more, but where one sample queued on one side and outweighs the rest, nothing scatters.
    worst = sum(abs(pull) * p.delay / 2 for pull, p in zip(pulls, points, strict=True))
    return centre_x, centre_y, slope, worst + ASSUMED_FREQ * prior / spread
