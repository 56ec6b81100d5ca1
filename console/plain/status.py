"""`status`: every node in a line; `--watch`: a line for each change, for ever."""

import asyncio

import msgspec

from cluster.peer import Peer
from cluster.protocol.views import CentralStatus, NodeView
from console import format as fmt
from console.model import Piece, state_of
from console.plain.fleet import ask_fleet
from console.plain.lines import node_row, node_table, summary
from console.plain.listener import Listener
from console.plain.page import Page
from console.plain.table import Table
from console.store import Store

SAY_COUNTS_S = 5.0  # at most so often, of one node
CLOCK = len("12:34:56 ")


class WholeStatus(msgspec.Struct, frozen=True):
    """What `status --json` prints."""

    status: CentralStatus | None
    nodes: list[NodeView]


async def once(peer: Peer, page: Page, *, json: bool) -> bool:
    """Print the fleet; whether every node is well."""
    store = await ask_fleet(peer)
    views = list(store.nodes.values())
    if json:
        page.raw(msgspec.json.encode(WholeStatus(store.status, views)))
    else:
        rows = [node_row(view, store) for view in worst_first(views)]
        table = node_table(page)
        table.fit(rows)
        page.write(*table.head())
        for row in rows:
            page.write(*table.line(row))
        for sentence in summary(store):
            page.say(sentence)
    return all(is_well(view) for view in views)


def worst_first(views: list[NodeView]) -> list[NodeView]:
    return sorted(views, key=lambda view: (state_of(view).severity, fmt.natural(view.name)))


def is_well(view: NodeView) -> bool:
    """Up, proven in sync, and its clock is not bad; whether or not a run is at it just now."""
    return view.live == "up" and view.data == "in_sync" and view.clock_word != "BAD"


async def watch(listener: Listener, page: Page, *, json: bool) -> None:
    """A line for each node whose state or counts have changed."""
    told: dict[str, tuple[str, float]] = {}
    untold: set[str] = set()
    store, table = listener.store, node_table(page, before=CLOCK)
    async for changes in listener.changes(page.aside if json else page.warn):
        untold |= changes.nodes | (
            store.nodes.keys() | told.keys() if changes.everything else set()
        )
        due = [name for name in untold if _is_due(store.nodes.get(name), told.get(name))]
        now_s = asyncio.get_running_loop().time()
        told |= {name: (_sight(store.nodes.get(name)), now_s) for name in due}
        untold = {name for name in untold if told[name][0] != _sight(store.nodes.get(name))}
        _tell(sorted(due, key=fmt.natural), store, table, page, json=json)


def _is_due(view: NodeView | None, told: tuple[str, float] | None) -> bool:
    """Whether its sight is news; that of new counts alone has to wait for its time."""
    if told is None:
        return view is not None
    before, at_s = told
    sight = _sight(view)
    only_counts = before.partition("|")[0] == sight.partition("|")[0]
    waits = only_counts and asyncio.get_running_loop().time() - at_s < SAY_COUNTS_S
    return sight != before and not waits


def _sight(view: NodeView | None) -> str:
    """What a line tells of a node: its state, then its counts."""
    if view is None:
        return "gone|"
    return f"{state_of(view).word} {view.data} {view.failures > 0}|{view.records}"


def _tell(names: list[str], store: Store, table: Table, page: Page, *, json: bool) -> None:
    views = [store.nodes.get(name) for name in names]
    if json:
        for name, view in zip(names, views, strict=True):
            page.raw(msgspec.json.encode(view or {"name": name, "gone": True}))
        return
    rows = [node_row(view, store) if view is not None else None for view in views]
    table.fit(row for row in rows if row is not None)
    clock: Piece = (f"{fmt.clock_time(store.now_us())} ", "muted")
    for name, row in zip(names, rows, strict=True):
        gone: Piece = (f"{fmt.safe(name)} is no longer polled", "plain")
        page.write(clock, *(table.line(row) if row is not None else (gone,)))
