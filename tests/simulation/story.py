"""One seed: ten virtual minutes of faults, then peace, and what must be true in the end.

After the last fault nobody helps but an operator who asks once for the push that a node lacks:
lanes find the nodes, central pulls by itself, and within minutes both sides have all that was not
lost with a disk, each once, in order, proven; the journal tells each change once, and why.
"""

import asyncio
import traceback
from dataclasses import dataclass

from cluster.windows import last_position
from tests.simulation.chaos import Chaos
from tests.simulation.loop import run
from tests.simulation.network import Trace
from tests.simulation.truth import check_journal, check_nodes, check_runs, check_tasks
from tests.simulation.world import World

RAGE_S = 600.0
HEALED_S = 600.0  # at most


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a seed. `trace` is the same each time."""

    seed: str
    trace: str
    broken: list[str]
    records: int
    lines: list[str] | None = None


def tell(seed: str, *, traced: bool = False) -> Outcome:
    """Live through one seed."""
    try:
        return run(_live(seed, traced))
    except Exception:
        return Outcome(seed, "", [traceback.format_exc()], 0)


async def _live(seed: str, traced: bool) -> Outcome:
    trace = Trace()
    trace.lines = [] if traced else None
    world = World(seed, trace)
    with world.in_place():
        await world.begin()
        await Chaos(world).rage(RAGE_S)
        broken = world.broken + await heal(world)
        await world.end()
        broken = broken or [
            *check_nodes(world),
            *check_runs(world),
            *check_journal(world),
            *check_tasks(),
        ]
    records = sum(len(node.acknowledged) for node in world.nodes)
    return Outcome(seed, trace.value, broken, records, trace.lines)


async def heal(world: World) -> list[str]:
    """Wait until all is well; what is not."""
    loop, asked = asyncio.get_running_loop(), set[str]()
    end_s = loop.time() + HEALED_S
    for node in world.nodes:
        node.quiet = True
    while sick := _sick(world):
        if loop.time() > end_s:
            return sick
        await asyncio.sleep(5)
        for machine in (world.central, *world.nodes):
            assert machine.running is not None
            machine.running.check()
        await _push_once(world, asked)
    return []


async def _push_once(world: World, asked: set[str]) -> None:
    """What an operator does who sees that central has what a node lacks."""
    process = world.central.process
    assert process is not None
    for name, view in sorted(process.board.nodes.items()):
        known = view.live == "up" and not view.records.missing_at_central
        if known and view.records.missing_at_node and name not in asked:
            asked.add(name)
            await process.fleet.ask_run(name, "push", "missing")


def _sick(world: World) -> list[str]:
    process = world.central.process
    assert process is not None
    views, sick = process.board.nodes, []
    for node in world.nodes:
        view = views.get(node.name)
        if view is None:
            sick.append(f"{node.name} is not known")
        elif (view.live, view.data) != ("up", "in_sync"):
            sick.append(f"{node.name} is {view.live}, {view.data} ({view.reason})")
        elif view.tidemark != last_position(node.disk.sql):
            sick.append(f"{node.name} is not proven")
    return sick + [f"run {run.id} of {run.node} is {run.state}" for run in process.open_runs()]
