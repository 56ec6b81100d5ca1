"""What `make bench-polling` prints: the cost of 1,000 nodes polled each second, and of a status.

Central is its own process, as users run it: tokens, schema checks, state, journal and digests are
on. The nodes are tests.farm, so cheap that central is what is measured. Beside it stands aiohttp
with nothing of ours around it, on the same farm and the same bytes. CPU seconds and ratios tell
more than times where the machine does other things too; its load is printed.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from cluster.exchange import Nothing
from cluster.protocol import central
from cluster.protocol.shared import METRICS
from tests.program import ROOT, TOKEN
from tests.world import World, world

MIB = 1 << 20
CPU_S, LATE_MS, SICK_LATE_MS, RSS_MIB, REQUESTS_S = 0.35, 10.0, 50.0, 128.0, 12_000
SICK = 5  # every fifth
WARM_S = 5.0
CONNECTIONS = 64


def line(job: str, ours: str, beside: str, wanted: str) -> None:
    print(f"{job:36} {ours:>12}   {beside:38} {wanted}".rstrip(), flush=True)


@asynccontextmanager
async def farm(count: int, sick: int) -> AsyncIterator[list[int]]:
    """The nodes' ports; node number N is called nN."""
    process = await _started("tests.farm", str(count), str(sick))
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield [port for _, port, _ in json.loads(await process.stdout.readline())]
    finally:
        process.stdin.close()
        await process.wait()


async def _started(*argv: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", *argv, stdin=pipe, stdout=pipe, cwd=ROOT, limit=1 << 22
    )


async def polls(folder: Path, count: int, seconds: float, *, sick: bool) -> None:
    """Central and then the bare loop at one farm."""
    async with farm(count, SICK if sick else count + 1) as ports:
        async with world(folder, 1.0) as w:
            process = await _central(w)
            for number, port in enumerate(ports):
                hello = central.Hello(name=f"n{number}", url=f"http://127.0.0.1:{port}")
                await w.central.call(central.HELLO, hello)
            await asyncio.sleep(WARM_S)
            before, cpu_s = await lateness(w), _cpu_s(process)
            await asyncio.sleep(seconds)
            begun, cpu_s = await lateness(w), _cpu_s(process) - cpu_s
            rss = process.memory_info().rss
        bare = await _started("benchmarks.bare", "poll", str(seconds), *map(str, ports))
        assert bare.stdout is not None
        bare_cpu_s, bare_polls, bare_ms = json.loads(await bare.stdout.readline())
        await bare.wait()
    late = {bound: count - before[bound] for bound, count in begun.items()}
    each_s, bare_s = 1000 * cpu_s / late["+Inf"], 1000 * bare_cpu_s / bare_polls
    what = f"{count:,} nodes" + f", {count // SICK:,} of them sick" * sick
    beside = f"bare aiohttp {bare_s:.2f} s: {each_s / bare_s:.2f} x"
    line(
        what, f"{late['+Inf'] / seconds:,.0f}/s", f"bare aiohttp {bare_polls / seconds:,.0f}/s", ""
    )
    line("  CPU of 1,000 polls", f"{each_s:.2f} s", beside, f"{CPU_S:g} s" if not sick else "")
    line(
        "  99 % of polls late by at most",
        f"{_share(late, 0.99):.1f} ms",
        f"bare aiohttp {bare_ms:.1f} ms",
        f"{SICK_LATE_MS if sick else LATE_MS:g} ms",
    )
    line("  memory", f"{rss / MIB:.0f} MiB", "", f"{RSS_MIB:g} MiB")


async def _central(w: World) -> psutil.Process:
    """Central started as users start it."""
    w.central.kill()
    w.central.fresh = True
    await w.central.start()
    assert w.central.process is not None
    return psutil.Process(w.central.process.pid)


async def lateness(w: World) -> dict[str, float]:
    """How many polls began at most so late, by the bound in seconds."""
    text = await w.central.call(METRICS, Nothing())
    found = re.findall(r'poll_lateness_seconds_bucket\{le="([^"]+)"\} ([0-9.]+)', text)
    return {bound: float(count) for bound, count in found}


def _share(late: dict[str, float], share: float) -> float:
    """Within how many ms so many of the polls began; between bounds, as if evenly spread."""
    wanted, low_s, under = share * late["+Inf"], 0.0, 0.0
    for bound, count in late.items():
        if count >= wanted:
            return 1000 * (low_s + (float(bound) - low_s) * (wanted - under) / (count - under))
        low_s, under = float(bound), count
    return float("inf")


def _cpu_s(process: psutil.Process) -> float:
    spent = process.cpu_times()
    return float(spent.user + spent.system)


async def statuses(folder: Path, seconds: float) -> None:
    """GET /v1/status of node and central, asked by wrk from the other core."""
    if shutil.which("wrk") is None:
        print("statuses a second: left out, as wrk is not installed (apt-get install wrk)")
        return
    async with world(folder, 1.0) as w:
        process = await _central(w)
        n1 = await w.node("n1")
        n1.kill()
        n1.fresh = True
        await n1.start()
        assert n1.process is not None
        node = psutil.Process(n1.process.pid)
        for name, url, served in (("node", n1.url, node), ("central", w.central.url, process)):
            body = await _body(url)
            bare = await _started("benchmarks.bare", "serve")
            assert bare.stdin is not None
            assert bare.stdout is not None
            bare.stdin.write(body)
            bare.stdin.close()
            port = int(await bare.stdout.readline())
            theirs = await _load(f"http://127.0.0.1:{port}", psutil.Process(bare.pid), seconds)
            bare.kill()
            await bare.wait()
            ours = await _load(url, served, seconds)
            beside = f"bare aiohttp {theirs:,.0f}: {ours / theirs:.2f} x"
            line(f"statuses of {name}, a CPU second", f"{ours:,.0f}", beside, f"{REQUESTS_S:,}")


async def _body(url: str) -> bytes:
    asked = await asyncio.create_subprocess_exec(
        *("curl", "-s", "-H", f"Authorization: Bearer {TOKEN}", f"{url}/v1/status"),
        stdout=asyncio.subprocess.PIPE,
    )
    return (await asked.communicate())[0]


async def _load(url: str, process: psutil.Process, seconds: float) -> float:
    """Answers for each CPU second of the process, all of them good."""
    cpu_s = _cpu_s(process)
    wrk = await asyncio.create_subprocess_exec(
        *("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s"),
        *("-H", f"Authorization: Bearer {TOKEN}", f"{url}/v1/status"),
        stdout=asyncio.subprocess.PIPE,
    )
    said = (await wrk.communicate())[0].decode()
    assert "Non-2xx" not in said, said
    found = re.search(r"(\d+) requests in", said)
    assert found is not None, said
    return int(found[1]) / (_cpu_s(process) - cpu_s)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-polling", description=__doc__)
    parser.add_argument("--nodes", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--only", choices=("polls", "sick", "statuses"))
    ask = parser.parse_args()
    jobs: dict[str, Callable[[Path], object]] = {
        "polls": lambda folder: asyncio.run(polls(folder, ask.nodes, ask.seconds, sick=False)),
        "sick": lambda folder: asyncio.run(polls(folder, ask.nodes, ask.seconds, sick=True)),
        "statuses": lambda folder: asyncio.run(statuses(folder, ask.seconds / 3)),
    }
    line("what", "ours", "beside", "wanted")
    for name, job in jobs.items():
        if ask.only in (None, name):
            with tempfile.TemporaryDirectory() as folder:
                job(Path(folder))
    print(f"load of the machine, on {os.cpu_count()} cores: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
