"""The workbench: an HTTP API by which a person or a script breaks members of the local cluster.

It listens on a loopback port that the kernel picks, takes the cluster's own token, and lives in
the loop of run_cluster.py, beside the supervision that makes good what is done here. What was
done is in that program's log; what came of it is in central's journal, as after any accident.
"""

import asyncio
import logging
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from aiohttp import web

from cluster.exchange import Nothing
from cluster.local.child import GRACE_S, ChildGone
from cluster.local.members import Cluster, Member
from cluster.local.ports import HOST
from cluster.problem import Refusal
from cluster.protocol import local as protocol
from cluster.protocol.local import MemberAsk, MemberList, MemberView, SkewAsk
from cluster.server import base_url, bind, fence, runner_of, serve

log = logging.getLogger(__name__)

AT_ONCE = 0.0
SKEW_MS = "--skew-ms="


@asynccontextmanager
async def workbench(cluster: Cluster, token: str) -> AsyncIterator[str]:
    """The workbench's address while it is open. Who is frozen when it closes is thawed."""
    app = web.Application(middlewares=[fence(token, protocol.EXCHANGES)])
    app.add_routes(Workbench(cluster).routes())
    listener, runner = bind(HOST, 0), runner_of(app)
    try:
        await runner.setup()
        await web.SockSite(runner, listener).start()
        yield base_url(listener)
    finally:
        await runner.cleanup()
        for child in (member.child for member in cluster.members):
            if child.frozen:
                child.thaw()


class Workbench:
    """What the workbench answers: one method for each exchange."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def routes(self) -> list[web.RouteDef]:
        """Every exchange of the workbench with its method."""
        return [
            serve(protocol.MEMBERS, self.members),
            serve(protocol.KILL, self.kill),
            serve(protocol.FREEZE, self.freeze),
            serve(protocol.THAW, self.thaw),
            serve(protocol.RESTART, self.restart),
            serve(protocol.WIPE, self.wipe),
            serve(protocol.SKEW, self.skew),
        ]

    async def members(self, request: web.Request, ask: Nothing) -> MemberList:
        return MemberList([await view_of(member) for member in self._cluster.members])

    async def kill(self, request: web.Request, ask: MemberAsk) -> MemberView:
        child = self._running(ask.name).child
        return await self._reborn(ask.name, child.restart(AT_ONCE), "killed")

    async def freeze(self, request: web.Request, ask: MemberAsk) -> MemberView:
        self._running(ask.name).child.freeze()
        return await self._done(ask.name, "frozen")

    async def thaw(self, request: web.Request, ask: MemberAsk) -> MemberView:
        self._running(ask.name).child.thaw()
        return await self._done(ask.name, "thawed")

    async def restart(self, request: web.Request, ask: MemberAsk) -> MemberView:
        child = self._member(ask.name).child
        return await self._reborn(ask.name, child.restart(GRACE_S), "restarted")

    async def wipe(self, request: web.Request, ask: MemberAsk) -> MemberView:
        node = self._node(ask.name, "central's records may be the only ones; wipe a node instead")
        restart = node.child.restart(AT_ONCE, before=partial(remove, node.folder))
        return await self._reborn(ask.name, restart, "wiped")

    async def skew(self, request: web.Request, ask: SkewAsk) -> MemberView:
        child = self._node(ask.name, "the nodes follow central's clock; skew theirs instead").child
        restart = child.restart(GRACE_S, argv=skewed(child.argv, ask.ms))
        return await self._reborn(ask.name, restart, f"skewed by {ask.ms:+g} ms")

    def _member(self, name: str) -> Member:
        """Refusal when there is no such member."""
        for member in self._cluster.members:
            if member.name == name:
                return member
        names = ", ".join(member.name for member in self._cluster.members)
        raise Refusal("unknown_member", f"the members are {names}")

    def _node(self, name: str, why: str) -> Member:
        """Refusal when it is no node, and why only nodes will do."""
        member = self._member(name)
        if member is self._cluster.central:
            raise Refusal("nodes_only", why)
        return member

    def _running(self, name: str) -> Member:
        """Refusal when it has no process."""
        member = self._member(name)
        if member.child.state == "failed":
            raise _gone(member)
        if member.child.pid is None:
            raise Refusal("not_running", f"{name} is about to be started again: try in a moment")
        return member

    async def _reborn(self, name: str, restart: Awaitable[None], done: str) -> MemberView:
        """Carry out a restart. Refusal when nobody starts this member any more."""
        try:
            await restart
        except ChildGone:
            raise _gone(self._member(name)) from None
        return await self._done(name, done)

    async def _done(self, name: str, done: str) -> MemberView:
        log.info("%s was %s", name, done, extra={"event": "broken", "member": name})
        return await view_of(self._member(name))


def _gone(member: Member) -> Refusal:
    return Refusal("member_gone", f"{member.failure()}; mend that, then start run_cluster.py again")


async def view_of(member: Member) -> MemberView:
    """A member's process at this moment."""
    child = member.child
    return MemberView(
        name=member.name,
        kind="central" if member.name == "central" else "node",
        state=child.state,
        pid=child.pid,
        frozen=child.frozen,
        restarts=child.restarts,
        last_exit=child.last_exit,
        skew_ms=skew_ms(child.argv),
        disk_bytes=await asyncio.to_thread(size_of, member.folder),
    )


def skew_ms(argv: Sequence[str]) -> float:
    """By how much these flags make the system clock wrong."""
    skews = (flag.removeprefix(SKEW_MS) for flag in argv if flag.startswith(SKEW_MS))
    return float(next(skews, 0.0))


def skewed(argv: Sequence[str], ms: float) -> list[str]:
    """The same flags with another skew; the oscillator stays what it is."""
    return [*(flag for flag in argv if not flag.startswith(SKEW_MS)), f"{SKEW_MS}{ms}"]


def size_of(folder: Path) -> int | None:
    """The bytes of all files in a folder, None when there is no such folder."""
    if not folder.is_dir():
        return None
    size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # it may go while we look
                size += Path(place, name).stat().st_size
    return size


def remove(folder: Path) -> None:
    """The disk dies: nothing of it is left. OSError when something is."""
    if folder.exists():
        shutil.rmtree(folder)
