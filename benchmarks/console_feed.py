"""A central for the console's benchmark: it speaks the real contract, in a process of its own.

One node's count is the time at which it was set, so that a reader of the screen knows how old
what he sees is.
"""

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection

from msgspec.structs import replace

from tests.console.fake_central import FakeCentral, now_us, view

DELTAS_PER_S = 4
CLOCK_NODE = "a-clock"
#: The time as a count: milliseconds modulo this, after a 7, which no other count begins with.
MODULO_MS = 1_000_000
STAMP = re.compile(rb"7,\d\d\d,\d\d\d")


def clock_count() -> int:
    """The time as a count."""
    return 7 * MODULO_MS + int(time.time() * 1000) % MODULO_MS


class Ages:
    """How old, in seconds, what has come is at each look; nothing before the first stamp."""

    def __init__(self, count: Callable[[], int] = clock_count) -> None:
        self.seen: list[float] = []
        self._count, self._tail, self._newest = count, b"", 0

    def look(self, found: bytes) -> None:
        """At what has come since the last look."""
        self._tail = (self._tail + found)[-4_096:]
        if stamps := STAMP.findall(self._tail):
            self._newest = int(stamps[-1].replace(b",", b""))
        if self._newest:
            self.seen.append((self._count() - self._newest) % MODULO_MS / 1000)


@contextmanager
def feed(nodes: int, changing_per_s: int, *, stamped: bool = False) -> Iterator[str]:
    """The address of a central with so many nodes, of which so many change each second.

    `stamped`: the first of them changes four times a second, and its count is the time.
    """
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_main, args=(theirs, nodes, changing_per_s, stamped), daemon=True
    )
    process.start()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


def _main(pipe: Connection, nodes: int, changing_per_s: int, stamped: bool) -> None:
    asyncio.run(_serve(pipe, nodes, changing_per_s, stamped))


async def _serve(pipe: Connection, nodes: int, changing_per_s: int, stamped: bool) -> None:
    fake = FakeCentral()
    for number in range(nodes - 1):
        each = view(f"node-{number:05}", proven=now_us())
        fake.nodes[each.name] = each
    # It is diverged, so that it stands in the first row.
    fake.nodes[CLOCK_NODE] = view(CLOCK_NODE, data="diverged", at_node=clock_count())
    await fake.start()
    pipe.send(fake.url)
    names, turn = [name for name in fake.nodes if name != CLOCK_NODE], 0
    share = changing_per_s // DELTAS_PER_S
    while True:
        await asyncio.sleep(1 / DELTAS_PER_S)
        if not changing_per_s:
            continue
        turn += 1
        # In steps through the whole fleet, so that some of those in sight are always among them.
        chosen = [names[(turn + step * 7_919) % len(names)] for step in range(share)]
        changed = [_changed(fake, name, turn) for name in dict.fromkeys(chosen)]
        if stamped:
            clock = replace(fake.nodes[CLOCK_NODE].records, node=clock_count())
            changed.append(replace(fake.nodes[CLOCK_NODE], records=clock, last_seen=now_us()))
        fake.put(*changed)


def _changed(fake: FakeCentral, name: str, turn: int):  # type: ignore[no-untyped-def]
    before = fake.nodes[name]
    records = replace(before.records, node=(before.records.node or 0) + turn % 7 + 1)
    clock = replace(before.clock, drift_ms=(turn * 37 % 100) / 10)  # type: ignore[type-var]
    return replace(before, records=records, clock=clock, last_seen=now_us(), proven=now_us())
