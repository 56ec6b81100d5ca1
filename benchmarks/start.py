"""How long a start takes, from the command to the first answer: what `make bench-start` prints.

Of a new node and central, and of both with a large database after kill -9 under load, when the
write-ahead log is full and the whole file is checked. Each with a Python of its own, as for users.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks import workload
from central.store import SCHEMA as CENTRAL_SCHEMA
from cluster.protocol import central
from node.store import SCHEMA as NODE_SCHEMA
from tests.program import Program
from tests.world import lines, world

MIB = 1 << 20
TIMES = 5
NEW_S, CRASHED_S = 1.0, 2.0  # wanted


async def start_s(program: Program) -> tuple[float, float]:
    """Seconds until it answers, and of CPU, which a busy machine changes less."""
    began_s = time.monotonic()
    await program.start()
    took_s = time.monotonic() - began_s
    assert program.process is not None
    return took_s, sum(psutil.Process(program.process.pid).cpu_times()[:2])


async def measure(folder: Path, records: int) -> None:
    size = 0
    for side, schema in (("central", CENTRAL_SCHEMA), ("n1", NODE_SCHEMA)):
        file = folder / side / f"{'node' if side == 'n1' else side}.db"
        if records:
            await asyncio.to_thread(workload.write_database, file, records, schema)
            size = file.stat().st_size
    async with world(folder) as w:
        n1 = await w.node("n1")
        for name, program in (("central", w.central), ("node", n1)):
            program.fresh = True
            starts = []
            for number in range(TIMES):
                await w.post("n1", lines(2_000, 2_000 * number))
                await w.central.call(central.PULL, central.PullAsk("n1"))
                program.kill()
                starts.append(await start_s(program))
                await w.until_live("n1", "up")
            wanted = CRASHED_S if records else NEW_S
            job = f"{name} after kill -9, {size / MIB:.0f} MiB"
            median, cpu_s = map(statistics.median, zip(*starts, strict=True))
            told = f"{median:.2f} s, at most {max(starts)[0]:.2f} s, CPU {cpu_s:.2f} s"
            print(f"{job:36} {told:>40}   wanted: {wanted:g} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-start", description=__doc__)
    parser.add_argument("--records", type=int, default=2_250_000, help="about 400 MiB")
    ask = parser.parse_args()
    for records in (0, ask.records):
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(measure(Path(folder), records))


if __name__ == "__main__":
    main()
