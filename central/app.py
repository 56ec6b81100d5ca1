"""Central put together: what exists, and in which order it opens and closes."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from aiohttp import web

from central.api import routes
from central.board import Board
from central.context import Context
from central.fleet import Fleet
from central.journal import Journal
from central.parts import PARTS, Parts
from central.runs import Runs
from central.settings import CentralSettings
from central.store import open_central_store
from central.time_server import time_server
from cluster.background import background
from cluster.clock.base import RealBase
from cluster.clock.cluster_clock import ClusterClock
from cluster.clock.follower import Follower
from cluster.clock.memory import MEMORY_FILE, recall
from cluster.clock.sample import Server
from cluster.clock.verdict import Limits
from cluster.clock.watch import Watch
from cluster.peer import Peer, open_session
from cluster.protocol.central import EXCHANGES
from cluster.server import PortTaken, fence
from cluster.settings import LOOPBACK, parse_servers
from cluster.throttle import UNLIMITED
from cluster.trust.member import Trust
from cluster.trust.reach import LOOPBACKS, Reach


def build_app(settings: CentralSettings, trust: Trust | str) -> web.Application:
    """Central's application. SettingsWrong for a wrong --ntp or --node-net.

    `trust`: or the one token that opens everything.
    """
    trust = Trust.of(trust) if isinstance(trust, str) else trust
    servers = parse_servers(settings.ntp)
    reach = Reach.parse(settings.node_net, () if LOOPBACK.match(settings.host) else LOOPBACKS)
    app = web.Application(middlewares=[fence(trust.gate(), EXCHANGES)])
    app.add_routes(routes())
    app.cleanup_ctx.append(lambda app: _parts(app, settings, trust, reach, servers))
    app.on_shutdown.append(_end_streams)
    return app


@asynccontextmanager
async def _parts(
    app: web.Application,
    settings: CentralSettings,
    trust: Trust,
    reach: Reach,
    servers: Sequence[Server],
) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_central_store(Path(settings.data)))
        folder = Path(settings.data)
        clock = _clock(servers, folder)
        board = Board()
        journal = Journal(store.database, clock.now_us, board.show_line)
        await journal.load()
        stack.push_async_callback(journal.close)
        session = await stack.enter_async_context(open_session(trust.tls.calling, reach))
        try:
            server = await stack.enter_async_context(
                time_server(clock, settings.host, settings.ntp_port)
            )
        except OSError as error:
            raise PortTaken(
                f"UDP port {settings.ntp_port} for the time server: {error.strerror}; "
                "stop the other program or give --ntp-port"
            ) from None
        tasks = await stack.enter_async_context(background())
        runs = Runs(store.database, board, journal, clock.now_us)
        context = Context(
            store,
            board,
            journal,
            runs,
            clock,
            tasks,
            asyncio.Semaphore(settings.runs_at_once),
            settings.runs_at_once,
            settings.poll_interval,
            lambda url, name=None, throttle=UNLIMITED: Peer(
                session, url, partial(trust.keyring.bring, name), throttle
            ),
            settings.max_rate,
            settings.pull_every,
            Limits(settings.clock_ok_ms, settings.clock_bad_ms),
        )
        follower = Follower(clock, servers) if servers else None
        if follower is not None:
            tasks.start(follower.run(), "clock")
        watch = Watch(clock, folder / MEMORY_FILE, follower.hurry if follower else None)
        tasks.start(watch.run(), "clock watch")
        fleet = Fleet(context)
        tasks.start(journal.run(), "journal")
        tasks.start(context.stalls.watch(), "stalls")
        tasks.start(trust.renew(journal.write), "renewal")
        journal.write("info", "central-started", "central started")
        await runs.load()
        await fleet.load()
        app[PARTS] = Parts(context, fleet, server, secrets.token_hex(4), time.monotonic())
        yield
        journal.write("info", "central-stopping", "central stops")


def _clock(servers: Sequence[Server], folder: Path) -> ClusterClock:
    """Central's clock: it follows its servers; without any, the others follow its system time."""
    if not servers:
        return ClusterClock.reference(RealBase())
    return ClusterClock(RealBase(), recall(folder / MEMORY_FILE))


async def _end_streams(app: web.Application) -> None:
    """Open streams would hold up the stop."""
    app[PARTS].context.board.close()
