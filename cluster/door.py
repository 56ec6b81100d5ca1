"""The door: how many connections may be inside at a time, and how long each may stand in it.

aiohttp takes as many connections as come and waits for them for ever. When the house is full the
one that has been idle longest leaves: HTTP lets a server close an idle connection at any moment,
so a thousand nodes behind one address cost nobody anything, and two thousand connections that say
nothing keep nobody out. Only when all are busy is a new one refused.
"""

import logging
import time
from collections import Counter
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Literal, Protocol

from aiohttp import web

from cluster.problem import Refusal

log = logging.getLogger(__name__)

HEADER_S = 10.0  # from the accept, or from the first byte of a further request, to a full header
BODY_S = 30.0  # for a whole body: the members' own pages shrink until they take a second
IDLE_S = 75.0
TAKE_S = 30.0  # an answer of which nothing is taken for so long is given up
INSIDE_MAX = 1_024
ADDRESS_MAX = 64
RETRY_AFTER_S = 1
TOLD_EVERY_S = 60.0

Cut = Literal[
    "handshake",
    "silent",
    "slow_header",
    "slow_reader",
    "made_room",
    "crowded",
    "bad_http",
    "broken",
]
TEXTS: dict[Cut, str] = {
    "handshake": "a TLS handshake came to nothing",
    "silent": "a connection asked for nothing",
    "slow_header": "a header did not come in time",
    "slow_reader": "an answer was not taken",
    "made_room": "an idle connection made room for a new one",
    "crowded": "a connection found no room",
    "bad_http": "a request is not HTTP",
    "broken": "a request broke off",
}


class Guest(Protocol):
    """A connection as the door sees it."""

    address: str | None

    def make_room(self) -> None:
        """Leave at once."""


class Door:
    """Who is inside, who of them is idle, and what was cut or answered so far."""

    def __init__(self) -> None:
        self.cuts: Counter[Cut] = Counter()
        self.answers: Counter[int] = Counter()
        self._inside: set[Guest] = set()
        self._idle: dict[Guest, None] = {}  # the longest idle first
        self._of_address: Counter[str] = Counter()
        self._told_s: dict[Cut, float] = {}

    @property
    def inside(self) -> int:
        """Connections that are open."""
        return len(self._inside)

    def enter(self, guest: Guest) -> None:
        """Let a new connection in. Refusal when all that it could take the place of are busy."""
        address = guest.address
        crowded = address is not None and self._of_address[address] >= ADDRESS_MAX
        if crowded or len(self._inside) >= INSIDE_MAX:
            self._make_room(address if crowded else None)
        self._inside.add(guest)
        self._idle[guest] = None
        if address is not None:
            self._of_address[address] += 1

    def _make_room(self, address: str | None) -> None:
        for guest in self._idle:
            if address in (None, guest.address):
                self.leave(guest)
                self.cut("made_room")
                guest.make_room()
                return
        self.cut("crowded")
        raise Refusal("busy", "all connections are in use; come again", retry_after_s=RETRY_AFTER_S)

    def leave(self, guest: Guest) -> None:
        """It is closed. Nothing, where it has left already."""
        self._idle.pop(guest, None)
        if guest in self._inside:
            self._inside.remove(guest)
            if guest.address is not None:
                self._of_address[guest.address] -= 1
                if not self._of_address[guest.address]:
                    del self._of_address[guest.address]

    def busy(self, guest: Guest) -> None:
        """Something came from it."""
        self._idle.pop(guest, None)

    def idle(self, guest: Guest) -> None:
        """It was answered, and nothing more has come."""
        if guest in self._inside:
            self._idle[guest] = None

    def is_idle(self, guest: Guest) -> bool:
        return guest in self._idle

    def cut(self, how: Cut) -> None:
        """Count it; tell of it, but only so often: whoever asks must not be able to fill a disk."""
        self.cuts[how] += 1
        now_s = time.monotonic()
        if now_s >= self._told_s.get(how, 0.0):
            self._told_s[how] = now_s + TOLD_EVERY_S
            log.info(TEXTS[how], extra={"event": "cut", "how": how, "so_far": self.cuts[how]})


DOOR = web.AppKey("DOOR", Door)


def address_of(peer: Any) -> str | None:
    """What a peer's connections are counted by: its IPv4 address, or its IPv6 network of 64 bits.

    None for this machine itself, where members, consoles and proxies all share one address.
    """
    if not isinstance(peer, tuple):
        return None
    address: IPv4Address | IPv6Address = ip_address(peer[0].partition("%")[0])
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    if address.is_loopback:
        return None
    return str(address if address.version == 4 else IPv6Address(int(address) >> 64 << 64))
