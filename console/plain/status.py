"""`status`: every node in a line; `--watch`: a line for each change, for ever."""

import asyncio

import msgspec

from cluster.exchange import Nothing
from cluster.peer import Peer
from cluster.protocol import central
from cluster.protocol.views import CentralStatus, NodeView
from console import format as fmt
from console.model import IN_SYNC, Piece, state_of
from console.plain.lines import header, name_width, node_line, summary
from console.plain.listener import Listener
from console.plain.page import Page
from console.store import Store

ASK_S = 10.0
SAY_COUNTS_S = 5.0  # at most so often, of one node


class WholeStatus(msgspec.Struct, frozen=True):
    """What `status --json` prints."""

    status: CentralStatus
    nodes: list[NodeView]


async def once(peer: Peer, page: Page, *, json: bool) -> bool:
    """Print the fleet; whether every node is up and in sync."""
    store = Store()
    status, found = await asyncio.gather(
        peer.call(central.STATUS, Nothing(), timeout_s=ASK_S),
        peer.call(central.NODES, Nothing(), timeout_s=ASK_S),
    )
    store.know(status, found.nodes)
    if json:
        page.raw(msgspec.json.encode(WholeStatus(status, found.nodes)).decode())
    else:
        width = name_width(list(store.nodes))
        page.write(*header(width))
        for view in worst_first(found.nodes):
            page.write(*node_line(view, store, width))
        page.say(summary(store))
    return all(state_of(view) is IN_SYNC for view in found.nodes)


def worst_first(views: list[NodeView]) -> list[NodeView]:
    return sorted(views, key=lambda view: (state_of(view).severity, fmt.natural(view.name)))


async def watch(listener: Listener, page: Page, *, json: bool) -> None:
    """A line for each node whose state or counts have changed."""
    told: dict[str, tuple[str, float]] = {}
    was_away, loop = "", asyncio.get_running_loop()
    async for changes, away in listener.changes():
        if away != was_away and not json:
            page.say(f"central is away: {away}" if away else "central is back", "warning")
        was_away = away
        store = listener.store
        names = set(store.nodes) if changes.everything else changes.nodes
        for name in sorted(names, key=fmt.natural):
            view = store.nodes.get(name)
            sight = _sight(view)
            before, at_s = told.get(name, ("", 0.0))
            only_counts = before.partition("|")[0] == sight.partition("|")[0]
            if sight == before or (only_counts and loop.time() - at_s < SAY_COUNTS_S):
                continue
            told[name] = sight, loop.time()
            _tell(name, view, store, page, json=json)


def _sight(view: NodeView | None) -> str:
    """What a line tells of a node: its state, then its counts."""
    if view is None:
        return "gone|"
    return f"{state_of(view).word} {view.data} {view.failures > 0}|{view.records}"


def _tell(name: str, view: NodeView | None, store: Store, page: Page, *, json: bool) -> None:
    if json:
        line = msgspec.json.encode(view if view is not None else {"name": name, "gone": True})
        page.raw(line.decode())
        return
    clock: Piece = (f"{fmt.clock_time(store.now_us())} ", "muted")
    if view is None:
        page.write(clock, (f"{fmt.safe(name)} is no longer polled", "plain"))
    else:
        page.write(clock, *node_line(view, store, name_width(list(store.nodes))))
