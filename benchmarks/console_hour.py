"""The console's memory over an hour of virtual time.

The clock of its store is ours, so an hour takes half a minute: 14,400 deltas of a fleet of which
a tenth changes each second, with runs that begin and end and a journal that goes on. One frame in
forty is drawn.
"""

import gc
import itertools
from collections.abc import Iterator

import psutil
from msgspec.structs import replace

from benchmarks.terminal import SIZE
from cluster.protocol.views import Delta, JournalLine, Run
from console.store import Store
from tests.console.fake_central import FakeCentral, view
from tests.console.scenes import SCENES, StillApp

HOUR_S, FLUSH_S, MARK_S = 3_600, 0.25, 600
#: Flushes from one run and line of the journal to the next, and from one frame to the next.
TALE_EVERY, DRAW_EVERY = 20, 40
START_US = 1_780_000_000_000_000


async def memory_mib(nodes: int, changing_per_s: int) -> list[float]:
    """What the process holds at the beginning, after 10, 20 ... 60 minutes."""
    now_s, process, marks = 0.0, psutil.Process(), list[float]()
    app = StillApp(SCENES[0])
    app.store = store = Store(monotonic=lambda: now_s)
    fake = FakeCentral()
    for number in range(nodes):
        fake.nodes[f"node-{number:05}"] = view(f"node-{number:05}")
    tale = _deltas(fake, round(changing_per_s * FLUSH_S))
    async with app.run_test(size=SIZE) as pilot:
        store.apply_snapshot(fake.snapshot(0))
        for flush in range(int(HOUR_S / FLUSH_S) + 1):
            now_s = flush * FLUSH_S
            store.apply_delta(next(tale))
            if flush % DRAW_EVERY == 0:
                app._tell_view()
                await pilot.pause()
            if now_s % MARK_S == 0:
                gc.collect()
                marks.append(process.memory_info().rss / 2**20)
    return marks


def _deltas(fake: FakeCentral, share: int) -> Iterator[Delta]:
    """What central would say, for ever; one run begins when the one before it has ended."""
    names, run = list(fake.nodes), _run(0, "node-00000", START_US)
    for flush in itertools.count():
        now_us = START_US + int(flush * FLUSH_S * 1e6)
        run = replace(run, received=run.received + 25)
        runs, lines = [run], list[JournalLine]()
        if flush % TALE_EVERY == 0:
            ended = replace(run, state="succeeded", ended=now_us)
            run = _run(flush, names[flush % len(names)], now_us)
            runs, lines = [ended, run], [_line(flush, now_us)]
        changed = []
        for step in range(share):
            before = fake.nodes[names[(flush * share + step) % len(names)]]
            records = replace(before.records, node=(before.records.node or 0) + 1)
            own = run if run.node == before.name else None
            changed.append(replace(before, records=records, last_seen=now_us, run=own))
            fake.nodes[before.name] = changed[-1]
        yield Delta(now=now_us, nodes=changed, runs=runs, journal=lines, gone=[])


def _run(flush: int, name: str, now_us: int) -> Run:
    return Run(
        id=flush + 1,
        node=name,
        kind="pull",
        mode="incremental",
        state="running",
        asked=now_us,
        started=now_us,
        expected=500,
    )


def _line(flush: int, now_us: int) -> JournalLine:
    text = f"line {flush} of the tale"
    return JournalLine(seq=flush + 1, ts=now_us, level="info", kind="x", node=None, text=text)
