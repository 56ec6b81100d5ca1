"""`python -m benchmarks.console_app ours|slow|table|idle URL [LAGS]`: a screen to be measured.

`ours` is the console, `slow` the same with --slow, `table` its peer, `idle` shows nothing. With
LAGS a probe ticks in the loop; without, as its ticks cost as much as a screen, none does. At the
end it writes a line for each tick, in ms: how late it came, which is what a key would have had to
wait, and how much CPU the loop had used since the one before, which is the program's part of that.
"""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from textual.app import App

TICK_S = 0.005
SETTLE_S = 3.0


async def probe(app: App[None], ticks: list[tuple[float, float]]) -> None:
    """From when the first frames are over until somebody ends the program."""
    await asyncio.sleep(SETTLE_S)
    while True:
        due, used = time.perf_counter() + TICK_S, time.thread_time()
        await asyncio.sleep(TICK_S)
        if app._exit:
            return
        ticks.append((time.perf_counter() - due, time.thread_time() - used))


def screen(kind: str, url: str, token: str) -> App[None]:
    """What is measured; imported one by one, since what the other needs would slow a start down."""
    if kind in ("ours", "slow"):
        from console.app import ConsoleApp
        from console.settings import ConsoleSettings

        return ConsoleApp(ConsoleSettings(central=url, slow=kind == "slow"), token, alone=True)
    if kind == "table":
        from benchmarks.console_table import TableApp

        return TableApp(url, token)
    return App()


def main(kind: str, url: str, lags: str | None = None) -> None:
    ticks: list[tuple[float, float]] = []
    app = screen(kind, url, os.environ["TIDEHOLD_TOKEN"])

    async def run() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, app.exit)
        task = asyncio.create_task(probe(app, ticks)) if lags else None
        await app.run_async()
        if task is not None:
            task.cancel()

    asyncio.run(run())
    if lags:
        lines = (f"{late * 1e3:.2f} {cpu * 1e3:.2f}\n" for late, cpu in ticks)
        Path(lags).write_text("".join(lines))


if __name__ == "__main__":
    main(*sys.argv[1:])
