"""Serves central's cluster clock over SNTP (the server's part of RFC 4330 and RFC 5905).

So that a cluster needs no internet and no root to agree on the time. The kernel stamps each
question on arrival, so a busy event loop does not show in the times served. The 48 bytes are packed
here, as ntplib.NTPPacket holds seconds since 1900 in floats, which come in steps of 477 ns and
would alter the client's own stamp on its way back.
"""

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import ceil
from typing import Any

from central.rate_limit import RateLimit
from cluster.clock.cluster_clock import ClusterClock
from cluster.clock.packet import (
    CLIENT_MODE,
    ERA_S,
    HIGHEST_STRATUM,
    LEAP_UNSYNCHRONISED,
    NTP_DELTA_S,
    PACKET_BYTES,
    SECOND_NS,
    SERVER_MODE,
    VERSIONS,
    reference_id,
)
from cluster.clock.report import REFERENCE_NAME, state_of
from cluster.clock.sample import NtpFailed
from cluster.clock.stamps import Arrivals, Datagram, ask_for_stamps, receive
from cluster.clock.state import ClockState

PRECISION = -20  # log2 seconds: a microsecond
AT_ONCE = 32  # questions, before the event loop does something else

_HEADER = struct.Struct("!BBBbII4sQ8sQ")  # all but the transmit timestamp
_STAMP = struct.Struct("!Q")
_CLIENT_TRANSMIT = slice(40, 48)

_LOCAL_ID = bytes([127, 127, 1, 1])  # what chrony and ntpd show for a clock that follows itself
_NOT_YET = (LEAP_UNSYNCHRONISED, 0, b"INIT", 0)
_SLOW_DOWN = (LEAP_UNSYNCHRONISED, 0, b"RATE", 0)

Source = tuple[int, int, bytes, int]  # leap, stratum, reference id, when last set


class TimeServer:
    """Answers clients' requests, and nothing else: 48 bytes at least in, 48 out.

    `port`: the one really bound. `answered`; `ignored`: what was no request, or could not be
    answered; `limited`: requests of clients who ask too often.
    """

    def __init__(
        self, clock: ClusterClock, listener: socket.socket, limit: RateLimit | None = None
    ) -> None:
        self.port: int = listener.getsockname()[1]
        self.answered = 0
        self.ignored = 0
        self.limited = 0
        self._clock = clock
        self._listener = listener
        self._limit = RateLimit() if limit is None else limit
        self._arrivals = Arrivals()
        ask_for_stamps(listener)

    def answer_waiting(self) -> None:
        """Answer what has come. What is left when it was much, the event loop will call for."""
        for _ in range(AT_ONCE):
            try:
                datagram = receive(self._listener)
            except BlockingIOError:
                return
            except OSError:  # the network tells that an earlier answer did not arrive
                continue
            try:
                self._answer(datagram)
            except (NtpFailed, OSError):
                self.ignored += 1  # unsure when it came, or no way to its sender: it may ask again

    def _answer(self, datagram: Datagram) -> None:
        request = datagram.payload
        if not is_request(request):
            self.ignored += 1
            return
        received_ns = self._arrivals.moment_ns(datagram, self._clock.now_ns)
        verdict = self._limit.judge(datagram.sender[0], time.monotonic())
        if verdict == "answer":
            self._send(reply_header(request, state_of(self._clock), received_ns), datagram.sender)
            self.answered += 1
            return
        self.limited += 1
        if verdict == "kiss":
            self._send(_header(request, _SLOW_DOWN, received_ns), datagram.sender)

    def _send(self, header: bytes, to: Any) -> None:
        self._listener.sendto(header + _STAMP.pack(ntp_timestamp(self._clock.now_ns())), to)


@asynccontextmanager
async def time_server(
    clock: ClusterClock, host: str, port: int, limit: RateLimit | None = None
) -> AsyncIterator[TimeServer]:
    """Serve `clock` on UDP host:port until the block ends; port 0 takes a free one.

    OSError when the address cannot be bound.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as listener:
        listener.bind(address)
        listener.setblocking(False)
        server = TimeServer(clock, listener, limit)
        loop.add_reader(listener, server.answer_waiting)
        try:
            yield server
        finally:
            loop.remove_reader(listener)


def is_request(datagram: bytes) -> bool:
    """Whether this is a client's question in a version we speak."""
    if len(datagram) < PACKET_BYTES:
        return False
    return datagram[0] & 7 == CLIENT_MODE and datagram[0] >> 3 & 7 in VERSIONS


def reply_header(request: bytes, state: ClockState, received_ns: int) -> bytes:
    """The first 40 bytes of the reply. The transmit timestamp follows, taken as late as can be."""
    distance = _short(state.root_delay_ms), _short(state.root_dispersion_ms)
    return _header(request, _source(state, received_ns), received_ns, distance)


def ntp_timestamp(unix_ns: int) -> int:
    """32 bits of seconds since 1900, modulo 2^32 (2036 begins the next era), 32 of fraction."""
    seconds, fraction_ns = divmod(unix_ns, SECOND_NS)
    return (seconds + NTP_DELTA_S) % ERA_S << 32 | (fraction_ns << 32) // SECOND_NS


def _header(
    request: bytes, source: Source, received_ns: int, distance: tuple[int, int] = (0, 0)
) -> bytes:
    leap, stratum, refid, synced_at = source
    return _HEADER.pack(
        leap << 6 | request[0] & 0b111000 | SERVER_MODE,
        stratum,
        request[2],
        PRECISION,
        *distance,
        refid,
        synced_at,
        request[_CLIENT_TRANSMIT],
        ntp_timestamp(received_ns),
    )


def _short(milliseconds: float | None) -> int:
    # 16.16 fixed point, rounded up: an error may be overstated, never understated.
    return min(ceil((milliseconds or 0.0) / 1000 * 2**16), 2**32 - 1)


def _source(state: ClockState, now_ns: int) -> Source:
    """Unsynchronised is stratum 0 on the wire."""
    if state.reference is None or state.stratum is None or state.stratum > HIGHEST_STRATUM:
        return _NOT_YET
    age_ns = round((state.last_sync_age_s or 0.0) * SECOND_NS)
    return state.leap, state.stratum, _reference_id(state), ntp_timestamp(now_ns - age_ns)


def _reference_id(state: ClockState) -> bytes:
    assert state.reference is not None, "only a synchronised clock has one"
    if state.reference == REFERENCE_NAME:
        return _LOCAL_ID
    selected = (source.addr for source in state.sources if source.state == "selected")
    return reference_id(next(selected, None) or state.reference.rpartition(":")[0].strip("[]"))
