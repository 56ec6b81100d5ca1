"""NTP on the wire as a client sees it (RFC 4330, RFC 5905): the question, and a reply put to test.

Pure. ntplib is the codec; it believes whatever comes back, so every reply is checked here before
it may touch a clock. The transmit stamp of a question is a nonce: the server hands it back, which
proves that it saw the question, and learns nothing of the asker's time.
"""

import ipaddress
import struct
from dataclasses import dataclass
from hashlib import md5

import ntplib

from cluster.clock.sample import NtpFailed, Reason, Sample
from cluster.text import visible

PACKET_BYTES = 48
NONCE_BYTES = 8
CLIENT_MODE, SERVER_MODE = 3, 4
VERSIONS = (3, 4)
HIGHEST_STRATUM = 15
LEAP_UNSYNCHRONISED = 3

NTP_DELTA_S: int = ntplib.NTP.NTP_DELTA  # from 1900 to 1970
ERA_S = 2**32
# The 32-bit seconds wrap in February 2036. A time before 2024 is one after the wrap: until 2160.
ERA_PIVOT_S = 1_704_067_200

SECOND_NS = 1_000_000_000
OWN_PRECISION_NS = 1_000  # what reading a clock from Python costs
EARLIEST_NS = -1_000_000  # a round trip: two clocks that are slewed differ by less
LONGEST_DELAY_NS = SECOND_NS
LONGEST_HELD_NS = SECOND_NS
LONGEST_ROOT_DISTANCE_NS = 1_500_000_000  # RFC 5905, MAXDIST
COARSEST_PRECISION = 0  # log2 of seconds; simple servers leave it at zero

_ORIGIN = slice(24, 32)
_SERVER_STAMPS = struct.Struct("!QQ")
_SERVER_STAMPS_AT = 32

_KISSES: dict[str, Reason] = {"RATE": "rate", "DENY": "denied", "RSTR": "denied"}


@dataclass(frozen=True, slots=True)
class Question:
    """What an asker must know of its question to judge a reply.

    `sent_ns`: its base's reading when the question left. `own_refid`: how a server that follows
    the asker would name it; None when that cannot be told.
    """

    source: str
    addr: str
    nonce: bytes
    sent_ns: int
    own_refid: bytes | None = None


def question_packet(nonce: bytes) -> bytes:
    """The 48 bytes of a client's question that carries `nonce` (8 bytes)."""
    assert len(nonce) == NONCE_BYTES, nonce
    header: bytes = ntplib.NTPPacket(version=4, mode=CLIENT_MODE).to_data()[:-NONCE_BYTES]
    return header + nonce


def read_reply(reply: bytes, question: Question, arrived_ns: int) -> Sample | None:
    """What `reply`, which arrived at the base's `arrived_ns`, says; None when it is not to us.

    Raises NtpFailed when the server that was asked gave no time that can be used.
    """
    if reply[_ORIGIN] != question.nonce:
        return None
    if len(reply) < PACKET_BYTES:
        raise NtpFailed("malformed", f"{len(reply)} bytes, not {PACKET_BYTES}")
    header = ntplib.NTPStats()
    header.from_data(reply)
    _check_kind(header)
    # ntplib holds seconds since 1900 in floats, which come in steps of 477 ns.
    received, replied = _SERVER_STAMPS.unpack_from(reply, _SERVER_STAMPS_AT)
    if not received or not replied:
        raise NtpFailed("malformed", "a timestamp is zero")
    root_delay_ns, root_dispersion_ns = _ns(header.root_delay), _ns(header.root_dispersion)
    _check_root(root_delay_ns // 2 + root_dispersion_ns)
    refid = header.ref_id.to_bytes(4, "big")
    if header.stratum > 1 and refid == question.own_refid:
        raise NtpFailed("looped", "it follows this machine")
    received_ns, replied_ns = unix_ns(received), unix_ns(replied)
    return Sample(
        source=question.source,
        at_ns=arrived_ns,
        offset_ns=((received_ns - question.sent_ns) + (replied_ns - arrived_ns)) // 2,
        delay_ns=_delay_ns(arrived_ns - question.sent_ns, replied_ns - received_ns),
        precision_ns=OWN_PRECISION_NS + _precision_ns(header.precision),
        root_delay_ns=root_delay_ns,
        root_dispersion_ns=root_dispersion_ns,
        stratum=header.stratum,
        leap=header.leap,
        refid=refid,
        addr=question.addr,
    )


def unix_ns(stamp: int) -> int:
    """Unix nanoseconds of a 64-bit NTP timestamp, taken to lie within 2024 to 2160."""
    seconds = (stamp >> 32) - NTP_DELTA_S
    if seconds < ERA_PIVOT_S:
        seconds += ERA_S
    return seconds * SECOND_NS + ((stamp & 0xFFFF_FFFF) * SECOND_NS + 2**31 >> 32)


def reference_id(host: str) -> bytes:
    """How NTP names whom one follows: an IPv4 address itself, 4 bytes of a hash of all else."""
    try:
        name = ipaddress.ip_address(host).packed
    except ValueError:
        name = host.encode()
    return name if len(name) == 4 else md5(name, usedforsecurity=False).digest()[:4]


def _check_kind(header: ntplib.NTPStats) -> None:
    if header.mode != SERVER_MODE:
        raise NtpFailed("malformed", f"mode {header.mode}, not {SERVER_MODE} (server)")
    if header.version not in VERSIONS:
        raise NtpFailed("malformed", f"version {header.version}")
    if header.stratum == 0:  # kiss-o'-death: no time, but a reason
        code = header.ref_id.to_bytes(4, "big").rstrip(b"\0").decode("ascii", "backslashreplace")
        raise NtpFailed(_KISSES.get(code, "unsynchronised"), f"stratum 0, {visible(code)!r}")
    if header.leap == LEAP_UNSYNCHRONISED or header.stratum > HIGHEST_STRATUM:
        raise NtpFailed("unsynchronised", f"leap {header.leap}, stratum {header.stratum}")
    if header.precision > COARSEST_PRECISION:
        raise NtpFailed("implausible", f"a precision of 2^{header.precision} s")


def _check_root(distance_ns: int) -> None:
    if distance_ns >= LONGEST_ROOT_DISTANCE_NS:
        raise NtpFailed("implausible", f"{distance_ns / SECOND_NS:.3f} s from the root")


def _delay_ns(away_ns: int, held_ns: int) -> int:
    """The round trip without the time that the server held the question."""
    if not 0 <= held_ns < LONGEST_HELD_NS:
        raise NtpFailed("implausible", f"held for {held_ns / SECOND_NS:.3f} s")
    delay_ns = away_ns - held_ns
    if not EARLIEST_NS < delay_ns <= LONGEST_DELAY_NS:
        raise NtpFailed("implausible", f"a round trip of {delay_ns / SECOND_NS:.3f} s")
    return max(delay_ns, OWN_PRECISION_NS)


def _precision_ns(log2_s: int) -> int:
    return -(-SECOND_NS >> -log2_s)  # rounded up


def _ns(short_s: float) -> int:
    """A 16.16 number of seconds, which a float holds exactly."""
    return round(short_s * SECOND_NS)
