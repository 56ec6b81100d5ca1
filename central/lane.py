"""A lane: what central does for one node, at that node's own pace.

It asks for the status when the node's schedule says so, tells up from down, and has the two sets
compared; its runner carries out pulls and pushes beside the polls. A slow or dead node holds up
nobody else, and central's own slow database holds up no poll.
"""

import asyncio

from yarl import URL

from central.context import Context
from central.equality import Equality
from central.history import PollHistory
from central.link import Link, Polled
from central.node_clock import NodeClock
from central.page_size import PageSize
from central.pulse import Pulse
from central.replication import Replication
from central.runner import Runner
from central.schedule import Schedule
from central.tally import Tally
from cluster.clock.ride import HEADER
from cluster.clock.state import ClockState
from cluster.peer import NO_HEADERS, PeerFailed
from cluster.problem import Refusal
from cluster.protocol.node import NodeStatus, SourceChange
from cluster.protocol.views import Live, NodeView, PollPoint
from cluster.settings import LOOPBACK
from cluster.throttle import Throttle

POLL_TIMEOUT_MAX_S = 5.0
STALL_SHARE = 0.25  # of a poll's time; who had less time than the rest of it is not to blame


class Lane:
    """One node's lane. `start` and `stop` bound its life."""

    def __init__(self, context: Context, name: str, url: str) -> None:
        self.name = name
        self.url = url
        self.runner = Runner(context, name, self._replication, self.wake, self.show)
        self.equality = Equality(context, name, self.runner)
        self._context = context
        self._link = Link(context.peer(url, name), name)
        self._pulse = Pulse(context, name, near=_is_near(url))
        self._schedule = Schedule(name, context.poll_interval_s, context.rng)
        self._throttle = Throttle(context.max_rate)
        self._size = PageSize()
        self._status: NodeStatus | None = None
        self._rtt_ms: float | None = None
        self._polled: tuple[int, float | None, int | None] = 0, None, None  # when; None: missed
        self.clock = NodeClock(context, name)
        self.polls = PollHistory()
        self._last_seen: int | None = None
        self._next_try: int | None = None
        self._wake = asyncio.Event()
        self._polls: set[asyncio.Future[None]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._judging: asyncio.Task[None] | None = None

    @property
    def live(self) -> Live:
        return self._pulse.known.live

    @property
    def boot(self) -> str | None:
        """The boot of the node that answered last."""
        return self._status.boot if self._status else None

    def move(self, url: str) -> None:
        """The node is at this address from now on."""
        self.url = url
        self._link = Link(self._context.peer(url, self.name), self.name)
        self._pulse.near = _is_near(url)

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
        """End all that the lane does; runs that are open stay open."""
        tasks = self._loops if self._judging is None else [*self._loops, self._judging]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await self.runner.stop()
        self._context.isolation.forget(self.name)

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
        loop, waiting = asyncio.get_running_loop(), set[asyncio.Future[None]]()
        due_s = self._schedule.first_s(loop.time())
        try:
            while True:
                slot_s = 0.0
                try:
                    async with asyncio.timeout_at(due_s):
                        await self._wake.wait()
                except TimeoutError:
                    slot_s = due_s
                    self._context.polls.began(loop.time() - due_s)
                self._wake.clear()
                waiting |= self._polls
                self._polls = set()
                rest_s = await self._poll()
                now_s = loop.time()
                due_s = self._schedule.next_s(now_s, self._pulse.known, rest_s, slot_s)
                self._next_try = self._context.clock.now_us() + int((due_s - now_s) * 1e6)
                if await self._is_judged(due_s):
                    _end(waiting)
                self.polls.add(PollPoint(*self._polled, self.equality.judgement.records.central))
                self.show()
        finally:
            _end(waiting | self._polls, Refusal("unknown_node", f"{self.name} is polled no more"))

    async def _poll(self) -> float:
        """One poll, whatever comes of it; for how many seconds the node asks to be left alone."""
        timeout_s = min(POLL_TIMEOUT_MAX_S, self._context.poll_interval_s * 0.8)
        ticket = self.clock.ticket()
        headers = {HEADER: ticket.text} if ticket is not None else NO_HEADERS
        sent_us, stood_s = self._context.clock.now_us(), self._context.stalls.stood_s
        try:
            polled = await self._link.status(timeout_s, headers)
        except PeerFailed as failure:
            stood_s = self._context.stalls.stood_s - stood_s
            if stood_s > timeout_s * STALL_SHARE:
                self._miss(PeerFailed("internal", f"central itself stood still: {stood_s:.1f} s"))
                return 0.0
            self._miss(failure)
            return failure.retry_after_s
        self.clock.answered(ticket)
        self._pulse.answered()
        self.runner.up.set()
        self._note(polled, sent_us)
        return 0.0

    def _miss(self, failure: PeerFailed) -> None:
        self._pulse.missed(failure)
        self._context.polls.missed(failure.reason)
        if failure.reason != "internal":
            self.runner.up.clear()
        self._polled = self._context.clock.now_us(), None, None

    def _note(self, polled: Polled, sent_us: int) -> None:
        """What a status says is believed at once, and judged as soon as our database allows."""
        status = polled.status
        self._status = status
        self._rtt_ms = round(polled.rtt_s * 1000, 3)
        self._last_seen = seen_us = sent_us + int(polled.rtt_s * 1e6)
        self._polled = seen_us, self._rtt_ms, status.records.count
        self.clock.meet(status, sent_us, seen_us)
        if self._judging is not None and not self._judging.done():
            self._doubt("central's database is slow")
        elif self.equality.is_still_proven(status, sent_us, seen_us):
            self._judging = None
        else:
            judging = self._judge(status, sent_us, seen_us)
            self._judging = self._context.tasks.start(judging, f"judge {self.name}")

    async def _judge(self, status: NodeStatus, sent_us: int, seen_us: int) -> None:
        try:
            await self.equality.judge(status, self._link, sent_us, seen_us)
        except Refusal as refusal:
            self._doubt(str(refusal))

    def _doubt(self, why: str) -> None:
        """Our own database tells nothing about the node."""
        self._pulse.missed(PeerFailed("internal", why))
        self.equality.doubt()

    async def _is_judged(self, until_s: float) -> bool:
        """Whether the last answer, if there was any, is judged before its successor is due."""
        if self._judging is None:
            return True
        wait_s = until_s - asyncio.get_running_loop().time()
        await asyncio.wait([self._judging], timeout=max(0.0, wait_s))
        return self._judging.done()

    def _replication(self, tally: Tally) -> Replication:
        # A link of its own, so that it counts this replication's bytes only.
        peer = self._context.peer(self.url, self.name, self._throttle)
        link = Link(peer, self.name, compress=not self._pulse.near)
        context = self._context
        return Replication(link, context.store, context.clock.now_us, tally, self._size)

    def show(self) -> None:
        """Put the newest view on the board."""
        self._context.board.show_node(self.view())

    def view(self) -> NodeView:
        status, known, equality = self._status, self._pulse.known, self.equality
        tidemark = equality.standing.tidemark
        return NodeView(
            name=self.name,
            url=self.url,
            live=known.live,
            data=equality.judgement.data,
            records=equality.judgement.records,
            clock=status.clock if status else None,
            clock_word=self.clock.word,
            clock_agrees=self.clock.agrees,
            apart_ms=self.clock.apart_ms,
            source=status.source if status else None,
            rtt_ms=self._rtt_ms,
            last_seen=self._last_seen,
            next_try=self._next_try,
            proven=equality.proven,
            failures=known.failures,
            reason=known.reason,
            detail=known.detail,
            flapping=self._pulse.flapping,
            conflicts=equality.judgement.conflicts,
            version=status.version if status else None,
            epoch=status.epoch if status else None,
            tidemark=tidemark.position if tidemark else None,
            pull_every=equality.pull_every_s or None,
            loss=equality.lineage.loss,
            run=self.runner.run,
        )


def _is_near(url: str) -> bool:
    """Whether it leads to this very machine."""
    try:
        return LOOPBACK.match(URL(url).host or "") is not None
    except ValueError:  # it leads nowhere
        return False


def _end(waiting: set[asyncio.Future[None]], refusal: Refusal | None = None) -> None:
    """Tell those who wait for a poll."""
    for done in waiting:
        if not done.done():
            done.set_exception(refusal) if refusal else done.set_result(None)
    waiting.clear()
