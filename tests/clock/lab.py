"""A small laboratory for clocks: a simulated crystal, links and servers, and a day in seconds.

All randomness comes from one seed. A clock under test is asked for the time every few seconds and
held against the truth, which only the laboratory knows. Polls come when the clock's own schedule
says so, so a burst is part of what is tested.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import inf, pi, sin, sqrt
from random import Random
from typing import NamedTuple, Protocol

SECOND = 1_000_000_000
EPOCH_NS = 1_800_000_000 * SECOND
STEP_S = 10  # the crystal's frequency is constant for so long
READ_S = 5  # the clock is read so often
SETTLED_S = 3600  # errors count from here on

Delay = Callable[[Random, float], float]


class Crystal:
    """An oscillator: `ppm` fast, with a daily swing, a room that warms and cools, and jumps.

    `wander` scales the room: 1 is an ordinary board, 5 a bad one. `jumps`: (true second, by how
    many seconds the base jumps): a pause is a jump back.
    """

    def __init__(
        self,
        random: Random,
        length_s: int,
        ppm: float = 30.0,
        wander: float = 1.0,
        jumps: tuple[tuple[float, float], ...] = (),
    ) -> None:
        self._jumps = jumps
        self._freq: list[float] = []
        self._gained = [0.0]
        room, phase = 0.0, random.uniform(0, 2 * pi)
        for step in range(length_s // STEP_S + 2):
            room += -room * STEP_S / 5400 + wander * random.gauss(0, 0.012)
            swing = wander * 0.4 * sin(2 * pi * step * STEP_S / 86_400 + phase)
            freq = (ppm + room + swing) * 1e-6
            self._freq.append(freq)
            self._gained.append(self._gained[-1] + freq * STEP_S)

    def base_ns(self, true_s: float) -> int:
        """The base's reading at a true second."""
        step = int(true_s // STEP_S)
        gained = self._gained[step] + self._freq[step] * (true_s - step * STEP_S)
        jumped = sum(by for at, by in self._jumps if true_s >= at)
        return round((1000 + true_s + gained + jumped) * SECOND)


def steady(base_s: float, jitter_s: float) -> Delay:
    """A base and exponential queues."""
    return lambda random, at_s: base_s + random.expovariate(1) * jitter_s


def crowded(base_s: float, jitter_s: float) -> Delay:
    """Heavy tails all day, and every three quarters of an hour some minutes of a full queue."""

    def delay(random: Random, at_s: float) -> float:
        tail = min(0.4, jitter_s * (random.paretovariate(1.6) - 1))
        full = 0.02 * random.uniform(0.5, 1.5) if at_s % 2700 < 300 else 0.0
        return base_s + tail + full

    return delay


@dataclass(frozen=True)
class Site:
    """A server and the way there and back. `lies`: seconds it is off, at a true second."""

    there: Delay
    back: Delay
    loss: float = 0.001
    lies: Callable[[float], float] = lambda at_s: 0.0
    away: tuple[tuple[float, float], ...] = ()  # from when to when it does not answer


@dataclass(frozen=True)
class Scenario:
    """A day, or less, of one node."""

    name: str
    sites: tuple[Site, ...]
    length_s: int = 86_400
    ppm: float = 30.0
    wander: float = 1.0
    jumps: tuple[tuple[float, float], ...] = ()


class Exchange(NamedTuple):
    """One question and its answer: base readings at both ends, Unix time at the server."""

    site: int
    asked_ns: int
    received_ns: int
    replied_ns: int
    heard_ns: int

    @property
    def offset_ns(self) -> int:
        return ((self.received_ns - self.asked_ns) + (self.replied_ns - self.heard_ns)) // 2

    @property
    def delay_ns(self) -> int:
        return (self.heard_ns - self.asked_ns) - (self.replied_ns - self.received_ns)


class Subject(Protocol):
    """A clock under test; it is told by `base_ns` where its base is."""

    def hear(self, exchange: Exchange) -> None:
        """An answer has just come."""

    def miss(self, site: int) -> None:
        """An answer has not come."""

    def wait_s(self, site: int) -> float:
        """Until the next question to that site."""

    def now_ns(self, base_ns: int) -> int:
        """The time it shows."""

    def bound_ns(self, base_ns: int) -> int | None:
        """How far that may be off, if it knows."""


@dataclass
class Result:
    """Errors in seconds: all of them by true second, and what is counted from them."""

    errors: list[tuple[float, float]] = field(default_factory=list)
    backward: int = 0
    unbounded: int = 0  # readings that were further off than was said

    def between(self, begin_s: float, end_s: float = inf) -> list[float]:
        return sorted(abs(error) for at_s, error in self.errors if begin_s <= at_s < end_s)

    @property
    def rms(self) -> float:
        errors = self.between(SETTLED_S)
        return sqrt(sum(error * error for error in errors) / len(errors))

    @property
    def p99(self) -> float:
        errors = self.between(SETTLED_S)
        return errors[int(0.99 * len(errors))]

    @property
    def worst(self) -> float:
        return self.between(SETTLED_S)[-1]

    def back_under(self, limit_s: float, after_s: float) -> float:
        """Seconds after `after_s` until the error stays below `limit_s` for a minute."""
        bad = after_s
        for at_s, error in self.errors:
            if at_s >= after_s and abs(error) >= limit_s:
                bad = at_s
            elif at_s >= bad + 60:
                return bad + READ_S - after_s if bad > after_s else 0.0
        return inf


def run(scenario: Scenario, make: Callable[[], Subject], seed: int = 1) -> Result:
    """Live through a scenario."""
    random = Random(seed)
    crystal = Crystal(random, scenario.length_s, scenario.ppm, scenario.wander, scenario.jumps)
    subject, result, last_ns = make(), Result(), 0
    for at_s, happens in _events(scenario, subject, crystal, random):
        if happens is not None:
            happens()
            continue
        base_ns = crystal.base_ns(at_s)
        shown_ns, bound_ns = subject.now_ns(base_ns), subject.bound_ns(base_ns)
        error_ns = shown_ns - EPOCH_NS - round(at_s * SECOND)
        result.errors.append((at_s, error_ns / SECOND))
        result.backward += shown_ns <= last_ns and at_s > 60
        result.unbounded += bound_ns is not None and abs(error_ns) > bound_ns
        last_ns = shown_ns
    return result


def _events(
    scenario: Scenario, subject: Subject, crystal: Crystal, random: Random
) -> Iterator[tuple[float, Callable[[], None] | None]]:
    """What happens, in order of time; None stands for a reading."""
    queue: list[tuple[float, int, int, Exchange | None]] = []
    for site in range(len(scenario.sites)):
        heapq.heappush(queue, (1.0 + site / 7, site, 0, None))
    next_read_s = 0.0
    while next_read_s < scenario.length_s:
        if not queue or next_read_s <= queue[0][0]:
            yield next_read_s, None
            next_read_s += READ_S
            continue
        at_s, site, is_answer, exchange = heapq.heappop(queue)
        if not is_answer:
            arrives_s, exchange = _ask(scenario, site, crystal, random, at_s)
            heapq.heappush(queue, (arrives_s, site, 1, exchange))
            continue

        def answered(site: int = site, exchange: Exchange | None = exchange) -> None:
            if exchange is None:
                subject.miss(site)
            else:
                subject.hear(exchange)

        yield at_s, answered
        heapq.heappush(queue, (at_s + subject.wait_s(site), site, 0, None))


def _ask(
    scenario: Scenario, site: int, crystal: Crystal, random: Random, at_s: float
) -> tuple[float, Exchange | None]:
    """When the answer comes, and the answer; None when it does not."""
    asked = scenario.sites[site]
    lost = random.random() < asked.loss
    if lost or any(begin <= at_s < end for begin, end in asked.away):
        return at_s + 1.0, None
    received_s = at_s + asked.there(random, at_s)
    replied_s = received_s + 30e-6
    heard_s = replied_s + asked.back(random, at_s)
    return heard_s, Exchange(
        site=site,
        asked_ns=crystal.base_ns(at_s),
        received_ns=EPOCH_NS + round((received_s + asked.lies(received_s)) * SECOND),
        replied_ns=EPOCH_NS + round((replied_s + asked.lies(replied_s)) * SECOND),
        heard_ns=crystal.base_ns(heard_s),
    )
