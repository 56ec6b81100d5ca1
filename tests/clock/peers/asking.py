"""Asking a server for the time, and comparing what it said with the clock that it serves."""

from collections.abc import Awaitable, Callable

import pytest

from cluster.clock.base import RealBase, SkewedBase, tight_pair
from cluster.clock.client import NtpClient
from cluster.clock.cluster_clock import ClusterClock
from cluster.clock.sample import NtpFailed, Reason, Sample, Server
from tests.program import until

OFFSET_MS, PPM = 5000, 50


def wrong_clock() -> ClusterClock:
    """What a central would serve whose machine is 5 s ahead and 50 ppm fast."""
    return ClusterClock.reference(SkewedBase(OFFSET_MS, PPM))


async def ask(server: Server, timeout_s: float = 0.3) -> Sample:
    """Ask once, on this machine's own base."""
    return await NtpClient(server, RealBase(), timeout_s).ask()


async def asked(server: Server, times: int) -> list[Sample]:
    """Ask so many times, and keep what was answered. Only silence may be the reason for less."""
    samples = []
    for _ in range(times):
        try:
            samples.append(await ask(server))
        except NtpFailed as failed:
            if failed.reason != "timeout":
                raise
    return samples


async def answer(server: Server, within_s: float = 5.0) -> Sample:
    """Ask until it answers."""
    answers: list[Sample] = []

    async def answered() -> bool:
        try:
            answers.append(await ask(server))
        except NtpFailed:
            return False
        return True

    await until(answered, f"{server} answers", within_s)
    return answers[0]


def refused(server: Server, reason: Reason) -> Callable[[], Awaitable[bool]]:
    """The condition that `server` has no usable time, for `reason`. It must never give any."""

    async def is_refused() -> bool:
        with pytest.raises(NtpFailed) as failed:
            await ask(server)
        return failed.value.reason == reason

    return is_refused


def error_ns(sample: Sample, clock: ClusterClock) -> int:
    """How far from `clock` the time is that `sample` brought. Judge it at once: clocks drift."""
    at_ns, now_ns = tight_pair(RealBase().monotonic_ns, clock.now_ns)
    return sample.offset_ns - (now_ns - at_ns)
