"""What becomes of the rows of one POST: stored, or told why not, each by its index."""

import asyncio

from cluster import arrival
from cluster.problem import Rejected
from cluster.protocol.shared import Receipt
from cluster.server import INLINE_BYTES
from node.rows import read_rows
from node.store import NodeStore, Stored

DROPPED = "its window was given up here after central had proven that it holds all of it"


async def append_rows(store: NodeStore, body: bytes, media_type: str) -> Receipt:
    """Rows as JSON or NDJSON, new ones or ones with their id."""
    if len(body) > INLINE_BYTES:
        rows = await asyncio.to_thread(read_rows, body, media_type, store.node)
    else:
        rows = read_rows(body, media_type, store.node)
    return _receipt(await store.store(rows.good), rows.indexes, rows.rejected)


async def append_page(store: NodeStore, body: bytes, checksum: str | None) -> Receipt:
    """Rows as a SQLite file, all with their id. Refusal `bad_page` when it is none."""
    page = await asyncio.to_thread(arrival.check, body, store.node, checksum)
    bad = [Rejected(row.index, row.code, row.detail) for row in page.bad]
    out = {row.index for row in page.bad}
    indexes = [index for index in range(page.count) if index not in out]
    return _receipt(await store.store_page(page), indexes, bad)


def _receipt(stored: Stored, indexes: list[int], rejected: list[Rejected]) -> Receipt:
    gone = [Rejected(indexes[place], "dropped", DROPPED) for place in stored.dropped]
    return Receipt(
        received=len(indexes) + len(rejected),
        inserted=stored.inserted,
        duplicate=stored.duplicate,
        conflict=len(stored.conflicts),
        conflicts=[indexes[place] for place in stored.conflicts],
        rejected=sorted([*rejected, *gone], key=lambda row: row.index),
    )
