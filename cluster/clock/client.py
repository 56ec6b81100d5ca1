"""Asks one NTP server, one question at a time, on a socket of its own.

Each question has a fresh socket, hence a fresh port, and a fresh nonce: a late answer to an earlier
one meets a closed door, and a stranger would have to guess both. What strangers send is passed
over without giving them more time. One deadline covers it all, the name lookup too.
"""

import asyncio
import ipaddress
import os
import socket
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from threading import Thread
from typing import Any, TypeVar

from cluster.clock.base import Base
from cluster.clock.packet import NONCE_BYTES, Question, question_packet, read_reply, reference_id
from cluster.clock.sample import NtpFailed, Sample, Server
from cluster.clock.stamps import Arrivals, ask_for_stamps, receive

LOOK_UP_AGAIN = 3  # misses in a row: it may have moved

T = TypeVar("T")
Address = tuple[int, Any]  # the family, and what to connect to


def look_up(server: Server) -> list[Address]:
    """All the addresses of a server, the system's favourite first. OSError or UnicodeError."""
    found = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_DGRAM)
    return [(family, address) for family, _, _, _, address in found]


class NtpClient:
    """One server, and which of its addresses answers. One question at a time."""

    def __init__(
        self,
        server: Server,
        base: Base,
        timeout_s: float = 1.0,
        look_up: Callable[[Server], list[Address]] = look_up,
    ) -> None:
        self._server = server
        self._base = base
        self._timeout_s = timeout_s
        self._look_up = look_up
        self._addresses: list[Address] = []  # the next to be tried comes first
        self._misses = 0
        self._strangers = 0

    async def ask(self) -> Sample:
        """One answer. Raises NtpFailed, and nothing else, when there is none to use."""
        self._strangers = 0
        try:
            async with asyncio.timeout(self._timeout_s):
                sample = await self._ask()
        except TimeoutError as error:
            self._missed()
            raise NtpFailed("timeout", self._silence()) from error
        except NtpFailed as failure:
            if failure.reason != "disturbed":  # which is this machine's doing
                self._missed()
            raise
        self._misses = 0
        return sample

    async def _ask(self) -> Sample:
        if not self._addresses:
            self._addresses = await self._found()
        wrong: list[str] = []
        for family, address in tuple(self._addresses):
            try:
                return await self._exchange(family, address)
            except OSError as error:
                wrong.append(f"{address[0]}: {error.strerror or error}")
                self._next_address()
        raise NtpFailed("unreachable", "; ".join(wrong))

    async def _found(self) -> list[Address]:
        try:
            return await _in_own_thread(partial(self._look_up, self._server))
        except (OSError, UnicodeError) as error:
            raise NtpFailed("dns", f"{self._server.host}: {error}") from error

    async def _exchange(self, family: int, address: Any) -> Sample:
        """Ask one address. OSError when it cannot be reached, or says that nobody listens."""
        loop, readable = asyncio.get_running_loop(), asyncio.Event()
        with socket.socket(family, socket.SOCK_DGRAM) as line:
            line.setblocking(False)
            ask_for_stamps(line)
            line.connect(address)
            loop.add_reader(line, readable.set)
            try:
                arrivals = Arrivals()
                question = self._send(line, str(address[0]))
                while True:
                    await readable.wait()
                    readable.clear()
                    sample = self._hear(line, arrivals, question)
                    if sample is not None:
                        return sample
            finally:
                loop.remove_reader(line)

    def _send(self, line: socket.socket, addr: str) -> Question:
        nonce, own_refid = os.urandom(NONCE_BYTES), _own_refid(line)
        packet = question_packet(nonce)
        sent_ns = self._base.monotonic_ns()
        line.send(packet)
        return Question(str(self._server), addr, nonce, sent_ns, own_refid)

    def _hear(self, line: socket.socket, arrivals: Arrivals, question: Question) -> Sample | None:
        """What came, if it is the answer."""
        try:
            datagram = receive(line)
        except BlockingIOError:  # the kernel found it damaged after all
            return None
        arrived_ns = arrivals.moment_ns(datagram, self._base.monotonic_ns)
        sample = read_reply(datagram.payload, question, arrived_ns)
        if sample is None:
            self._strangers += 1
        return sample

    def _missed(self) -> None:
        self._misses += 1
        self._next_address()
        if self._misses % LOOK_UP_AGAIN == 0:
            self._addresses = []

    def _next_address(self) -> None:
        self._addresses = self._addresses[1:] + self._addresses[:1]

    def _silence(self) -> str:
        silence = f"{self._server} did not answer within {self._timeout_s:g} s"
        if not self._strangers:
            return silence
        return f"{silence}; {self._strangers} packets answered no question of ours"


def _own_refid(line: socket.socket) -> bytes | None:
    """How a server that follows this machine would name it."""
    own = ipaddress.ip_address(line.getsockname()[0])
    # On loopback all the servers of a machine have one address: it names none of them.
    return None if own.is_loopback else reference_id(str(own))


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

    Thread(target=run, name="name lookup", daemon=True).start()
    return await asyncio.wrap_future(outcome)
