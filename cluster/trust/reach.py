"""Reach: the addresses that this member may go to, checked where they are dialled.

Central asks whatever URL somebody gives it for a node. A name may lead anywhere, and at the next
look elsewhere (DNS rebinding), and 0xa9fea9fe is an address as well: so no URL is judged, but each
address for which a socket is opened. Link-local addresses, where clouds keep their secrets, and
those that are nobody's are never dialled.
"""

import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from cluster.settings import SettingsWrong

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

NOBODYS = tuple(
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "100.100.100.200/32", "192.0.0.192/32"),
        *("::/128", "fe80::/10", "fec0::/10", "ff00::/8", "fd00:ec2::254/128"),
    )
)
LOOPBACKS: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
_NAT64 = IPv6Network("64:ff9b::/96")


class OutOfReach(OSError):
    """An address that this member may not go to."""


class Reach:
    """Where one may go: `only` into these networks, where any are given; never to `never`."""

    def __init__(self, only: Sequence[Network] = (), never: Sequence[Network] = ()) -> None:
        self._only = only
        self._never = (*NOBODYS, *never)

    @classmethod
    def parse(cls, texts: Sequence[str], never: Sequence[Network] = ()) -> "Reach":
        """SettingsWrong for what is no network. What is given expressly is not in `never`."""
        try:
            only = [ip_network(text) for text in texts]
        except ValueError as error:
            raise SettingsWrong(f"--node-net: {error}; give one such as 10.0.0.0/8") from None
        return cls(only, () if only else never)

    def allows(self, text: str) -> bool:
        """Whether this IP address, as the system resolved it, may be dialled."""
        address = _plain(ip_address(text.partition("%")[0]))
        inside = not self._only or any(address in network for network in self._only)
        return inside and not any(address in network for network in self._never)

    def open_socket(self, address_info: tuple[Any, ...]) -> socket.socket:
        """A socket for one entry of getaddrinfo. OutOfReach where it may not be dialled."""
        family, kind, protocol, _, address = address_info
        if not self.allows(address[0]):
            raise OutOfReach("this address is not for nodes")
        return socket.socket(family, kind, protocol)


def _plain(address: Address) -> Address:
    """The IPv4 address inside one of IPv6 (mapped, 6to4, Teredo, NAT64), where there is one."""
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
        if address.teredo is not None:
            return address.teredo[1]
        return address.ipv4_mapped or address.sixtofour or address
    return address
