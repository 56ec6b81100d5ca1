"""Our NTP client over real UDP on 127.0.0.1, among servers that refuse, mumble or keep silent."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
import uvloop

from cluster.clock import client as module
from cluster.clock.base import RealBase, SkewedBase, tight_pair
from cluster.clock.client import NtpClient
from cluster.clock.sample import Reason, Server
from cluster.clock.stamps import Datagram, receive
from tests.clock.impostor import (
    LOOPBACK,
    NAME,
    PATIENCE_S,
    Names,
    closed,
    failure,
    honest,
    impostor,
    truthful,
)

SHORT_S = 0.2
MS = 1_000_000
BASE = RealBase()

EITHER_LOOP = pytest.mark.parametrize(
    "loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
LoopFactory = Callable[[], asyncio.AbstractEventLoop]


class TestAnswers:
    @EITHER_LOOP
    def test_a_sample_tells_the_true_time_on_the_base(self, loop_factory: LoopFactory) -> None:
        """Monotonic reading plus offset is the server's time, within half a round trip."""

        async def ask() -> None:
            async with impostor(honest) as good:
                sample = await NtpClient(good.server, BASE, PATIENCE_S).ask()

            at_ns, true_ns = tight_pair(BASE.monotonic_ns, time.time_ns)
            error_ns = sample.offset_ns - (true_ns - at_ns)
            assert abs(error_ns) <= sample.delay_ns / 2 + MS
            assert (sample.source, sample.addr) == (str(good.server), LOOPBACK)

        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(ask())

    async def test_it_is_told_on_the_clock_of_a_skewed_machine(self) -> None:
        """The kernel's stamp is of the real wall clock; the base has another, and need not care."""
        base = SkewedBase(3_600_000, 80)
        async with impostor(honest) as good:
            sample = await NtpClient(good.server, base, PATIENCE_S).ask()

        at_ns, true_ns = tight_pair(base.monotonic_ns, time.time_ns)
        assert abs(sample.offset_ns - (true_ns - at_ns)) <= sample.delay_ns / 2 + MS

    async def test_each_question_has_its_own_port_and_its_own_nonce(self) -> None:
        """So an answer to another question finds nobody."""
        questions: list[bytes] = []

        def remember(question: bytes) -> list[bytes]:
            questions.append(question)
            return honest(question)

        async with impostor(remember) as good:
            client = NtpClient(good.server, BASE, PATIENCE_S)
            for _ in range(5):
                await client.ask()

        assert len({port for _, port in good.askers}) > 1
        assert len({question[40:] for question in questions}) == 5
        assert {question[:40] for question in questions} == {b"\x23" + bytes(39)}

    async def test_a_duplicate_and_a_replay_do_no_harm(self) -> None:
        """Every answer comes twice, and after all those that came before."""
        history: list[bytes] = []

        def replay(question: bytes) -> list[bytes]:
            answer = truthful(question)
            answers = [*history, answer, answer]
            history.append(answer)
            return answers

        async with impostor(replay) as server:
            client = NtpClient(server.server, BASE, PATIENCE_S)
            samples = [await client.ask() for _ in range(5)]

        assert all(earlier.at_ns < later.at_ns for earlier, later in pairwise(samples))
        assert max(sample.delay_ns for sample in samples) < 1000 * MS

    async def test_it_needs_no_thread_of_the_pool(self) -> None:
        """Whatever else keeps those busy, the time comes through."""
        loop, done = asyncio.get_running_loop(), threading.Event()
        loop.set_default_executor(ThreadPoolExecutor(1))
        other = asyncio.create_task(asyncio.to_thread(done.wait, PATIENCE_S))

        async with impostor(honest) as good:
            sample = await NtpClient(good.server, BASE, PATIENCE_S).ask()

        assert sample.stratum == 2
        assert not other.done()
        done.set()
        await other


class TestRefusals:
    @pytest.mark.parametrize(
        ("lies", "reason"),
        [
            ({"stratum": 0, "refid": 0x52415445}, "rate"),
            ({"stratum": 0, "refid": 0x44454E59}, "denied"),
            ({"leap": 3}, "unsynchronised"),
            ({"mode": 3}, "malformed"),
            ({"root_delay": 3 << 16}, "implausible"),
        ],
        ids=str,
    )
    async def test_a_lie_is_refused_at_once(self, lies: dict[str, int], reason: Reason) -> None:
        """It has our nonce, so nothing better will come."""
        async with impostor(lambda question: [truthful(question, **lies)]) as liar:
            failed = await failure(NtpClient(liar.server, BASE, PATIENCE_S))

        assert failed.reason == reason

    @EITHER_LOOP
    def test_a_closed_port_is_unreachable_at_once(self, loop_factory: LoopFactory) -> None:
        """The kernel says that nobody listens; there is no need to wait for the deadline."""
        started = time.monotonic()

        with asyncio.Runner(loop_factory=loop_factory) as runner:
            failed = runner.run(failure(NtpClient(closed(), BASE, 60.0)))

        assert failed.reason == "unreachable"
        assert "refused" in failed.detail
        assert time.monotonic() - started < PATIENCE_S

    async def test_an_address_that_cannot_be_sent_to_is_unreachable(self) -> None:
        """The kernel refuses to broadcast from a plain socket."""
        failed = await failure(NtpClient(Server("255.255.255.255"), BASE, PATIENCE_S))

        assert failed.reason == "unreachable"

    async def test_a_name_that_cannot_be_looked_up_is_dns(self) -> None:
        """A label of 70 letters fails in the lookup itself, before any network."""
        failed = await failure(NtpClient(Server("a" * 70), BASE, PATIENCE_S))

        assert failed.reason == "dns"

    async def test_a_step_of_the_system_clock_spoils_the_sample(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A stamp from an hour ahead; and the server is not blamed: its address stays."""

        def ahead(line: socket.socket) -> Datagram:
            datagram = receive(line)
            return Datagram(datagram.payload, datagram.sender, time.time_ns() + 3600 * 1000 * MS)

        async with impostor(honest) as good, impostor(honest) as spare:
            client = NtpClient(NAME, BASE, PATIENCE_S, Names(good.server, spare.server))
            with monkeypatch.context() as patched:
                patched.setattr(module, "receive", ahead)
                failed = await failure(client)
            await client.ask()

        assert failed.reason == "disturbed"
        assert (len(good.askers), len(spare.askers)) == (2, 0)
