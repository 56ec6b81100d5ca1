"""One question to one NTP server.

ntplib sends, receives and unpacks. It believes whatever comes back, so its reply is checked here
before it may touch a clock. It also stamps with time.time(), which may be stepped or skewed, so
both stamps are moved onto the caller's own monotonic clock.
"""

import asyncio
import ipaddress
import re
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from threading import Thread
from typing import Annotated, Literal, Self, TypeVar

import ntplib

from cluster.clock.base import Base, tight_pair
from cluster.shape import END, shape

NTP_PORT = 123
SERVER_MODE = 4
HIGHEST_STRATUM = 15
LEAP_UNSYNCHRONISED = 3
LONGEST_DELAY_NS = 1_000_000_000
LONGEST_ROOT_DISTANCE_S = 1.5  # RFC 5905, MAXDIST

# Stratum 0 with one of these says "I have no time yet"; with any other code, "go away".
_NOT_YET = ("", "INIT", "STEP")

# NTP's 32-bit seconds wrap in February 2036. A time before 2024 is one after the wrap.
_ERA_PIVOT_S = 1_704_067_200
_ERA_S = 2**32

_ADDRESS_PATTERN = r"^(?:\[(?P<v6>[^\]]+)\]|(?P<name>[\w.-]+))(?::(?P<port>[0-9]{1,5}))?" + END
_ADDRESS = re.compile(_ADDRESS_PATTERN)
ServerAddress = Annotated[str, shape(_ADDRESS_PATTERN, "HOST[:PORT] or [IPv6][:PORT]")]

T = TypeVar("T")

Reason = Literal[
    "unreachable", "timeout", "dns", "malformed", "unsynchronised", "kiss", "implausible"
]


class NtpFailed(Exception):
    """A server gave no usable time. `reason` is for programs, `detail` for people."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: Reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Server:
    """Where to ask for the time."""

    host: str
    port: int = NTP_PORT

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read HOST, HOST:PORT, [IPv6] or [IPv6]:PORT. ValueError says what is wrong."""
        match = _ADDRESS.match(text)
        if match is None:
            raise ValueError(f"{text!r} is not HOST[:PORT] or [IPv6][:PORT]")
        if match["v6"] is not None:
            try:
                ipaddress.IPv6Address(match["v6"])
            except ValueError as error:
                raise ValueError(f"{text!r}: {match['v6']!r} is not an IPv6 address") from error
        port = NTP_PORT if match["port"] is None else int(match["port"])
        if not 1 <= port <= 65535:
            raise ValueError(f"{text!r}: port {port} is not within 1 to 65535")
        return cls(match["v6"] or match["name"], port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Sample:
    """What one answer says about a base clock."""

    at_ns: int  # the base's monotonic reading when the reply arrived
    offset_ns: int  # true Unix time minus the base's monotonic reading
    delay_ns: int  # round trip, without the server's own time
    root_delay_ns: int  # what the server says of its own way to the root
    root_dispersion_ns: int
    stratum: int  # the server's
    server: Server


async def measure(server: Server, base: Base, timeout_s: float = 1.0) -> Sample:
    """Ask `server` once. Raises NtpFailed, and nothing else, when it has no usable answer.

    `timeout_s` covers name lookup and strangers' packets too, both of which ntplib lets wait on.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await _in_own_thread(partial(_exchange, server, base, timeout_s))
    except TimeoutError as error:
        raise NtpFailed("timeout", f"{server} did not answer within {timeout_s:g} s") from error


async def _in_own_thread(work: Callable[[], T]) -> T:
    """Run `work` in a thread that nobody has to wait for.

    A name lookup may hang for half a minute. In a thread of the event loop's pool it would hold
    up whoever needs one, and the end of the program.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        if not outcome.set_running_or_notify_cancel():
            return  # nobody waits any more
        try:
            outcome.set_result(work())
        except Exception as error:
            outcome.set_exception(error)

    Thread(target=run, name="ntp", daemon=True).start()
    return await asyncio.wrap_future(outcome)


def _exchange(server: Server, base: Base, timeout_s: float) -> Sample:
    # Each stamp has its own pair, so a step of time.time() between question and answer is harmless.
    asked = tight_pair(base.monotonic_ns, time.time_ns)
    reply = _request(server, timeout_s)
    answered = tight_pair(base.monotonic_ns, time.time_ns)

    _check_source(reply)
    sent_ns = asked[0] + (_unix_ns(reply.orig_timestamp) - asked[1])
    arrived_ns = answered[0] - (answered[1] - _unix_ns(reply.dest_timestamp))
    received_ns, replied_ns = _unix_ns(reply.recv_timestamp), _unix_ns(reply.tx_timestamp)
    delay_ns = (arrived_ns - sent_ns) - (replied_ns - received_ns)

    # The server hands our own stamp back to us, and ntplib never asks whether it is ours.
    if not asked[0] <= sent_ns <= arrived_ns:
        raise NtpFailed("implausible", "the answer is not to our question")
    if not 0 <= replied_ns - received_ns <= LONGEST_DELAY_NS:
        raise NtpFailed("implausible", f"held for {(replied_ns - received_ns) / 1e9:.3f} s")
    if not 0 <= delay_ns <= LONGEST_DELAY_NS:
        raise NtpFailed("implausible", f"round trip of {delay_ns / 1e9:.3f} s")
    return Sample(
        at_ns=arrived_ns,
        offset_ns=((received_ns - sent_ns) + (replied_ns - arrived_ns)) // 2,
        delay_ns=delay_ns,
        root_delay_ns=round(reply.root_delay * 1e9),
        root_dispersion_ns=round(reply.root_dispersion * 1e9),
        stratum=int(reply.stratum),
        server=server,
    )


def _request(server: Server, timeout_s: float) -> ntplib.NTPStats:
    try:
        return ntplib.NTPClient().request(
            server.host, version=4, port=server.port, timeout=timeout_s
        )
    except ntplib.NTPException as error:
        # ntplib has one exception for silence and for nonsense; what caused it tells them apart.
        if isinstance(error.__context__, TimeoutError):
            raise NtpFailed("timeout", str(error)) from error
        raise NtpFailed("malformed", str(error)) from error
    except (socket.gaierror, UnicodeError) as error:
        raise NtpFailed("dns", f"{server.host}: {error}") from error
    except OSError as error:
        raise NtpFailed("unreachable", f"{server}: {error}") from error


def _check_source(reply: ntplib.NTPStats) -> None:
    if reply.mode != SERVER_MODE:
        raise NtpFailed("malformed", f"mode {reply.mode}, not {SERVER_MODE} (server)")
    if reply.stratum == 0:
        code = _kiss_code(reply.ref_id)
        raise NtpFailed("unsynchronised" if code in _NOT_YET else "kiss", f"stratum 0, {code!r}")
    if reply.leap == LEAP_UNSYNCHRONISED or reply.stratum > HIGHEST_STRATUM:
        raise NtpFailed("unsynchronised", f"leap {reply.leap}, stratum {reply.stratum}")
    if not reply.recv_timestamp or not reply.tx_timestamp:
        raise NtpFailed("malformed", "a timestamp is zero")
    root_distance_s = reply.root_delay / 2 + reply.root_dispersion
    if root_distance_s >= LONGEST_ROOT_DISTANCE_S:
        raise NtpFailed("implausible", f"{root_distance_s:.3f} s from the root")


def _kiss_code(ref_id: int) -> str:
    return ref_id.to_bytes(4, "big").rstrip(b"\0").decode("ascii", "backslashreplace")


def _unix_ns(timestamp: float) -> int:
    unix_s = float(ntplib.ntp_to_system_time(timestamp))
    return round((unix_s if unix_s >= _ERA_PIVOT_S else unix_s + _ERA_S) * 1e9)
