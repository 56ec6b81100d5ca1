"""How fast a node takes records from clients, durably."""

import asyncio
import sqlite3
import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random
from typing import cast

from benchmarks import workload
from benchmarks.table import Table
from cluster import page_file
from cluster.exchange import NDJSON, SQLITE, Nothing
from cluster.peer import Peer, open_session
from cluster.protocol.node import APPEND
from cluster.records import Filter
from node.store import SCHEMA
from tests.program import TOKEN, Program
from tests.world import world

ROWS, BATCH, BATCH_CLIENTS = 100_000, 1_000, 4
POSTS, CLIENTS = 20_000, 64
HEAD = (
    b"POST /v1/records HTTP/1.1\r\nHost: n1\r\nContent-Type: application/x-ndjson\r\n"
    b"Authorization: Bearer " + TOKEN.encode() + b"\r\nContent-Length: %d\r\n\r\n"
)


def body(count: int, first: int = 0) -> bytes:
    """Rows without ids, as NDJSON."""
    rng = Random(first)
    return b"".join(
        b'{"stream":"sensor.%d","payload":%b}\n'
        % (number % 5, workload.payload(rng, number).encode())
        for number in range(first, first + count)
    )


def measure(table: Table, folder: Path) -> None:
    source = folder / "ingest-source.db"
    workload.write_database(source, ROWS)
    start = time.perf_counter()
    workload.copy_all(source, folder / "ingest-floor.db", SCHEMA, BATCH)
    floor = ROWS / (time.perf_counter() - start)
    table.rate("floor: the same, 1,000 a commit", floor, 1.0)
    asyncio.run(measure_posts(table, folder, floor))


async def measure_posts(table: Table, folder: Path, floor: float) -> None:
    async with world(folder / "ingest") as w:
        n1 = await w.node("n1")
        bodies = [body(BATCH, first) for first in range(0, ROWS, BATCH)]
        rate = await batches(n1, bodies, NDJSON)
        table.rate("ingest, POST of 1,000 as NDJSON", rate, rate / floor, "0.5 x floor")
        rate = await batches(n1, pages(folder / "ingest-source.db"), SQLITE)
        table.rate("ingest, POST of 1,000 as page files", rate, rate / floor, "0.5 x floor")
        together = [await singles(n1.port)]
        n1.kill()
        one_by_one = await singles_one_by_one(folder / "alone")
        await n1.start()
        together.append(await singles(n1.port))
    table.rate("peer: the same node, one commit a POST", one_by_one, 1.0, "", "")
    rate = statistics.median(together)
    wanted = "5 x one commit a POST"
    table.rate(
        f"single durable POSTs, {CLIENTS} clients", rate, rate / one_by_one, wanted, "x one commit"
    )


async def singles_one_by_one(folder: Path) -> float:
    async with open_session() as session:
        node = Program(
            lambda url: Peer(session, url, TOKEN),
            "benchmarks.one_commit",
            folder,
            *("--name", "n1", "--source", "none"),
        )
        await node.start()
        try:
            return await singles(node.port)
        finally:
            node.kill()


def pages(source: Path) -> list[bytes]:
    """The workload as page files of 1,000 rows, with their ids and hashes."""
    with closing(sqlite3.connect(source, isolation_level=None)) as sql:
        for statement in page_file.ATTACH:
            sql.execute(statement)
        made = []
        for after in range(0, ROWS, BATCH):
            sql.execute("BEGIN")
            made.append(page_file.build_after(sql, after, BATCH, Filter()).content)
            sql.execute("ROLLBACK")
        return made


async def batches(n1: Program, bodies: list[bytes], media_type: str) -> float:
    """Records a second of a few clients that each post batch after batch."""
    waiting = iter(bodies)

    async def client() -> None:
        for one in waiting:
            receipt = await n1.peer.call(
                APPEND, Nothing(), timeout_s=20, body=one, headers={"Content-Type": media_type}
            )
            assert receipt.inserted == BATCH

    start = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(BATCH_CLIENTS)))
    return ROWS / (time.perf_counter() - start)


async def singles(port: int) -> float:
    """Records a second of 64 clients, each on one connection, each waiting for its answer.

    The clients are as light as can be, so that it is the node that is measured.
    """
    loop = asyncio.get_running_loop()
    bodies = iter([body(1, number) for number in range(POSTS)])
    start = time.perf_counter()
    done = [loop.create_future() for _ in range(CLIENTS)]
    for future in done:
        await loop.create_connection(partial(_Client, bodies, future), "127.0.0.1", port)
    await asyncio.gather(*done)
    return POSTS / (time.perf_counter() - start)


class _Client(asyncio.Protocol):
    """Posts one record after another; each answer fits into one segment."""

    def __init__(self, bodies: Iterator[bytes], done: asyncio.Future[None]) -> None:
        self._bodies = bodies
        self._done = done
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._post()

    def data_received(self, data: bytes) -> None:
        assert data.startswith(b"HTTP/1.1 200"), data
        self._post()

    def _post(self) -> None:
        if (content := next(self._bodies, None)) is None:
            self._transport.close()
            self._done.set_result(None)
            return
        self._transport.write(HEAD % len(content) + content)
