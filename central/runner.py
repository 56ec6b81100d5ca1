"""The runner of one lane: carries out the node's runs, one after another, and looks closer.

A run waits while the node is down, takes one of the cluster's slots, goes on after a cut where
the tidemark stands, and fails only when the node says no, or answers polls but lets nothing get
done. Each run is carried out in a task of its own, so that it can be cancelled alone. When no run
moves anything, the lane may have it look into a difference that a poll cannot explain.
"""

import asyncio
from collections.abc import Callable

from central.context import Context
from central.replication import Replication
from central.tally import Tally
from cluster.backoff import Backoff
from cluster.peer import PeerFailed
from cluster.problem import Refusal
from cluster.protocol.shared import COUNT_MAX
from cluster.protocol.views import Run

STORE_RETRY_S = 1.0
STALL_S = 120.0  # without any progress a run gives its slot back
TURN_S = 60.0  # as it does after this, while all slots are taken
LOOK_STALL_S = 30.0
LEFT_MAX_S = 1e9
ATTEMPTS_MAX = 5  # in a row without any progress, at a node that answers polls


class TurnOver(Exception):
    """Others may be waiting for the slot; what was moved stays."""


def is_fruitless(failure: PeerFailed | None, tally: Tally) -> bool:
    """Whether an attempt that failed has led nowhere; our own failures are not the node's."""
    return failure is not None and failure.reason != "internal" and not tally.gained


class Runner:
    """Carries out the runs of one node. `up` is set while the node answers."""

    def __init__(
        self,
        context: Context,
        name: str,
        open_replication: Callable[[Tally], Replication],
        poll: Callable[[], None],
        show: Callable[[], None],
        *,
        turn_s: float = TURN_S,
    ) -> None:
        self.up = asyncio.Event()
        self.run: Run | None = None
        self._context = context
        self._name = name
        self._open_replication = open_replication
        self._poll = poll
        self._show = show
        self._turn_s = turn_s
        self._asked = asyncio.Event()
        self._unwanted: dict[int, str | None] = {}  # runs to be cancelled, and why
        self._cancelling = asyncio.Lock()
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
                    if runs[0].id in self._unwanted:
                        async with self._cancelling:
                            await self._end_unwanted(runs[0].id)
                    else:
                        await self._carry_out(runs[0])
                except Refusal:  # our own database cannot store for the moment
                    await asyncio.sleep(STORE_RETRY_S)
            await self._asked.wait()

    async def stop(self) -> None:
        """End a look that is under way, after `work` has been ended."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])

    def look(self) -> None:
        """Remember a proof, or find out how the sets differ, unless something moves just now."""
        idle = self._looking is None or self._looking.done()
        if idle and not self._moving.locked():
            self._looking = self._context.tasks.start(self._look(), f"look {self._name}")

    async def cancel(self, run: Run, why: str | None = None) -> Run:
        """End a run that has not ended; returns when it has.

        Refusal when that cannot be stored now: it is not carried out all the same.
        """
        self._unwanted[run.id] = why  # before anything else happens, or it might be begun
        async with self._cancelling:
            if self._task is not None and self.run is not None and self.run.id == run.id:
                self._task.cancel()
                await self._ended.wait()
            await self._end_unwanted(run.id)
        return await self._context.runs.get(run.id)

    async def _end_unwanted(self, run_id: int) -> None:
        """Store that a run is cancelled, unless it has ended by now."""
        for run in self._context.runs.open_of(self._name):
            if run.id == run_id:
                why = self._unwanted[run_id]
                await self._context.runs.end(run, state="cancelled", reason=None, error=why)
        self._unwanted.pop(run_id, None)

    async def _look(self) -> None:
        """What a poll said may be old by the time that its turn comes: it asks anew."""
        loop = asyncio.get_running_loop()
        try:
            async with self._moving, asyncio.timeout(LOOK_STALL_S) as stall:
                tally = Tally(changed=lambda: stall.reschedule(loop.time() + LOOK_STALL_S))
                if await self._open_replication(tally).look():
                    self._poll()  # what was found shows at once
        except (PeerFailed, Refusal, TimeoutError):
            pass  # nothing was moved; a later poll asks for it again

    def release(self) -> None:
        """Let the node drop what is due, unless something moves just now."""
        idle = self._looking is None or self._looking.done()
        if idle and not self._moving.locked():
            self._looking = self._context.tasks.start(self._release(), f"release {self._name}")

    async def _release(self) -> None:
        try:
            async with self._moving, asyncio.timeout(LOOK_STALL_S):
                dropped = await self._open_replication(Tally()).release()
        except (PeerFailed, Refusal, TimeoutError):
            return  # nothing is dropped without a proof; a later poll asks for it again
        if dropped:
            text = f"dropped {dropped} records there, after a proof that central holds them"
            self._context.journal.write("info", "records-dropped", text, self._name)

    async def _carry_out(self, run: Run) -> None:
        self._ended.clear()
        self.run = run
        self._task = self._context.tasks.start(self._attempt_until_done(), f"run {run.id}")
        try:
            await asyncio.wait([self._task])
        finally:
            self._task.cancel()
            self._task, self.run = None, None
            self._ended.set()
            self._poll()  # its result shows at once

    async def _attempt_until_done(self) -> None:
        fruitless, pause = 0, Backoff(0.5, 10.0, self._context.rng)
        while not self._current.ended_already:
            tally, waits = Tally(), not self.up.is_set()
            try:
                failure = await self._attempt_in_turn(tally)
            except TurnOver:
                continue
            fruitless = 0 if waits or not is_fruitless(failure, tally) else fruitless + 1
            try:
                await self._settle(failure, final=fruitless >= ATTEMPTS_MAX)
            except Refusal as refusal:  # what it waits for cannot be stored, but shown
                fruitless = 0
                self.run = self._context.runs.progress(self._current, reason=f"internal: {refusal}")
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

    async def _attempt_in_turn(self, tally: Tally) -> PeerFailed | None:
        """Wait for the node and for a free slot, then replicate once. TurnOver: not done yet."""
        try:
            await self._wait_until_up()
            if self._looking is not None:
                self._looking.cancel()  # the run will know soon enough
            async with self._moving, self._context.slots:
                await self._attempt(tally)
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

    async def _attempt(self, tally: Tally) -> None:
        """Replicate once. TimeoutError when nothing moves any more."""
        start = self._current
        await self._change(
            state="running",
            reason=None,
            started=start.started or self._context.clock.now_us(),
            attempts=start.attempts + 1,
        )
        loop = asyncio.get_running_loop()
        # A full one would begin again at its beginning, so it keeps its turn to the end.
        over_s = loop.time() + self._turn_s if start.mode != "full" else float("inf")
        replication = self._open_replication(tally)
        async with asyncio.timeout(STALL_S) as stall:

            def moved() -> None:
                stall.reschedule(loop.time() + STALL_S)
                self._add(tally, start)
                # Only with something gained: a search that is cut begins anew.
                if tally.gained and loop.time() > over_s and self._context.slots.locked():
                    raise TurnOver

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
        rate = tally.speed()
        left = None if expected is None or not rate else max(0, expected - tally.received) / rate
        self.run = self._context.runs.progress(
            self._current,
            received=start.received + tally.received,
            inserted=start.inserted + tally.inserted,
            duplicate=start.duplicate + tally.duplicate,
            conflict=start.conflict + tally.conflict,
            rejected=start.rejected + tally.rejected,
            bytes=start.bytes + tally.bytes,
            expected=None if expected is None else min(start.received + expected, COUNT_MAX),
            rate=rate and round(rate, 1),
            left_s=None if left is None else round(min(left, LEFT_MAX_S), 1),
        )
        self._show()

    async def _change(self, **changes: object) -> None:
        changes = {"rate": None, "left_s": None} | changes  # nothing moves while it changes
        self.run = await self._context.runs.change(self._current, **changes)
        self._show()

    async def _end(self, **changes: object) -> None:
        self.run = await self._context.runs.end(self._current, **changes)
