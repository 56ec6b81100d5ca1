"""A workbench that speaks the real contract and only writes down what is done to whom."""

from aiohttp import web
from msgspec.structs import replace

from cluster.exchange import Nothing
from cluster.problem import Refusal
from cluster.protocol import local
from cluster.protocol.local import MemberView
from cluster.server import fence, serve
from tests.console.fake_central import TOKEN


class FakeWorkbench:
    """`done`: what was asked for, in order."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str]] = []
        self.refuse: Refusal | None = None
        self.members = {
            "central": MemberView(name="central", kind="central", state="running", pid=100),
            "lis1": MemberView(
                name="lis1", kind="node", state="running", pid=101, disk_bytes=61_000
            ),
            "rig1": MemberView(name="rig1", kind="node", state="restarting", restarts=3),
        }
        self.url = ""

    async def start(self) -> None:
        app = web.Application(middlewares=[fence(TOKEN, local.EXCHANGES)])
        app.add_routes(
            [
                serve(local.MEMBERS, self._list),
                serve(local.KILL, self._kill),
                serve(local.FREEZE, self._freeze),
                serve(local.THAW, self._thaw),
                serve(local.RESTART, self._restart),
                serve(local.WIPE, self._wipe),
                serve(local.SKEW, self._skew),
            ]
        )
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _list(self, _: web.Request, ask: Nothing) -> local.MemberList:
        return local.MemberList(list(self.members.values()))

    async def _kill(self, _: web.Request, ask: local.MemberAsk) -> MemberView:
        before = self.members[ask.name]
        return self._do("kill", replace(before, restarts=before.restarts + 1))

    async def _freeze(self, _: web.Request, ask: local.MemberAsk) -> MemberView:
        return self._do("freeze", replace(self.members[ask.name], frozen=True))

    async def _thaw(self, _: web.Request, ask: local.MemberAsk) -> MemberView:
        return self._do("thaw", replace(self.members[ask.name], frozen=False))

    async def _restart(self, _: web.Request, ask: local.MemberAsk) -> MemberView:
        return self._do("restart", self.members[ask.name])

    async def _wipe(self, _: web.Request, ask: local.MemberAsk) -> MemberView:
        return self._do("wipe", replace(self.members[ask.name], disk_bytes=0))

    async def _skew(self, _: web.Request, ask: local.SkewAsk) -> MemberView:
        return self._do(f"skew {ask.ms:g}", replace(self.members[ask.name], skew_ms=ask.ms))

    def _do(self, verb: str, member: MemberView) -> MemberView:
        if self.refuse is not None:
            raise self.refuse
        self.done.append((verb, member.name))
        self.members[member.name] = member
        return member
