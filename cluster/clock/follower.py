"""Keeps a cluster clock on time: asks the servers, again and again, as seldom as is enough.

Often at first, to find the frequency, then once a minute. The first server that answers is
believed; choosing among several that answer is a later issue. What changes is logged once.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import repeat
from random import Random

from cluster.clock.base import Base
from cluster.clock.cluster_clock import ClusterClock
from cluster.clock.ntp import NtpFailed, Sample, Server, measure
from cluster.clock.state import ClockState, ClockStatus

JITTER = 0.1  # a site powered up at one moment shall not ask at one moment for ever

Ask = Callable[[Server, Base, float], Awaitable[Sample]]
Sleep = Callable[[float], Awaitable[None]]

_log = logging.getLogger(__name__)

_CHANGES: dict[tuple[ClockStatus, ClockStatus], tuple[str, str]] = {
    ("UNSYNC", "SYNC"): ("clock-synced", "clock set for the first time"),
    ("SYNC", "HOLDOVER"): ("clock-lost", "no time server answers; the clock runs on its own"),
    ("HOLDOVER", "SYNC"): ("clock-regained", "a time server answers again"),
}


def intervals() -> Iterator[float]:
    """Seconds between polls, without end: 2 four times, 16 to ten minutes, 32 to one hour, 64."""
    yield from repeat(2.0, 4)
    yield from repeat(16.0, (600 - 8) // 16)
    yield from repeat(32.0, (3600 - 600) // 32)
    yield from repeat(64.0)


class Follower:
    """Brings the time of `servers`, in order of preference, to `clock`."""

    def __init__(
        self,
        clock: ClusterClock,
        servers: Sequence[Server],
        *,
        timeout_s: float = 1.0,
        random: Random | None = None,
        ask: Ask = measure,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        if not servers:
            raise ValueError("a follower needs at least one time server")
        self.synced = asyncio.Event()  # set at the first synchronisation, for ever
        self._clock = clock
        self._servers = tuple(servers)
        self._timeout_s = timeout_s
        self._random = Random() if random is None else random
        self._ask = ask
        self._sleep = sleep
        self._one_at_a_time = asyncio.Lock()
        self._told = clock.state()

    async def run(self) -> None:
        """Poll for ever. A server that does not answer is counted by the clock, never raised."""
        for interval_s in intervals():
            self._clock.expect(interval_s)
            with contextlib.suppress(NtpFailed):
                await self.sync_now()
            await self._sleep(interval_s * self._random.uniform(1 - JITTER, 1 + JITTER))

    async def sync_now(self) -> ClockState:
        """Measure and correct at once. Raises the last server's NtpFailed when none answers."""
        async with self._one_at_a_time:
            try:
                self._clock.adopt(await self._first_answer())
                self.synced.set()
            finally:
                self._tell_changes()
            return self._told

    async def _first_answer(self) -> Sample:
        failures: list[NtpFailed] = []
        for server in self._servers:
            try:
                return await self._ask(server, self._clock.base, self._timeout_s)
            except NtpFailed as failure:
                self._clock.discard(failure.reason)
                failures.append(failure)
        raise failures[-1]

    def _tell_changes(self) -> None:
        before, self._told = self._told, self._clock.state()
        change = _CHANGES.get((before.status, self._told.status))
        if change is not None:
            _tell(*change, self._told)
        if self._told.steps > before.steps:
            _tell("clock-stepped", "over a second behind: stepped forward", self._told)


def _tell(event: str, message: str, state: ClockState) -> None:
    facts = {
        "event": event,
        "server": state.reference,
        "drift_ms": state.drift_ms,
        "bound_ms": state.bound_ms,
        "steps": state.steps,
        "failures": state.failures,
        "last_failure": state.last_failure,
    }
    _log.info(message, extra=facts)
