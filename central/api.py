"""What central answers: one function for each exchange."""

from collections.abc import Sequence

import msgspec
from aiohttp import web
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from central.parts import PARTS
from central.stream import stream
from cluster import VERSION
from cluster.clock.report import state_of
from cluster.clock.state import ClockState
from cluster.door import DOOR
from cluster.exchange import Nothing
from cluster.metrics import clock_metrics, door_metrics, metrics_response
from cluster.openapi import document_response
from cluster.pages import answer_page
from cluster.problem import Refusal
from cluster.protocol import central as protocol
from cluster.protocol import shared
from cluster.protocol.node import SourceChange
from cluster.protocol.shared import Health
from cluster.protocol.views import CentralStatus, NodeView, Run
from cluster.records import Filter
from cluster.server import serve
from cluster.trust.gate import check_speaks_for, role_of


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
        serve(protocol.NODE_CLOCK, node_clock),
        serve(protocol.NODE_POLLS, node_polls),
        serve(protocol.TEST, test),
        serve(protocol.SOURCE, source),
        serve(protocol.SYNC_CLOCK, sync_clock),
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
    """Refusal unless the database answers and the disk has room."""
    store = request.app[PARTS].context.store
    await store.database.check()
    store.disk.check_room()
    return Health(True, VERSION)


async def openapi(request: web.Request, ask: Nothing) -> web.Response:
    return document_response("Tidehold central", protocol.EXCHANGES)


async def status(request: web.Request, ask: Nothing) -> CentralStatus:
    return await request.app[PARTS].status(role_of(request))


async def nodes(request: web.Request, ask: Nothing) -> protocol.NodeList:
    return protocol.NodeList([lane.view() for lane in request.app[PARTS].fleet.lanes()])


async def node(request: web.Request, ask: protocol.Named) -> NodeView:
    return request.app[PARTS].fleet.lane(ask.name).view()


async def node_clock(request: web.Request, ask: protocol.HistoryAsk) -> protocol.ClockHistory:
    lane = request.app[PARTS].fleet.lane(ask.name)
    return protocol.ClockHistory(lane.clock.history.points(ask.since))


async def node_polls(request: web.Request, ask: protocol.HistoryAsk) -> protocol.PollHistory:
    lane = request.app[PARTS].fleet.lane(ask.name)
    return protocol.PollHistory(lane.polls.points(ask.since))


async def test(request: web.Request, ask: protocol.Address) -> protocol.NodeFound:
    return await request.app[PARTS].fleet.test(ask.url)


async def source(request: web.Request, ask: protocol.SourceSet) -> NodeView:
    lane = request.app[PARTS].fleet.lane(ask.name)
    await lane.set_source(SourceChange(ask.running, ask.rate))
    await lane.poll_now()
    return lane.view()


async def sync_clock(request: web.Request, ask: protocol.Named) -> ClockState:
    return await request.app[PARTS].fleet.lane(ask.name).sync_clock()


async def hello(request: web.Request, ask: protocol.Hello) -> NodeView:
    """Refusal `forbidden` where a node speaks for another, or as an operator does."""
    check_speaks_for(request, ask.name)
    if role_of(request) == "node" and ask.boot is None:
        raise Refusal("forbidden", "a node says its boot; to add one, ask with an operator's token")
    return (await request.app[PARTS].fleet.greet(ask)).view()


async def change(request: web.Request, ask: protocol.NodeChange) -> NodeView:
    return (await request.app[PARTS].fleet.change(ask)).view()


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


async def records(request: web.Request, ask: protocol.CentralRecordsAsk) -> web.StreamResponse:
    store = request.app[PARTS].context.store
    wanted = Filter(ask.node, ask.stream, ask.since, ask.until)
    return await answer_page(request, ask, wanted, store.records, store.epoch)


async def journal(request: web.Request, ask: protocol.JournalAsk) -> protocol.JournalPage:
    return protocol.JournalPage(await request.app[PARTS].context.journal.lines(ask))


async def clock(request: web.Request, ask: Nothing) -> ClockState:
    return state_of(request.app[PARTS].context.clock)


async def metrics(request: web.Request, ask: Nothing) -> web.StreamResponse:
    parts = request.app[PARTS]
    status = await parts.status(role_of(request))
    by_state = GaugeMetricFamily("tidehold_nodes", "Nodes by state", labels=["state"])
    for state in ("new", "up", "suspect", "down"):
        by_state.add_metric([state], getattr(status.nodes, state))
    missing = GaugeMetricFamily(
        "tidehold_missing_at_central", "Records that central lacks", labels=["node"]
    )
    views = [lane.view() for lane in parts.fleet.lanes()]
    for view in views:
        if (number := view.records.missing_at_central) is not None:
            missing.add_metric([view.name], number)
    flapping = sum(view.flapping for view in views)
    log_bytes = parts.context.store.database.log_bytes()
    figures: list[Metric] = [
        by_state,
        missing,
        GaugeMetricFamily("tidehold_nodes_in_sync", "Proven equal", value=status.nodes.in_sync),
        GaugeMetricFamily("tidehold_records", "Records of all nodes", value=status.records),
        GaugeMetricFamily("tidehold_runs_open", "Runs not ended", value=status.runs_open),
        GaugeMetricFamily("tidehold_database_bytes", "Size", value=status.disk.database_bytes),
        GaugeMetricFamily("tidehold_database_log_bytes", "Of it the log", value=log_bytes),
        GaugeMetricFamily("tidehold_disk_free_bytes", "Room left", value=status.disk.free_bytes),
        GaugeMetricFamily("tidehold_isolated", "Central is cut off", value=status.isolated),
        GaugeMetricFamily("tidehold_nodes_flapping", "Nodes that come and go", value=flapping),
        CounterMetricFamily(
            "tidehold_stalled_seconds",
            "How long central itself has stood still",
            value=parts.context.stalls.stood_s,
        ),
        *parts.context.polls.metrics(),
        *_node_clocks(views),
        *door_metrics(request.app[DOOR]),
        *clock_metrics(state_of(parts.context.clock)),
    ]
    return metrics_response(figures)


def _node_clocks(views: Sequence[NodeView]) -> list[Metric]:
    """Each node's clock, as it says itself and as central sees it."""
    known = {
        "drift": GaugeMetricFamily(
            "tidehold_node_clock_drift_seconds", "Its system clock minus its own", labels=["node"]
        ),
        "bound": GaugeMetricFamily(
            "tidehold_node_clock_bound_seconds", "How far its clock may be off", labels=["node"]
        ),
        "apart": GaugeMetricFamily(
            "tidehold_node_clock_apart_seconds", "Its clock minus central's", labels=["node"]
        ),
    }
    for view in views:
        clock = view.clock
        figures = {
            "drift": clock.drift_ms if clock else None,
            "bound": clock.bound_ms if clock else None,
            "apart": view.apart_ms,
        }
        for name, value_ms in figures.items():
            if value_ms is not None:
                known[name].add_metric([view.name], value_ms / 1000)
    return list(known.values())
