"""Serves central's cluster clock over SNTP (the server's part of RFC 4330 and RFC 5905).

So that a cluster needs no internet and no root to agree on the time. Stamps are taken when the
event loop hands over the packet: a busy loop shows as delay. Kernel timestamps are a later issue.
The 48 bytes are packed here, as ntplib.NTPPacket holds seconds since 1900 in floats, which come
in steps of 477 ns and would alter the client's own stamp on its way back.
"""

import asyncio
import ipaddress
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import md5
from math import ceil
from typing import Any

from cluster.clock.cluster_clock import REFERENCE_NAME, ClusterClock
from cluster.clock.state import ClockState

PACKET_BYTES = 48
CLIENT_MODE, SERVER_MODE = 3, 4
VERSIONS = (3, 4)
HIGHEST_STRATUM = 15
LEAP_UNSYNCHRONISED = 3
PRECISION = -20  # log2 seconds: a microsecond

NTP_DELTA_S = 2_208_988_800  # from 1900 to 1970
ERA_S = 2**32

_HEADER = struct.Struct("!BBBbII4sQ8sQ")  # all but the transmit timestamp
_STAMP = struct.Struct("!Q")
_CLIENT_TRANSMIT = slice(40, 48)

_LOCAL_ID = bytes([127, 127, 1, 1])  # what chrony and ntpd show for a clock that follows itself


class TimeServer(asyncio.DatagramProtocol):
    """Answers clients' requests, and nothing else: 48 bytes at least in, 48 out."""

    def __init__(self, clock: ClusterClock) -> None:
        self.answered = 0
        self.ignored = 0
        self.closed = asyncio.Event()
        self._clock = clock

    @property
    def port(self) -> int:
        """The port really bound."""
        return int(self._transport.get_extra_info("sockname")[1])

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        received_ns = self._clock.now_ns()
        if not is_request(data):
            self.ignored += 1
            return
        header = reply_header(data, self._clock.state(), received_ns)
        self._transport.sendto(header + _STAMP.pack(ntp_timestamp(self._clock.now_ns())), addr)
        self.answered += 1


@asynccontextmanager
async def time_server(clock: ClusterClock, host: str, port: int) -> AsyncIterator[TimeServer]:
    """Serve `clock` on UDP host:port until the block ends; port 0 takes a free one.

    OSError when the address cannot be bound.
    """
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: TimeServer(clock), sock=await _bound_socket(host, port)
    )
    try:
        yield server
    finally:
        transport.close()
        await server.closed.wait()


async def _bound_socket(host: str, port: int) -> socket.socket:
    # Bound here, as uvloop's own binding forgets the errno and leaves its transport open.
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = found[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    bound.setblocking(False)
    return bound


def is_request(data: bytes) -> bool:
    """Whether this is a client's question in a version we speak."""
    if len(data) < PACKET_BYTES:
        return False
    return data[0] & 7 == CLIENT_MODE and data[0] >> 3 & 7 in VERSIONS


def reply_header(request: bytes, state: ClockState, received_ns: int) -> bytes:
    """The first 40 bytes of the reply. The transmit timestamp follows, taken as late as can be."""
    leap, stratum, reference_id, synced_at = _source(state, received_ns)
    return _HEADER.pack(
        leap << 6 | request[0] & 0b111000 | SERVER_MODE,
        stratum,
        request[2],
        PRECISION,
        _short(state.root_delay_ms),
        _short(state.root_dispersion_ms),
        reference_id,
        synced_at,
        request[_CLIENT_TRANSMIT],
        ntp_timestamp(received_ns),
    )


def ntp_timestamp(unix_ns: int) -> int:
    """32 bits of seconds since 1900, modulo 2^32 (2036 begins the next era), 32 of fraction."""
    seconds, fraction_ns = divmod(unix_ns, 1_000_000_000)
    return (seconds + NTP_DELTA_S) % ERA_S << 32 | (fraction_ns << 32) // 1_000_000_000


def _short(milliseconds: float | None) -> int:
    # 16.16 fixed point, rounded up: an error may be overstated, never understated.
    return min(ceil((milliseconds or 0.0) / 1000 * 2**16), 2**32 - 1)


def _source(state: ClockState, now_ns: int) -> tuple[int, int, bytes, int]:
    """Leap, stratum, reference id and when last set. Unsynchronised is stratum 0 on the wire."""
    if state.reference is None or state.stratum is None or state.stratum > HIGHEST_STRATUM:
        return LEAP_UNSYNCHRONISED, 0, b"INIT", 0
    age_ns = round((state.last_sync_age_s or 0.0) * 1e9)
    return 0, state.stratum, _reference_id(state.reference), ntp_timestamp(now_ns - age_ns)


def _reference_id(reference: str) -> bytes:
    if reference == REFERENCE_NAME:
        return _LOCAL_ID
    host = reference.rpartition(":")[0].strip("[]")
    try:
        address = ipaddress.ip_address(host).packed
    except ValueError:
        address = host.encode()
    return address if len(address) == 4 else md5(address, usedforsecurity=False).digest()[:4]
