"""What happens to a simulated cluster: faults and orders, drawn one after another.

Whatever is broken is mended after a while, by the same event that broke it.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

from central.fleet import Fleet
from central.store import SCHEMA as CENTRAL_SCHEMA
from cluster.problem import Refusal
from cluster.protocol.views import RunKind
from node.store import SCHEMA as NODE_SCHEMA
from tests.simulation.machine import Machine
from tests.simulation.network import WEATHERS
from tests.simulation.node import Node
from tests.simulation.truth import check_tidemarks
from tests.simulation.world import World

EVENT_EVERY_S = 12.0  # on average
BAD_S = 120.0  # nothing stays bad for longer
JUMPS_S = (-86_400.0, -60.0, -0.5, 0.5, 60.0, 86_400.0)
MODES: dict[RunKind, list[str]] = {
    "pull": ["incremental", "full", "reconcile"],
    "push": ["missing", "full"],
}


class Chaos:
    """Draws what happens next."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = world.rng
        self._held: dict[Machine, None] = {}  # by an event that is under way
        self._events: dict[Callable[[], Coroutine[Any, Any, None]], int] = {
            self._bad_weather: 16,
            self._kill_node: 8,
            self._freeze_node: 4,
            self._wipe_node: 2,
            self._back_up_node: 4,
            self._restore_node: 4,
            self._move_node: 2,
            self._jump_clock: 4,
            self._slow_disk: 2,
            self._break_disk: 4,
            self._burst: 6,
            self._kill_central: 4,
            self._isolate_central: 2,
            self._back_up_central: 2,
            self._restore_central: 2,
            self._order: 12,
            self._order_all: 1,
            self._cancel: 4,
        }

    async def rage(self, seconds: float) -> None:
        """Things happen for so long; then all that was broken is whole again."""
        loop = asyncio.get_running_loop()
        end_s, events = loop.time() + seconds, list(self._events)
        weights = list(self._events.values())
        async with asyncio.TaskGroup() as group:
            while loop.time() < end_s:
                await asyncio.sleep(self._rng.expovariate(1 / EVENT_EVERY_S))
                (event,) = self._rng.choices(events, weights)
                group.create_task(event())

    def _note(self, text: str) -> None:
        self._world.trace.note(f"** {text}")

    async def _pause(self, most_s: float = BAD_S) -> None:
        await asyncio.sleep(self._rng.uniform(0, most_s))

    def _any_node(self) -> Node:
        return self._rng.choice(self._world.nodes)

    def _any_machine(self) -> Machine:
        return self._rng.choice([self._world.central, *self._world.nodes])

    async def _restart(
        self, machine: Machine, what: str, change: Callable[[], None] | None = None
    ) -> None:
        """Kill it, change it, and start it after a while; nothing when somebody else does."""
        if machine in self._held:
            return
        self._held[machine] = None
        if machine.running is not None and self._rng.random() < 0.7:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._rng.uniform(0, BAD_S)):
                    await machine.running.die()
        self._note(f"{machine.name}: {what}")
        await machine.off()
        if machine is self._world.central and not self._world.broken:
            self._world.broken += check_tidemarks(self._world)
        if change is not None:
            with self._world.losing():
                change()
        await self._pause()
        await machine.on()
        del self._held[machine]

    async def _bad_weather(self) -> None:
        node, kind = self._any_node(), self._rng.choice(sorted(WEATHERS))
        network = self._world.network
        self._note(f"{node.name}: {kind}")
        network.weather[node.name] = weather = WEATHERS[kind]
        await self._pause()
        if network.weather.get(node.name) is weather:  # and not the next one
            del network.weather[node.name]

    async def _kill_node(self) -> None:
        await self._restart(self._any_node(), "killed")

    async def _kill_central(self) -> None:
        await self._restart(self._world.central, "killed")

    async def _wipe_node(self) -> None:
        node = self._any_node()
        node.faithful = False
        await self._restart(node, "wiped", node.disk.wipe)

    async def _restore_node(self) -> None:
        node = self._any_node()
        if node.backup is not None:
            node.faithful = False
            await self._restart(node, "restored", partial(node.restore, NODE_SCHEMA))

    async def _restore_central(self) -> None:
        central = self._world.central
        if central.backup is not None and not self._world.prunes:
            await self._restart(central, "restored", partial(central.restore, CENTRAL_SCHEMA))

    async def _back_up_node(self) -> None:
        self._any_node().back_up()

    async def _back_up_central(self) -> None:
        self._world.central.back_up()

    async def _move_node(self) -> None:
        """It comes back at another address."""
        node = self._any_node()
        await self._restart(node, "moved", node.move)

    async def _freeze_node(self) -> None:
        """It takes what is asked, and does not answer."""
        process = self._any_node().process
        if process is not None:
            process.frozen = True
            await self._pause()
            process.frozen = False

    async def _slow_disk(self) -> None:
        """A commit takes seconds."""
        process = self._any_machine().running
        if process is not None:
            process.database.slow = self._rng.uniform(10, 1_000)
            await self._pause()
            process.database.slow = 1.0

    async def _break_disk(self) -> None:
        """Commits fail; of some nobody knows that they have not."""
        machine = self._any_machine() if self._rng.random() < 0.5 else self._world.central
        if (process := machine.running) is not None:
            self._note(f"{machine.name}: its disk fails")
            process.database.failing = True
            await self._pause(BAD_S / 4)
            process.database.failing = False

    async def _jump_clock(self) -> None:
        self._any_machine().base.system_ahead_ns += int(self._rng.choice(JUMPS_S) * 1e9)

    async def _isolate_central(self) -> None:
        self._note("central is isolated")
        self._world.network.isolated = True
        await self._pause()
        self._world.network.isolated = False

    async def _burst(self) -> None:
        process = self._any_node().process
        if process is not None:
            await process.start(process.burst(self._rng.randrange(20, 150)))

    async def _order(self) -> None:
        """Somebody asks for a run."""
        kind: RunKind = self._rng.choice(["pull", "push"])
        name, mode = self._any_node().name, self._rng.choice(MODES[kind])
        await self._ask(lambda fleet: fleet.ask_run(name, kind, mode))

    async def _order_all(self) -> None:
        kind: RunKind = self._rng.choice(["pull", "push"])
        await self._ask(lambda fleet: fleet.ask_all(kind, MODES[kind][0]))

    async def _cancel(self) -> None:
        """Somebody ends a run."""
        process = self._world.central.process
        if process is not None and process.ready.is_set() and (runs := process.open_runs()):
            run = self._rng.choice(runs)
            await self._ask(lambda fleet: fleet.cancel(run))

    async def _ask(self, order: Callable[[Fleet], Coroutine[Any, Any, object]]) -> None:
        """An operator asks central, which may say no or be killed meanwhile."""
        process = self._world.central.process
        if process is not None:
            asked = process.start(_unless_refused(order(process.fleet)))
            await asyncio.wait([asked])


async def _unless_refused(order: Coroutine[Any, Any, object]) -> None:
    with suppress(Refusal):
        await order
