"""Ports for the programs of one machine: the usual ones where they are free, else others.

A port that is free now can be taken a moment later by somebody else: who starts a program on one
must be ready to choose again. The others are drawn below the range from which the kernel serves
outgoing connections (32768 on Linux, 49152 elsewhere), so that a port stays free while its
program is being restarted.
"""

import socket
from contextlib import closing
from random import SystemRandom
from typing import Literal

HOST = "127.0.0.1"
OTHERS = range(20_000, 32_000)
TRIES = 1_000

Protocol = Literal["tcp", "udp"]


class Ports:
    """Hands out free ports of the loopback address, none twice."""

    def __init__(self) -> None:
        self._random = SystemRandom()
        self._given: set[int] = set()

    def take(self, usual: int, *protocols: Protocol) -> int:
        """`usual` or another port, free for all `protocols`. OSError when there is none."""
        port = usual
        for _ in range(TRIES):
            if port not in self._given and all(is_free(port, one) for one in protocols):
                self._given.add(port)
                return port
            port = self._random.choice(OTHERS)
        raise OSError(f"no free port was found on {HOST}")


def is_free(port: int, protocol: Protocol) -> bool:
    """Whether a program could be started on this port now."""
    try:
        with closing(_bound(port, protocol)):
            return True
    except OSError:
        return False


def _bound(port: int, protocol: Protocol) -> socket.socket:
    if protocol == "tcp":
        return socket.create_server((HOST, port))  # as servers bind: TIME_WAIT is no obstacle
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        bound.bind((HOST, port))
    except OSError:
        bound.close()
        raise
    return bound
