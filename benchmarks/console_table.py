"""The console's peer: the same feed in Textual's own DataTable, as one would write it in an hour.

It imports no more than it needs, and shows what has come as soon as the console does, so that
neither its start nor its frames are slower than they have to be.
"""

import asyncio
import random

from textual.app import App, ComposeResult
from textual.widgets import DataTable

from cluster.backoff import Backoff
from cluster.peer import Peer, open_session
from console.feed import Feed
from console.model import beside_of, state_of
from console.store import Store

FRAME_S = 0.1
COLUMNS = ("NODE", "STATE", "SAYS", "DRIFT", "AT NODE", "CENTRAL", "MISSING", "SEEN")


class TableApp(App[None]):
    """A row for each node; of what has changed, each cell is updated."""

    def __init__(self, url: str, token: str) -> None:
        super().__init__()
        self.animation_level = "none"
        self._url, self._token = url, token
        self._store = Store()

    def compose(self) -> ComposeResult:
        yield DataTable(cursor_type="row")

    async def on_mount(self) -> None:
        for column in COLUMNS:
            self._table.add_column(column, key=column, width=12)
        self._session = open_session()
        peer = Peer(self._session, self._url, self._token)
        feed = Feed(self._store, peer, Backoff(1, 30, random.Random()))
        self.run_worker(feed.run())
        self.run_worker(self._draw_for_ever())

    async def on_unmount(self) -> None:
        await self._session.close()

    @property
    def _table(self) -> DataTable[str]:
        return self.query_one(DataTable)

    async def _draw_for_ever(self) -> None:
        while True:
            await self._store.changed.wait()
            self._show_changes()
            await asyncio.sleep(FRAME_S)

    def _show_changes(self) -> None:
        changes = self._store.take_changes()
        if changes.everything:
            self._table.clear()
            for name in sorted(self._store.nodes):
                self._table.add_row(*self._cells(name), key=name)
            return
        for name in changes.nodes:
            for column, cell in zip(COLUMNS, self._cells(name), strict=True):
                self._table.update_cell(name, column, cell)

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
