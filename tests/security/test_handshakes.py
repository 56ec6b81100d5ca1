"""Connections that never shake hands cost others nothing: neither their place nor their time."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from yarl import URL

from cluster import handshakes
from cluster.exchange import Nothing
from cluster.peer import Peer
from cluster.protocol import node
from cluster.protocol.shared import METRICS
from tests.program import until
from tests.security.members import Members
from tests.security.test_tls import OPERATOR, certs, pair

__all__ = ["certs"]

pytestmark = pytest.mark.fault(27)
SILENT = 40


@asynccontextmanager
async def silent(url: str, count: int, own: str = "127.0.0.1") -> AsyncIterator[list[bool]]:
    """So many who connect and say nothing; which of them were cut off so far."""
    address = URL(url)
    assert address.host is not None
    assert address.port is not None
    cut: list[bool] = [False] * count
    lines = [
        await asyncio.open_connection(address.host, address.port, local_addr=(own, 0))
        for _ in range(count)
    ]

    async def watch(number: int) -> None:
        try:
            cut[number] = not await lines[number][0].read(1)
        except ConnectionError:
            cut[number] = True

    watching = [asyncio.ensure_future(watch(number)) for number in range(count)]
    try:
        yield cut
    finally:
        for task, (_, writer) in zip(watching, lines, strict=True):
            task.cancel()
            writer.close()
        await asyncio.wait(watching)


async def cuts(peer: Peer, reason: str) -> int:
    text = await peer.call(METRICS, Nothing(), timeout_s=10)
    name = f'tidehold_connections_cut_total{{reason="{reason}"}} '
    return next((int(float(one.removeprefix(name))) for one in text.splitlines() if name in one), 0)


async def opened(fleet: Members, certs: Path) -> tuple[str, Peer]:
    url = await fleet.node("n1", **pair(certs, "n1"))
    return url, await fleet.peer(url, OPERATOR, ca=str(certs / "ca.crt"))


async def test_the_one_that_is_silent_for_longest_makes_room(
    fleet: Members, certs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshakes, "SHAKING_MAX", 8)
    url, peer = await opened(fleet, certs)

    async with silent(url, SILENT) as cut:
        assert (await peer.call(node.STATUS, Nothing(), timeout_s=10)).node == "n1"

        async def made_room() -> bool:
            return sum(cut) == SILENT - 8 + 1  # ours had a place as well

        await until(made_room, "who came first has left")
        assert cut == sorted(cut, reverse=True)
        assert await cuts(peer, "made_room") == sum(cut)


async def test_an_address_of_many_makes_room_at_its_own_cost(
    fleet: Members, certs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.door.ADDRESS_MAX", 5)
    monkeypatch.setattr(handshakes, "address_of", lambda peer: peer[0])
    url, _ = await opened(fleet, certs)

    async with silent(url, 3, "127.0.0.3") as others, silent(url, SILENT, "127.0.0.2") as cut:

        async def made_room() -> bool:
            return sum(cut) == SILENT - 5

        await until(made_room, "who came first from there has left")
        assert not any(others)


async def test_who_does_not_shake_hands_in_time_is_cut_off(
    fleet: Members, certs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshakes, "HANDSHAKE_S", 0.2)
    url, peer = await opened(fleet, certs)

    async with silent(url, 3) as cut:

        async def all_cut() -> bool:
            return all(cut)

        await until(all_cut, "their time is over", within_s=5)
    assert await cuts(peer, "handshake") == 3


async def test_without_room_for_anybody_it_waits_and_goes_on(
    fleet: Members, certs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has come meanwhile is served as soon as there is room."""
    monkeypatch.setattr(handshakes, "NO_ROOM_S", 0.01)
    loop = asyncio.get_running_loop()
    accept, refused = loop.sock_accept, [errno.EMFILE, errno.ECONNABORTED, errno.ENFILE]

    async def fails_at_first(listener: socket.socket) -> tuple[socket.socket, object]:
        if refused:
            raise OSError(refused.pop(), "no room")
        return await accept(listener)

    monkeypatch.setattr(loop, "sock_accept", fails_at_first)
    _, peer = await opened(fleet, certs)

    assert (await peer.call(node.STATUS, Nothing(), timeout_s=10)).node == "n1"
    assert not refused
