"""`make bench`: what replication costs, beside what the disk and SQLite alone allow.

    python -m benchmarks.replication [--records 1000000] [--large 10000000]

Node and central are two processes that speak HTTP over loopback, with fsync on, as in production.
The floor is measured in the same run, before and after: one process that copies the rows from one
file into another with the same schema, digests and pragmas (ATTACH, INSERT OR IGNORE ... SELECT).
Read the ratios, not the absolutes.
"""

import argparse
import asyncio
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks import ingest, workload
from benchmarks.relay import Relay, relay
from benchmarks.table import Table
from central.store import SCHEMA as CENTRAL_SCHEMA
from cluster.exchange import AskT, Exchange, Nothing
from cluster.protocol import central, node
from cluster.protocol.views import Run
from cluster.schema import Schema
from node.store import SCHEMA as NODE_SCHEMA
from tests.program import Program, until
from tests.world import World, world

NODE = workload.NODE
TIMES = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--large", type=int, default=10_000_000, help="0: leave that out")
    chosen = parser.parse_args()
    table = Table()
    Program.fresh = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "source" / "node.db"
        workload.write_database(source, chosen.records)
        bulk(table, folder, source, chosen.records)
        asyncio.run(small_jobs(table, folder, source, chosen.records))
        asyncio.run(two_at_once(table, folder, chosen.records // 2))
        ingest.measure(table, folder)
        if chosen.large:
            large = folder / "large" / "node.db"
            workload.write_database(large, chosen.large)
            asyncio.run(large_jobs(table, folder, large, chosen.large))


def floor(folder: Path, source: Path, count: int, schema: Schema) -> float:
    """Records a second within one process."""
    target = folder / "floor.db"
    start = time.perf_counter()
    workload.copy_all(source, target, schema)
    rate = count / (time.perf_counter() - start)
    for file in folder.glob("floor.db*"):
        file.unlink()
    return rate


def bulk(table: Table, folder: Path, source: Path, count: int) -> None:
    """Cold pull and cold push, each between two floors."""
    at_central, at_node, pulls, pushes = [], [], [], []
    for turn in range(3):
        at_central.append(floor(folder, source, count, CENTRAL_SCHEMA))
        pull_s, push_s = asyncio.run(cold(table, folder / f"cold{turn}", source))
        pulls.append(count / pull_s)
        pushes.append(count / push_s)
        at_node.append(floor(folder, source, count, NODE_SCHEMA))
        shutil.rmtree(folder / f"cold{turn}")
    floors = statistics.median(at_central), statistics.median(at_node)
    table.rate("floor: one process, central's schema", floors[0], 1.0)
    table.rate("floor: one process, a node's schema", floors[1], 1.0)
    pull, push = statistics.median(pulls), statistics.median(pushes)
    table.rate("cold pull", pull, pull / floors[0], "0.65 x floor")
    table.rate("cold push to an empty node", push, push / floors[1], "0.55 x floor")


async def cold(table: Table, folder: Path, source: Path) -> tuple[float, float]:
    """Seconds of a pull of everything, and of a push of everything."""
    async with world(folder) as w:
        n1 = await filled(w, folder, source)
        pull_s = await timed(w.pull(NODE))
        n1.kill()
        n1.wipe()
        await n1.start()
        await w.until_live(NODE, "up")
        push_s = await timed(w.push(NODE))
        assert (await w.poll(NODE)).data == "in_sync"
        table.memory(peak_mib(n1), peak_mib(w.central))
        return pull_s, push_s


async def small_jobs(table: Table, folder: Path, source: Path, count: int) -> None:
    """Catch-up, repair, an outage, the proof: both sides hold all `count` records."""
    async with world(folder / "small") as w:
        n1 = await filled(w, folder / "small", source)
        await w.pull(NODE)
        async with relay(n1.port) as line:
            await catch_up(table, w, line)
            await repair(table, w, line, n1, count, "repair, 100 and 100 random ones missing")
            await outage(table, w, line, n1, count)
            await proof(table, w, line, n1)
        table.memory(peak_mib(n1), peak_mib(w.central))


async def large_jobs(table: Table, folder: Path, source: Path, count: int) -> None:
    async with world(folder / "large-world") as w:
        n1 = await filled(w, folder / "large-world", source)
        await w.pull(NODE)
        async with relay(n1.port) as line:
            label = f"repair at {count // 1_000_000} million"
            await repair(table, w, line, n1, count, label)
            await proof(table, w, line, n1, f"proof at {count // 1_000_000} million")
        table.memory(peak_mib(n1), peak_mib(w.central))


async def catch_up(table: Table, w: World, line: Relay) -> None:
    """100 new records, from the request to the commit at central."""
    seconds = []
    for turn in range(TIMES * 2):
        await w.post(NODE, ingest.body(100, turn * 100))
        seconds.append(await took(run_now(w, central.PULL, central.PullAsk(NODE))))
    moved = await counted(w, line, lambda: catch_up_once(w))
    table.cost("catch-up, 100 new records", seconds, sum(moved.values()), "15 ms, 15 KB")


async def catch_up_once(w: World) -> None:
    await w.post(NODE, ingest.body(100, 10**6))
    await run_now(w, central.PULL, central.PullAsk(NODE))


async def repair(table: Table, w: World, line: Relay, n1: Program, count: int, label: str) -> None:
    """100 random records missing at central and 100 others at the node, both ways."""

    def lose(turn: int) -> None:
        step = count // 101
        for program, offset in ((w.central, turn * 7 + 1), (n1, turn * 7 + 3)):
            places = ",".join(str(offset + step * number) for number in range(100))
            assert program.sql(f"DELETE FROM records WHERE position IN ({places})") == 100

    async def heal() -> Run:
        pulled = await run_now(w, central.PULL, central.PullAsk(NODE))
        pushed = await run_now(w, central.PUSH, central.PushAsk(NODE))
        assert (pulled.inserted, pushed.inserted) == (100, 100)
        return pushed

    seconds = []
    for turn in range(TIMES):
        lose(turn)
        seconds.append(await took(heal()))
    lose(TIMES)
    moved = await counted(w, line, heal)
    records = moved["/v1/fetch"] + moved["/v1/records"]
    table.cost(label, seconds, sum(moved.values()) - records, "0.4 s, 150 KB", records)


async def outage(table: Table, w: World, line: Relay, n1: Program, count: int) -> None:
    """10,000 consecutive records missing at central."""

    lost = 0

    def lose(turn: int) -> None:
        nonlocal lost
        first = count // 3 + turn * 20_000
        where = "position BETWEEN ? AND ?"
        lost = w.central.sql(f"DELETE FROM records WHERE {where}", first, first + 9_999)

    async def heal() -> Run:
        pulled = await run_now(w, central.PULL, central.PullAsk(NODE))
        assert pulled.inserted == lost
        return pulled

    seconds = []
    for turn in range(TIMES):
        lose(turn)
        seconds.append(await took(heal()))
    lose(TIMES)
    moved = await counted(w, line, heal)
    records = moved["/v1/fetch"] + moved["/v1/records"]
    others = sum(moved.values()) - records
    table.cost("repair of an outage of 10,000", seconds, others, "50 KB", records)


async def proof(
    table: Table, w: World, line: Relay, n1: Program, label: str = "proof of equal sets (a poll)"
) -> None:
    seconds = []
    for _ in range(20):
        start = time.perf_counter()
        await n1.peer.call(node.STATUS, Nothing(), timeout_s=5)
        seconds.append(time.perf_counter() - start)
    moved = await counted(w, line, lambda: w.poll(NODE))
    table.cost(label, seconds, moved["/v1/status"], "5 ms, 1 KB")


async def two_at_once(table: Table, folder: Path, count: int) -> None:
    """Two nodes pulled together, beside one after the other."""
    async with world(folder / "two") as w:
        for name in ("n1", "n2"):
            workload.write_database(folder / "two" / name / "node.db", count, node=name)
            await w.node(name)
        alone = await timed(w.pull("n1"))
        w.central.kill()
        w.central.wipe()
        await w.central.start()
        for name in ("n1", "n2"):
            await w.until_live(name, "up", 60)
        both = await timed(asyncio.gather(w.pull("n1"), w.pull("n2")))
        rate, together = count / alone, 2 * count / both
        table.rate("two nodes pulled at once", together, together / rate, "1.0 x one", "x one")


async def filled(w: World, folder: Path, source: Path) -> Program:
    """A node with the workload in its database."""
    (folder / NODE).mkdir(parents=True)
    shutil.copy(source, folder / NODE / "node.db")
    return await w.node(NODE)


async def run_now(w: World, exchange: Exchange[AskT, Run], ask: AskT) -> Run:
    """Ask for a run, and wait for its end without holding it up."""
    run = await w.central.call(exchange, ask)
    while not run.ended_already:
        await asyncio.sleep(0.01)
        run = await w.central.call(central.RUN, central.RunId(run.id))
    return run


async def took(*runs: Awaitable[Run]) -> float:
    """Seconds from the first request to the last run's end, as central's clock says."""
    start, ended = time.time(), 0
    for asked in runs:
        ended = (await asked).ended or 0
    return ended / 1e6 - start


async def counted(w: World, line: Relay, work: Callable[[], Awaitable[object]]) -> dict[str, int]:
    """Bytes on the line to the node during some work, by path; polls in between do not count."""
    direct = (await w.view(NODE)).url
    change = central.NodeChange(NODE, url=f"http://127.0.0.1:{line.port}")
    await w.central.call(central.CHANGE, change)
    await w.poll(NODE)
    line.bytes.clear()
    await work()
    moved = dict(line.bytes)
    await w.central.call(central.CHANGE, central.NodeChange(NODE, url=direct))
    await until(lambda: seen_at(w, direct), "the node is at its own address again")
    return {"/v1/fetch": 0, "/v1/records": 0, "/v1/status": 0} | moved


async def seen_at(w: World, url: str) -> bool:
    return (await w.poll(NODE)).url == url


async def timed(work: Awaitable[object]) -> float:
    start = time.perf_counter()
    await work
    return time.perf_counter() - start


def peak_mib(program: Program) -> float:
    assert program.process is not None
    status = Path(f"/proc/{program.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
