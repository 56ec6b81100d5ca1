"""The workbench of run_cluster.py, as somebody to be asked to break a member on purpose.

It is there only where run_cluster.py has started the members. PeerFailed comes out as it is.
"""

from cluster.exchange import Exchange, Nothing
from cluster.peer import Peer
from cluster.protocol import local
from cluster.protocol.local import MemberView
from console import format as fmt
from console.commands import Answer

ASK_S = 30.0  # a member stops in order before it starts again
LOOK_S = 3.0


class Workbench:
    """What can be done to local members."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self.members: dict[str, MemberView] = {}

    async def look(self) -> None:
        """Who is there now, into `members`."""
        found = await self._peer.call(local.MEMBERS, Nothing(), timeout_s=LOOK_S)
        self.members = {member.name: member for member in found.members}

    async def kill(self, name: str) -> Answer:
        return await self._ask(local.KILL, name, "was killed, and started again")

    async def freeze(self, name: str) -> Answer:
        return await self._ask(local.FREEZE, name, "is frozen: it is there and does not answer")

    async def thaw(self, name: str) -> Answer:
        return await self._ask(local.THAW, name, "goes on")

    async def restart(self, name: str) -> Answer:
        return await self._ask(local.RESTART, name, "was stopped in order, and started again")

    async def wipe(self, name: str) -> Answer:
        return await self._ask(local.WIPE, name, "lost its disk; u gives back what central holds")

    async def skew(self, name: str, ms: float) -> Answer:
        ask = local.SkewAsk(name, ms)
        member = await self._peer.call(local.SKEW, ask, timeout_s=ASK_S)
        self.members[name] = member
        wrong = f"is {fmt.drift(ms)} wrong" if ms else "is right again"
        return Answer(f"{name}: its system clock {wrong}")

    async def _ask(
        self, exchange: Exchange[local.MemberAsk, MemberView], name: str, done: str
    ) -> Answer:
        member = await self._peer.call(exchange, local.MemberAsk(name), timeout_s=ASK_S)
        self.members[name] = member
        return Answer(f"{name} {done}")
