"""Our time server and our NTP client over real UDP on 127.0.0.1.

Each is held against a stranger: the server against ntplib's own client, the client against
servers that lie, refuse, mumble or keep silent.
"""

import asyncio
import errno
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import ntplib
import pytest
import uvloop

from central.time_server import TimeServer, ntp_timestamp, reply_header, time_server
from cluster.clock.base import RealBase, SkewedBase
from cluster.clock.cluster_clock import ClusterClock
from cluster.clock.follower import Follower
from cluster.clock.ntp import NtpFailed, Reason, Server, measure
from cluster.clock.state import ClockState

LOOPBACK = "127.0.0.1"
PATIENCE_S = 5.0
SHORT_S = 0.2
MS = 1_000_000
QUESTION = bytes([0b00_100_011]) + bytes(39) + b"8 bytes!"

Reply = Callable[[bytes], bytes | None]


def truthful(question: bytes, **lies: int) -> bytes:
    """What a good stratum 2 server would answer now, except for the `lies`."""
    now = ntp_timestamp(time.time_ns())
    truth = {
        "leap": 0,
        "mode": 4,
        "stratum": 2,
        "root_delay": 0,
        "root_dispersion": 0,
        "ref_id": 0x7F000001,
        "originate": struct.unpack("!Q", question[40:48])[0],
        "receive": now,
        "transmit": now,
    }
    fact = truth | lies
    return struct.pack(
        "!BBBbIIIQQQQ",
        fact["leap"] << 6 | 4 << 3 | fact["mode"],
        fact["stratum"],
        0,
        -20,
        fact["root_delay"],
        fact["root_dispersion"],
        fact["ref_id"],
        now,
        fact["originate"],
        fact["receive"],
        fact["transmit"],
    )


class Impostor(asyncio.DatagramProtocol):
    """A server that answers whatever a test wants."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self.asked = 0

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked += 1
        answer = self._reply(data)
        if answer is not None:
            self._transport.sendto(answer, addr)


@asynccontextmanager
async def impostor(reply: Reply) -> AsyncIterator[Server]:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Impostor(reply), local_addr=(LOOPBACK, 0)
    )
    try:
        yield Server(LOOPBACK, transport.get_extra_info("sockname")[1])
    finally:
        transport.close()


@asynccontextmanager
async def central(clock: ClusterClock | None = None) -> AsyncIterator[TimeServer]:
    async with time_server(clock or ClusterClock.reference(RealBase()), LOOPBACK, 0) as server:
        yield server


async def ask_raw(port: int, *questions: bytes) -> bytes:
    """Send all `questions` from one socket and return the first answer."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.connect((LOOPBACK, port))
        for question in questions:
            await loop.sock_sendall(client, question)
        async with asyncio.timeout(PATIENCE_S):
            return await loop.sock_recv(client, 1024)


class TestTimeServer:
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

    @pytest.mark.parametrize("version", [3, 4])
    async def test_the_question_is_echoed_exactly(self, version: int) -> None:
        """The client's version and transmit stamp come back, bit by bit, in 48 bytes."""
        question = bytes([version << 3 | 3]) + bytes(39) + b"\xfe\xdc\xba\x98\x76\x54\x32\x11"

        async with central() as server:
            answer = await ask_raw(server.port, question + b"an extension field")

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
            answer = await ask_raw(server.port, *others, QUESTION)

        assert answer[24:32] == QUESTION[40:48]
        assert (server.answered, server.ignored) == (1, len(others))

    async def test_an_unsynchronised_clock_says_so(self) -> None:
        """Leap 3 and stratum 0 until the first sync: nobody follows a guess."""
        async with central(ClusterClock(RealBase())) as server:
            answer = await ask_raw(server.port, QUESTION)
            with pytest.raises(NtpFailed) as failed:
                await measure(Server(LOOPBACK, server.port), RealBase())

        assert (answer[0] >> 6, answer[1], answer[12:16]) == (3, 0, b"INIT")
        assert failed.value.reason == "unsynchronised"

    @pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
    def test_a_taken_port_is_an_error(
        self, loop_factory: Callable[[], asyncio.AbstractEventLoop]
    ) -> None:
        """Two servers on one port: the second is told so by OSError, on either event loop."""

        async def take_it_twice() -> None:
            async with central() as server:
                with pytest.raises(OSError, match="in use") as refused:
                    async with time_server(ClusterClock(RealBase()), LOOPBACK, server.port):
                        pass
                assert refused.value.errno == errno.EADDRINUSE

        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(take_it_twice())

    async def test_the_port_is_free_afterwards(self) -> None:
        """Leaving the block lets go of the port at once."""
        async with central() as server:
            port = server.port

        async with time_server(ClusterClock(RealBase()), LOOPBACK, port) as again:
            assert again.port == port

    def test_its_distance_from_the_root_is_truthful(self) -> None:
        """Delay and dispersion are the clock's own, rounded up; the server is named by address."""
        state = ClockState(
            status="HOLDOVER",
            stratum=3,
            reference="192.0.2.7:123",
            root_delay_ms=1000.0,
            root_dispersion_ms=0.001,
            last_sync_age_s=100.0,
        )

        header = reply_header(QUESTION, state, 1_800_000_000 * 10**9)

        delay, dispersion, ref_id, synced, received = struct.unpack("!II4sQ8xQ", header[4:])
        assert (delay, dispersion, ref_id) == (2**16, 1, bytes([192, 0, 2, 7]))
        assert received - synced == 100 << 32

    def test_2036_is_the_next_era(self) -> None:
        """The 32-bit seconds wrap to 0 on 7 February 2036, 06:28:16 UTC."""
        wrap_s = 2_085_978_496

        assert ntp_timestamp(wrap_s * 10**9) == 0
        assert ntp_timestamp(wrap_s * 10**9 - 1) >> 32 == 2**32 - 1
        assert ntp_timestamp((wrap_s + 5) * 10**9 + 500_000_000) == 5 << 32 | 1 << 31


class TestMeasure:
    async def test_a_sample_tells_the_true_time_on_the_base(self) -> None:
        """Monotonic reading plus offset is the server's time, within half a round trip."""
        base = RealBase()
        async with central() as server:
            sample = await measure(Server(LOOPBACK, server.port), base)

        error_ns = sample.offset_ns - (base.system_ns() - base.monotonic_ns())
        assert abs(error_ns) <= sample.delay_ns / 2 + MS
        assert 0 < sample.delay_ns < 1000 * MS
        assert (sample.stratum, sample.root_delay_ns) == (10, 0)

    async def test_a_skewed_machine_ends_on_central_time(self) -> None:
        """1.2 s off and 80 ppm fast: within 5 ms of central, and the drift is what was put in."""
        clock = ClusterClock(SkewedBase(1200, 80))
        truth = ClusterClock.reference(RealBase())

        async with central(truth) as server:
            follower = Follower(clock, [Server(LOOPBACK, server.port)], timeout_s=PATIENCE_S)
            for _ in range(4):
                state = await follower.sync_now()

        assert abs(clock.now_ns() - truth.now_ns()) < 5 * MS
        assert state.drift_ms == pytest.approx(1200, abs=5)
        assert (state.status, state.stratum, state.samples) == ("SYNC", 11, 4)

    async def test_it_needs_no_thread_of_the_pool(self) -> None:
        """A lookup that hangs must hold up nobody else, nor anybody else a measurement."""
        loop, done = asyncio.get_running_loop(), threading.Event()
        loop.set_default_executor(ThreadPoolExecutor(1))
        other = asyncio.create_task(asyncio.to_thread(done.wait, PATIENCE_S))

        async with central() as server:
            sample = await measure(Server(LOOPBACK, server.port), RealBase(), PATIENCE_S)

        assert sample.delay_ns >= 0
        assert not other.done()
        done.set()
        await other

    async def test_a_follower_runs_by_itself(self) -> None:
        """Whoever waits for the first sync is woken by it."""
        clock = ClusterClock(SkewedBase(-500, -30))

        async with central() as server:
            follower = Follower(clock, [Server(LOOPBACK, server.port)])
            running = asyncio.create_task(follower.run())
            async with asyncio.timeout(PATIENCE_S):
                await follower.synced.wait()
            running.cancel()

        assert clock.state().drift_ms == pytest.approx(-500, abs=5)


class TestHostileServers:
    @pytest.mark.parametrize(
        ("lies", "reason"),
        [
            ({"stratum": 0, "ref_id": 0x52415445}, "kiss"),
            ({"stratum": 0, "leap": 3, "ref_id": 0x494E4954}, "unsynchronised"),
            ({"leap": 3}, "unsynchronised"),
            ({"stratum": 16}, "unsynchronised"),
            ({"mode": 3}, "malformed"),
            ({"receive": 0}, "malformed"),
            ({"transmit": 0}, "malformed"),
            ({"originate": 0}, "implausible"),
            ({"originate": 0xE000_0000 << 32}, "implausible"),
            ({"receive": 0xEE00_0000 << 32}, "implausible"),
            ({"receive": 0xEE00_0000 << 32, "transmit": 0xEE00_0001 << 32}, "implausible"),
            ({"root_dispersion": 3 << 15}, "implausible"),
            ({"root_delay": 3 << 16}, "implausible"),
        ],
        ids=str,
    )
    async def test_a_lie_is_refused_for_what_it_is(
        self, lies: dict[str, int], reason: Reason
    ) -> None:
        """Every check that ntplib leaves out is made, and told apart."""
        async with impostor(lambda question: truthful(question, **lies)) as server:
            with pytest.raises(NtpFailed) as failed:
                await measure(server, RealBase(), PATIENCE_S)

        assert failed.value.reason == reason

    async def test_an_honest_answer_of_the_same_kind_is_taken(self) -> None:
        """The impostor without a lie is believed, so each lie alone is what was refused."""
        async with impostor(truthful) as server:
            assert (await measure(server, RealBase(), PATIENCE_S)).stratum == 2

    async def test_a_short_packet_is_malformed(self) -> None:
        """40 bytes are no NTP packet."""
        async with impostor(lambda question: truthful(question)[:40]) as server:
            with pytest.raises(NtpFailed) as failed:
                await measure(server, RealBase(), PATIENCE_S)

        assert failed.value.reason == "malformed"

    async def test_silence_is_a_timeout(self) -> None:
        """A server that never answers costs the time allowed, and no more."""
        started = time.monotonic()
        async with impostor(lambda _: None) as server:
            with pytest.raises(NtpFailed) as failed:
                await measure(server, RealBase(), SHORT_S)

        assert failed.value.reason == "timeout"
        assert SHORT_S * 0.9 <= time.monotonic() - started < PATIENCE_S

    async def test_a_closed_port_is_a_timeout(self) -> None:
        """ntplib's socket is not connected, so the refusal never reaches it."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((LOOPBACK, 0))
            port = probe.getsockname()[1]

        with pytest.raises(NtpFailed) as failed:
            await measure(Server(LOOPBACK, port), RealBase(), SHORT_S)

        assert failed.value.reason == "timeout"

    async def test_a_name_that_cannot_be_looked_up_is_dns(self) -> None:
        """A label of 70 letters fails in the lookup itself, before any network."""
        with pytest.raises(NtpFailed) as failed:
            await measure(Server("a" * 70), RealBase(), PATIENCE_S)

        assert failed.value.reason == "dns"

    async def test_an_address_that_cannot_be_sent_to_is_unreachable(self) -> None:
        """The kernel refuses to broadcast from a plain socket: an OSError, not a time-out."""
        with pytest.raises(NtpFailed) as failed:
            await measure(Server("255.255.255.255"), RealBase(), PATIENCE_S)

        assert failed.value.reason == "unreachable"
