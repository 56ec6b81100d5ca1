"""What a backup of a large central costs, and whether polls feel it: `make bench-backup`.

A hundred nodes are polled each second while another program copies the database; then the copy is
restored, and a damaged one is repaired. The disk's own speed stands beside: the same bytes
written and synced.
"""

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import workload
from benchmarks.polling import MIB, farm, lateness, line
from central.store import SCHEMA
from cluster.protocol import central
from tests.program import ROOT
from tests.world import world

NODES, WARM_S = 100, 5.0
BACKUP_S, LATE_S = 5.0, "0.05"


async def upkeep(command: str, folder: Path, *flags: str) -> float:
    """Seconds that a command takes, with the start of its Python."""
    began_s = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "central", command, "--data", str(folder), *flags),
        cwd=ROOT,
        stdout=asyncio.subprocess.DEVNULL,
    )
    if await process.wait():
        raise SystemExit(f"{command} failed")
    return time.monotonic() - began_s


def written_s(file: Path, size: int) -> float:
    """Seconds to write so many bytes and to sync them."""
    began_s = time.monotonic()
    with file.open("wb") as raw:
        for _ in range(size // MIB):
            raw.write(os.urandom(MIB))
        raw.flush()
        os.fsync(raw.fileno())
    file.unlink()
    return time.monotonic() - began_s


async def measure(folder: Path, records: int) -> None:
    file = folder / "central" / "central.db"
    await asyncio.to_thread(workload.write_database, file, records, SCHEMA)
    size = file.stat().st_size
    async with farm(NODES, NODES + 1) as ports, world(folder, 1.0) as w:
        for number, port in enumerate(ports):
            hello = central.Hello(name=f"n{number}", url=f"http://127.0.0.1:{port}")
            await w.central.call(central.HELLO, hello)
        await asyncio.sleep(WARM_S)
        before = await lateness(w)
        took_s = await upkeep("backup", w.central.folder, "--to", str(folder / "backup.db"))
        begun = await lateness(w)
        w.central.kill()
    polls = begun["+Inf"] - before["+Inf"]
    late = polls - (begun[LATE_S] - before[LATE_S])
    disk_s = await asyncio.to_thread(written_s, folder / "raw", size)
    line(
        f"backup of {size / MIB:.0f} MiB",
        f"{took_s:.1f} s",
        f"disk {disk_s:.1f} s",
        f"{BACKUP_S} s",
    )
    line("  polls over 50 ms late meanwhile", f"{late:.0f} of {polls:.0f}", "", "0")
    took_s = await upkeep("restore", file.parent, "--from", str(folder / "backup.db"))
    line("restore", f"{took_s:.1f} s", "", "")
    with file.open("r+b") as raw:
        raw.seek(size // 2 // 4096 * 4096)
        raw.write(random.Random(7).randbytes(4096))
    took_s = await upkeep("repair", file.parent)
    line("repair", f"{took_s:.1f} s", f"{records / took_s:,.0f} records a second", "")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-backup", description=__doc__)
    parser.add_argument("--records", type=int, default=2_250_000, help="about 400 MiB")
    ask = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(Path(folder), ask.records))


if __name__ == "__main__":
    main()
