"""The runner of one lane: carries out the node's runs, one after another, and looks closer.

A run waits while the node is down, takes one of the cluster's slots, goes on after a cut where
the tidemark stands, and fails only when the node says no, or answers polls but lets nothing get
done. Each run is carried out in a task of its own, so that it can be cancelled alone. When no run
moves anything, the lane may have it look into a difference that a poll cannot explain.
"""

import asyncio
from collections.abc import Callable
from random import Random

from central.context import Context
from central.replication import Replication, Tally
from cluster.backoff import Backoff
from cluster.peer import PeerFailed
from cluster.problem import Refusal
from cluster.protocol.node import NodeStatus
from cluster.protocol.shared import COUNT_MAX
from cluster.protocol.views import Run

STORE_RETRY_S = 1.0
STALL_S = 120.0  # without any progress a run gives its slot back
LOOK_S = 30.0
ATTEMPTS_MAX = 5  # in a row without any progress, at a node that answers polls


class Runner:
    """Carries out the runs of one node. `up` is set while the node answers."""

    def __init__(
        self,
        context: Context,
        name: str,
        open_replication: Callable[[Tally], Replication],
        poll: Callable[[], None],
        show: Callable[[], None],
    ) -> None:
        self.up = asyncio.Event()
        self.run: Run | None = None
        self._context = context
        self._name = name
        self._open_replication = open_replication
        self._poll = poll
        self._show = show
        self._asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._moving = asyncio.Lock()  # held by whoever moves rows or the tidemark

    def run_asked(self) -> None:
        """There is a new run in the queue."""
        self._asked.set()

    async def work(self) -> None:
        """Carry out runs for ever."""
        while True:
            self._asked.clear()
            while runs := self._context.runs.open_of(self._name):
                try:
                    await self._carry_out(runs[0])
                except Refusal:  # our own database cannot store for the moment
                    await asyncio.sleep(STORE_RETRY_S)
            await self._asked.wait()

    async def stop(self) -> None:
        """End what is being done, after `work` has been ended."""
        tasks = [task for task in (self._task, self._looking) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def look(self, status: NodeStatus) -> None:
        """Remember a proof, or find out how the sets differ, unless something moves just now."""
        idle = self._looking is None or self._looking.done()
        if idle and not self._moving.locked():
            self._looking = self._context.tasks.start(self._look(status), f"look {self._name}")

    async def cancel(self, run: Run) -> Run:
        """End a run that has not ended; returns when it has."""
        if self._task is not None and self.run is not None and self.run.id == run.id:
            self._task.cancel()
            await self._ended.wait()
        else:
            await self._context.runs.end(run, state="cancelled")
        return await self._context.runs.get(run.id)

    async def _look(self, status: NodeStatus) -> None:
        replication = self._open_replication(Tally())
        try:
            async with asyncio.timeout(LOOK_S), self._moving:
                own, _ = await self._context.store.standing(self._name)
                if status.records.as_digest() == own:
                    await replication.prove(status)
                else:
                    await replication.compare(status)
                    self._poll()  # what was found shows at once
        except (PeerFailed, Refusal, TimeoutError):
            pass  # nothing was moved; a later poll asks for it again

    async def _carry_out(self, run: Run) -> None:
        self._ended.clear()
        self.run = run
        self._task = self._context.tasks.start(self._attempt_until_done(), f"run {run.id}")
        try:
            await asyncio.wait([self._task])
            if self._task.cancelled():
                await self._context.runs.end(self.run, state="cancelled")
        finally:
            self._task.cancel()
            self._task, self.run = None, None
            self._ended.set()
            self._poll()  # its result shows at once

    async def _attempt_until_done(self) -> None:
        fruitless, pause = 0, Backoff(0.5, 10.0, Random())
        while not self._current.ended_already:
            before, waits = self._current.received, not self.up.is_set()
            failure = await self._attempt_in_turn()
            fruitless = 0 if waits or self._current.received > before else fruitless + 1
            try:
                await self._settle(failure, final=fruitless >= ATTEMPTS_MAX)
            except Refusal:  # the state could not be stored; the next round tries again
                fruitless = 0
            if not self._current.ended_already:
                self._poll()
                await asyncio.sleep(pause.next_s())

    async def _settle(self, failure: PeerFailed | None, *, final: bool) -> None:
        """Store what an attempt has led to."""
        if failure is None:
            await self._end(state="succeeded", reason=None)
        elif failure.definite or final:
            await self._end(state="failed", reason=None, error=str(failure))
        else:
            await self._change(state="waiting", reason=str(failure))

    async def _attempt_in_turn(self) -> PeerFailed | None:
        """Wait for the node and for a free slot, then replicate once."""
        try:
            await self._wait_until_up()
            if self._looking is not None:
                self._looking.cancel()  # the run will know soon enough
            async with self._moving, self._context.slots:
                await self._attempt()
        except PeerFailed as failure:
            return failure
        except Refusal as refusal:  # our own database could not store
            return PeerFailed("internal", str(refusal))
        except TimeoutError:
            return PeerFailed("timeout", f"nothing has moved for {STALL_S:.0f} s")
        return None

    async def _wait_until_up(self) -> None:
        if not self.up.is_set():
            await self._change(state="waiting", reason="waits until the node is up")
            await self.up.wait()
        if self._context.slots.locked():
            await self._change(state="queued", reason="other nodes replicate; its turn comes")

    async def _attempt(self) -> None:
        """Replicate once. TimeoutError when nothing moves any more."""
        start = self._current
        await self._change(
            state="running",
            reason=None,
            started=start.started or self._context.clock.now_us(),
            attempts=start.attempts + 1,
        )
        tally, loop = Tally(), asyncio.get_running_loop()
        replication = self._open_replication(tally)
        async with asyncio.timeout(STALL_S) as stall:

            def moved() -> None:
                stall.reschedule(loop.time() + STALL_S)
                self._add(tally, start)

            tally.changed = moved
            if start.kind == "pull":
                await replication.pull(start.mode)
            else:
                await replication.push(start.mode)

    @property
    def _current(self) -> Run:
        assert self.run is not None, "only a lane's run loop clears it"
        return self.run

    def _add(self, tally: Tally, start: Run) -> None:
        """Show what this attempt has moved, on top of what the earlier ones had."""
        expected = tally.expected
        self.run = self._context.runs.progress(
            self._current,
            received=start.received + tally.received,
            inserted=start.inserted + tally.inserted,
            duplicate=start.duplicate + tally.duplicate,
            conflict=start.conflict + tally.conflict,
            rejected=start.rejected + tally.rejected,
            bytes=start.bytes + tally.bytes,
            expected=None if expected is None else min(start.received + expected, COUNT_MAX),
        )
        self._show()

    async def _change(self, **changes: object) -> None:
        self.run = await self._context.runs.change(self._current, **changes)
        self._show()

    async def _end(self, **changes: object) -> None:
        self.run = await self._context.runs.end(self._current, **changes)
