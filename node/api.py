"""What the node answers: one function for each exchange."""

import asyncio
import shutil
import time
from dataclasses import dataclass

from aiohttp import web
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from cluster import VERSION
from cluster.clock.cluster_clock import ClusterClock
from cluster.clock.follower import Follower
from cluster.clock.ntp import NtpFailed
from cluster.clock.state import ClockState
from cluster.exchange import Nothing
from cluster.metrics import clock_metrics, metrics_response
from cluster.openapi import document_response
from cluster.pages import page_response
from cluster.problem import Refusal
from cluster.protocol import node as protocol
from cluster.protocol import shared
from cluster.protocol.shared import Disk, Health, Receipt, RecordPage, served
from cluster.record import parse_id
from cluster.records import Filter
from cluster.server import accepted, read_body, serve
from node.generator import Generator
from node.hello import Greeter
from node.rows import read_rows
from node.store import NodeStore

INLINE_BYTES = 32 * 1024
DISK_FREE_MIN = 64 * 1024 * 1024  # bytes; below it rows are refused before SQLite fails


@dataclass(frozen=True, slots=True)
class Parts:
    """The running parts of a node that its API speaks of."""

    store: NodeStore
    clock: ClusterClock
    follower: Follower | None
    generator: Generator
    greeter: Greeter | None
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
        serve(protocol.SOURCE, source),
        serve(protocol.CLOCK, clock),
        serve(protocol.CLOCK_SYNC, clock_sync),
    ]


async def health(request: web.Request, ask: Nothing) -> Health:
    return Health(True, VERSION)


async def ready(request: web.Request, ask: Nothing) -> Health:
    """Refusal unless the database answers and the disk has room."""
    parts = request.app[PARTS]
    await parts.store.counts()
    _check_room(parts.store)
    return Health(True, VERSION)


async def openapi(request: web.Request, ask: Nothing) -> web.Response:
    return document_response("Tidehold node", protocol.EXCHANGES)


async def status(request: web.Request, ask: Nothing) -> protocol.NodeStatus:
    parts = request.app[PARTS]
    if parts.greeter is not None:
        parts.greeter.polled()
    return protocol.NodeStatus(
        node=parts.store.node,
        epoch=parts.store.epoch,
        boot=parts.boot,
        version=VERSION,
        records=await parts.store.counts(),
        clock=parts.clock.state(),
        source=parts.generator.state,
        uptime_s=round(time.monotonic() - parts.started, 3),
        disk=_disk(parts.store),
        now=parts.clock.now_us(),  # last: as near as can be to the moment it is sent
    )


async def page(request: web.Request, ask: protocol.RecordsAsk) -> RecordPage | web.StreamResponse:
    store = request.app[PARTS].store
    media_type = accepted(request, protocol.RECORDS.gives)
    if ask.epoch not in (None, store.epoch):
        raise Refusal("epoch_changed", f"the epoch is {store.epoch}; begin again with after=0")
    wanted = Filter(stream=ask.stream, since=ask.since, until=ask.until)
    return page_response(await store.page(ask.after, ask.limit, wanted), store.epoch, media_type)


async def append(request: web.Request, ask: Nothing) -> Receipt:
    """Good rows are stored whatever the others are; Refusal only when none could be taken."""
    store = request.app[PARTS].store
    body = await read_body(request, protocol.APPEND.body_max, protocol.APPEND.takes)
    if len(body) > INLINE_BYTES:  # long work would hold up everybody else's requests
        rows = await asyncio.to_thread(read_rows, body, request.content_type, store.node)
    else:
        rows = read_rows(body, request.content_type, store.node)
    if rows.good:
        _check_room(store)
    stored = await store.store(rows.good)
    receipt = Receipt(
        received=len(rows.good) + len(rows.rejected),
        inserted=stored.inserted,
        duplicate=stored.duplicate,
        conflict=len(stored.conflicts),
        conflicts=[rows.indexes[place] for place in stored.conflicts],
        rejected=rows.rejected,
    )
    if rows.rejected and not rows.good:
        raise Refusal(
            "rows_rejected",
            "see `rejected` for each row's reason",
            received=receipt.received,
            inserted=0,
            duplicate=0,
            conflict=0,
            rejected=rows.rejected,
        )
    return receipt


async def fetch(request: web.Request, ask: protocol.FetchAsk) -> protocol.Fetched:
    rows, more = await request.app[PARTS].store.fetch([parse_id(text) for text in ask.ids])
    return protocol.Fetched([served(*row) for row in rows], more)


async def digest(request: web.Request, ask: protocol.DigestAsk) -> protocol.Digests:
    store = request.app[PARTS].store
    return protocol.Digests(store.epoch, await store.windows(ask.windows, ask.upto))


async def source(request: web.Request, ask: protocol.SourceChange) -> protocol.SourceState:
    return await request.app[PARTS].generator.change(ask)


async def clock(request: web.Request, ask: Nothing) -> ClockState:
    return request.app[PARTS].clock.state()


async def clock_sync(request: web.Request, ask: Nothing) -> ClockState:
    """Refusal when there is no time server, or none gives a usable answer now."""
    follower = request.app[PARTS].follower
    if follower is None:
        raise Refusal("no_time_server", "start it with --ntp HOST or --central URL")
    try:
        return await follower.sync_now()
    except NtpFailed as failure:
        raise Refusal("time_unreachable", str(failure)) from None


async def metrics(request: web.Request, ask: Nothing) -> web.StreamResponse:
    parts = request.app[PARTS]
    counts = await parts.store.counts()
    made = CounterMetricFamily("tidehold_source_records", "Records made by the own source")
    made.add_metric([], parts.generator.state.made)
    disk = _disk(parts.store)
    figures: list[Metric] = [
        GaugeMetricFamily("tidehold_records", "Records in the database", value=counts.count),
        GaugeMetricFamily("tidehold_last_position", "Last position", value=counts.last_position),
        GaugeMetricFamily("tidehold_database_bytes", "Size", value=disk.database_bytes),
        GaugeMetricFamily("tidehold_disk_free_bytes", "Room left", value=disk.free_bytes),
        made,
        *clock_metrics(parts.clock.state()),
    ]
    return metrics_response(figures)


def _disk(store: NodeStore) -> Disk:
    usage = shutil.disk_usage(store.database.path.parent)
    return Disk(store.database.size(), usage.free, usage.total)


def _check_room(store: NodeStore) -> None:
    free = _disk(store).free_bytes
    if free < DISK_FREE_MIN:
        raise Refusal(
            "not_ready", f"only {free} bytes free on the disk; make room", retry_after_s=60
        )
