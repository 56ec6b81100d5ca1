"""One server's samples -> how far the base is from true time, and how fast it strays.

A bank of Kalman filters on (offset, frequency). No one model fits every path and every crystal, so
twenty run side by side: four ideas of what delay does to an offset, times five of how restless the
oscillator is. Each is weighed by how well it foretold the samples (multiple-model estimation,
Magill 1965); old merit is forgotten slowly, as links and rooms change. What a sample counts for
follows from its delay above the recent minimum: what queued longest is trusted least.

Pure. Inside, times are float seconds from the bank's first sample, where doubles are exact enough.
"""

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass
from math import exp, hypot, log, sqrt

from cluster.clock.interval import Interval

START_SIGMA = 170e-6  # an unknown crystal: RFC 5905 tolerates 500 ppm, three of these
WHITE_FM = 1e-14  # s^2 per s, what the offset strays by itself
WANDERS = (1e-18, 1e-17, 1e-16, 1e-15, 1e-14)  # 1/s: variance of the frequency gained a second
PHI = 2e-6  # what a crystal may do that nobody foretells
FORGETTING = 0.98
CLIP = 5.0  # sigmas: what one sample may pull
STAMP_NOISE_S = 10e-6
WINDOW_S = 3600.0  # delays are remembered for an hour,
WINDOW_MIN, WINDOW_MAX = 64, 4096  # at least so many, and at most: a poll a second is fewer
YOUNG = 8  # samples, before the delays say what is usual here
_LOWEST_WEIGHT = 1e-12


@dataclass(frozen=True, slots=True)
class Estimate:
    """A line: the offset at `at_ns` in nanoseconds, and how it changes from there.

    `freq` is nanoseconds of offset gained per nanosecond of base: negative for a fast oscillator.
    The sigmas are standard deviations; `wander` (1/s) is the variance that `freq` gains a second.
    Nothing here covers a path that is longer one way.
    """

    at_ns: int
    offset_ns: int
    sigma_ns: float
    freq: float
    freq_sigma: float
    wander: float = max(WANDERS)

    def offset_at(self, at_ns: int) -> int:
        """Where the line is at `at_ns` of the base."""
        return self.offset_ns + round(self.freq * (at_ns - self.at_ns))

    def stray_ns(self, at_ns: int) -> float:
        """How far the base may have left the line by `at_ns`, nearly certainly.

        Three sigmas of what the filters expect, and PHI on top: what they cannot know.
        """
        return PHI * max(0, at_ns - self.at_ns) + 3.0 * self._strayed_ns(at_ns)

    def sigma_at(self, at_ns: int) -> float:
        """The standard deviation at `at_ns`, in nanoseconds."""
        return hypot(self.sigma_ns, self._strayed_ns(at_ns))

    def carried(self, interval: Interval, at_ns: int) -> Interval:
        """Where what lay in `interval` at the line's moment lies at `at_ns`."""
        moved_ns = self.freq * (at_ns - self.at_ns)
        return interval.moved(moved_ns).widened(self.stray_ns(at_ns))

    def _strayed_ns(self, at_ns: int) -> float:
        """The standard deviation of what the base has left the line by."""
        dt = max(0, at_ns - self.at_ns) / 1e9
        return 1e9 * dt * sqrt(self.freq_sigma**2 + self.wander * dt / 3.0)


class Delays:
    """The round trips of the last hour, in seconds: the lowest, and what is usual above it."""

    def __init__(self) -> None:
        self._recent: deque[tuple[float, float]] = deque()
        self._sorted: list[float] = []

    def take(self, at: float, delay: float) -> None:
        """Remember one, and forget those that are too old."""
        self._recent.append((at, delay))
        insort(self._sorted, delay)
        while len(self._recent) > WINDOW_MAX or (
            len(self._recent) > WINDOW_MIN and self._recent[0][0] < at - WINDOW_S
        ):
            _, gone = self._recent.popleft()
            del self._sorted[bisect_left(self._sorted, gone)]

    @property
    def lowest(self) -> float:
        return self._sorted[0]

    @property
    def usual(self) -> float:
        """The median above the lowest."""
        return self._sorted[len(self._sorted) // 2] - self._sorted[0]

    @property
    def scatter(self) -> float:
        """Half of the interquartile range: the median distance from the median."""
        count = len(self._sorted)
        return (self._sorted[3 * count // 4] - self._sorted[count // 4]) / 2


class Kalman:
    """One idea of the path and of the crystal: a two-state filter (Kalman 1960)."""

    __slots__ = ("cov", "freq", "freq_var", "merit", "offset", "var", "wander")

    def __init__(self, wander: float, var: float, freq: float, freq_var: float) -> None:
        self.wander = wander
        self.offset, self.freq = 0.0, freq
        self.var, self.cov, self.freq_var = var, 0.0, freq_var
        self.merit = 0.0  # log-likelihood, forgotten slowly

    def predict(self, dt: float) -> None:
        """Carry the state `dt` seconds on."""
        gained = self.wander * dt
        self.offset += self.freq * dt
        self.var += dt * (2.0 * self.cov + dt * (self.freq_var + gained / 3.0) + WHITE_FM)
        self.cov += dt * (self.freq_var + gained / 2.0)
        self.freq_var += gained

    def correct(self, offset: float, noise: float) -> None:
        """Take a measurement with variance `noise`, and count how well it was foretold."""
        spread = self.var + noise
        missed = offset - self.offset
        squared = missed * missed / spread
        # Student's t with 4 degrees of freedom: one wild sample does not condemn a good model.
        self.merit = FORGETTING * self.merit - 0.5 * log(spread) - 2.5 * log(1.0 + squared / 4.0)
        if squared > CLIP * CLIP:
            missed *= CLIP / sqrt(squared)
        gain, freq_gain = self.var / spread, self.cov / spread
        self.offset += gain * missed
        self.freq += freq_gain * missed
        self.freq_var -= freq_gain * self.cov
        self.cov -= gain * self.cov
        self.var -= gain * self.var


class Bank:
    """Twenty filters on the samples of one server, and what they say together."""

    def __init__(
        self, at_ns: int, offset_ns: int, delay_ns: int, freq: float, freq_sigma: float
    ) -> None:
        self._at_ns, self._offset_ns = at_ns, offset_ns
        self._at = 0.0
        self._delays = Delays()
        self._count = 0
        sigma = delay_ns / 4e9 + STAMP_NOISE_S
        self._models = [
            [Kalman(wander, sigma * sigma, freq, freq_sigma * freq_sigma) for wander in WANDERS]
            for _ in range(4)
        ]
        self.estimate = Estimate(at_ns, offset_ns, sigma * 1e9, freq, freq_sigma)

    def take(self, at_ns: int, offset_ns: int, delay_ns: int) -> float:
        """Add a sample; how far it was from what was expected, in seconds."""
        at, offset = (at_ns - self._at_ns) / 1e9, (offset_ns - self._offset_ns) / 1e9
        delay = delay_ns / 1e9
        missed = (offset_ns - self.estimate.offset_at(at_ns)) / 1e9
        dt, self._at = max(0.0, at - self._at), max(at, self._at)
        self._delays.take(at, delay)
        self._count += 1
        for models, (shift, noise) in zip(self._models, self._ideas(delay), strict=True):
            for model in models:
                model.predict(dt)
                model.correct(offset + shift, noise)
        self._mix()
        return missed

    def loosen(self, sigma_ns: int) -> Estimate:
        """Trust the offset less by `sigma_ns`, and the frequency as before."""
        for models in self._models:
            for model in models:
                model.var += (sigma_ns / 1e9) ** 2
        self._mix()
        return self.estimate

    def _ideas(self, delay: float) -> tuple[tuple[float, float], ...]:
        """For each idea of the path: what to add to the offset, and the variance of the sum."""
        delays = self._delays
        excess, usual = delay - delays.lowest, delays.usual
        floor = STAMP_NOISE_S**2 + (0.02 * usual) ** 2
        if self._count <= YOUNG:
            floor = max(floor, (delay / 8) ** 2)
        queued = excess * excess / (4.0 if excess > 2.0 * usual else 12.0)
        one_way = floor + (0.05 * excess) ** 2
        return (
            (0.0, floor + queued),  # it queued, on either side: within half of it
            (0.0, floor + delays.scatter**2 / 4.0),  # jitter without a floor: all samples are alike
            (-excess / 2.0, one_way),  # all of it on the way there
            (excess / 2.0, one_way),  # all of it on the way back
        )

    def _mix(self) -> None:
        models = [model for row in self._models for model in row]
        best = max(model.merit for model in models)
        weights = [max(exp(model.merit - best), _LOWEST_WEIGHT) for model in models]
        total = sum(weights)
        offset = freq = wander = 0.0
        for weight, model in zip(weights, models, strict=True):
            offset += weight * model.offset
            freq += weight * model.freq
            wander += weight * model.wander
        offset, freq = offset / total, freq / total
        var = freq_var = 0.0
        for weight, model in zip(weights, models, strict=True):
            apart, freq_apart = model.offset - offset, model.freq - freq
            var += weight * (model.var + apart * apart)
            freq_var += weight * (model.freq_var + freq_apart * freq_apart)
        self.estimate = Estimate(
            self._at_ns + round(self._at * 1e9),
            self._offset_ns + round(offset * 1e9),
            sqrt(var / total) * 1e9,
            freq,
            sqrt(freq_var / total),
            wander / total,
        )
