"""A cluster on this machine: central and its nodes as child processes, each kept alive.

Central comes first and takes its ports, as every node must be told where it is; the nodes stop
first, as they work without central but not the other way round. A child whose port was taken by
somebody else before it could bind it is started once more on another.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiohttp

from cluster.exchange import Nothing
from cluster.local.certs import Certs
from cluster.local.child import EXIT_USAGE, Child
from cluster.local.ports import HOST, Ports, Protocol
from cluster.peer import Peer, PeerFailed
from cluster.protocol import central as protocol
from cluster.protocol.shared import READY
from cluster.settings import TOKEN_VARIABLE

ROOT = Path(__file__).parents[2]
NTP_PORT = 8123
PORT_FLAGS = {"tcp": "--port", "udp": "--ntp-port"}
COMMAND_WORDS = 4  # before a member's ports
READY_S = 20.0
READY_PER_NODE_S = 0.5  # besides: many nodes on few cores take their time
UNKNOWN_S = 3.0  # whom central does not know after this was probably removed by an operator
LOOK_EVERY_S = 0.1
ASK_S = 2.0
GRACE_S = 4.0


class StartFailed(Exception):
    """The cluster did not come up; the text names who is missing, and why."""


@dataclass(frozen=True, slots=True)
class Member:
    """One program of the cluster as a child process."""

    name: str
    url: str
    folder: Path
    child: Child
    peer: Peer
    ports: tuple[tuple[int, Protocol], ...]

    @property
    def flags(self) -> tuple[str, ...]:
        """What is set at it, besides its folder and its ports."""
        return self.child.argv[COMMAND_WORDS + len(self.ports) :]

    def failure(self) -> str:
        """How the child ended, in one line."""
        last_line = self.child.last_line or "it left no last word"
        return f"{self.name} cannot be kept alive ({how_ended(self.child)}): {last_line}"

    def may_lack_a_port(self) -> bool:
        """Whether the child may have ended because somebody else had one of its ports.

        By now that one may have let go of it; another port is no harm if the flags are wrong.
        """
        return self.child.last_exit == EXIT_USAGE


def how_ended(child: Child) -> str:
    """`exit 78` or `signal 9`."""
    code = child.last_exit
    if code is None:
        return "?"
    return f"exit {code}" if code >= 0 else f"signal {-code}"


class Cluster:
    """Central on `port` and the nodes on those after it, or on others where these are taken.

    Once all are up, `given_up` hears who is lost for good, and why.
    """

    def __init__(
        self,
        folder: Path,
        token: str,
        port: int,
        session: aiohttp.ClientSession,
        group: asyncio.TaskGroup,
        given_up: Callable[[str, str], None],
        certs: Certs | None = None,
    ) -> None:
        self.ready = False
        self._folder = folder
        self._token = token
        self._port = port
        self._session = session
        self._group = group
        self._given_up = given_up
        self._certs = certs
        self._ports = Ports()
        self._members: dict[str, Member] = {}
        self._lost: dict[str, str] = {}  # name -> why
        self._stopping = False

    @property
    def central(self) -> Member:
        return self._members["central"]

    @property
    def nodes(self) -> list[Member]:
        """In the order of their start."""
        return [member for name, member in self._members.items() if name != "central"]

    @property
    def members(self) -> list[Member]:
        """Central, then the nodes."""
        return list(self._members.values())

    @property
    def env(self) -> dict[str, str]:
        """What the environment of every child must hold."""
        path = os.environ.get("PYTHONPATH")
        return {
            TOKEN_VARIABLE: self._token,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{path}" if path else str(ROOT),
            **(self._certs.env if self._certs else {}),
        }

    async def start(self, central: Sequence[str], nodes: Sequence[Sequence[str]]) -> None:
        """Start central and one node for each list of flags, up to where central sees all up.

        StartFailed when one ends for good, or is not there in time.
        """
        loop = asyncio.get_running_loop()
        until_s = loop.time() + READY_S + READY_PER_NODE_S * len(nodes)
        self._launch("central", partial(self._make_central, central))
        await self._wait_for(self._central_missing, until_s)
        for number, own in enumerate(nodes, 1):
            self._launch(f"node-{number}", partial(self._make_node, number, own))
        strangers_from_s = loop.time() + UNKNOWN_S
        await self._wait_for(partial(self._nodes_missing, strangers_from_s), until_s)
        self.ready = True

    async def stop(self) -> None:
        """Nodes, then central: SIGTERM, and SIGKILL for who takes too long."""
        self._stopping = True
        await asyncio.gather(*(member.child.stop(GRACE_S) for member in self.nodes))
        if self._members:
            await self.central.child.stop(GRACE_S)

    async def kill(self) -> None:
        """End at once whatever is left."""
        self._stopping = True
        await asyncio.gather(*(member.child.stop(0.0) for member in self._members.values()))

    def _launch(self, name: str, make: Callable[[], Member]) -> None:
        try:
            self._members[name] = make()
        except OSError as error:
            raise StartFailed(f"{name} cannot be started: {error}") from None
        self._group.create_task(self._keep(name), name=f"keep {name}")

    async def _keep(self, name: str) -> None:
        """Keep a member alive for as long as that helps, and tell when it does not."""
        try:
            await self._members[name].child.run()
            if self._may_move(name):
                self._members[name] = self._moved(self._members[name])
                await self._members[name].child.run()
            why = self._members[name].failure()
        except OSError as error:
            why = f"{name} cannot be started: {error}"
        if self._members[name].child.state == "failed" and not self._stopping:
            self._lost[name] = why
            if self.ready:
                self._given_up(name, why)

    def _may_move(self, name: str) -> bool:
        """Whether another port helps; not for a central whose address the nodes already know."""
        known = name == "central" and len(self._members) > 1
        return not (known or self._stopping) and self._members[name].may_lack_a_port()

    def _make_central(self, flags: Sequence[str]) -> Member:
        flags = [*self._tls_of("central"), *flags]
        return self._member("central", flags, (self._port, "tcp"), (NTP_PORT, "udp"))

    def _make_node(self, number: int, flags: Sequence[str]) -> Member:
        name, (_, (ntp_port, _)) = f"node-{number}", self.central.ports
        own = [f"--name={name}", f"--central={self.central.url}", f"--ntp={HOST}:{ntp_port}"]
        own += self._tls_of(name)
        return self._member(name, [*own, *flags], (self._port + number, "tcp"))

    def _tls_of(self, name: str) -> list[str]:
        return self._certs.flags(name) if self._certs else []

    def _moved(self, member: Member) -> Member:
        """The same member on other ports. OSError when there are none."""
        moved = self._member(member.name, member.flags, *member.ports)
        moved.child.restarts = member.child.restarts + 1
        return moved

    def _member(self, name: str, flags: Sequence[str], *usual: tuple[int, Protocol]) -> Member:
        """A member on its usual ports, or on others. OSError when there are none."""
        ports = tuple((self._ports.take(port, protocol), protocol) for port, protocol in usual)
        log = self._folder / "logs" / f"{name}.out"
        log.write_bytes(b"")  # last words must be this run's; the member's own log has the rest
        scheme = "https" if self._certs else "http"
        program, url = name.partition("-")[0], f"{scheme}://{HOST}:{ports[0][0]}"
        folder = self._folder / name
        child = Child(
            name,
            [
                *(sys.executable, "-m", program, f"--data={folder}"),  # COMMAND_WORDS
                *(f"{PORT_FLAGS[protocol]}={port}" for port, protocol in ports),
                *flags,
            ],
            log=log,
            env=self.env,
        )
        return Member(name, url, folder, child, Peer(self._session, url, self._token), ports)

    async def _wait_for(self, missing: Callable[[], Awaitable[list[str]]], until_s: float) -> None:
        """Look again and again until nobody is missing. StartFailed when that cannot be."""
        while names := await missing():
            for name in self._lost.keys() & names:
                raise StartFailed(self._lost[name])
            if asyncio.get_running_loop().time() > until_s:
                member = self._members[names[0]]
                last_line = member.child.last_line or f"see {member.child.log}"
                raise StartFailed(f"{', '.join(names)} did not come up in time ({last_line})")
            await asyncio.sleep(LOOK_EVERY_S)

    async def _central_missing(self) -> list[str]:
        try:  # asked with the token: another cluster's central may listen there
            await self.central.peer.call(READY, Nothing(), timeout_s=ASK_S)
        except PeerFailed:
            return ["central"]
        return []

    async def _nodes_missing(self, strangers_from_s: float) -> list[str]:
        try:
            views = (await self.central.peer.call(protocol.NODES, Nothing(), timeout_s=ASK_S)).nodes
        except PeerFailed:
            return ["central"]
        if asyncio.get_running_loop().time() > strangers_from_s:
            known = {view.name for view in views}
            await self._introduce([node for node in self.nodes if node.name not in known])
        up = {(view.name, view.url) for view in views if view.live == "up"}
        return [node.name for node in self.nodes if (node.name, node.url) not in up]

    async def _introduce(self, strangers: list[Member]) -> None:
        """Add nodes as an operator does: one that was removed may not do so by itself."""
        for node in strangers:
            with suppress(PeerFailed):
                hello = protocol.Hello(name=node.name, url=node.url)
                await self.central.peer.call(protocol.HELLO, hello, timeout_s=ASK_S)
