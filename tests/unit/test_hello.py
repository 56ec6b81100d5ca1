"""A node says hello when central seems not to know it, and no more often than that."""

import asyncio
from random import Random
from typing import Any

import pytest

from cluster.peer import PeerFailed
from node.hello import QUIET_S, REMINDER_S, Greeter
from tests.simulation.loop import run

HOUR_S = 3600.0


class Central:
    """Polls who says hello at once, and all it knows every `poll_s`; not while it is `away`."""

    def __init__(self, poll_s: float) -> None:
        self.hellos: list[float] = []
        self.away = False
        self._poll_s = poll_s
        self.greeter = Greeter(self, "n1", "http://n1", "boot", Random(1))  # type: ignore[arg-type]

    async def call(self, *question: Any, timeout_s: float) -> None:
        if self.away:
            raise PeerFailed("refused", "nobody listens there")
        self.hellos.append(asyncio.get_running_loop().time())
        self.greeter.polled()

    async def poll(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            if not self.away:
                self.greeter.polled()


async def lived(central: Central, seconds: float) -> None:
    tasks = [asyncio.ensure_future(central.greeter.run()), asyncio.ensure_future(central.poll())]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


@pytest.mark.parametrize("poll_s", [0.2, 1.0, 5.0, 15.0, 60.0, 250.0])
def test_a_patient_central_is_not_greeted_more_often_than_it_polls(poll_s: float) -> None:
    """Each hello leads to a poll: that would take the slow pace away that somebody has set."""
    central = Central(poll_s)
    run(lived(central, HOUR_S))
    assert len(central.hellos) <= HOUR_S / REMINDER_S + 4


@pytest.mark.parametrize("poll_s", [1.0, 60.0])
def test_a_central_that_has_forgotten_is_told_soon(poll_s: float) -> None:
    async def story() -> None:
        living = asyncio.ensure_future(lived(central, 600 + 10 * poll_s))
        await asyncio.sleep(300.5)
        central.away = True  # and knows nobody when it is back
        central._poll_s = HOUR_S
        await asyncio.sleep(200)
        central.away = False
        central.hellos.clear()
        await living

    central = Central(poll_s)
    run(story())
    assert central.hellos, "it was never told"
    assert central.hellos[0] - 500.5 <= max(QUIET_S, 60.0) + 3 * poll_s
