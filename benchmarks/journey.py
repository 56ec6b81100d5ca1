"""`make bench`: how fast records travel, beside what the disk and SQLite alone allow.

    python -m benchmarks.journey [--records 100000]

One run measures the floor and the journey on the same machine in the same minute: read the
ratios, not the absolutes. The floor is one process that copies the rows from one file into
another with the same schema, triggers and pragmas (ATTACH, INSERT ... SELECT).
"""

import argparse
import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Awaitable
from contextlib import closing
from pathlib import Path

from cluster import records
from cluster.record import IdMaker, make
from cluster.schema import WRITER_PRAGMAS
from tests.world import World, world

ROWS_A_POST = 1_000
PAYLOAD = '{"value":%d.5,"unit":"C","sensor":"t-2","quality":"ok","battery_v":3.91,"sequence":%d}'
START_US = 1_760_000_000_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    count = parser.parse_args().records
    with tempfile.TemporaryDirectory() as folder:
        seconds, bare_seconds = measure_floor(Path(folder), count)
        floor = count / seconds
        print(f"{'job':38} {'records/s':>10} {'x floor':>8}")
        report("floor: ATTACH + INSERT ... SELECT", floor, floor)
        report("the same without digests", count / bare_seconds, floor)
        for job, seconds in asyncio.run(measure_journey(Path(folder), count)):
            report(job, count / seconds, floor)


def report(job: str, rate: float, floor: float) -> None:
    print(f"{job:38} {rate:>10,.0f} {rate / floor:>8.2f}", flush=True)


def measure_floor(folder: Path, count: int) -> tuple[float, float]:
    """Seconds to copy `count` rows within one process, fsync on: with digests and without."""
    ids = IdMaker()
    moments = (START_US + number * 1200 for number in range(count))
    rows = [
        make(ids.next(moment), "n1", moment, f"s{n % 5}", PAYLOAD % (n % 40, n))
        for n, moment in enumerate(moments)
    ]
    source = folder / "source.db"
    with closing(connect(source)) as sql:
        sql.execute("BEGIN")
        records.insert_missing(sql, "n1", rows)
        sql.execute("COMMIT")
    return copy(source, folder / "copy.db"), copy(source, folder / "bare.db", digests=False)


def copy(source: Path, target: Path, *, digests: bool = True) -> float:
    """Seconds to copy all records from one file into another, new one."""
    with closing(connect(target)) as sql:
        if not digests:
            for trigger in ("added", "removed", "unchanged", "unreplaced"):
                sql.execute(f"DROP TRIGGER records_{trigger}")
        sql.execute("ATTACH ? AS source", (str(source),))
        start = time.perf_counter()
        sql.execute(
            "INSERT INTO records (id, node, ts, stream, payload, hash) "
            "SELECT id, node, ts, stream, payload, hash FROM source.records"
        )
        return time.perf_counter() - start


def connect(path: Path) -> sqlite3.Connection:
    """A new database with our table, set up as the writer's."""
    sql = sqlite3.connect(path, isolation_level=None)
    for pragma in WRITER_PRAGMAS:
        sql.execute(pragma)
    for statement in records.STATEMENTS:
        sql.execute(statement)
    return sql


async def measure_journey(folder: Path, count: int) -> list[tuple[str, float]]:
    """Each job with its seconds; node and central are two processes that speak HTTP."""
    async with world(folder / "world") as w:
        node = await w.node("n1")
        figures = [("ingest: POST of 1,000, durable", await ingest(w, count))]
        figures.append(("pull, all new", await timed(w.pull("n1"))))
        node.kill()
        node.wipe()
        await node.start()
        await w.until_live("n1", "up")
        figures.append(("push, to an empty node", await timed(w.push("n1"))))
        assert w.verdict("n1").equal
        return figures


async def ingest(w: World, count: int) -> float:
    bodies = [
        b"".join(
            b'{"stream":"s%d","ts":%d,"payload":%b}\n'
            % (n % 5, START_US + n * 1200, (PAYLOAD % (n % 40, n)).encode())
            for n in range(first, min(first + ROWS_A_POST, count))
        )
        for first in range(0, count, ROWS_A_POST)
    ]
    start = time.perf_counter()
    for body in bodies:
        await w.post("n1", body)
    return time.perf_counter() - start


async def timed(run: Awaitable[object]) -> float:
    start = time.perf_counter()
    await run
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
