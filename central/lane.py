"""A lane: what central does for one node, at that node's own pace.

It asks for the status at a fixed phase, tells up from down, compares the two sets, and while the
node is down comes back with full-jitter backoff, for ever. Its runner carries out pulls and
pushes beside the polls. A slow or dead node holds up nobody else.
"""

import asyncio
import contextlib
import hashlib
from dataclasses import replace
from random import Random

from yarl import URL

from central.context import Context
from central.history import PollHistory
from central.lineage import Lineage
from central.link import Link, Polled
from central.liveness import ANSWERED, Liveness, missed
from central.node_clock import NodeClock
from central.page_size import PageSize
from central.replication import Replication
from central.runner import Runner
from central.standing import Judgement, Standing, Tidemark, judge
from central.tally import Tally
from cluster.backoff import Backoff
from cluster.clock.ride import HEADER
from cluster.clock.state import ClockState
from cluster.peer import NO_HEADERS, PeerFailed
from cluster.problem import Refusal
from cluster.protocol.node import NodeStatus, SourceChange
from cluster.protocol.views import Level, Live, NodeRecords, NodeView, PollPoint
from cluster.settings import LOOPBACK
from cluster.throttle import Throttle

RETRY_CAP_S = 60.0
POLL_TIMEOUT_MAX_S = 5.0
COMPARE_EVERY_S = 5.0  # at most, while the sets differ in a way that is not explained


class Lane:
    """One node's lane. `start` and `stop` bound its life."""

    def __init__(self, context: Context, name: str, url: str) -> None:
        self.name = name
        self.url = url
        self.runner = Runner(context, name, self._replication, self.wake, self.show)
        self._context = context
        self._link = Link(context.peer(url, name), name)
        self.pull_every_s = context.pull_every_s
        self._lineage = Lineage(context, name)
        self._throttle = Throttle(context.max_rate)
        self._size = PageSize()
        self._liveness = Liveness()
        self._status: NodeStatus | None = None
        self._judgement = Judgement("unknown", NodeRecords())
        self._standing = Standing()
        self._rtt_ms: float | None = None
        self.clock = NodeClock(context, name)
        self.polls = PollHistory()
        self._last_seen: int | None = None
        self._proven: int | None = None
        self._next_try: int | None = None
        self._compared_s = float("-inf")
        self._pulled_s = float("-inf")
        self._wake = asyncio.Event()
        self._polls: set[asyncio.Future[None]] = set()
        self._backoff = Backoff(context.poll_interval_s, RETRY_CAP_S, Random())
        self._loops: list[asyncio.Task[None]] = []

    @property
    def live(self) -> Live:
        return self._liveness.live

    @property
    def boot(self) -> str | None:
        """The boot of the node that answered last."""
        return self._status.boot if self._status else None

    def move(self, url: str) -> None:
        """The node is at this address from now on."""
        self.url = url
        self._link = Link(self._context.peer(url, self.name), self.name)

    async def set_source(self, change: SourceChange) -> None:
        """Start, stop or pace the node's own source. Refusal when it does not do so."""
        state = await self._link.set_source(change)
        doing = f"makes {state.rate:g} records a second" if state.running else "is stopped"
        self._context.journal.write("info", "source", f"its source {doing}, as asked", self.name)

    async def sync_clock(self) -> ClockState:
        """Have the node correct its clock now. Refusal when it cannot."""
        clock = await self._link.sync_clock()
        text = f"its clock was corrected, as asked: {clock.status}"
        self._context.journal.write("info", "clock-sync", text, self.name)
        return clock

    def start(self) -> None:
        self._loops = [
            self._context.tasks.start(self._poll_for_ever(), f"poll {self.name}"),
            self._context.tasks.start(self.runner.work(), f"runs {self.name}"),
        ]
        self.show()

    async def stop(self) -> None:
        """End both loops and what they do; runs that are open stay open."""
        for task in self._loops:
            task.cancel()
        await asyncio.wait(self._loops)
        await self.runner.stop()

    def wake(self) -> None:
        """Poll as soon as possible."""
        self._wake.set()

    async def poll_now(self) -> None:
        """Poll, and return when the poll is over. Refusal when the node is removed meanwhile."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._polls.add(done)
        self.wake()
        await done

    async def _poll_for_ever(self) -> None:
        waiting: set[asyncio.Future[None]] = set()
        try:
            while True:
                self._wake.clear()
                waiting, self._polls = self._polls, set()
                await self._poll()
                delay_s = self._delay_s()
                self._next_try = self._context.clock.now_us() + int(delay_s * 1e6)
                self.show()
                for done in waiting:
                    if not done.done():
                        done.set_result(None)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(delay_s):
                        await self._wake.wait()
        finally:
            for done in (*waiting, *self._polls):
                if not done.done():
                    done.set_exception(Refusal("unknown_node", f"{self.name} is polled no more"))

    async def _poll(self) -> None:
        """One poll, whatever comes of it: whether the node is up follows from the status alone."""
        before, polled = self._liveness, None
        timeout_s = min(POLL_TIMEOUT_MAX_S, self._context.poll_interval_s * 0.8)
        ticket = self.clock.ticket()
        headers = {HEADER: ticket.text} if ticket is not None else NO_HEADERS
        sent_us = self._context.clock.now_us()
        try:
            polled = await self._link.status(timeout_s, headers)
        except PeerFailed as failure:
            self._liveness = missed(before, failure)
        else:
            self.clock.answered(ticket)
            self._liveness = ANSWERED
        self._tell(before)  # before our own database is asked, which may take its time
        if polled is not None:
            await self._compare(polled, sent_us)
        self._remember(polled)

    def _remember(self, polled: Polled | None) -> None:
        """The poll goes into the history, also when it was missed."""
        at_central = self._judgement.records.central
        if polled is None or self._last_seen is None:
            point = PollPoint(self._context.clock.now_us(), None, None, at_central)
        else:
            at_node = polled.status.records.count
            point = PollPoint(self._last_seen, self._rtt_ms, at_node, at_central)
        self.polls.add(point)

    async def _compare(self, polled: Polled, sent_us: int) -> None:
        """Judge by the digests; what is to be proven or looked into is the runner's work."""
        status, name = polled.status, self.name
        self._note(polled, sent_us)
        try:
            await self._lineage.meet(status, self._link)
            own, standing = await self._context.store.standing(name)
            self._standing = standing
            self._judgement = judge(
                status.epoch, status.records, own, standing, status.retention.dropped
            )
            missing = self._judgement.records.missing_at_central
            await self._lineage.note(status, missing, own.count, sent_us)
        except Refusal as refusal:  # our own database: tells nothing about the node
            self._liveness = missed(self._liveness, PeerFailed("internal", str(refusal)))
            self._judgement = replace(self._judgement, data="unknown")
            return
        if self._judgement.data == "in_sync":
            self._proven = self._last_seen
            if standing.tidemark != Tidemark(status.epoch, status.records.last_position):
                self.runner.look()
            elif status.retention.due:
                self.runner.release()
        elif self._is_pull_due(missing):
            with contextlib.suppress(Refusal):  # our own database; it is due again in its time
                await self._context.runs.ask(name, "pull", "incremental", scheduled=True)
                self.runner.run_asked()
        elif not self._judgement.explained and self._may_look_closer():
            self.runner.look()

    def _is_pull_due(self, missing: int | None) -> bool:
        """Whether central is to pull without being asked."""
        now_s = asyncio.get_running_loop().time()
        due = self.pull_every_s and now_s - self._pulled_s >= self.pull_every_s
        if not due or missing == 0 or self._context.runs.open_of(self.name):
            return False
        self._pulled_s = now_s
        return True

    def _note(self, polled: Polled, sent_us: int) -> None:
        status = polled.status
        self._status = status
        self._rtt_ms = round(polled.rtt_s * 1000, 3)
        self._last_seen = sent_us + int(polled.rtt_s * 1e6)
        self.clock.meet(status, sent_us, self._last_seen)

    def _may_look_closer(self) -> bool:
        now_s = asyncio.get_running_loop().time()
        if now_s - self._compared_s < COMPARE_EVERY_S:
            return False
        self._compared_s = now_s
        return True

    def _tell(self, before: Liveness) -> None:
        """Let the runner know, and journal a change of state, once."""
        now = self._liveness
        if now.live == "up":
            self.runner.up.set()
            self._backoff.reset()
        else:
            self.runner.up.clear()
        if now.live == before.live:
            return
        texts: dict[Live, str] = {
            "new": "is new",
            "up": f"is up again after {before.failures} misses" if before.failures else "is up",
            "suspect": f"missed a poll: {now.detail}",
            "down": f"is down after {now.failures} misses: {now.detail}; waited for",
        }
        level: Level = "info" if now.live == "up" else "warning"
        self._context.journal.write(level, f"node-{now.live}", texts[now.live], self.name)

    def _delay_s(self) -> float:
        """Until the next poll: the next slot of this node's phase, or a backoff when down."""
        if self._liveness.live == "down":
            return self._backoff.next_s()
        interval_s = self._context.poll_interval_s
        digest = hashlib.blake2b(self.name.encode(), digest_size=8).digest()
        phase_s = int.from_bytes(digest, "big") / 2**64 * interval_s
        return interval_s - (asyncio.get_running_loop().time() - phase_s) % interval_s

    def _replication(self, tally: Tally) -> Replication:
        # A link of its own, so that it counts this replication's bytes only.
        peer = self._context.peer(self.url, self.name, self._throttle)
        link = Link(peer, self.name, compress=not LOOPBACK.match(URL(self.url).host or ""))
        context = self._context
        return Replication(link, context.store, context.clock.now_us, tally, self._size)

    def show(self) -> None:
        """Put the newest view on the board."""
        self._context.board.show_node(self.view())

    def view(self) -> NodeView:
        status, liveness, judgement = self._status, self._liveness, self._judgement
        return NodeView(
            name=self.name,
            url=self.url,
            live=liveness.live,
            data=judgement.data,
            records=judgement.records,
            clock=status.clock if status else None,
            clock_word=self.clock.word,
            clock_agrees=self.clock.agrees,
            apart_ms=self.clock.apart_ms,
            source=status.source if status else None,
            rtt_ms=self._rtt_ms,
            last_seen=self._last_seen,
            next_try=self._next_try,
            proven=self._proven,
            failures=liveness.failures,
            reason=liveness.reason,
            detail=liveness.detail,
            conflicts=judgement.conflicts,
            version=status.version if status else None,
            epoch=status.epoch if status else None,
            tidemark=self._standing.tidemark.position if self._standing.tidemark else None,
            pull_every=self.pull_every_s or None,
            loss=self._lineage.loss,
            run=self.runner.run,
        )
