"""Scenes: the console over a fleet that stands still, so that its pictures are always the same.

`make screenshots` saves them for the documents, and a test compares what it draws with those.
"""

import asyncio
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from cluster.clock.state import ClockSummary
from cluster.protocol.local import MemberView
from cluster.protocol.node import SourceState
from cluster.protocol.shared import Disk
from cluster.protocol.views import (
    CentralStatus,
    ClockPoint,
    JournalLine,
    NodeView,
    PollPoint,
    Run,
    Snapshot,
)
from console.app import ConsoleApp
from console.history import History
from console.settings import ConsoleSettings
from console.store import Store
from tests.console.fake_central import FakeCentral, view

SECOND = 1_000_000
NOW = 1_780_056_271 * SECOND  # a morning in May 2026
SITES = (
    ("ams1", "synthetic"),
    ("arn1", "host"),
    ("ber1", "synthetic"),
    ("cdg1", "host"),
    ("dub1", "synthetic"),
    ("hel1", "synthetic"),
    ("lhr1", "host"),
    ("mad1", "synthetic"),
    ("osl1", "synthetic"),
    ("prg1", "host"),
    ("rom1", "synthetic"),
    ("vie1", "synthetic"),
    ("waw1", "host"),
    ("zag1", "synthetic"),
)


@dataclass(frozen=True)
class Scene:
    """What is pressed to come there, at which size."""

    name: str
    size: tuple[int, int] = (80, 24)
    keys: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    away: bool = False


SCENES = (
    Scene("fleet", (140, 40), ("j", "j", "j", "j")),
    Scene("fleet-80x24"),
    Scene("node", (140, 40), ("j", "j", "j", "j", "enter")),
    Scene("node-80x24", keys=("j", "j", "j", "j", "enter")),
    Scene("runs-80x24", keys=("2",)),
    Scene("journal-80x24", keys=("3",)),
    Scene("confirm-80x24", keys=("j", "j", "j", "j", "p")),
    Scene("confirm-all-80x24", keys=("P",)),
    Scene("help-80x24", keys=("question_mark",)),
    Scene("add-80x24", keys=("a",)),
    Scene("break-it-80x24", keys=("b",)),
    Scene("unreachable-80x24", away=True),
    Scene("light", (100, 28), ("j",), {"theme": "light"}),
    Scene("ascii-80x24", keys=("j",), settings={"ascii": True}),
)


def snapshot() -> Snapshot:
    """A fleet with something of everything."""
    fake = FakeCentral()
    for each in fleet():
        fake.nodes[each.name] = each
    disk = Disk(1_180_000_000, 40_000_000_000, 60_000_000_000)
    status: CentralStatus = replace(fake.status(), now=NOW, records=8_711_000, disk=disk)
    return Snapshot(
        now=NOW,
        status=status,
        nodes=list(fake.nodes.values()),
        runs=list(runs()),
        journal=list(journal()),
    )


def fleet() -> Iterator[NodeView]:
    """The worst first, as the console shows it."""
    known: dict[str, Any] = {"version": "0.1.0", "epoch": "0198c1d2", "last_seen": NOW - SECOND}
    bad = ClockSummary(status="SYNC", drift_ms=2_410.0, bound_ms=4.0, stratum=2)
    down: dict[str, Any] = {"live": "down", "reason": "refused", "detail": "nobody listens there"}
    yield view("fra2", data="diverged", conflicts=12, at_node=938_168, at_central=938_156, **known)
    yield view("rig1", failures=7, next_try=NOW + 24 * SECOND, at_node=405_045,
               at_central=409_066, **down, **known)  # fmt: skip
    yield view("zrh1", clock=bad, at_node=288_215, at_central=288_215, proven=NOW, **known)
    yield view(
        "ath1", "suspect", "behind", failures=2, at_node=311_047, at_central=311_016, **known
    )
    pull = Run(id=881, node="lis1", kind="pull", mode="incremental", state="running",
               asked=NOW - 12 * SECOND, started=NOW - 11 * SECOND, received=13_878,
               expected=32_300, rate=1_204.0)  # fmt: skip
    yield view("lis1", data="behind", at_node=601_324, at_central=582_902, to_pull=18_422, run=pull,
               source=SourceState("synthetic", True, 25.0, 90_112), proven=NOW - 62 * SECOND,
               url="http://10.3.17.17:8101", rtt_ms=29.1, apart_ms=0.4, tidemark=582_902,
               **known)  # fmt: skip
    rng = random.Random(7)
    for number, (name, kind) in enumerate(SITES):
        records, behind = rng.randrange(90_000, 1_010_000), (893, 346, 271)[number] * (number < 3) \
            if number < 3 else 0  # fmt: skip
        clock = ClockSummary(status="SYNC", drift_ms=rng.gauss(0, 5), bound_ms=3.0, stratum=2,
                             freq_ppm=1.2, delay_ms=9.5, reference="127.0.0.1:8123",
                             last_sync_age_s=11.0)  # fmt: skip
        yield view(name, data="behind" if behind else "in_sync", at_node=records,
                   at_central=records - behind, to_pull=behind, clock=clock,
                   source=SourceState(kind, True, 5.0, 1_000),  # type: ignore[arg-type]
                   proven=NOW - SECOND, **known)  # fmt: skip


def runs() -> Iterator[Run]:
    """Open ones and some that ended each in another way."""
    yield next(each.run for each in fleet() if each.run is not None)
    yield Run(id=882, node="rig1", kind="pull", mode="incremental", state="waiting",
              asked=NOW - 9 * SECOND, reason="node is down")  # fmt: skip
    ended: tuple[tuple[int, str, str, str, int, int, float, dict[str, Any]], ...] = (
        (880, "ams1", "push", "succeeded", 3_505, 3_505, 3.6, {}),
        (879, "arn1", "pull", "succeeded", 6_976, 6_976, 2.9, {}),
        (878, "fra2", "pull", "succeeded", 6_066, 0, 4.8, {"conflict": 12}),
        (877, "ber1", "pull", "failed", 1_226, 1_226, 4.5, {"error": "reset: the line broke"}),
        (876, "lis1", "pull", "succeeded", 8_214, 8_214, 6.9, {}),
        (875, "lis1", "pull", "cancelled", 77, 77, 0.2, {}),
        (874, "vie1", "pull", "succeeded", 240, 240, 1.9, {}),
    )
    for place, (number, node, kind, state, received, inserted, took_s, more) in enumerate(ended):
        end = NOW - (33 + 61 * place) * SECOND
        yield Run(id=number, node=node, kind=kind, mode="incremental", state=state,  # type: ignore[arg-type]
                  asked=end - int(took_s * SECOND), started=end - int(took_s * SECOND), ended=end,
                  received=received, inserted=inserted, **more)  # fmt: skip


def journal() -> Iterator[JournalLine]:
    lines = (
        ("info", "central-started", None, "central started"),
        ("info", "node-up", "hel1", "is up again after 13 misses"),
        (
            "warning",
            "node-down",
            "rig1",
            "is down after 3 misses: nobody listens there; waited for",
        ),
        ("warning", "clock-bad", "zrh1", "its system clock is +2410 ms off, more than 500 ms"),
        ("error", "conflict", "fra2", "12 records have the same id and another content"),
        ("info", "run-ended", "ams1", "push 880: 3,505 received, 3,505 new"),
        ("warning", "node-suspect", "ath1", "missed a poll: no answer in time"),
        ("info", "run-asked", "lis1", "pull 881 asked for"),
        ("info", "run-asked", "rig1", "pull 882 asked for"),
        ("warning", "node-suspect", "ath1", "missed a poll: no answer in time"),
    )
    for seq, (level, kind, node, text) in enumerate(lines, 4_802):
        ts = NOW - (4_812 - seq) * 17 * SECOND
        yield JournalLine(seq=seq, ts=ts, level=level, kind=kind, node=node, text=text)  # type: ignore[arg-type]


def history() -> History:
    """Four minutes of a good clock, with a gap, and a node that makes 25 records a second."""
    rng = random.Random(2)
    clock, polls = [], []
    for second in range(300):
        ts = NOW - (300 - second) * SECOND
        if 150 < second < 165:
            polls.append(PollPoint(ts, None, None, 580_000))
            continue
        drift_ms = 3 * math.sin(second / 40) + rng.gauss(0, 0.4)
        clock.append(ClockPoint(ts, drift_ms, 3.0))
        polls.append(PollPoint(ts, 29.0, 590_000 + 25 * second, 570_000 + 1_000 * (second // 60)))
    return History.of(clock, polls)


class StillApp(ConsoleApp):
    """Nothing comes from anywhere, and no time passes."""

    def __init__(self, scene: Scene) -> None:
        settings = ConsoleSettings(
            central="http://central-01:8100",
            workbench="http://127.0.0.1:1" if scene.name.startswith("break") else None,
            **scene.settings,
        )
        super().__init__(settings, "no-token-is-needed", deaf_s=0, hold_order_s=0)
        self._away = scene.away
        self.store = Store(monotonic=lambda: 0.0)

    def _listen(self) -> None:
        self.store.apply_snapshot(snapshot())
        self.store.keep_history("lis1", history())
        self.feed._find()
        if self._away:
            self.feed._lose("lost", "refused: nobody listens there")
        if self.workbench is not None:
            still = self.workbench.members
            for number, name in enumerate(("central", "ath1", "lis1", "rig1")):
                still[name] = MemberView(
                    name=name,
                    kind="central" if name == "central" else "node",
                    state="running",
                    pid=4_711 + number,
                    frozen=name == "ath1",
                    disk_bytes=61_000_000,
                )

    def look_back(self, name: str) -> None:
        """There is only what the scene gives."""

    async def _load_runs(self, name: str) -> None:
        pass


async def draw(scene: Scene) -> tuple[str, str]:
    """The scene as SVG and as text."""
    app = StillApp(scene)
    async with app.run_test(size=scene.size, notifications=False) as pilot:
        await pilot.pause(0.3)
        for key in scene.keys:
            await pilot.press(key)
            await pilot.pause()
        await asyncio.sleep(0.3)
        await pilot.pause()
        strips = app.screen._compositor.render_strips()
        text = "\n".join("".join(segment.text for segment in strip) for strip in strips)
        return app.export_screenshot(title="Tidehold"), text
