"""A follower asks each server at its own pace; what is scripted here are the servers, not it."""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

import pytest

from cluster.clock.base import Base
from cluster.clock.cluster_clock import ClusterClock
from cluster.clock.follower import Follower
from cluster.clock.report import state_of
from cluster.clock.sample import NtpFailed, Reason, Sample, Server
from cluster.clock.watch import Watch
from tests.clock.hand import SECOND, HandBase, sample_of, synced
from tests.program import until

FIRST, SECOND_SERVER = Server("192.0.2.1"), Server("192.0.2.2")


@dataclass
class Site:
    """Servers that fail with a reason, or answer where there is none; all answer without."""

    base: HandBase = field(default_factory=HandBase)
    failing: dict[Server, Reason] = field(default_factory=dict)
    asked: list[Server] = field(default_factory=list)

    def follower(self, *servers: Server) -> Follower:
        self.clock = ClusterClock(self.base)
        return Follower(self.clock, servers or (FIRST,), random=Random(1), client=self.client)

    def client(self, server: Server, base: Base) -> "ScriptedClient":
        return ScriptedClient(self, server)


@dataclass
class ScriptedClient:
    site: Site
    server: Server

    async def ask(self) -> Sample:
        self.site.asked.append(self.server)
        if (reason := self.site.failing.get(self.server)) is not None:
            raise NtpFailed(reason, "as the test says")
        return sample_of(self.site.base, self.site.base.system, source=str(self.server))


async def test_each_server_is_followed_by_itself() -> None:
    """One that fails is counted and holds up no other."""
    site = Site(failing={FIRST: "timeout"})
    follower = site.follower(FIRST, SECOND_SERVER)

    await follower.sync_now()

    state = state_of(site.clock)
    assert site.asked == [FIRST, SECOND_SERVER]
    assert state.reference == str(SECOND_SERVER)
    assert state.sources[0].rejected == {"timeout": 1}
    assert follower.synced.is_set()


async def test_no_answer_at_all_is_raised() -> None:
    """Who asks for a measurement now hears why there is none."""
    site = Site(failing={FIRST: "implausible", SECOND_SERVER: "dns"})
    follower = site.follower(FIRST, SECOND_SERVER)

    with pytest.raises(NtpFailed) as failed:
        await follower.sync_now()

    assert failed.value.reason == "dns"
    assert not follower.synced.is_set()


async def test_it_polls_at_once_and_again_when_it_is_hurried() -> None:
    """A burst does not wait for the end of the pause."""
    site = Site()
    follower = site.follower(FIRST, SECOND_SERVER)
    running = asyncio.create_task(follower.run())
    await until(lambda: _is(len(site.asked) == 2), "both were asked")

    follower.hurry()

    await until(lambda: _is(len(site.asked) == 4), "both were asked again", within_s=1)
    running.cancel()


async def test_a_server_that_denies_is_asked_once() -> None:
    site = Site(failing={FIRST: "denied"})

    await site.follower(FIRST).run()  # it ends: there is nobody left to ask

    assert site.asked == [FIRST]
    assert state_of(site.clock).sources[0].state == "denied"


async def _is(fact: bool) -> bool:
    return fact


class TestWatch:
    def test_a_change_is_told_once(self, caplog: pytest.LogCaptureFixture) -> None:
        """Set, lost, suspected and trusted are one line each, however often one looks."""
        caplog.set_level(logging.INFO, logger="cluster.clock.watch")
        base = HandBase()
        clock = ClusterClock(base)
        watch = Watch(clock)

        for step in _story(clock, base):
            base.advance(step * SECOND)
            watch.look()
            watch.look()

        assert [record.__dict__["event"] for record in caplog.records] == [
            "clock-synced",
            "clock-lost",
            "clock-regained",
            "clock-suspect",
            "clock-trusted",
            "clock-stepped",
        ]

    def test_the_system_clock_and_a_suspend_are_told(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """And who asks the servers is told that the machine slept."""
        caplog.set_level(logging.INFO, logger="cluster.clock.watch")
        base = HandBase()
        hurried: list[bool] = []
        watch = Watch(synced(base, base.system), slept=lambda: hurried.append(True))
        watch.look()

        base.system += 60 * SECOND
        watch.look()
        base.suspends += 1
        watch.look()

        events = [record.__dict__["event"] for record in caplog.records]
        assert events == ["system-clock-stepped", "machine-slept"]
        assert hurried == [True]


def _story(clock: ClusterClock, base: HandBase) -> Iterator[int]:
    """Seconds to go on, each after something has happened."""
    yield 0
    clock.adopt(sample_of(base, base.system))
    yield 0
    yield 60
    clock.adopt(sample_of(base, base.system))
    yield 0
    for wait_s in (1, 0, 0):  # a minute was lost unseen
        clock.adopt(sample_of(base, base.system + 60 * SECOND))
        yield wait_s
