"""Keeps a cluster clock on time: asks each of its servers, again and again, at its own pace.

One task a server, so that one that hangs holds up no other. What came of each poll goes to the
clock, which decides what to make of it; when to ask next is said by the server's schedule.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Protocol

from cluster.clock.base import Base
from cluster.clock.client import NtpClient
from cluster.clock.cluster_clock import ClusterClock
from cluster.clock.sample import NtpFailed, Sample, Server

JITTER = 0.1  # a site powered up at one moment shall not ask at one moment for ever


class Client(Protocol):
    """Asks one server."""

    async def ask(self) -> Sample:
        """One answer. Raises NtpFailed, and nothing else, when there is none to use."""


class Follower:
    """Brings the time of `servers` to `clock`. `synced` is set when that is set, for ever."""

    def __init__(
        self,
        clock: ClusterClock,
        servers: Sequence[Server],
        synced: asyncio.Event | None = None,
        *,
        random: Random | None = None,
        client: Callable[[Server, Base], Client] = NtpClient,
    ) -> None:
        if not servers:
            raise ValueError("a follower needs at least one time server")
        self.synced = asyncio.Event() if synced is None else synced
        self._clock = clock
        self._random = Random() if random is None else random
        self._polls = [_Poll(clock, server, client(server, clock.base)) for server in servers]

    async def run(self) -> None:
        """Poll for ever. A server that does not answer is counted by the clock, never raised."""
        async with asyncio.TaskGroup() as tasks:
            for poll in self._polls:
                tasks.create_task(self._follow(poll))

    async def sync_now(self) -> None:
        """Ask every server at once, and return when all have answered or failed.

        Raises the last server's NtpFailed when none had an answer to use.
        """
        outcomes = await asyncio.gather(*(self._ask(poll) for poll in self._polls))
        if all(outcomes) and (failed := outcomes[-1]) is not None:
            raise failed

    def hurry(self) -> None:
        """Something does not fit: ask every server again at once, and a few times more."""
        for poll in self._polls:
            poll.source.schedule.burst()
            poll.wake.set()

    async def _follow(self, poll: "_Poll") -> None:
        while not poll.source.schedule.denied:
            poll.wake.clear()
            await self._ask(poll)
            wait_s = poll.source.schedule.next_s() * self._random.uniform(1 - JITTER, 1 + JITTER)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await poll.wake.wait()

    async def _ask(self, poll: "_Poll") -> NtpFailed | None:
        """One poll; what went wrong, if something did."""
        async with poll.one_at_a_time:
            try:
                sample = await poll.client.ask()
            except NtpFailed as failed:
                self._clock.miss(poll.source.name, failed.reason)
                return failed
            self._clock.adopt(sample)
        if self._clock.synced:
            self.synced.set()
        return None


class _Poll:
    """One server and what asks it."""

    def __init__(self, clock: ClusterClock, server: Server, client: Client) -> None:
        self.source = clock.source(str(server))
        self.client = client
        self.wake = asyncio.Event()
        self.one_at_a_time = asyncio.Lock()
