"""What must be true of a simulated cluster in the end. Each function tells what is not.

The two databases are compared by `tests.invariants`, which knows nothing of the services.
"""

import asyncio
from collections.abc import Iterator

from tests.invariants import compare
from tests.simulation.central import CentralProcess, WatchedBoard
from tests.simulation.node import Node
from tests.simulation.world import World, ids, payloads

BORN = "SELECT CAST(substr(payload, ?) AS INTEGER) FROM records WHERE node = ? ORDER BY id"
DOUBLE = "SELECT payload FROM records WHERE node = ? GROUP BY payload HAVING count(*) > 1"

STATES = [f"node-{word}" for word in ("up", "suspect", "down", "flapping", "steady")]
MARKS = "SELECT name, tidemark_epoch, tidemark_position FROM nodes"
OPEN = "SELECT id, node, state FROM runs WHERE state IN ('queued', 'waiting', 'running')"


def check_nodes(world: World) -> list[str]:
    """I1 to I5 of every node."""
    return [text for node in world.nodes for text in _check_node(world, node)]


def _check_node(world: World, node: Node) -> Iterator[str]:
    name, sides = node.name, (node.disk.sql, world.central.disk.sql)
    verdict = compare(name, *sides)
    yield from verdict.broken
    if not verdict.same:
        yield f"the sets differ: {verdict.line()}"
    wanted = node.acknowledged - world.lost[name]
    for one in wanted - payloads(world.central, name):
        yield f"I1 {one} was acknowledged and is not at central"
    for sql in sides:
        for (text,) in sql.execute(DOUBLE, (name,)):
            yield f"I2 {text} is there twice"
        begins = len(f'{{"n":"{name}-') + 1
        born = [number for (number,) in sql.execute(BORN, (begins, name))]
        if node.faithful and born != sorted(born):
            yield f"I3 the ids of {name} are not in the order in which they were born"


def check_tidemarks(world: World) -> list[str]:
    """I5 at any moment: central holds all that a node stored up to its tidemark.

    But for a node whose disk was another one: until it answers, central cannot know.
    """
    marks = {name: (epoch, last) for name, epoch, last in world.central.disk.sql.execute(MARKS)}
    broken = []
    for node in world.nodes:
        epoch, last = marks.get(node.name, (None, 0))
        if epoch is not None and node.faithful:
            rows = node.disk.sql.execute("SELECT id FROM records WHERE position <= ?", (last,))
            lacking = {one for (one,) in rows} - ids(world.central, node.name)
            if lacking:
                broken.append(f"I5 {node.name}: tidemark {last}, {len(lacking)} before it lacking")
    return broken


def check_runs(world: World) -> list[str]:
    """What was asked for has ended.

    But for a run whose asker was told that it could not be stored, and which is there all the
    same: nobody knows, until central is started again.
    """
    shown = world.central.lives[-1].board.shown
    return [
        f"run {number} of {node} is {state} for ever"
        for number, node, state in world.central.disk.sql.execute(OPEN)
        if number in shown
    ]


def check_journal(world: World) -> list[str]:
    """I6: each change of a node's state, and each end of a run, is told once and with a reason.

    A life that was killed may not have told the last ones.
    """
    return [
        f"I6 life {number}: {text}"
        for number, life in enumerate(world.central.lives)
        for text in (*_check_states(world, life), *_check_runs(life.board, life.ended_well))
    ]


def _check_states(world: World, life: CentralProcess) -> Iterator[str]:
    lines = [line for line in life.board.told if line.kind in STATES]
    for node in world.nodes:
        told = [line.kind for line in lines if line.node == node.name]
        shown = [kind for name, kind in life.board.changes if name == node.name]
        both = min(len(told), len(shown))
        if told[:both] != shown[:both] or (life.ended_well and len(told) != len(shown)):
            yield f"{node.name} was shown {shown}, and told {told}"
    for line in lines:
        if line.level == "warning" and line.kind != "node-flapping" and ": " not in line.text:
            yield f"no reason: {line.text}"


def _check_runs(board: WatchedBoard, ended_well: bool) -> Iterator[str]:
    told = [line.text.split(" ")[:3] for line in board.told if line.kind.startswith("run-")]
    for run in board.ended:
        silent = run.scheduled and run.state in ("succeeded", "cancelled")
        times = told.count([run.kind, str(run.id), f"{run.state},"])
        if times > 1 or (ended_well and not silent and not times):
            yield f"the end of {run.kind} {run.id} is told {times} times"
    ids = [run.id for run in board.ended]
    yield from (f"run {one} ended twice" for one in set(ids) if ids.count(one) > 1)


def check_tasks() -> list[str]:
    """Nothing goes on after everything has stopped."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    return [f"a task is left: {task.get_coro()}" for task in left]
