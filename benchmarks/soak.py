"""What `make soak` runs: each long thing with its big size, one after another, as one table.

A line is a selection of tests and the environment that makes it big: whatever takes its size
from a variable is added with one line. The exit code is 1 when any of them fails; one that only
takes longer than is wanted says so, as that is the machine's affair as well.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass

SIMULATION = "tests/simulation"


@dataclass(frozen=True)
class Line:
    """One long thing. `most_s`: seconds that it should take at most."""

    name: str
    tests: str
    sizes: dict[str, int]  # by variable; the first one is shown
    wanted: str
    most_s: float | None = None


LINES = (
    Line("seeds of ten minutes, 20 nodes", SIMULATION, {"SEEDS": 1_000}, "0 broken, <= 120 s", 120),
    Line(
        "kill -9 in a run, of four kinds",
        "tests/faults/test_kill.py",
        {"KILLS": 50},
        "0 lost, 0 doubled in 200",
    ),
    Line(
        "kill -9 of central, node, both",
        "tests/faults/test_kill_cycles.py",
        {"CYCLES": 200},
        "0 lost, 0 doubled in 200",
    ),
    Line(
        "power cuts of a node's disk",
        "tests/faults/test_power_cuts.py",
        {"POWER_CUTS": 500},
        "0 lost, 0 corrupt",
    ),
    Line(
        "polls in which memory stands still",
        "tests/faults/test_process_limits.py",
        {"POLLS": 20_000},
        "grows < 2 MiB",
    ),
    Line(
        "polls of 1,000 nodes, 200 sick",
        "tests/faults/test_fleet.py",
        {"FLEET": 1_000, "FLEET_POLLS": 600},
        "none else harmed",
    ),
    Line(
        "records after an hour away",
        "tests/faults/test_lines.py",
        {"BACKLOG": 100_000},
        "0 lost, 0 doubled, polls on time",
    ),
    Line(
        "seconds without a database",
        "tests/faults/test_network.py",
        {"STILL_S": 10},
        "polls on time, none down",
    ),
    Line(
        "generated requests to each service",
        "tests/requests/test_generated.py",
        {"CASES": 20_000},
        "0 failures, 0 5xx",
    ),
    Line(
        "stories of two sides",
        "tests/replication/test_state_machine.py",
        {"EXAMPLES": 2_000},
        "0 lost, 0 doubled",
    ),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--only", default="", help="lines whose name has this word in it")
    parser.add_argument("--share", type=float, default=1.0, help="of every size, for a quick look")
    ask = parser.parse_args()
    print(f"{'what':34} {'size':>7} {'seconds':>8}   {'result':34} wanted", flush=True)
    good = [_run(line, ask.share) for line in LINES if ask.only in line.name]
    return 0 if good and all(good) else 1


def _run(line: Line, share: float) -> bool:
    """Print what came of it; whether nothing failed."""
    sizes = {name: max(1, round(size * share)) for name, size in line.sizes.items()}
    began_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", *line.tests.split()],
        env=os.environ | {f"TIDEHOLD_{name}": str(size) for name, size in sizes.items()},
        capture_output=True,
        text=True,
        check=False,
    )
    took_s = time.monotonic() - began_s
    result = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else "nothing ran"
    result = re.sub(r" in [\d.]+s.*", "", result).strip("= ")
    if line.most_s is not None and took_s > line.most_s * share:
        result += ", slower than wanted"
    size = next(iter(sizes.values()))
    print(f"{line.name:34} {size:>7,} {took_s:>8.1f}   {result:34} {line.wanted}", flush=True)
    if done.returncode != 0:
        print(done.stdout, done.stderr, sep="\n", flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
