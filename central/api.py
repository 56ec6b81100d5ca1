"""What central answers: one function for each exchange."""

import asyncio
import shutil
import time
from dataclasses import dataclass

import msgspec
from aiohttp import web
from prometheus_client.core import GaugeMetricFamily, Metric

from central.board import Board, Watcher
from central.context import Context
from central.fleet import Fleet
from central.time_server import TimeServer
from cluster import VERSION
from cluster.clock.state import ClockState
from cluster.exchange import Nothing
from cluster.metrics import clock_metrics, metrics_response
from cluster.openapi import document_response
from cluster.pages import page_response
from cluster.problem import Refusal
from cluster.protocol import central as protocol
from cluster.protocol import shared
from cluster.protocol.shared import Disk, Health, RecordPage
from cluster.protocol.views import CentralStatus, Delta, NodeView, Run, Snapshot, TimeService
from cluster.records import Filter
from cluster.server import accepted, serve

PING_S = 5.0
WRITE_S = 20.0
FLUSH_S = 0.25  # between two deltas to the same console


@dataclass(frozen=True, slots=True)
class Parts:
    """The running parts of central that its API speaks of."""

    context: Context
    fleet: Fleet
    time_server: TimeServer
    boot: str
    started: float  # monotonic seconds


PARTS = web.AppKey("PARTS", Parts)


def routes() -> list[web.RouteDef]:
    """Every exchange of central with its function."""
    return [
        serve(shared.HEALTH, health),
        serve(shared.READY, ready),
        serve(shared.METRICS, metrics),
        serve(shared.OPENAPI, openapi),
        serve(protocol.STATUS, status),
        serve(protocol.NODES, nodes),
        serve(protocol.HELLO, hello),
        serve(protocol.NODE, node),
        serve(protocol.CHANGE, change),
        serve(protocol.REMOVE, remove),
        serve(protocol.PULL, pull),
        serve(protocol.PUSH, push),
        serve(protocol.PULL_ALL, pull_all),
        serve(protocol.PUSH_ALL, push_all),
        serve(protocol.POLL, poll),
        serve(protocol.RUNS, runs),
        serve(protocol.RUN, run),
        serve(protocol.CANCEL, cancel),
        serve(protocol.RECORDS, records),
        serve(protocol.JOURNAL, journal),
        serve(protocol.STREAM, stream),
        serve(protocol.CLOCK, clock),
    ]


async def health(request: web.Request, ask: Nothing) -> Health:
    return Health(True, VERSION)


async def ready(request: web.Request, ask: Nothing) -> Health:
    """Refusal unless the database answers."""
    await request.app[PARTS].context.store.count()
    return Health(True, VERSION)


async def openapi(request: web.Request, ask: Nothing) -> web.Response:
    return document_response("Tidehold central", protocol.EXCHANGES)


async def status(request: web.Request, ask: Nothing) -> CentralStatus:
    return await _status(request.app[PARTS])


async def _status(parts: Parts) -> CentralStatus:
    context = parts.context
    database = context.store.database
    usage = shutil.disk_usage(database.path.parent)
    return CentralStatus(
        epoch=context.store.epoch,
        boot=parts.boot,
        version=VERSION,
        now=context.clock.now_us(),
        nodes=parts.fleet.counts(),
        records=await context.store.count(),
        runs_open=context.runs.open_count,
        poll_interval_s=context.poll_interval_s,
        clock=context.clock.state(),
        time=TimeService(parts.time_server.port, parts.time_server.answered),
        disk=Disk(database.size(), usage.free, usage.total),
        uptime_s=round(time.monotonic() - parts.started, 3),
    )


async def nodes(request: web.Request, ask: Nothing) -> protocol.NodeList:
    return protocol.NodeList([lane.view() for lane in request.app[PARTS].fleet.lanes()])


async def node(request: web.Request, ask: protocol.Named) -> NodeView:
    return request.app[PARTS].fleet.lane(ask.name).view()


async def hello(request: web.Request, ask: protocol.Hello) -> NodeView:
    return (await request.app[PARTS].fleet.greet(ask)).view()


async def change(request: web.Request, ask: protocol.NodeChange) -> NodeView:
    return (await request.app[PARTS].fleet.move(ask.name, ask.url)).view()


async def remove(request: web.Request, ask: protocol.Named) -> protocol.Gone:
    return await request.app[PARTS].fleet.remove(ask.name)


async def pull(request: web.Request, ask: protocol.PullAsk) -> web.Response:
    return _accepted(await request.app[PARTS].fleet.ask_run(ask.name, "pull", ask.mode))


async def push(request: web.Request, ask: protocol.PushAsk) -> web.Response:
    return _accepted(await request.app[PARTS].fleet.ask_run(ask.name, "push", ask.mode))


async def pull_all(request: web.Request, ask: protocol.PullAllAsk) -> protocol.RunList:
    return protocol.RunList(await request.app[PARTS].fleet.ask_all("pull", ask.mode))


async def push_all(request: web.Request, ask: protocol.PushAllAsk) -> protocol.RunList:
    return protocol.RunList(await request.app[PARTS].fleet.ask_all("push", ask.mode))


def _accepted(run: Run) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(run),
        status=protocol.PULL.status,
        content_type="application/json",
        headers={"Location": protocol.RUN.url_path(protocol.RunId(run.id))},
    )


async def poll(request: web.Request, ask: protocol.Named) -> NodeView:
    lane = request.app[PARTS].fleet.lane(ask.name)
    await lane.poll_now()
    return lane.view()


async def runs(request: web.Request, ask: protocol.RunsAsk) -> protocol.RunList:
    return protocol.RunList(await request.app[PARTS].context.runs.list(ask))


async def run(request: web.Request, ask: protocol.RunId) -> Run:
    return await request.app[PARTS].context.runs.get(ask.id)


async def cancel(request: web.Request, ask: protocol.RunId) -> Run:
    parts = request.app[PARTS]
    found = await parts.context.runs.get(ask.id)
    if found.ended_already:
        raise Refusal("run_ended", f"run {ask.id} ended before: {found.state}")
    return await parts.fleet.cancel(found)


async def records(
    request: web.Request, ask: protocol.CentralRecordsAsk
) -> RecordPage | web.StreamResponse:
    store = request.app[PARTS].context.store
    media_type = accepted(request, protocol.RECORDS.gives)
    if ask.epoch not in (None, store.epoch):
        raise Refusal("epoch_changed", f"the epoch is {store.epoch}; begin again with after=0")
    wanted = Filter(ask.node, ask.stream, ask.since, ask.until)
    page = await store.page(ask.after, ask.limit, wanted)
    return page_response(page, store.epoch, media_type)


async def journal(request: web.Request, ask: protocol.JournalAsk) -> protocol.JournalPage:
    return protocol.JournalPage(await request.app[PARTS].context.journal.lines(ask))


async def clock(request: web.Request, ask: Nothing) -> ClockState:
    return request.app[PARTS].context.clock.state()


async def metrics(request: web.Request, ask: Nothing) -> web.StreamResponse:
    parts = request.app[PARTS]
    counts = parts.fleet.counts()
    by_state = GaugeMetricFamily("tidehold_nodes", "Nodes by state", labels=["state"])
    for state in ("new", "up", "suspect", "down"):
        by_state.add_metric([state], getattr(counts, state))
    missing = GaugeMetricFamily(
        "tidehold_missing_at_central", "Records that central lacks", labels=["node"]
    )
    for lane in parts.fleet.lanes():
        if (number := lane.view().records.missing_at_central) is not None:
            missing.add_metric([lane.name], number)
    status = await _status(parts)
    figures: list[Metric] = [
        by_state,
        missing,
        GaugeMetricFamily("tidehold_nodes_in_sync", "Proven equal", value=counts.in_sync),
        GaugeMetricFamily("tidehold_records", "Records of all nodes", value=status.records),
        GaugeMetricFamily("tidehold_runs_open", "Runs not ended", value=status.runs_open),
        GaugeMetricFamily("tidehold_database_bytes", "Size", value=status.disk.database_bytes),
        GaugeMetricFamily("tidehold_disk_free_bytes", "Room left", value=status.disk.free_bytes),
        *clock_metrics(status.clock),
    ]
    return metrics_response(figures)


async def stream(request: web.Request, ask: protocol.StreamAsk) -> web.StreamResponse:
    """Events until the console leaves, falls too far behind, or central stops."""
    parts = request.app[PARTS]
    since = ask.since if ask.since is not None else _last_event(request)
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
    )
    await response.prepare(request)
    board = parts.context.board
    try:
        with board.watch() as watcher:
            await _write(response, _event("snapshot", await _snapshot(parts, since), board))
            while not watcher.ended:
                await _write(response, await _next(parts, watcher))
                await asyncio.sleep(FLUSH_S)
    except (ConnectionError, TimeoutError):
        pass  # the console has gone or reads no more; there is nobody to tell
    return response


async def _next(parts: Parts, watcher: Watcher) -> bytes:
    """The next delta or, after a while without any change, a ping."""
    try:
        async with asyncio.timeout(PING_S):
            await watcher.wait()
    except TimeoutError:
        return b": ping\n\n"
    return _event("delta", _delta(parts, watcher), parts.context.board)


async def _write(response: web.StreamResponse, event: bytes) -> None:
    """TimeoutError when the console takes nothing for too long."""
    async with asyncio.timeout(WRITE_S):
        await response.write(event)


def _last_event(request: web.Request) -> int:
    text = request.headers.get("Last-Event-ID", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


async def _snapshot(parts: Parts, since: int) -> Snapshot:
    board = parts.context.board
    return Snapshot(
        now=parts.context.clock.now_us(),
        status=await _status(parts),
        nodes=list(board.nodes.values()),
        runs=list(board.runs.values()),
        journal=[line for line in board.lines if line.seq > since],
    )


def _delta(parts: Parts, watcher: Watcher) -> Delta:
    board = parts.context.board
    delta = Delta(
        now=parts.context.clock.now_us(),
        nodes=[board.nodes[name] for name in sorted(watcher.nodes) if name in board.nodes],
        runs=[board.runs[number] for number in sorted(watcher.runs) if number in board.runs],
        journal=watcher.lines,
        gone=sorted(watcher.gone),
    )
    watcher.clear()
    return delta


def _event(name: str, message: msgspec.Struct, board: Board) -> bytes:
    """One server-sent event; its id is the last journal line that the console has now."""
    seq = board.lines[-1].seq if board.lines else 0
    return b"event: %b\nid: %d\ndata: %b\n\n" % (name.encode(), seq, msgspec.json.encode(message))
