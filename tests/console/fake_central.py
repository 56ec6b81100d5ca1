"""A central that speaks the real contract over HTTP and does what a test tells it.

It keeps nodes, runs and journal lines in memory, sends a snapshot and then deltas to every
console, and writes down what was asked of it. It can be killed and started on the same port.
"""

import asyncio
import itertools
import time
from collections.abc import Iterable
from typing import Any

import msgspec
from aiohttp import web
from msgspec.structs import replace

from cluster.clock.state import ClockState, ClockSummary
from cluster.clock.verdict import Limits, word_of
from cluster.exchange import Nothing
from cluster.problem import Refusal
from cluster.protocol import central
from cluster.protocol.node import SourceState
from cluster.protocol.shared import Disk
from cluster.protocol.views import (
    Agreement,
    CentralStatus,
    ClockPoint,
    Delta,
    JournalLine,
    Live,
    NodeRecords,
    NodeView,
    PollPoint,
    Run,
    RunKind,
    Snapshot,
    StateCounts,
    TimeService,
)
from cluster.server import fence, serve
from cluster.trust.gate import Gate, role_of
from cluster.trust.keyring import Keyring

TOKEN = "0123456789abcdef-test"
VIEWER_TOKEN = "a-token-that-may-only-look"
SYNC = ClockSummary(status="SYNC", drift_ms=2.3, bound_ms=3.0, freq_ppm=1.2, stratum=3)


def now_us() -> int:
    return int(time.time() * 1_000_000)


def view(
    name: str,
    live: Live = "up",
    data: Agreement = "in_sync",
    *,
    at_node: int | None = 1_000,
    at_central: int = 1_000,
    to_pull: int | None = 0,
    to_push: int | None = 0,
    **more: Any,
) -> NodeView:
    """A node as central sees it; in sync and up unless something else is said."""
    records = NodeRecords(at_node, at_central, to_pull, to_push)
    fields: dict[str, Any] = {
        "url": "http://127.0.0.1:8101",
        "clock": SYNC,
        "rtt_ms": 1.4,
        "last_seen": now_us(),
    }
    fields |= more
    word = word_of(fields["clock"], 60.0, Limits()) if fields["clock"] else None
    return NodeView(name=name, live=live, data=data, records=records, clock_word=word, **fields)


class FakeCentral:
    """Start, stop, and change what it says; `asked` is what consoles asked of it.

    While `answers` is cleared it keeps who asks waiting.
    """

    def __init__(self, token: str = TOKEN) -> None:
        self.token = token
        self.epoch = "e1"
        self.nodes: dict[str, NodeView] = {}
        self.runs: dict[int, Run] = {}
        self.journal: list[JournalLine] = []
        self.asked: list[tuple[str, str]] = []
        self.streams = 0
        self.isolated = False
        self.refuse: Refusal | None = None
        self.viewer_token = VIEWER_TOKEN
        self.found: dict[str, central.NodeFound] = {}
        self.clock_points: list[ClockPoint] = []
        self.poll_points: list[PollPoint] = []
        self.old_lines: list[JournalLine] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self._ids = itertools.count(881)
        self._queues: set[asyncio.Queue[bytes]] = set()
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        app = web.Application(
            middlewares=[fence(Gate(Keyring.of(self.token, self.viewer_token)), central.EXCHANGES)]
        )
        app.add_routes(
            [
                serve(central.STREAM, self._stream),
                serve(central.PULL, self._pull),
                serve(central.PUSH, self._push),
                serve(central.PULL_ALL, self._pull_all),
                serve(central.PUSH_ALL, self._push_all),
                serve(central.POLL, self._poll),
                serve(central.CANCEL, self._cancel),
                serve(central.RUNS, self._runs),
                serve(central.STATUS, self._status),
                serve(central.NODES, self._list),
                serve(central.HELLO, self._hello),
                serve(central.TEST, self._test),
                serve(central.CHANGE, self._change),
                serve(central.REMOVE, self._remove),
                serve(central.SOURCE, self._source),
                serve(central.SYNC_CLOCK, self._sync),
                serve(central.NODE_CLOCK, self._clock),
                serve(central.NODE_POLLS, self._polls),
                serve(central.JOURNAL, self._journal),
                serve(central.RUN, self._run_again),
            ]
        )
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Like a kill: every stream breaks, nobody listens."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def put(self, *views: NodeView) -> None:
        """Nodes as they are from now on."""
        self.nodes |= {each.name: each for each in views}
        self.send(nodes=views)

    def put_run(self, run: Run) -> None:
        self.runs[run.id] = run
        self.send(runs=[run])
        if (node := self.nodes.get(run.node)) is not None:
            shown = None if run.ended_already else run
            self.put(replace(node, run=shown))

    def say(self, text: str, *, level: Any = "info", node: str | None = None) -> None:
        line = JournalLine(
            seq=len(self.journal) + 1, ts=now_us(), level=level, kind="test", node=node, text=text
        )
        self.journal.append(line)
        self.send(journal=[line])

    def send(
        self,
        nodes: Iterable[NodeView] = (),
        runs: Iterable[Run] = (),
        journal: Iterable[JournalLine] = (),
        gone: Iterable[str] = (),
    ) -> None:
        delta = Delta(
            now=now_us(), nodes=list(nodes), runs=list(runs), journal=list(journal), gone=list(gone)
        )
        self.send_raw(b"event: delta\ndata: " + msgspec.json.encode(delta) + b"\n\n")

    def send_raw(self, event: bytes) -> None:
        for queue in self._queues:
            queue.put_nowait(event)

    def status(self) -> CentralStatus:
        lives = [each.live for each in self.nodes.values()]
        return CentralStatus(
            epoch=self.epoch,
            boot="b1",
            version="0.1.0",
            now=now_us(),
            nodes=StateCounts(
                lives.count("new"),
                lives.count("up"),
                lives.count("suspect"),
                lives.count("down"),
                0,
            ),
            records=sum(each.records.central for each in self.nodes.values()),
            runs_open=0,
            poll_interval_s=1.0,
            runs_at_once=4,
            isolated=self.isolated,
            clock=SYNC,
            clock_word="OK",
            time=TimeService(8123, 0, 0, 0),
            disk=Disk(1_000_000, 0, 0),
            uptime_s=1.0,
        )

    def snapshot(self, since: int) -> Snapshot:
        journal = [line for line in self.journal if line.seq > since][-200:]
        return Snapshot(
            now=now_us(),
            status=self.status(),
            nodes=list(self.nodes.values()),
            runs=list(self.runs.values()),
            journal=journal,
        )

    async def _stream(self, request: web.Request, ask: central.StreamAsk) -> web.StreamResponse:
        await self.answers.wait()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        whole, role = self.snapshot(ask.since or 0), role_of(request)
        whole = replace(whole, role=role, status=replace(whole.status, role=role))
        self._queues.add(queue)
        self.streams += 1
        try:
            await response.write(b"event: snapshot\ndata: " + msgspec.json.encode(whole) + b"\n\n")
            while True:
                await response.write(await queue.get())
        except ConnectionError:
            return response
        finally:
            self._queues.discard(queue)
            self.streams -= 1

    async def _pull(self, _: web.Request, ask: central.PullAsk) -> Run:
        await self._note("pull", ask.name)
        return self._run("pull", ask.name, ask.mode)

    async def _push(self, _: web.Request, ask: central.PushAsk) -> Run:
        await self._note("push", ask.name)
        return self._run("push", ask.name, ask.mode)

    async def _pull_all(self, _: web.Request, ask: central.PullAllAsk) -> central.RunList:
        await self._note("pull_all", ask.mode)
        return central.RunList([self._run("pull", name, ask.mode) for name in self.nodes])

    async def _push_all(self, _: web.Request, ask: central.PushAllAsk) -> central.RunList:
        await self._note("push_all", ask.mode)
        return central.RunList([self._run("push", name, ask.mode) for name in self.nodes])

    async def _poll(self, _: web.Request, ask: central.Named) -> NodeView:
        await self._note("poll", ask.name)
        return self._node(ask.name)

    async def _cancel(self, _: web.Request, ask: central.RunId) -> Run:
        await self._note("cancel", str(ask.id))
        run = replace(self.runs[ask.id], state="cancelled", ended=now_us())
        self.put_run(run)
        return run

    async def _runs(self, _: web.Request, ask: central.RunsAsk) -> central.RunList:
        await self._note("runs", ask.node or "")
        runs = [run for run in self.runs.values() if ask.node in (None, run.node)]
        return central.RunList([run for run in runs if not (ask.open and run.ended_already)])

    async def _status(self, request: web.Request, ask: Nothing) -> CentralStatus:
        return replace(self.status(), role=role_of(request))

    async def _list(self, _: web.Request, ask: Nothing) -> central.NodeList:
        return central.NodeList(list(self.nodes.values()))

    async def _run_again(self, _: web.Request, ask: central.RunId) -> Run:
        if ask.id not in self.runs:
            raise Refusal("unknown_run", f"there is no run {ask.id}")
        return self.runs[ask.id]

    async def _hello(self, _: web.Request, ask: central.Hello) -> NodeView:
        await self._note("add", f"{ask.name} {ask.url}")
        self.put(view(ask.name, url=ask.url))
        return self.nodes[ask.name]

    async def _test(self, _: web.Request, ask: central.Address) -> central.NodeFound:
        await self._note("test", ask.url)
        if ask.url not in self.found:
            raise Refusal("node_unreachable", "refused: nobody listens there")
        return self.found[ask.url]

    async def _change(self, _: web.Request, ask: central.NodeChange) -> NodeView:
        await self._note("change", f"{ask.name} {ask.url} {ask.pull_every}")
        before = self._node(ask.name)
        every = before.pull_every if ask.pull_every is None else ask.pull_every or None
        self.put(replace(before, url=ask.url or before.url, pull_every=every))
        return self.nodes[ask.name]

    async def _remove(self, _: web.Request, ask: central.Named) -> central.Gone:
        await self._note("remove", ask.name)
        gone = self._node(ask.name)
        del self.nodes[ask.name]
        self.send(gone=[ask.name])
        return central.Gone(ask.name, gone.records.central)

    async def _source(self, _: web.Request, ask: central.SourceSet) -> NodeView:
        await self._note("source", f"{ask.name} {ask.running} {ask.rate}")
        before = self._node(ask.name)
        source = before.source or SourceState("none", False, 0.0, 0)
        running = source.running if ask.running is None else ask.running
        rate = source.rate if ask.rate is None else ask.rate
        self.put(replace(before, source=replace(source, running=running, rate=rate)))
        return self.nodes[ask.name]

    async def _sync(self, _: web.Request, ask: central.Named) -> ClockState:
        await self._note("sync", ask.name)
        self._node(ask.name)
        return ClockState(status="SYNC", drift_ms=2.3, bound_ms=3.0)

    async def _clock(self, _: web.Request, ask: central.HistoryAsk) -> central.ClockHistory:
        return central.ClockHistory([one for one in self.clock_points if one.ts >= ask.since])

    async def _polls(self, _: web.Request, ask: central.HistoryAsk) -> central.PollHistory:
        return central.PollHistory([one for one in self.poll_points if one.ts >= ask.since])

    async def _journal(self, _: web.Request, ask: central.JournalAsk) -> central.JournalPage:
        lines = [
            line
            for line in (*self.old_lines, *self.journal)
            if line.seq > (ask.after or 0)
            and (ask.before is None or line.seq < ask.before)
            and ask.level in (None, line.level)
            and ask.node in (None, line.node)
            and (ask.kind is None or ask.kind.lower() == line.kind)
            and (ask.text or "").lower() in f"{line.text} {line.node or ''}".lower()
        ]
        return central.JournalPage(
            lines[: ask.limit] if ask.after is not None else lines[-ask.limit :]
        )

    async def _note(self, what: str, whom: str) -> None:
        self.asked.append((what, whom))
        await self.answers.wait()
        if self.refuse is not None:
            raise self.refuse

    def _node(self, name: str) -> NodeView:
        if name not in self.nodes:
            raise Refusal("unknown_node", f"no node {name} here; see GET /v1/nodes")
        return self.nodes[name]

    def _run(self, kind: RunKind, name: str, mode: str | None = None) -> Run:
        waits = self._node(name).live != "up"
        run = Run(
            id=next(self._ids),
            node=name,
            kind=kind,
            mode=mode or ("incremental" if kind == "pull" else "missing"),
            state="waiting" if waits else "running",
            asked=now_us(),
            started=None if waits else now_us(),
            expected=None if waits else 1_000,
            reason="node is down" if waits else None,
        )
        self.put_run(run)
        return run
