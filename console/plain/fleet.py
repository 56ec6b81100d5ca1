"""The fleet as central knows it now, asked once."""

import asyncio

from cluster.exchange import Nothing
from cluster.peer import Peer
from cluster.protocol import central
from console.store import Store

ASK_S = 10.0


async def ask_fleet(peer: Peer) -> Store:
    """Central's status and all nodes. PeerFailed comes out as it is."""
    status, found = await asyncio.gather(
        peer.call(central.STATUS, Nothing(), timeout_s=ASK_S),
        peer.call(central.NODES, Nothing(), timeout_s=ASK_S),
    )
    store = Store()
    store.know(status, found.nodes)
    return store
