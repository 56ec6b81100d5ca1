"""How fast a node takes records from clients, durably."""

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from typing import cast

from benchmarks import workload
from benchmarks.table import Table
from cluster import windows
from node.store import SCHEMA
from tests.world import TOKEN, World, world

ROWS, BATCH = 100_000, 1_000
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
    single = commits_a_second(folder / "single.db")
    table.rate("floor: one commit a record", single, 1.0)
    asyncio.run(measure_posts(table, folder, floor, single))


def commits_a_second(path: Path) -> float:
    """One process that commits each record by itself."""
    rows = list(islice(workload.records(1_000), 1_000))
    with closing(workload.open_new(path)) as sql:
        start = time.perf_counter()
        for row in rows:
            insert(sql, row)
        return len(rows) / (time.perf_counter() - start)


def insert(sql: sqlite3.Connection, row: tuple[object, ...]) -> None:
    sql.execute("BEGIN IMMEDIATE")
    sql.execute(
        "INSERT INTO records (id, node, ts, stream, payload, hash) VALUES (?, ?, ?, ?, ?, ?)", row
    )
    windows.fold(sql)
    sql.execute("COMMIT")


async def measure_posts(table: Table, folder: Path, floor: float, single: float) -> None:
    async with world(folder / "ingest") as w:
        await w.node("n1")
        bodies = [body(BATCH, first) for first in range(0, ROWS, BATCH)]
        start = time.perf_counter()
        for one in bodies:
            await w.post("n1", one)
        rate = ROWS / (time.perf_counter() - start)
        table.rate("ingest, POST of 1,000", rate, rate / floor, "0.5 x floor")
        rate = await singles(w)
        table.rate(
            f"single durable POSTs, {CLIENTS} clients",
            rate,
            rate / single,
            "5 x one commit a record",
            "x one commit",
        )


async def singles(w: World) -> float:
    """Records a second of 64 clients, each on one connection, each waiting for its answer.

    The clients are as light as can be, so that it is the node that is measured.
    """
    loop, port = asyncio.get_running_loop(), w.nodes["n1"].port
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
