"""`python -m benchmarks.console_app ours|table|idle URL LAGS`: a screen with a probe in its loop.

`ours` is the console; `table` shows the same feed in Textual's own DataTable, updating the cells
of what has changed; `idle` shows nothing. At the end the probe writes, in milliseconds, how late
its ticks came: what a key would have had to wait for.
"""

import asyncio
import os
import random
import signal
import sys
import time
from pathlib import Path

from textual.app import App, ComposeResult
from textual.widgets import DataTable

from cluster.backoff import Backoff
from cluster.peer import Peer, open_session
from console.app import ConsoleApp
from console.feed import Feed
from console.model import beside_of, state_of
from console.settings import ConsoleSettings
from console.store import Store

TICK_S = 0.005
SETTLE_S = 3.0
FLUSH_S = 0.25
COLUMNS = ("NODE", "STATE", "SAYS", "DRIFT", "AT NODE", "CENTRAL", "MISSING", "SEEN")


async def probe(app: App[None], lags_ms: list[float]) -> None:
    """From when the first frames are over until somebody ends the program."""
    await asyncio.sleep(SETTLE_S)
    while True:
        due = time.perf_counter() + TICK_S
        await asyncio.sleep(TICK_S)
        if app._exit:
            return
        lags_ms.append((time.perf_counter() - due) * 1000)


class TableApp(App[None]):
    """What one would write without a table of one's own."""

    def __init__(self, url: str, token: str) -> None:
        super().__init__()
        self.animation_level = "none"
        self._url, self._token = url, token
        self._store = Store()

    def compose(self) -> ComposeResult:
        yield DataTable(cursor_type="row")

    async def on_mount(self) -> None:
        table = self.query_one(DataTable)
        for column in COLUMNS:
            table.add_column(column, key=column, width=12)
        peer = Peer(open_session(), self._url, self._token)
        feed = Feed(self._store, peer, Backoff(1, 30, random.Random()))
        self.run_worker(feed.run())
        self.set_interval(FLUSH_S, self._show_changes)

    def _show_changes(self) -> None:
        table, changes = self.query_one(DataTable), self._store.take_changes()
        if changes.everything:
            table.clear()
            for name in sorted(self._store.nodes):
                table.add_row(*self._cells(name), key=name)
            return
        with self.batch_update():
            for name in changes.nodes:
                for column, cell in zip(COLUMNS, self._cells(name), strict=True):
                    table.update_cell(name, column, cell)

    def _cells(self, name: str) -> tuple[str, ...]:
        view, records = self._store.nodes[name], self._store.nodes[name].records
        drift = f"{view.clock.drift_ms:+.1f}ms" if view.clock and view.clock.drift_ms else "--"
        return (
            name,
            state_of(view).word,
            beside_of(view, self._store.now_us())[0],
            drift,
            f"{records.node or 0:,}",
            f"{records.central:,}",
            f"{records.missing_at_central or 0:,}",
            str(view.failures),
        )


def main(kind: str, url: str, lags_file: Path) -> None:
    token, lags_ms = os.environ["TIDEHOLD_TOKEN"], list[float]()
    app: App[None] = TableApp(url, token)
    if kind == "ours":
        slow = bool(os.environ.get("BENCH_SLOW"))
        app = ConsoleApp(ConsoleSettings(central=url, slow=slow), token, alone=True)
    elif kind == "idle":
        app = App()

    async def run() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, app.exit)
        probed = not os.environ.get("BENCH_NO_PROBE")  # its ticks cost as much as a screen
        task = asyncio.create_task(probe(app, lags_ms)) if probed else None
        await app.run_async()
        if task is not None:
            task.cancel()

    asyncio.run(run())
    lags_file.write_text(" ".join(f"{lag:.2f}" for lag in lags_ms))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
