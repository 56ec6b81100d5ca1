"""Servers that answer whatever a test wants, over real UDP on 127.0.0.1, and how to ask them."""

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from central.time_server import ntp_timestamp
from cluster.clock.client import Address, NtpClient
from cluster.clock.sample import NtpFailed, Server
from tests.program import free_port

LOOPBACK = "127.0.0.1"
PATIENCE_S = 5.0
NAME = Server("time.example")

Answers = Callable[[bytes], list[bytes]]


def truthful(question: bytes, **lies: int) -> bytes:
    """What a good stratum 2 server would answer now, except for the `lies`."""
    now = ntp_timestamp(time.time_ns())
    fact = {
        "leap": 0,
        "version": 4,
        "mode": 4,
        "stratum": 2,
        "precision": -20,
        "root_delay": 0,
        "root_dispersion": 0,
        "refid": 0x0A00_0001,
        "origin": int.from_bytes(question[40:48], "big"),
        "receive": now,
        "transmit": now,
    } | lies
    return struct.pack(
        "!BBBbIIIQQQQ",
        fact["leap"] << 6 | fact["version"] << 3 | fact["mode"],
        fact["stratum"],
        0,
        fact["precision"],
        fact["root_delay"],
        fact["root_dispersion"],
        fact["refid"],
        now,
        fact["origin"],
        fact["receive"],
        fact["transmit"],
    )


class Impostor(asyncio.DatagramProtocol):
    """Answers each question with what `answers` makes of it; `askers` are their addresses."""

    transport: asyncio.DatagramTransport

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self.askers: list[Any] = []

    @property
    def server(self) -> Server:
        """Where it listens."""
        return Server(*self.transport.get_extra_info("sockname")[:2])

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.askers.append(addr)
        for answer in self._answers(data):
            self.transport.sendto(answer, addr)


@asynccontextmanager
async def impostor(answers: Answers) -> AsyncIterator[Impostor]:
    """One on a free port, until the block ends."""
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Impostor(answers), local_addr=(LOOPBACK, 0)
    )
    try:
        yield protocol
    finally:
        transport.close()


def honest(question: bytes) -> list[bytes]:
    """The one right answer."""
    return [truthful(question)]


def silent(question: bytes) -> list[bytes]:
    """No answer at all."""
    return []


class Names:
    """A name service that knows one name, counts how often it is asked, and may be changed."""

    def __init__(self, *servers: Server) -> None:
        self.servers = servers
        self.asked = 0

    def __call__(self, server: Server) -> list[Address]:
        self.asked += 1
        return [(socket.AF_INET, (server.host, server.port)) for server in self.servers]


def closed() -> Server:
    """A port where nobody listens."""
    return Server(LOOPBACK, free_port(socket.SOCK_DGRAM))


async def failure(client: NtpClient) -> NtpFailed:
    """Why it has no time."""
    with pytest.raises(NtpFailed) as failed:
        await client.ask()
    return failed.value
