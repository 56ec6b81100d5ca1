"""Follows runs to their end, through every absence of central.

The stream tells how they go. It may not tell of an end: central shows only the latest of many
runs, and none that ended while nobody listened. So now and then it is asked which are still open.
"""

import asyncio

from cluster.peer import Peer, PeerFailed
from cluster.protocol import central
from cluster.protocol.views import Run
from console import format as fmt
from console.model import percent, result_of, results_of, wait_text
from console.plain.lines import run_line
from console.plain.listener import Listener
from console.plain.page import Page

ASK_S = 10.0
CHECK_S = 5.0
OPEN_MAX = 1_000
STEP = 10  # percent between two lines where nothing can be drawn anew


class Follower:
    """Tells of these runs. `good`: so far all went well and left nothing out."""

    def __init__(self, listener: Listener, peer: Peer, page: Page, runs: frozenset[int]) -> None:
        self._listener = listener
        self._peer = peer
        self._page = page
        self._open = set(runs)
        self._ended: list[Run] = []
        self._told: dict[int, str] = {}
        self._check_at_s = 0.0
        self.good = True

    async def follow(self) -> bool:
        """Until all have ended; whether all went well. PeerFailed when central lets nobody in."""
        store = self._listener.store
        try:
            async for changes in self._listener.changes(self._page.warn):
                for run_id in sorted(self._open & store.runs.keys()):
                    self._end(store.runs[run_id])
                for run in await self._ask_if_due(at_once=changes.everything):
                    self._end(run)
                if not self._open:
                    break
                self._tell_progress()
        finally:
            self._page.wipe()
        if len(self._ended) > 1:
            self._page.say(results_of(self._ended)[0])
        return self.good

    async def _ask_if_due(self, *, at_once: bool) -> list[Run]:
        """Runs that may have ended unheard."""
        now_s = asyncio.get_running_loop().time()
        if self._listener.away or not (at_once or now_s >= self._check_at_s):
            return []
        self._check_at_s = now_s + CHECK_S
        try:
            return await self._ask()
        except PeerFailed as failed:
            if failed.reason == "auth":
                raise
            return []  # central goes away just now: it is asked again

    async def _ask(self) -> list[Run]:
        ask = central.RunsAsk(open=True, limit=OPEN_MAX)
        shown = await self._peer.call(central.RUNS, ask, timeout_s=ASK_S)
        found = []
        for run_id in sorted(self._open - {run.id for run in shown.runs}):
            try:
                run = await self._peer.call(central.RUN, central.RunId(run_id), timeout_s=ASK_S)
            except PeerFailed as failed:
                if failed.problem is None or failed.problem.code != "unknown_run":
                    raise
                self._lose(run_id)
            else:
                found.append(run)
        return found

    def _lose(self, run_id: int) -> None:
        """Central came back with another database."""
        self._open.discard(run_id)
        self.good = False
        self._page.warn(f"run {run_id} is not known at central any more")

    def _end(self, run: Run) -> None:
        """Tell how a run ended, if it did."""
        if run.id not in self._open or not run.ended_already:
            return
        self._open.discard(run.id)
        self._ended.append(run)
        said, tone = result_of(run)
        took = ""
        if run.started is not None and run.ended is not None:
            took = f" in {fmt.took((run.ended - run.started) / fmt.SECOND_US)}"
        counts = (
            f"{run.received:,} received, {run.inserted:,} new, {run.duplicate:,} duplicate, "
            f"{run.conflict:,} in conflict, {run.rejected:,} rejected"
        )
        head = f"run {run.id}: {run.kind} {fmt.safe(run.node)}: "
        tail = f"{took}; {counts}, {fmt.size(run.bytes)}"
        self._page.write((head, "plain"), (said, tone), (tail, "plain"))
        self.good &= tone == "success"

    def _tell_progress(self) -> None:
        """Bars on a terminal; elsewhere a line when a run begins, waits, or is 10 % further."""
        store = self._listener.store
        runs = [run for run in store.open_runs() if run.id in self._open]
        if self._page.redraws:
            self._page.draw([run_line(run, store) for run in runs])
            return
        for run in runs:
            said = wait_text(run, None, store.now_us())
            if run.state == "running":
                done = percent(run)
                said = f"{done // STEP * STEP}%" if done is not None else "running"
            if self._told.get(run.id) != said:
                self._told[run.id] = said
                self._page.say(f"run {run.id}: {run.kind} {run.node}: {said}")
