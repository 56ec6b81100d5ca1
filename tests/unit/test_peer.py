"""Every way in which a connection fails has its own word, and only our own want is `internal`."""

import errno
import os
import ssl
from collections.abc import Callable

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from cluster.peer import PeerFailed, _failed

KEY = ConnectionKey("h", 1, False, True, None, None, None)


def connecting(number: int) -> aiohttp.ClientConnectorError:
    return aiohttp.ClientConnectorError(KEY, OSError(number, os.strerror(number)))


@pytest.mark.fault(1, 2, 6)
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: connecting(errno.EHOSTUNREACH), "unreachable"),
        (lambda: connecting(errno.ENETUNREACH), "unreachable"),
        (lambda: connecting(errno.EACCES), "unreachable"),
        (
            lambda: aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(111, "refused")),
            "refused",
        ),
        (lambda: aiohttp.ClientConnectorError(KEY, TimeoutError(110, "timed out")), "timeout"),
        (lambda: connecting(errno.EMFILE), "internal"),
        (lambda: connecting(errno.EADDRNOTAVAIL), "internal"),
        (lambda: TimeoutError(), "timeout"),
        (lambda: aiohttp.ServerDisconnectedError(), "reset"),
        (lambda: aiohttp.ClientPayloadError(), "reset"),
        (lambda: ConnectionResetError(), "reset"),
        (lambda: ssl.SSLError("no"), "tls"),
        (lambda: aiohttp.InvalidURL("http://["), "bad_http"),
        (lambda: ValueError("no URL"), "bad_http"),
        (lambda: aiohttp.ClientError("something new"), "bad_http"),
    ],
)
def test_each_failure_has_its_reason(make: Callable[[], Exception], reason: str) -> None:
    """A cut cable must make a node suspect, never look like our own fault."""
    assert _failed(make()).reason == reason


def test_what_a_peer_wrote_is_kept_short() -> None:
    """A megabyte of detail would be in every console and every journal line."""
    assert len(PeerFailed("http_5xx", "x" * 1_000_000).detail) <= 300
