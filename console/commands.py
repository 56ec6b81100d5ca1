"""What an operator can ask of central: each a request, answered with one sentence.

PeerFailed comes out as it is; `explain` turns it into a title and a text to be shown.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from cluster.clock.state import ClockState
from cluster.peer import Peer, PeerFailed
from cluster.protocol import central
from cluster.protocol.node import SourceState
from cluster.protocol.views import JournalLine, NodeView, Run, RunKind
from console import format as fmt
from console.history import History

ASK_S = 10.0
POLL_S = 20.0
#: Failures after which it is certain that central was never asked.
NOT_REACHED = ("refused", "unreachable", "dns", "tls")


@dataclass(frozen=True, slots=True)
class Answer:
    """What central did, in words, and the runs that it has begun for it."""

    text: str
    runs: frozenset[int] = frozenset()


class Commands:
    """Central, as somebody to be asked."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def start(self, kind: RunKind, views: Sequence[NodeView]) -> Answer:
        """Pull from or push to these nodes."""
        runs = await asyncio.gather(*(self._start(kind, view.name) for view in views))
        if len(runs) > 1:
            return Answer(f"{kind}: {len(runs)} runs asked for", _ids(runs))
        state = runs[0].state if views[0].live == "up" else "waits until the node is up"
        return Answer(f"run {runs[0].id}: {kind} {runs[0].node} {state}", _ids(runs))

    async def start_all(self, kind: RunKind) -> Answer:
        """Pull from or push to every node."""
        if kind == "pull":
            pull = central.PullAllAsk()
            answer = await self._peer.call(central.PULL_ALL, pull, timeout_s=ASK_S)
        else:
            push = central.PushAllAsk()
            answer = await self._peer.call(central.PUSH_ALL, push, timeout_s=ASK_S)
        return Answer(f"{kind} all: {len(answer.runs)} runs asked for", _ids(answer.runs))

    async def retry(self, run: Run) -> Answer:
        """The same once more."""
        again = await self._start(run.kind, run.node, run.mode)
        return Answer(f"run {again.id}: {again.kind} {again.node} {again.state}", _ids([again]))

    async def cancel(self, run_id: int) -> Answer:
        run = await self._peer.call(central.CANCEL, central.RunId(run_id), timeout_s=ASK_S)
        return Answer(f"run {run.id}: {run.kind} {run.node} {run.state}")

    async def poll(self, names: Sequence[str]) -> Answer:
        """Poll these nodes now."""
        asks = (central.Named(name) for name in names)
        views = await asyncio.gather(
            *(self._peer.call(central.POLL, ask, timeout_s=POLL_S) for ask in asks)
        )
        if len(views) > 1:
            return Answer(f"polled {len(views)}: {sum(one.live == 'up' for one in views)} are up")
        said = views[0].detail or views[0].reason or views[0].data.replace("_", " ")
        return Answer(f"{views[0].name} is {views[0].live}: {said}")

    async def set_source(
        self, name: str, *, running: bool | None = None, rate: float | None = None
    ) -> Answer:
        """Start, stop or pace a node's own source of records."""
        ask = central.SourceSet(name, running, rate)
        view = await self._peer.call(central.SOURCE, ask, timeout_s=POLL_S)
        return Answer(f"{name}: {source_text(view.source)}")

    async def sync_clock(self, name: str) -> Answer:
        """Have a node ask its time servers, and correct its clock, now."""
        clock = await self._peer.call(central.SYNC_CLOCK, central.Named(name), timeout_s=POLL_S)
        return Answer(f"{name}: {clock_text(clock)}")

    async def pull_every(self, names: Sequence[str], seconds: float) -> Answer:
        """Have central pull these nodes by itself; 0 seconds: no longer."""
        asks = (central.NodeChange(name, pull_every=seconds) for name in names)
        await asyncio.gather(
            *(self._peer.call(central.CHANGE, ask, timeout_s=ASK_S) for ask in asks)
        )
        whom = names[0] if len(names) == 1 else f"{len(names)} nodes"
        return Answer(f"{whom}: {auto_text(seconds)}")

    async def add(self, name: str, url: str) -> Answer:
        hello = central.Hello(name=name, url=url)
        view = await self._peer.call(central.HELLO, hello, timeout_s=POLL_S)
        return Answer(f"{view.name} is polled from now on")

    async def change(self, name: str, url: str, pull_every: float) -> Answer:
        ask = central.NodeChange(name, url, pull_every)
        view = await self._peer.call(central.CHANGE, ask, timeout_s=ASK_S)
        return Answer(f"{view.name}: at {view.url}, {auto_text(view.pull_every or 0)}")

    async def remove(self, name: str) -> Answer:
        gone = await self._peer.call(central.REMOVE, central.Named(name), timeout_s=ASK_S)
        kept = f"{gone.records_kept:,} records stay at central"
        return Answer(f"{gone.name} is polled no more; {kept}")

    async def test(self, url: str) -> central.NodeFound:
        """Who answers at an address."""
        return await self._peer.call(central.TEST, central.Address(url), timeout_s=POLL_S)

    async def run(self, run_id: int) -> Run:
        """How a run stands."""
        return await self._peer.call(central.RUN, central.RunId(run_id), timeout_s=ASK_S)

    async def runs_of(self, name: str) -> list[Run]:
        """The node's latest runs."""
        answer = await self._peer.call(central.RUNS, central.RunsAsk(node=name), timeout_s=ASK_S)
        return answer.runs

    async def history(self, name: str) -> History:
        """How a node's clock and its polls went, as far back as central knows."""
        ask = central.HistoryAsk(name)
        clock, polls = await asyncio.gather(
            self._peer.call(central.NODE_CLOCK, ask, timeout_s=ASK_S),
            self._peer.call(central.NODE_POLLS, ask, timeout_s=ASK_S),
        )
        return History.of(clock.points, polls.points)

    async def journal(self, ask: central.JournalAsk) -> list[JournalLine]:
        """Lines of the past, the oldest first."""
        return (await self._peer.call(central.JOURNAL, ask, timeout_s=ASK_S)).lines

    async def _start(self, kind: RunKind, name: str, mode: str | None = None) -> Run:
        more = {"mode": mode} if mode is not None else {}
        if kind == "pull":
            pull = central.PullAsk(name, **more)  # type: ignore[arg-type]  # central's own word
            return await self._peer.call(central.PULL, pull, timeout_s=ASK_S)
        push = central.PushAsk(name, **more)  # type: ignore[arg-type]
        return await self._peer.call(central.PUSH, push, timeout_s=ASK_S)


def _ids(runs: Sequence[Run]) -> frozenset[int]:
    return frozenset(run.id for run in runs)


def source_text(source: SourceState | None) -> str:
    """What a node's source does, in words."""
    if source is None or source.kind == "none":
        return "no source of its own"
    doing = f"makes {source.rate:g}/s" if source.running else f"stopped, at {source.rate:g}/s"
    return f"{source.kind} source, {doing}"


def clock_text(clock: ClockState) -> str:
    return f"clock {clock.status}, drift {fmt.drift(clock.drift_ms)}"


def auto_text(seconds: float) -> str:
    return f"pulled every {seconds:g} s" if seconds else "pulled only when asked"


def explain(failure: PeerFailed) -> tuple[str, str]:
    """A title and a text: central's own words where it said any."""
    if failure.problem is not None and failure.problem.title:
        return failure.problem.title, failure.problem.detail or failure.problem.code
    if failure.definite or failure.reason in NOT_REACHED:
        return "Central did not do it", f"{failure.reason}: {failure.detail}"
    return "No answer from central", "it may have been done: see Runs (2)"
