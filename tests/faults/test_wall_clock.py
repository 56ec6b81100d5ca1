"""Somebody sets the machine's clock: polls keep their pace, and no node goes down."""

import time
from pathlib import Path

import pytest

from cluster.protocol import central
from tests.console.real import POLL_S, real_fleet
from tests.program import until

HOUR_S, DAY_S = 3_600, 86_400


@pytest.mark.fault(50)
async def test_polls_keep_their_pace_whatever_the_wall_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour and a day, to and fro: neither a burst of polls nor a pause."""
    real_s, real_ns, off_s = time.time, time.time_ns, 0
    async with real_fleet(tmp_path) as fleet:
        await fleet.node("n1")
        monkeypatch.setattr(time, "time", lambda: real_s() + off_s)
        monkeypatch.setattr(time, "time_ns", lambda: real_ns() + off_s * 10**9)

        async def polls() -> int:
            asked = await fleet.call(central.NODE_POLLS, central.HistoryAsk("n1"))
            return len(asked.points)

        first, began_s = await polls(), time.monotonic()
        for jump_s in (HOUR_S, -HOUR_S, DAY_S, -DAY_S):
            off_s, before = jump_s, await polls()

            async def polled(before: int = before) -> bool:
                return await polls() > before + 1

            await until(polled, "it is polled twice more")
        count, took_s = await polls() - first, time.monotonic() - began_s
        kinds = [
            line.kind for line in (await fleet.call(central.JOURNAL, central.JournalAsk())).lines
        ]

    assert count <= took_s / POLL_S + 2
    assert "node-down" not in kinds
