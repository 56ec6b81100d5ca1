"""The node put together: what exists, and in which order it opens and closes."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from aiohttp import web
from yarl import URL

from cluster.background import background
from cluster.clock.base import Base, RealBase, SkewedBase
from cluster.clock.cluster_clock import ClusterClock
from cluster.clock.follower import Follower
from cluster.clock.memory import MEMORY_FILE, recall
from cluster.clock.sample import Server
from cluster.clock.watch import Watch
from cluster.peer import Peer, open_session
from cluster.protocol.node import APPEND, EXCHANGES
from cluster.server import fence
from cluster.settings import parse_servers
from cluster.trust.member import Trust
from cluster.trust.renewal import tell_log
from node.api import PARTS, Parts, routes
from node.first_sync import tell_at_first_sync
from node.generator import Generator
from node.hello import Greeter
from node.retention import Limits, Retention
from node.second_opinion import SecondOpinion
from node.settings import NodeSettings
from node.sources import open_source
from node.store import open_node_store

CENTRAL_NTP_PORT = 8123


def build_app(settings: NodeSettings, trust: Trust | str, url: str) -> web.Application:
    """A node's application. `url`: where it listens. SettingsWrong for a wrong --ntp.

    `trust`: or the one token that opens everything.
    """
    trust = Trust.of(trust) if isinstance(trust, str) else trust
    app = web.Application(
        middlewares=[fence(trust.gate(), EXCHANGES)], client_max_size=APPEND.body_max
    )
    app.add_routes(routes())
    servers = time_servers(settings)

    @asynccontextmanager
    async def parts(app: web.Application) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            remembered = Path(settings.data) / MEMORY_FILE
            clock = ClusterClock(_base(settings), recall(remembered))
            synced = asyncio.Event()
            if clock.synced:
                synced.set()
            follower = Follower(clock, servers, synced) if servers else None
            store = await stack.enter_async_context(
                open_node_store(Path(settings.data), settings.name, clock)
            )
            session = await stack.enter_async_context(open_session(trust.tls.calling))
            tasks = await stack.enter_async_context(background())
            boot, greeter = secrets.token_hex(4), None
            if settings.central is not None:
                peer = Peer(session, settings.central, trust.keyring.bring)
                greeter = Greeter(peer, settings.name, settings.advertise or url, boot)
                tasks.start(greeter.run(), "greeter")
            generator = Generator(
                settings.source, open_source(settings.source, settings.name), settings.rate, store
            )
            if follower is not None:
                tasks.start(follower.run(), "clock")
            watch = Watch(clock, remembered, follower.hurry if follower else None)
            tasks.start(watch.run(), "clock watch")
            tasks.start(trust.renew(tell_log), "renewal")
            tasks.start(tell_at_first_sync(clock, store, synced), "first sync")
            tasks.start(generator.run(clock, synced if follower else None), "generator")
            limits = Limits(settings.keep_days, settings.keep_bytes)
            retention = Retention(store, limits)
            if limits:
                tasks.start(retention.run(), "retention")
            await retention.look()
            app[PARTS] = Parts(
                store,
                clock,
                follower,
                SecondOpinion(clock, synced, follower),
                generator,
                greeter,
                retention,
                boot,
                time.monotonic(),
            )
            yield

    app.cleanup_ctx.append(parts)
    return app


def time_servers(settings: NodeSettings) -> list[Server]:
    """The NTP servers to follow: those given or, without, central's own."""
    if settings.ntp:
        return parse_servers(settings.ntp)
    if settings.central is not None and (host := URL(settings.central).host):
        return [Server(host, CENTRAL_NTP_PORT)]
    return []


def _base(settings: NodeSettings) -> Base:
    if settings.skew_ms or settings.skew_ppm:
        return SkewedBase(settings.skew_ms, settings.skew_ppm)
    return RealBase()
