"""python -m benchmarks.console [--only NAME]: what the console costs, beside a DataTable.

A central that speaks the real contract runs in a process of its own; the console is a real
program on a real pseudo-terminal of 140x40. Each figure stands beside what was wanted and beside
the same feed in Textual's own DataTable, in turns. Takes about four and a half minutes.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.console_feed import Ages, feed
from benchmarks.console_hour import memory_mib
from benchmarks.terminal import Terminal, terminal
from console.__main__ import SLOW
from tests.console.fake_central import TOKEN

NODES, CHANGING, MANY = 1_000, 100, 10_000
WARM_S, WATCH_S = 3.5, 6.0
THIN_WARM_S, THIN_WATCH_S = 12.0, 20.0  # the first pictures take nine seconds
OLD_S = 3.0
LINE_BYTES_S = 16_000.0
ROUNDS, STARTS, HELD_S, HELD_PER_S = 2, 5, 2.5, 30
PRESSES = {"ours": 30, "table": 10}
#: A node's name in the table.
ROW = rb"node-00\d\d\d|a-clock"
PAGE_DOWN, DOWN, PALETTE, ESCAPE = b"\x1b[6~", b"\x1b[B", b"\x10", b"\x1b"
#: What is pressed, and how to come back from it.
KEYS = {
    "down": (DOWN, b""),
    "PgDn": (PAGE_DOWN, b""),
    "ctrl+p, the palette": (PALETTE, ESCAPE),
}
# What is wanted.
FIRST_S, AGE_S, CPU, RATE_BYTES_S = 1.0, 0.5, 0.03, 5_000.0
BLOCK_MS, KEY_MS, GROWN_MIB = 50.0, 100.0, 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    jobs = {"start": start, "load": load, "age": age, "keys": keys, "many": many, "hour": hour}
    parser.add_argument("--only", choices=jobs)
    asked = parser.parse_args()
    line("job", "console", "beside", "wanted")
    for name, job in jobs.items():
        if asked.only in (None, name):
            job()


def line(job: str, seen: str, beside: str, wanted: str = "", *, missed: bool = False) -> None:
    print(f"{job:44} {seen:>10}   {beside:38} {wanted}{', missed' * missed}".rstrip(), flush=True)


def start() -> None:
    """From the command to the first row; what is wanted is for fleets of up to a thousand."""
    for nodes, wanted in ((34, "1 s"), (NODES, "1 s"), (MANY, "")):
        with feed(nodes, 0) as url:
            ours, peer = _first_rows_s(url)
        beside, missed = f"table {peer:.2f} s: {ours / peer:.2f} x", bool(wanted) and ours > FIRST_S
        line(f"first row of {nodes:,} nodes", f"{ours:.2f} s", beside, wanted, missed=missed)


def _first_rows_s(url: str) -> tuple[float, float]:
    """The console's and the table's median, in turns."""
    commands = ["console", "--central", url], ["benchmarks.console_app", "table", url, "/dev/null"]
    seen: tuple[list[float], list[float]] = [], []
    for _ in range(STARTS):
        for argv, times in zip(commands, seen, strict=True):
            with terminal([sys.executable, "-m", *argv], {"TIDEHOLD_TOKEN": TOKEN}) as opened:
                times.append(opened.until(ROW))
    return statistics.median(seen[0]), statistics.median(seen[1])


class Lags(NamedTuple):
    """Of the ticks of a probe, in ms: the worst, that of 99 %, and the most CPU between two."""

    worst: float
    p99: float
    cpu: float

    @classmethod
    def read(cls, file: Path) -> "Lags":
        late, cpu = zip(*(map(float, tick.split()) for tick in file.open()), strict=True)
        return cls(max(late), p99(late), max(cpu))


def p99(found: Sequence[float]) -> float:
    """What 99 % are no worse than; of nothing at all: infinity."""
    return sorted(found)[len(found) * 99 // 100] if found else float("inf")


@contextmanager
def screen(
    kind: str, url: str, *, lags: Path | None = None, rate: float | None = None
) -> Iterator[Terminal]:
    """One of `benchmarks.console_app` on a terminal."""
    argv = [sys.executable, "-m", "benchmarks.console_app", kind, url, *([str(lags)] * bool(lags))]
    env = {"TIDEHOLD_TOKEN": TOKEN} | (SLOW if kind == "slow" else {})
    with terminal(argv, env, rate) as opened:
        yield opened


def load() -> None:
    """A thousand nodes of which a tenth changes each second, in turns with the table."""
    costs: dict[str, list[tuple[float, float]]] = {"ours": [], "table": []}
    lags: dict[str, list[Lags]] = {"ours": [], "table": [], "idle": []}
    with feed(NODES, CHANGING) as url:
        for _ in range(ROUNDS):
            for kind in costs:
                costs[kind].append(_cost(url, kind))
                for whose, lag in zip((kind, "idle"), _late(url, kind), strict=True):
                    lags[whose].append(lag)
        covered, their_covered = (_cost(url, kind, PALETTE)[1] for kind in costs)
    (cpu, rate), (their_cpu, their_rate) = (_medians(each) for each in costs.values())
    ours, table, idle = (_medians(each) for each in lags.values())
    about, beside = f"{NODES:,} nodes, {CHANGING}/s change", f"{cpu / their_cpu:.2f} x"
    line(f"{about}: CPU", f"{cpu:.1%}", f"table {their_cpu:.1%}: {beside}", "3 %", missed=cpu > CPU)
    beside = f"table {their_rate / 1000:.1f} kB/s: {rate / their_rate:.2f} x"
    line(
        "  to the terminal", f"{rate / 1000:.1f} kB/s", beside, "5 kB/s", missed=rate > RATE_BYTES_S
    )
    beside = f"table {their_covered / 1000:.1f} kB/s: {covered / their_covered:.2f} x"
    about, missed = "  the same under the palette", covered > RATE_BYTES_S
    line(about, f"{covered / 1000:.1f} kB/s", beside, "5 kB/s", missed=missed)
    jobs = ("worst block of the loop", "99 % of its ticks late by", "most of its own CPU in one")
    for place, job in enumerate(jobs):
        beside = f"table {table[place]:.1f}, idle {idle[place]:.1f} ms"
        missed, wanted = (ours[0] > BLOCK_MS, "50 ms") if place == 0 else (False, "")
        line(f"  {job}", f"{ours[place]:.1f} ms", beside, wanted, missed=missed)


def _cost(url: str, kind: str, key: bytes = b"") -> tuple[float, float]:
    """The part of a core it takes, and bytes a second, once this key is pressed."""
    with screen(kind, url) as opened:
        opened.watch(WARM_S)
        opened.press(key)
        opened.watch(1.0)
        cpu_s, received, began = opened.cpu_s(), opened.received, time.monotonic()
        opened.watch(WATCH_S)
        took_s = time.monotonic() - began
        return (opened.cpu_s() - cpu_s) / took_s, (opened.received - received) / took_s


def _late(url: str, kind: str) -> tuple[Lags, Lags]:
    """How late its loop is, and that of a screen beside it in which nothing goes on."""
    with tempfile.TemporaryDirectory() as folder:
        lags, idle_lags = Path(folder, "lags"), Path(folder, "idle")
        with screen("idle", url, lags=idle_lags), screen(kind, url, lags=lags) as opened:
            opened.watch(WARM_S + WATCH_S)
        return Lags.read(lags), Lags.read(idle_lags)


def _medians(found: Sequence[Sequence[float]]) -> list[float]:
    return [statistics.median(column) for column in zip(*found, strict=True)]


def age() -> None:
    """How old what is seen is, over a line of 16 kB/s to each; all at the same time."""
    kinds = ("ours", "slow", "table")
    with feed(NODES, CHANGING, stamped=True) as url, ThreadPoolExecutor() as pool:
        ours, slow, table = pool.map(lambda kind: _ages_s(url, kind), kinds)
    for name, (seen, caught_up), wanted in (("", ours, "0.5 s"), (", --slow", slow, "")):
        beside = f"table {table[0]:.2f} s: {seen / table[0]:.2f} x"
        missed = bool(wanted) and seen > AGE_S
        about = f"age at 16 kB/s{name}, 99 %"
        line(about, f"{seen:.2f} s", beside, wanted, missed=missed)
        line("  no older than 3 s from", f"{caught_up:.1f} s", "after the command")


def _ages_s(url: str, kind: str) -> tuple[float, float]:
    """The age of what is seen, and from when after the start it was never old again."""
    with screen(kind, url, rate=LINE_BYTES_S) as opened:
        ages = Ages()
        old_until = opened.born

        def look(found: bytes) -> None:
            nonlocal old_until
            ages.look(found)
            if not ages.seen or ages.seen[-1] > OLD_S:
                old_until = time.monotonic()

        opened.watch(THIN_WARM_S, look)
        ages.seen.clear()
        opened.watch(THIN_WATCH_S, look)
        return p99(ages.seen), old_until - opened.born


def keys() -> None:
    """From a key to the first byte of what it changed, and to the last, under the same load."""
    with feed(NODES, CHANGING) as url:
        ours, table = (_presses_ms(url, kind) for kind in ("ours", "table"))
    for name in KEYS:
        first, last = ours[name]
        theirs, their_last = (statistics.median(times) for times in table[name])
        median, whole = statistics.median(first), statistics.median(last)
        beside = f"table {theirs:.0f} ms: {median / theirs:.2f} x; worst {max(first):.0f} ms"
        line(f"key to paint: {name}", f"{median:.0f} ms", beside, "100 ms", missed=median > KEY_MS)
        beside = f"table {their_last:.0f} ms: {whole / their_last:.2f} x; worst {max(last):.0f} ms"
        line("  all of it", f"{whole:.0f} ms", beside)


def _presses_ms(url: str, kind: str) -> dict[str, tuple[list[float], list[float]]]:
    """For each key: to the first and to the last byte that follow, each time."""
    found: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in KEYS}
    with screen(kind, url) as opened:
        opened.watch(WARM_S)
        for name, (key, back) in KEYS.items():
            for _ in range(PRESSES[kind]):
                opened.watch(0.1)
                opened.press(key)
                for times, seen_s in zip(found[name], opened.burst(), strict=True):
                    times.append(seen_s * 1000)
                if back:
                    opened.press(back)
                    opened.watch(0.3)
    return found


def many() -> None:
    """Ten thousand nodes while keys are held down, 30 a second."""
    with tempfile.TemporaryDirectory() as folder, feed(MANY, 0) as url:
        lags, idle_lags = Path(folder, "lags"), Path(folder, "idle")
        with screen("idle", url, lags=idle_lags), screen("ours", url, lags=lags) as opened:
            opened.watch(WARM_S)
            for key in (PAGE_DOWN, DOWN):
                for _ in range(int(HELD_S * HELD_PER_S)):
                    opened.press(key)
                    opened.watch(1 / HELD_PER_S)
        ours, idle = Lags.read(lags), Lags.read(idle_lags)
    line(
        f"{MANY:,} nodes, {HELD_PER_S} keys a second: worst block",
        f"{ours.worst:.1f} ms",
        f"idle {idle.worst:.1f} ms; 99 %: {ours.p99:.1f}, CPU {ours.cpu:.1f} ms",
        "50 ms",
        missed=ours.worst > BLOCK_MS,
    )


def hour() -> None:
    """Memory over an hour of virtual time."""
    marks = asyncio.run(memory_mib(NODES, CHANGING))
    grown = marks[-1] - marks[1]
    rows = ", ".join(f"{mib:.0f}" for mib in marks)
    line(
        "memory, minutes 10 to 60 of a virtual hour",
        f"{grown:+.1f} MiB",
        f"{rows} MiB",
        "flat",
        missed=grown > GROWN_MIB,
    )


if __name__ == "__main__":
    main()
