"""Ten virtual minutes of a cluster of twenty nodes and its faults, from a seed each.

`make test` lives through a few seeds and those that have found something once (seeds.txt);
`make soak` through a thousand. To look at one, line by line:

    .venv/bin/python -m tests.simulation SEED
"""

import os
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import pytest

from tests.simulation.story import Outcome, tell

SEEDS = int(os.environ.get("TIDEHOLD_SEEDS", "4"))
KNOWN = Path(__file__).with_name("seeds.txt")


def known() -> list[str]:
    lines = KNOWN.read_text(encoding="utf-8").splitlines()
    return [line.split(" ")[0] for line in lines if line and not line.startswith("#")]


def outcomes(seeds: list[str]) -> Iterator[Outcome]:
    """Of many seeds, on every core; of a few, here."""
    if len(seeds) < 50:
        yield from map(tell, seeds)
        return
    with get_context("spawn").Pool(os.cpu_count()) as pool:
        yield from pool.imap_unordered(tell, seeds, chunksize=4)


@pytest.mark.long
@pytest.mark.timeout(0 if SEEDS > 50 else 120)
@pytest.mark.fault(6, 11, 15, 16, 17, 18, 40, 50, 76, 78)
def test_whatever_happens_nothing_is_lost_or_doubled() -> None:
    """After the last fault both sides come to the same, by themselves, and prove it."""
    seeds = [str(number) for number in range(SEEDS)]

    asked = list(dict.fromkeys([*known(), *seeds]))

    broken = {one.seed: one.broken for one in outcomes(asked) if one.broken}

    assert broken == {}, f"look at one: python -m tests.simulation {next(iter(broken))}"


def test_a_seed_is_a_run() -> None:
    """The same to the last bit, or a failing seed could not be looked into."""
    first, again = tell("same"), tell("same")

    assert first == again
    assert first.records > 0
