"""What the node answers: one function for each exchange."""

import time
from dataclasses import dataclass

from aiohttp import web
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from cluster import VERSION
from cluster.clock.cluster_clock import ClusterClock
from cluster.clock.follower import Follower
from cluster.clock.report import state_of, summary_of
from cluster.clock.ride import HEADER
from cluster.clock.sample import NtpFailed
from cluster.clock.state import ClockState
from cluster.digest import Digest, outermost
from cluster.digest import children as children_of
from cluster.door import DOOR
from cluster.exchange import SQLITE, Nothing
from cluster.inside import Inside
from cluster.metrics import clock_metrics, door_metrics, metrics_response
from cluster.openapi import document_response
from cluster.page_file import CHECKSUM
from cluster.pages import answer_page, check_epoch, file_response
from cluster.problem import Refusal
from cluster.protocol import node as protocol
from cluster.protocol import shared
from cluster.protocol.shared import Health, Receipt
from cluster.record import id_text, parse_id
from cluster.records import Filter
from cluster.server import read_body, serve
from node.append import append_page, append_rows
from node.generator import Generator
from node.hello import Greeter
from node.retention import Retention
from node.second_opinion import SecondOpinion
from node.store import NodeStore


@dataclass(frozen=True, slots=True)
class Parts:
    """The running parts of a node that its API speaks of."""

    store: NodeStore
    clock: ClusterClock
    follower: Follower | None
    opinion: SecondOpinion
    generator: Generator
    greeter: Greeter | None
    retention: Retention
    boot: str
    started: float  # monotonic seconds


PARTS = web.AppKey("PARTS", Parts)


def routes() -> list[web.RouteDef]:
    """Every exchange of a node with its function."""
    return [
        serve(shared.HEALTH, health),
        serve(shared.READY, ready),
        serve(shared.METRICS, metrics),
        serve(shared.OPENAPI, openapi),
        serve(protocol.STATUS, status),
        serve(protocol.RECORDS, page),
        serve(protocol.APPEND, append),
        serve(protocol.FETCH, fetch),
        serve(protocol.DIGEST, digest),
        serve(protocol.DUE, due),
        serve(protocol.DROP, drop),
        serve(protocol.SOURCE, source),
        serve(protocol.CLOCK, clock),
        serve(protocol.CLOCK_SYNC, clock_sync),
    ]


async def health(request: web.Request, ask: Nothing) -> Health:
    return Health(True, VERSION)


async def ready(request: web.Request, ask: Nothing) -> Health:
    """Refusal unless the database answers and the disk has room."""
    parts = request.app[PARTS]
    await parts.store.database.check()
    parts.store.disk.check_room()
    return Health(True, VERSION)


async def openapi(request: web.Request, ask: Nothing) -> web.Response:
    return document_response("Tidehold node", protocol.EXCHANGES)


async def status(request: web.Request, ask: Nothing) -> protocol.NodeStatus:
    parts = request.app[PARTS]
    came_ns = parts.clock.base.monotonic_ns()
    said = request.headers.get(HEADER)
    ticket = None if said is None else parts.opinion.heard(said)
    if parts.greeter is not None:
        parts.greeter.polled()
    answer = protocol.NodeStatus(
        node=parts.store.node,
        epoch=parts.store.epoch,
        boot=parts.boot,
        version=VERSION,
        records=await parts.store.counts(),
        clock=summary_of(parts.clock),
        source=parts.generator.state,
        retention=parts.retention.state,
        uptime_s=round(time.monotonic() - parts.started, 3),
        disk=parts.store.disk.state(),
        now=parts.clock.now_us(),  # last: as near as can be to the moment it is sent
    )
    if ticket is not None:
        parts.opinion.answers(ticket, came_ns)
    return answer


async def page(request: web.Request, ask: protocol.RecordsAsk) -> web.StreamResponse:
    store = request.app[PARTS].store
    wanted = Filter(stream=ask.stream, since=ask.since, until=ask.until)
    return await answer_page(request, ask, wanted, store.records, store.epoch, store.unsynced)


async def append(request: web.Request, ask: Nothing) -> Receipt:
    """Good rows are stored whatever the others are; Refusal only when none could be taken."""
    parts = request.app[PARTS]
    store = parts.store
    body = await read_body(request, protocol.APPEND.body_max, protocol.APPEND.takes)
    if request.content_type == SQLITE:
        receipt = await append_page(store, body, request.headers.get(CHECKSUM))
    else:
        receipt = await append_rows(store, body, request.content_type)
    if receipt.rejected and len(receipt.rejected) == receipt.received:
        raise Refusal(
            "rows_rejected",
            "see `rejected` for each row's reason",
            received=receipt.received,
            inserted=0,
            duplicate=0,
            conflict=0,
            rejected=receipt.rejected,
        )
    return receipt


async def fetch(request: web.Request, ask: protocol.FetchAsk) -> web.StreamResponse:
    store = request.app[PARTS].store
    check_epoch(ask.epoch, store.epoch)
    page = await store.records.window_file(
        store.node, outermost(ask.windows), parse_id(ask.first), ask.limit, ask.upto
    )
    return await file_response(request, page, store.epoch)


async def digest(request: web.Request, ask: protocol.DigestAsk) -> protocol.Digests:
    store = request.app[PARTS].store
    opened = await store.records.open(store.node, ask.windows, ask.upto)
    return protocol.Digests(store.epoch, [_view(inside) for inside in opened])


def _view(inside: Inside) -> protocol.WindowView:
    """An open window as it goes on the wire."""
    listed, children = inside.elements, inside.children
    parts = None
    if children is not None:
        digests = (children.get(child) for child in children_of(inside.window))
        parts = [None if part is None else (part.count, part.text) for part in digests]
    return protocol.WindowView(
        window=inside.window,
        count=inside.digest.count,
        digest=inside.digest.text,
        children=parts,
        elements=None
        if listed is None
        else [(id_text(key), f"{value:016x}") for key, value in listed.items()],
        dropped=inside.dropped,
    )


async def due(request: web.Request, ask: Nothing) -> protocol.Due:
    parts = request.app[PARTS]
    found = await parts.retention.look()
    return protocol.Due(
        parts.store.epoch,
        [protocol.WindowDigest(window, one.count, one.text) for window, one in found.items()],
    )


async def drop(request: web.Request, ask: protocol.DropAsk) -> protocol.Dropped:
    parts = request.app[PARTS]
    check_epoch(ask.epoch, parts.store.epoch)
    proven = {one.window: Digest.parse(one.count, one.digest) for one in ask.windows}
    return protocol.Dropped(await parts.retention.drop(proven))


async def source(request: web.Request, ask: protocol.SourceChange) -> protocol.SourceState:
    return await request.app[PARTS].generator.change(ask)


async def clock(request: web.Request, ask: Nothing) -> ClockState:
    return state_of(request.app[PARTS].clock)


async def clock_sync(request: web.Request, ask: Nothing) -> ClockState:
    """Refusal when there is no time server, or none gives a usable answer now."""
    parts = request.app[PARTS]
    follower = parts.follower
    if follower is None:
        raise Refusal("no_time_server", "start it with --ntp HOST or --central URL")
    try:
        await follower.sync_now()
    except NtpFailed as failure:
        remedy = "GET /v1/clock of this node counts under `rejected` what was wrong"
        raise Refusal("time_unreachable", f"{failure}; {remedy}") from None
    return state_of(parts.clock)


async def metrics(request: web.Request, ask: Nothing) -> web.StreamResponse:
    parts = request.app[PARTS]
    counts = await parts.store.counts()
    made = CounterMetricFamily("tidehold_source_records", "Records made by the own source")
    made.add_metric([], parts.generator.state.made)
    disk = parts.store.disk.state()
    log_bytes = parts.store.database.log_bytes()
    figures: list[Metric] = [
        GaugeMetricFamily("tidehold_records", "Records in the database", value=counts.count),
        GaugeMetricFamily("tidehold_last_position", "Last position", value=counts.last_position),
        GaugeMetricFamily("tidehold_database_bytes", "Size", value=disk.database_bytes),
        GaugeMetricFamily("tidehold_database_log_bytes", "Of it the log", value=log_bytes),
        GaugeMetricFamily("tidehold_disk_free_bytes", "Room left", value=disk.free_bytes),
        made,
        *door_metrics(request.app[DOOR]),
        *clock_metrics(state_of(parts.clock)),
    ]
    return metrics_response(figures)
