"""The running parts of central that its API speaks of, and their state in one message."""

import time
from dataclasses import dataclass

from aiohttp import web

from central.context import Context
from central.fleet import Fleet
from central.time_server import TimeServer
from cluster import VERSION
from cluster.clock.report import summary_of
from cluster.clock.verdict import word_of
from cluster.exchange import Role
from cluster.protocol.views import CentralStatus, TimeService


@dataclass(frozen=True, slots=True)
class Parts:
    """Made by `central.app`."""

    context: Context
    fleet: Fleet
    time_server: TimeServer
    boot: str
    started: float  # monotonic seconds

    async def status(self, role: Role) -> CentralStatus:
        """Central's own state now, for somebody who may do so much."""
        context = self.context
        clock, server = summary_of(context.clock), self.time_server
        uptime_s = round(time.monotonic() - self.started, 3)
        return CentralStatus(
            epoch=context.store.epoch,
            boot=self.boot,
            version=VERSION,
            now=context.clock.now_us(),
            nodes=self.fleet.counts(),
            records=await context.store.count(),
            runs_open=context.runs.open_count,
            poll_interval_s=context.poll_interval_s,
            runs_at_once=context.runs_at_once,
            isolated=context.isolation.isolated,
            role=role,
            clock=clock,
            clock_word=word_of(clock, uptime_s, context.clock_limits),
            time=TimeService(server.port, server.answered, server.limited, server.ignored),
            disk=context.store.disk.state(),
            uptime_s=uptime_s,
            journal_head=str(context.journal.head),
        )


PARTS = web.AppKey("PARTS", Parts)
