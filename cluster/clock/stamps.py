"""When a datagram arrived, by the kernel's own stamp.

An event loop hears of a datagram when it gets round to it, in a busy program 10 ms late. Linux
stamps each on arrival, in CLOCK_REALTIME, if asked to; elsewhere the moment of reading it has to
do. A stamp only tells how long ago it was. A system clock that is stepped in between would make
that nonsense, so steps are watched for, and what they touch is dropped.
"""

import socket
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cluster.clock.base import tight_pair
from cluster.clock.sample import NtpFailed

# Python's socket module has no names for these. The first's data is two longs, which on a 32-bit
# Linux end in 2038; the second's (Linux 5.1) is two 64-bit numbers everywhere.
SO_TIMESTAMPNS_NEW, SO_TIMESTAMPNS = 64, 35
_STAMPS = {SO_TIMESTAMPNS_NEW: struct.Struct("qq"), SO_TIMESTAMPNS: struct.Struct("ll")}
_ANCILLARY_BYTES = 128

LARGEST_DATAGRAM = 2048  # of ours 48 are read; extension fields may follow
STEP_NS = 10_000_000
FUTURE_NS = 1_000_000  # two processors' readings of one clock differ by less
OLDEST_NS = 1_000_000_000  # an older question or answer is of no use to anybody
MAPPING_TRIES = 3


@dataclass(frozen=True, slots=True)
class Datagram:
    """What came, from whom (as `socket.recvfrom` says it), and the kernel's stamp, if any."""

    payload: bytes
    sender: Any
    realtime_ns: int | None


def ask_for_stamps(listener: socket.socket) -> bool:
    """Have the kernel stamp what `listener` receives; whether it will."""
    if sys.platform != "linux":  # these numbers mean other things elsewhere
        return False
    for option in _STAMPS:
        try:
            listener.setsockopt(socket.SOL_SOCKET, option, 1)
        except OSError:
            continue
        return True
    return False


def receive(listener: socket.socket) -> Datagram:
    """The next datagram of a non-blocking socket. OSError as `recvmsg` raises it."""
    if not hasattr(listener, "recvmsg"):  # Windows
        payload, sender = listener.recvfrom(LARGEST_DATAGRAM)
        return Datagram(payload, sender, None)
    payload, ancillary, _, sender = listener.recvmsg(LARGEST_DATAGRAM, _ANCILLARY_BYTES)
    return Datagram(payload, sender, _stamp_in(ancillary))


class Arrivals:
    """Moves kernel stamps onto another clock, as long as nobody steps the system clock."""

    def __init__(
        self,
        realtime_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        # CLOCK_MONOTONIC is slewed together with CLOCK_REALTIME: their distance changes only when
        # the latter is stepped, or when the machine slept.
        self._realtime_ns = realtime_ns
        self._monotonic_ns = monotonic_ns
        self._apart_ns = self._apart()

    def moment_ns(self, datagram: Datagram, clock_ns: Callable[[], int]) -> int:
        """What `clock_ns` showed when `datagram`, which was just received, arrived.

        Raises NtpFailed "disturbed" when the system clock was stepped since the last call, or the
        stamp cannot be right.
        """
        if datagram.realtime_ns is None:
            return clock_ns()
        now_ns, realtime_ns = tight_pair(clock_ns, self._realtime_ns, MAPPING_TRIES)
        age_ns = realtime_ns - datagram.realtime_ns
        before_ns, self._apart_ns = self._apart_ns, self._apart()
        if abs(self._apart_ns - before_ns) > STEP_NS:
            raise NtpFailed("disturbed", "the system clock was stepped meanwhile")
        if not -FUTURE_NS <= age_ns <= OLDEST_NS:
            raise NtpFailed("disturbed", f"a stamp of {age_ns / 1e9:.3f} s ago")
        return now_ns - max(age_ns, 0)

    def _apart(self) -> int:
        at_ns, realtime_ns = tight_pair(self._monotonic_ns, self._realtime_ns, MAPPING_TRIES)
        return realtime_ns - at_ns


def _stamp_in(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    for level, kind, content in ancillary:
        packed = _STAMPS.get(kind)
        if level == socket.SOL_SOCKET and packed is not None and len(content) >= packed.size:
            seconds, nanoseconds = packed.unpack_from(content)
            return int(seconds * 1_000_000_000 + nanoseconds)
    return None
