"""A believable small weather station, to try Tidehold without any hardware.

The sun gives a daily curve; the weather wanders about it as an Ornstein-Uhlenbeck process stepped
exactly over any interval (Gillespie, Phys. Rev. E 54, 2084, 1996); humidity follows from
temperature and dew point (Magnus form: Alduchov and Eskridge, J. Appl. Meteorol. 35, 601, 1996).
Now and then a sensor fails. Same seed and same timestamps: same readings.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from random import Random
from typing import Literal

import msgspec

from node.sources import Reading

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US

# Chances for each reading.
FAULT_CHANCE = 0.002  # the sensor knows that it failed: quality "fault", value null
SPIKE_CHANCE = 0.001  # the value jumps to the end of the sensor's range: quality "suspect"
STUCK_CHANCE = 0.0005  # the value freezes for STUCK_READINGS readings, unnoticed: quality "ok"
STUCK_READINGS = 20

Quality = Literal["ok", "suspect", "fault"]


class SensorReport(msgspec.Struct, frozen=True):
    """One payload, as such a radio sensor would send it."""

    value: float | None
    unit: str
    sensor: str
    quality: Quality
    signal_dbm: int
    battery_v: float


class OrnsteinUhlenbeck:
    """A random walk drawn back to 0: standard deviation `sigma`, memory of `tau_h` hours."""

    def __init__(self, sigma: float, tau_h: float, rng: Random) -> None:
        self._sigma = sigma
        self._tau_us = tau_h * HOUR_US
        self._rng = rng
        self._ts_us = 0
        self._value = rng.gauss(0.0, sigma)

    def at(self, ts_us: int) -> float:
        """Walk on to `ts_us`; a time before the last one stands still."""
        kept = math.exp(-max(0, ts_us - self._ts_us) / self._tau_us)
        spread = self._sigma * math.sqrt(1.0 - kept * kept)
        self._value = self._rng.gauss(self._value * kept, spread)
        self._ts_us = ts_us
        return self._value


class Weather:
    """The true state of one site at a time in microseconds; sensors add their own errors."""

    def __init__(self, rng: Random) -> None:
        self._mean_c = rng.uniform(8.0, 18.0)
        self._swing_c = rng.uniform(4.0, 7.0)
        self._warmest_h = rng.uniform(14.0, 16.0)
        self._anomaly_c = OrnsteinUhlenbeck(2.5, 36.0, rng)
        self._dew_point_c = OrnsteinUhlenbeck(2.0, 30.0, rng)
        self._pressure_hpa = OrnsteinUhlenbeck(8.0, 48.0, rng)
        self._east_m_s = OrnsteinUhlenbeck(3.0, 4.0, rng)
        self._north_m_s = OrnsteinUhlenbeck(3.0, 4.0, rng)
        self._charge_v = OrnsteinUhlenbeck(0.04, 72.0, rng)

    def temperature_c(self, ts_us: int) -> float:
        """Warmest in the afternoon, coldest twelve hours later."""
        day = self._swing_c * _cycle(ts_us, self._warmest_h)
        return self._mean_c + day + self._anomaly_c.at(ts_us)

    def humidity_pct(self, ts_us: int) -> float:
        """Falls when it gets warmer, since the dew point hardly follows; 100 is fog."""
        dew_point_c = self._mean_c - 8.0 + self._dew_point_c.at(ts_us)
        exponent = _magnus(dew_point_c) - _magnus(self.temperature_c(ts_us))
        return min(100.0, 100.0 * math.exp(exponent))

    def pressure_hpa(self, ts_us: int) -> float:
        """Slow weather and the small twelve-hour atmospheric tide, highest about 10 and 22."""
        return 1013.0 + 0.8 * _cycle(ts_us, 10.0, period_h=12.0) + self._pressure_hpa.at(ts_us)

    def wind_m_s(self, ts_us: int) -> float:
        """The length of a wandering vector, so speeds are about Rayleigh-distributed."""
        return math.hypot(self._east_m_s.at(ts_us), self._north_m_s.at(ts_us))

    def battery_v(self, ts_us: int) -> float:
        """A lithium cell on a solar panel: fullest in the late afternoon."""
        return 3.9 + 0.1 * _cycle(ts_us, 17.0) + self._charge_v.at(ts_us)


@dataclass(slots=True)
class Sensor:
    """An instrument: what it looks at, its noise (standard deviation), range and resolution."""

    stream: str
    unit: str
    truth: Callable[[int], float]
    noise: float
    low: float
    high: float
    decimals: int
    last: float = 0.0
    stuck_for: int = 0

    def sense(self, ts_us: int, rng: Random) -> tuple[float | None, Quality]:
        """Return value and quality at `ts_us`; the value keeps within the sensor's range."""
        if self.stuck_for:
            self.stuck_for -= 1
            return self.last, "ok"
        luck = rng.random()
        if (luck := luck - FAULT_CHANCE) < 0:
            return None, "fault"
        if (luck := luck - SPIKE_CHANCE) < 0:
            return self.high, "suspect"
        if luck < STUCK_CHANCE:
            self.stuck_for = STUCK_READINGS - 1
        value = rng.gauss(self.truth(ts_us), self.noise)
        self.last = round(min(self.high, max(self.low, value)), self.decimals)
        return self.last, "ok"


class SyntheticSource:
    """Five sensors of one site, read in turn; the seed is the node's name."""

    kind = "synthetic"

    def __init__(self, seed: str) -> None:
        self._rng = Random(seed)
        self._site = self._rng.randint(1, 99)
        self._weather = Weather(self._rng)
        self._sensors = cycle(_sensors(self._weather))

    def read(self, ts_us: int) -> Reading:
        """Return the next sensor's report."""
        sensor = next(self._sensors)
        value, quality = sensor.sense(ts_us, self._rng)
        report = SensorReport(
            value=value,
            unit=sensor.unit,
            sensor=f"{sensor.stream}-{self._site}",
            quality=quality,
            signal_dbm=round(self._rng.gauss(-78.0, 3.0)),
            battery_v=round(self._weather.battery_v(ts_us), 2),
        )
        return Reading(sensor.stream, msgspec.json.encode(report))


def _sensors(weather: Weather) -> tuple[Sensor, ...]:
    return (
        Sensor("temperature", "C", weather.temperature_c, 0.05, -40.0, 60.0, 2),
        Sensor("humidity", "%", weather.humidity_pct, 0.5, 0.0, 100.0, 1),
        Sensor("pressure", "hPa", weather.pressure_hpa, 0.05, 850.0, 1100.0, 1),
        Sensor("wind", "m/s", weather.wind_m_s, 0.3, 0.0, 60.0, 1),
        Sensor("battery", "V", weather.battery_v, 0.004, 2.5, 4.3, 3),
    )


def _cycle(ts_us: int, peak_h: float, period_h: float = 24.0) -> float:
    """Return the cosine of the time of day: 1 at `peak_h` o'clock UTC."""
    return math.cos(math.tau * (ts_us % DAY_US / HOUR_US - peak_h) / period_h)


def _magnus(celsius: float) -> float:
    """Return the exponent of the saturation vapour pressure over water."""
    return 17.625 * celsius / (243.04 + celsius)
