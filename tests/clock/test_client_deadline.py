"""One deadline for a question to a time server, whatever else happens meanwhile."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cluster.clock.base import RealBase
from cluster.clock.client import Address, NtpClient
from cluster.clock.sample import Server
from tests.clock.impostor import (
    NAME,
    PATIENCE_S,
    Impostor,
    failure,
    honest,
    impostor,
    silent,
    truthful,
)
from tests.program import until

SHORT_S = 0.2
BASE = RealBase()


async def was_asked(server: Impostor) -> bool:
    return bool(server.askers)


async def test_silence_is_a_timeout() -> None:
    """A server that never answers costs the time allowed, and no more."""
    async with impostor(silent) as mute:
        started = time.monotonic()
        failed = await failure(NtpClient(mute.server, BASE, SHORT_S))

    assert failed.reason == "timeout"
    assert SHORT_S * 0.9 <= time.monotonic() - started < PATIENCE_S


async def test_strangers_do_not_extend_it() -> None:
    """A packet every 0.1 s, from the server's own port but without our nonce."""
    async with impostor(silent) as mute, pestered(mute, every_s=0.1) as sent:
        started = time.monotonic()
        failed = await failure(NtpClient(mute.server, BASE, 0.5))
        took_s = time.monotonic() - started

    assert failed.reason == "timeout"
    assert 0.45 <= took_s < 2.0
    assert sent
    assert "answered no question of ours" in failed.detail


async def test_strangers_do_not_keep_the_answer_out() -> None:
    """Noise, a short packet, a blind forgery, then the server's own word."""

    def crowd(question: bytes) -> list[bytes]:
        forged = [truthful(question, origin=0), truthful(question, origin=1, stratum=0)]
        return [b"", b"?", question, *forged, truthful(question)]

    async with impostor(crowd) as server:
        sample = await NtpClient(server.server, BASE, PATIENCE_S).ask()

    assert sample.stratum == 2


async def test_an_answer_from_another_port_is_not_heard() -> None:
    """The socket is connected: the kernel drops what the server did not send."""
    async with impostor(silent) as other:

        def elsewhere(question: bytes) -> list[bytes]:
            other.transport.sendto(truthful(question), asked.askers[-1])
            return []

        async with impostor(elsewhere) as asked:
            failed = await failure(NtpClient(asked.server, BASE, SHORT_S))

    assert failed.reason == "timeout"
    assert "no question of ours" not in failed.detail


async def test_a_lookup_that_hangs_holds_up_nobody() -> None:
    """It is given up in time, and others are answered meanwhile."""
    hung = threading.Event()

    def hang(server: Server) -> list[Address]:
        hung.wait(PATIENCE_S)
        return []

    async with impostor(honest) as good:
        stuck = asyncio.create_task(failure(NtpClient(NAME, BASE, SHORT_S, hang)))
        sample = await NtpClient(good.server, BASE, PATIENCE_S).ask()
        failed = await stuck
    hung.set()

    assert (failed.reason, sample.stratum) == ("timeout", 2)


async def test_who_no_longer_wants_to_know_is_let_go() -> None:
    """A cancellation passes, and leaves no socket behind."""
    async with impostor(silent) as mute:
        asking = asyncio.create_task(NtpClient(mute.server, BASE, 60.0).ask())
        await until(lambda: was_asked(mute), "the question arrives")
        asking.cancel()

        with pytest.raises(asyncio.CancelledError):
            await asking


@asynccontextmanager
async def pestered(server: Impostor, every_s: float) -> AsyncIterator[list[float]]:
    """Whoever asks `server` hears from it all the time, but never the answer."""
    sent: list[float] = []

    async def pester() -> None:
        while True:
            for asker in server.askers:
                server.transport.sendto(truthful(bytes(48), origin=7), asker)
                sent.append(time.monotonic())
            await asyncio.sleep(every_s)

    task = asyncio.create_task(pester())
    try:
        yield sent
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
