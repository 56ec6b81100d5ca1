"""Central's time server over real UDP on 127.0.0.1, held against ntplib's client and ours."""

import asyncio
import errno
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import ntplib
import pytest
import uvloop

from central.rate_limit import RateLimit
from central.time_server import AT_ONCE, TimeServer, time_server
from cluster.clock.base import RealBase
from cluster.clock.client import NtpClient
from cluster.clock.cluster_clock import ClusterClock
from cluster.clock.sample import Server
from tests.clock.impostor import LOOPBACK, PATIENCE_S, failure
from tests.program import until

QUESTION = bytes([0b00_100_011]) + bytes(39) + b"8 bytes!"

EITHER_LOOP = pytest.mark.parametrize(
    "loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def reference() -> ClusterClock:
    return ClusterClock.reference(RealBase())


@asynccontextmanager
async def central(
    clock: ClusterClock | None = None, limit: RateLimit | None = None
) -> AsyncIterator[TimeServer]:
    async with time_server(clock or reference(), LOOPBACK, 0, limit) as server:
        yield server


@asynccontextmanager
async def client_of(server: TimeServer) -> AsyncIterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.connect((LOOPBACK, server.port))
        yield client


async def heard(client: socket.socket) -> bytes:
    async with asyncio.timeout(PATIENCE_S):
        return await asyncio.get_running_loop().sock_recv(client, 1024)


async def ask_raw(server: TimeServer, *questions: bytes) -> bytes:
    """Send all `questions` from one socket and return the first answer."""
    async with client_of(server) as client:
        for question in questions:
            client.send(question)
        return await heard(client)


class TestAnswers:
    async def test_ntplib_believes_it(self) -> None:
        """The card's own client reads the machine's time, to within half of the way there."""
        async with central() as server:
            stats = await asyncio.to_thread(
                ntplib.NTPClient().request, LOOPBACK, version=4, port=server.port, timeout=5
            )

        assert abs(stats.offset) <= stats.delay / 2 + 0.001
        assert (stats.mode, stats.version, stats.stratum, stats.leap) == (4, 4, 10, 0)
        assert ntplib.ref_id_to_text(stats.ref_id, stats.stratum) == "127.127.1.1"
        assert server.answered == 1

    @EITHER_LOOP
    def test_so_does_our_own_client(self, loop_factory: LoopFactory) -> None:
        """Time after time, on either event loop."""

        async def ask() -> None:
            async with central() as server:
                client = NtpClient(Server(LOOPBACK, server.port), RealBase(), PATIENCE_S)
                samples = [await client.ask() for _ in range(20)]
            assert {(sample.stratum, sample.leap) for sample in samples} == {(10, 0)}
            assert server.answered == 20

        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(ask())

    @pytest.mark.parametrize("version", [3, 4])
    async def test_the_question_is_echoed_exactly(self, version: int) -> None:
        """The client's version and transmit stamp come back, bit by bit, in 48 bytes."""
        question = bytes([version << 3 | 3]) + bytes(39) + b"\xfe\xdc\xba\x98\x76\x54\x32\x11"

        async with central() as server:
            answer = await ask_raw(server, question + b"an extension field")

        assert len(answer) == 48
        assert answer[0] == version << 3 | 4
        assert answer[24:32] == question[40:48]
        received, transmitted = struct.unpack("!QQ", answer[32:])
        assert 0 < received < transmitted

    async def test_all_else_is_ignored_and_counted(self) -> None:
        """Short packets, other modes and other versions get no answer at all."""
        others = [
            QUESTION[:47],
            b"",
            bytes([0b00_100_100]) + QUESTION[1:],
            bytes([0b00_100_110]) + QUESTION[1:],
            bytes([0b00_010_011]) + QUESTION[1:],
        ]

        async with central() as server:
            answer = await ask_raw(server, *others, QUESTION)

        assert answer[24:32] == QUESTION[40:48]
        assert (server.answered, server.ignored) == (1, len(others))

    async def test_an_unsynchronised_clock_says_so(self) -> None:
        """Leap 3 and stratum 0 until the first sync: nobody follows a guess."""
        async with central(ClusterClock(RealBase())) as server:
            answer = await ask_raw(server, QUESTION)
            failed = await failure(NtpClient(Server(LOOPBACK, server.port), RealBase(), 5.0))

        assert (answer[0] >> 6, answer[1], answer[12:16]) == (3, 0, b"INIT")
        assert failed.reason == "unsynchronised"

    async def test_many_at_once_are_answered_a_few_at_a_time(self) -> None:
        """A flood must leave the event loop time for the rest of central."""
        async with central() as server, client_of(server) as client:
            for _ in range(3 * AT_ONCE):
                client.send(QUESTION)

            server.answer_waiting()
            answered_at_once = server.answered
            for _ in range(3 * AT_ONCE):
                assert (await heard(client))[24:32] == QUESTION[40:48]

        assert answered_at_once == AT_ONCE
        assert server.answered == 3 * AT_ONCE


class TestLimit:
    async def test_who_asks_too_often_is_told_once(self) -> None:
        """An answer, a kiss that our client understands, and then nothing."""
        strict = RateLimit(burst=2, per_s=0.01, spare_loopback=False)

        async with central(limit=strict) as server, client_of(server) as client:
            ours = NtpClient(Server(LOOPBACK, server.port), RealBase(), PATIENCE_S)
            await ours.ask()
            await ours.ask()
            kissed = await failure(ours)
            for _ in range(5):
                client.send(QUESTION)
            await until(lambda: limited(server, 6), "all of them are counted")
            with pytest.raises(BlockingIOError):
                client.recv(1024)

        assert kissed.reason == "rate"
        assert (server.answered, server.limited, server.ignored) == (2, 6, 0)

    async def test_a_cluster_on_one_machine_is_not_limited(self) -> None:
        """A thousand questions from 127.0.0.1 in one go."""
        async with central() as server, client_of(server) as client:
            for _ in range(1000):
                client.send(QUESTION)
                await heard(client)

        assert (server.answered, server.limited) == (1000, 0)


async def limited(server: TimeServer, count: int) -> bool:
    return server.limited == count


class Troubled(socket.socket):
    """A socket to which the network reports an error first, for what comes in and what goes out."""

    calm_in = calm_out = False

    def recvmsg(self, *args: Any) -> Any:
        if not self.calm_in:
            self.calm_in = True
            raise ConnectionRefusedError(errno.ECONNREFUSED, "an earlier answer found nobody")
        return super().recvmsg(*args)

    def sendto(self, *args: Any) -> int:
        if not self.calm_out:
            self.calm_out = True
            raise OSError(errno.ENOBUFS, "no room")
        return super().sendto(*args)


class TestTrouble:
    def test_an_error_of_the_network_stops_nothing(self) -> None:
        """One that comes in is passed over; a reply that cannot be sent is dropped and counted."""
        with (
            Troubled(socket.AF_INET, socket.SOCK_DGRAM) as listener,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker,
        ):
            listener.bind((LOOPBACK, 0))
            listener.setblocking(False)
            server = TimeServer(reference(), listener)
            for _ in range(2):
                asker.sendto(QUESTION, listener.getsockname())
                server.answer_waiting()

        assert (server.answered, server.ignored) == (1, 1)

    @EITHER_LOOP
    def test_who_has_gone_before_the_answer_stops_nothing(self, loop_factory: LoopFactory) -> None:
        """Its port is closed, so the network refuses the answer."""

        async def leave_and_ask() -> None:
            async with central() as server:
                for _ in range(3):
                    async with client_of(server) as client:
                        client.send(QUESTION)
                assert (await ask_raw(server, QUESTION))[1] == 10

        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(leave_and_ask())

    @EITHER_LOOP
    def test_a_taken_port_is_an_error(self, loop_factory: LoopFactory) -> None:
        """Two servers on one port: the second is told so by OSError, on either event loop."""

        async def take_it_twice() -> None:
            async with central() as server:
                with pytest.raises(OSError, match="in use") as refused:
                    async with time_server(reference(), LOOPBACK, server.port):
                        pass
                assert refused.value.errno == errno.EADDRINUSE

        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(take_it_twice())

    async def test_the_port_is_free_afterwards(self) -> None:
        """Leaving the block lets go of the port at once."""
        async with central() as server:
            port = server.port

        async with time_server(reference(), LOOPBACK, port) as again:
            assert again.port == port
