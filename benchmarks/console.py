"""python -m benchmarks.console [--only NAME]: what the console costs, beside a DataTable.

A central that speaks the real contract runs in a process of its own; the console is a real
program on a real pseudo-terminal of 140x40. Each figure stands beside what was wanted and beside
the same feed in Textual's own DataTable, or beside an idle screen. Takes about three minutes.
"""

import argparse
import asyncio
import gc
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
from msgspec.structs import replace

from benchmarks.console_feed import MODULO_MS, clock_count, feed
from benchmarks.terminal import SIZE, Terminal, terminal
from cluster.protocol.views import Delta, JournalLine
from console.store import Store
from tests.console.fake_central import TOKEN, FakeCentral, view
from tests.console.scenes import SCENES, StillApp

NODES, CHANGING = 1_000, 100
WARM_S, WATCH_S, AGE_S = 4.0, 15.0, 15.0
THIN_WARM_S = 12.0  # the first pictures of a screen are 75 kB
LINE_RATE = 16_000.0
#: A node's name in the table; a count that tells when it was set.
ROW = rb"node-00\d\d\d|a-clock"
STAMP = re.compile(rb"1,\d\d\d,\d\d\d")
HOUR_S, FLUSH_S = 3_600, 0.25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    jobs = {"start": start, "load": load, "age": age, "keys": keys, "many": many, "hour": hour}
    parser.add_argument("--only", choices=jobs)
    asked = parser.parse_args()
    print(f"{'job':46} {'console':>14} {'beside':>22}   wanted")
    for name, job in jobs.items():
        if asked.only in (None, name):
            job()


def line(job: str, seen: str, beside: str, wanted: str) -> None:
    print(f"{job:46} {seen:>14} {beside:>22}   {wanted}", flush=True)


@contextmanager
def screen(
    kind: str, url: str, *, rate: float | None = None, slow: bool = False, probed: bool = True
) -> Iterator[tuple[Terminal, Callable[[], list[float]]]]:
    """A program on a terminal, and how late its loop was, in ms, to be asked when it has ended."""
    with tempfile.NamedTemporaryFile(delete=False) as file:
        lags = Path(file.name)
    env = {"TIDEHOLD_TOKEN": TOKEN} | ({"BENCH_SLOW": "1"} if slow else {})
    env |= {"TEXTUAL_COLOR_SYSTEM": "256"} if slow else {}
    env |= {} if probed else {"BENCH_NO_PROBE": "1"}
    argv = [sys.executable, "-m", "benchmarks.console_app", kind, url, str(lags)]

    def late_ms() -> list[float]:
        text = lags.read_text()
        lags.unlink()
        return [float(lag) for lag in text.split()]

    with terminal(argv, env, rate) as opened:
        yield opened, late_ms


def start() -> None:
    """From the command to the first row, five times each, in turns."""
    with feed(34, 0) as few, feed(NODES, 0) as all_of_them:
        for nodes, url in ((34, few), (NODES, all_of_them)):
            seen: dict[str, list[float]] = {"console": [], "table": []}
            for _ in range(5):
                for kind, argv in (
                    ("console", ["console", "--central", url]),
                    ("table", ["benchmarks.console_app", "table", url, "/dev/null"]),
                ):
                    env = {"TIDEHOLD_TOKEN": TOKEN}
                    with terminal([sys.executable, "-m", *argv], env) as opened:
                        seen[kind].append(opened.until(ROW))
            ours, peer = (statistics.median(seen[kind]) for kind in ("console", "table"))
            line(
                f"first row of {nodes:,} nodes",
                f"{ours:.2f} s",
                f"table {peer:.2f} s, {ours / peer:.2f} x",
                "1 s",
            )


def load() -> None:
    """A thousand nodes of which a tenth changes each second: CPU, bytes, blocks."""
    found = {}
    with feed(NODES, CHANGING) as url:
        for kind in ("ours", "table", "idle"):
            with screen(kind, url, probed=False) as (opened, _):
                opened.watch(WARM_S)
                cpu_s, received, began = opened.cpu_s(), opened.received, time.monotonic()
                opened.watch(WATCH_S)
                took_s = time.monotonic() - began
                cpu, rate = (opened.cpu_s() - cpu_s) / took_s, opened.received - received
            with screen(kind, url) as (opened, late_ms):
                opened.watch(WARM_S + WATCH_S / 2)
            lags = sorted(late_ms())
            found[kind] = cpu, rate / took_s, lags[-1], lags[len(lags) * 99 // 100]
    ours, table, idle = (found[kind] for kind in ("ours", "table", "idle"))
    about = f"{NODES:,} nodes, {CHANGING}/s change"
    line(
        f"{about}: CPU",
        f"{ours[0] * 100:.1f} %",
        f"table {table[0] * 100:.1f} %, {ours[0] / table[0]:.2f} x",
        "3 %",
    )
    line(
        "  to the terminal",
        f"{ours[1] / 1000:.1f} kB/s",
        f"table {table[1] / 1000:.1f} kB/s, {ours[1] / table[1]:.2f} x",
        "5 kB/s",
    )
    for place, name in ((2, "worst block of the loop"), (3, "99 % of its ticks late by")):
        line(
            f"  {name}",
            f"{ours[place]:.1f} ms",
            f"table {table[place]:.0f}, idle {idle[place]:.0f} ms",
            "50 ms" if place == 2 else "",
        )


def age() -> None:
    """How old what is seen is, over a line of 16 kB/s."""
    with feed(NODES, CHANGING, stamped=True) as url:
        ours, slow, table = (
            _ages_s(url, kind, slow=slow)
            for kind, slow in (("ours", False), ("ours", True), ("table", False))
        )
    for name, ages, wanted in (("", ours, "0.5 s"), (" with --slow", slow, "")):
        p99, peer = _p99(ages), _p99(table)
        line(
            f"age of what is seen at 16 kB/s{name}, 99 %",
            f"{p99:.2f} s",
            f"table {peer:.2f} s, {p99 / peer:.2f} x",
            wanted,
        )


def _ages_s(url: str, kind: str, *, slow: bool) -> list[float]:
    """At each look: now, less the newest time that has come."""
    ages: list[float] = []
    tail, newest = b"", 0

    def see(found: bytes) -> None:
        nonlocal tail, newest
        tail = (tail + found)[-4_096:]
        if stamps := STAMP.findall(tail):
            newest = int(stamps[-1].replace(b",", b""))
        if newest:
            ages.append((clock_count() - newest) % MODULO_MS / 1000)

    with screen(kind, url, rate=LINE_RATE, slow=slow, probed=False) as (opened, _):
        opened.watch(THIN_WARM_S)
        opened.watch(AGE_S, see)
    return ages


def keys() -> None:
    """From a key to the first byte of what it changed, under the same load."""
    with feed(NODES, CHANGING) as url, screen("ours", url) as (opened, _):
        opened.watch(WARM_S)
        for name, key, back in (
            ("j", b"j", b""),
            ("PgDn", b"\x1b[6~", b""),
            ("ctrl+p, the palette", b"\x10", b"\x1b"),
        ):
            first, last = zip(*(_press(opened, key, back) for _ in range(30)), strict=True)
            line(
                f"key to paint: {name}",
                f"{statistics.median(first) * 1000:.0f} ms",
                f"worst {max(first) * 1000:.0f}, all of it {statistics.median(last) * 1000:.0f} ms",
                "100 ms",
            )


def _press(opened: Terminal, key: bytes, back: bytes) -> tuple[float, float]:
    """Seconds to the first and to the last byte of the burst that holds the cursor's new place."""
    opened.watch(0.15)
    began, first, last = time.monotonic(), 0.0, 0.0
    opened.press(key)
    while time.monotonic() - began < 0.2:
        if opened.read(0.01):
            last = time.monotonic() - began
            first = first or last
    if back:
        opened.press(back)
        opened.watch(0.3)
    return first, last


def many() -> None:
    """Ten thousand rows: the first of them, and holding keys down."""
    with feed(10_000, 0) as url, screen("ours", url) as (opened, late_ms):
        first_s = opened.until(ROW)
        opened.watch(WARM_S)
        for key in (b"\x1b[6~", b"j"):
            for _ in range(75):
                opened.press(key)
                opened.watch(1 / 30)
    lags = sorted(late_ms())
    line("first row of 10,000 nodes", f"{first_s:.2f} s", "", "")
    line(
        "  30 keys a second: worst block of the loop",
        f"{lags[-1]:.1f} ms",
        f"99 %: {lags[len(lags) * 99 // 100]:.1f} ms",
        "50 ms",
    )


def hour() -> None:
    """Memory over an hour of virtual time: every delta taken, one frame in twenty drawn."""
    asyncio.run(_hour())


async def _hour() -> None:
    now_s, process, marks = 0.0, psutil.Process(), dict[int, float]()
    app = StillApp(SCENES[0])
    app.store = store = Store(monotonic=lambda: now_s)
    fake = FakeCentral()
    for number in range(NODES):
        fake.nodes[f"node-{number:05}"] = view(f"node-{number:05}")
    names, start_us = list(fake.nodes), 1_780_000_000_000_000
    async with app.run_test(size=SIZE) as pilot:
        store.apply_snapshot(fake.snapshot(0))
        for flush in range(int(HOUR_S / FLUSH_S)):
            now_s = flush * FLUSH_S
            now_us = start_us + int(now_s * 1e6)
            store.apply_delta(_delta(fake, names, flush, now_us))
            if flush % 20 == 0:
                app._tell_view()
                await pilot.pause()
            if flush % int(600 / FLUSH_S) == 0:
                gc.collect()
                marks[flush // int(600 / FLUSH_S) * 10] = process.memory_info().rss / 2**20
    rows = ", ".join(f"{mib:.0f}" for mib in marks.values())
    grown = list(marks.values())[-1] - marks[10]
    line("memory, minutes 10 to 50 of a virtual hour", f"{grown:+.1f} MiB", f"{rows} MiB", "flat")


def _delta(fake: FakeCentral, names: Sequence[str], flush: int, now_us: int) -> Delta:
    changed = []
    for step in range(CHANGING // 4):
        before = fake.nodes[names[(flush * 25 + step) % len(names)]]
        records = replace(before.records, node=(before.records.node or 0) + 1)
        changed.append(replace(before, records=records, last_seen=now_us))
        fake.nodes[before.name] = changed[-1]
    lines, runs = [], []
    if flush % 20 == 0:
        text = f"line {flush} of the tale"
        lines = [
            JournalLine(seq=flush + 1, ts=now_us, level="info", kind="x", node=None, text=text)
        ]
        run = fake._run("pull", names[flush % len(names)])
        runs = [replace(run, state="succeeded", started=now_us, ended=now_us + 1)]
        fake.runs.clear()
    return Delta(now=now_us, nodes=changed, runs=runs, journal=lines, gone=[])


def _p99(ages: Sequence[float]) -> float:
    return sorted(ages)[len(ages) * 99 // 100] if ages else float("inf")


if __name__ == "__main__":
    main()
