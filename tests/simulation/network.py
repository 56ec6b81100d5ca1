"""The network between central and its nodes, and all that may go wrong on the way.

A call takes the time of its line, and may be lost, late, cut, damaged or carried twice; what is
asked and what is answered are real messages. Lost means silence: who asked waits until its time
is over, while whoever was asked may have done it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import Any, Protocol, TypeVar

import msgspec

from cluster.exchange import Exchange
from cluster.peer import NO_HEADERS, Download, PeerFailed
from cluster.problem import Refusal
from cluster.protocol.node import STATUS
from tests.near import as_told

T = TypeVar("T")
AGAIN_S = 30.0  # so much later a carried-twice question may come for the second time


@dataclass(frozen=True, slots=True)
class Weather:
    """What a line does: how long one way takes, in seconds, and the chances of each fault."""

    way_s: tuple[float, float] = (0.001, 0.02)
    lost: float = 0.0  # in silence, on each way
    reset: float = 0.0  # on each way, at once
    twice: float = 0.0
    damaged: float = 0.0  # of a page: one byte is another
    cut: float = 0.0  # of a page: it ends too early


CALM = Weather()
WEATHERS = {
    "slow": Weather(way_s=(0.3, 4.0)),
    "lossy": Weather(lost=0.2, reset=0.1),
    "gone": Weather(lost=1.0),
    "broken": Weather(reset=0.5, cut=0.3),
    "odd": Weather(twice=0.4, damaged=0.2, reset=0.1, way_s=(0.01, 1.0)),
}


class Process(Protocol):
    """What listens at an address."""

    @property
    def alive(self) -> bool: ...

    @property
    def frozen(self) -> bool: ...

    async def answer(
        self, exchange: Exchange[Any, Any], ask: Any, body: bytes | None, headers: Mapping[str, str]
    ) -> Any: ...

    def got_page(self) -> None: ...

    def start(self, work: Awaitable[Any]) -> "asyncio.Future[Any]":
        """Work that ends with the process, whoever has asked for it."""


class Trace:
    """What happened, in one number."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=16)
        self.lines: list[str] | None = None

    def note(self, text: str) -> None:
        text = f"{asyncio.get_running_loop().time():.6f} {text}"
        self._hash.update(text.encode())
        if self.lines is not None:
            self.lines.append(text)

    @property
    def value(self) -> str:
        return self._hash.hexdigest()


class Network:
    """All lines. Each node has one, which leads to central."""

    def __init__(self, rng: Random, trace: Trace) -> None:
        self.rng = rng
        self.trace = trace
        self.weather: dict[str, Weather] = {}
        self.isolated = False  # central
        self.listening: dict[str, Process] = {}  # by URL

    def weather_of(self, line: str) -> Weather:
        return WEATHERS["gone"] if self.isolated else self.weather.get(line, CALM)


class Line:
    """A peer over one line: does as `cluster.peer.Peer`. `here`: whose calls these are."""

    def __init__(self, network: Network, here: Process, line: str, url: str) -> None:
        self.bytes_moved = 0
        self._network = network
        self._here = here
        self._line = line
        self._url = url

    async def call(
        self,
        exchange: Exchange[Any, T],
        ask: Any,
        *,
        timeout_s: float,
        body: bytes | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
        compress: bool = False,
    ) -> T:
        reply = await self._carry(exchange, ask, timeout_s, body, headers)
        content = msgspec.json.encode(reply)
        self.bytes_moved += len(content)
        return _decoder(exchange)(content)

    async def download(
        self,
        exchange: Exchange[Any, Any],
        ask: Any,
        *,
        accept: str,
        timeout_s: float,
        compress: bool,
    ) -> Download:
        page: Download = await self._carry(exchange, ask, timeout_s, None, NO_HEADERS)
        self.bytes_moved += len(page.content)
        self._here.got_page()
        return page

    async def _carry(
        self,
        exchange: Exchange[Any, Any],
        ask: Any,
        timeout_s: float,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> Any:
        """What the other side answers, in time. PeerFailed when anything goes wrong."""
        if not self._here.alive:
            raise PeerFailed("internal", "this process was killed")
        outcome = "internal"
        until_s = asyncio.get_running_loop().time() + timeout_s
        try:
            reply = await self._ask(until_s, exchange, ask, body, headers)
            outcome = "ok"
            return reply
        except TimeoutError:
            outcome = "timeout"
            raise PeerFailed("timeout", "no answer in time") from None
        except Refusal as refusal:
            outcome = refusal.problem.code
            raise as_told(refusal) from None
        except PeerFailed as failure:
            outcome = failure.reason
            raise
        finally:
            if self._here.alive:
                self._network.trace.note(f"{self._line} {exchange.path} {outcome}")

    async def _ask(
        self,
        until_s: float,
        exchange: Exchange[Any, Any],
        ask: Any,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> Any:
        rng = self._network.rng
        await self._travel(until_s)
        there = self._network.listening.get(self._url)
        if there is None:
            raise PeerFailed("refused", "nobody listens there")
        if there.frozen:
            await _silence(until_s)
        weather = self._network.weather_of(self._line)
        if weather.twice and rng.random() < weather.twice:
            self._ask_again_later(rng.uniform(0, AGAIN_S), exchange, ask, body, headers)
        reply = await _answer(there, until_s, exchange, ask, body, headers)
        if not there.alive:
            raise PeerFailed("reset", "the connection broke")
        if weather is not CALM or exchange is STATUS:  # the clocks are compared by its two ways
            await self._travel(until_s)
        return _weathered(reply, weather, rng)  # in calm weather at once, which saves an event

    async def _travel(self, until_s: float) -> None:
        """One way. PeerFailed or TimeoutError when it leads nowhere in time."""
        weather, rng = self._network.weather_of(self._line), self._network.rng
        if weather is not CALM:
            if rng.random() < weather.reset:
                raise PeerFailed("reset", "the connection broke")
            if rng.random() < weather.lost:
                await _silence(until_s)
        least_s, most_s = weather.way_s
        way_s = least_s + (most_s - least_s) * rng.random()
        if asyncio.get_running_loop().time() + way_s > until_s:
            await _silence(until_s)
        await asyncio.sleep(way_s)

    def _ask_again_later(self, after_s: float, *question: Any) -> None:
        """Whoever listens there by then is asked, and nobody hears the answer."""

        def ask_again() -> None:
            there = self._network.listening.get(self._url)
            if there is not None and there.alive:
                there.start(_unheard(there.answer(*question)))

        asyncio.get_running_loop().call_later(after_s, ask_again)


async def _answer(
    there: Process, until_s: float, exchange: Exchange[Any, Any], *question: Any
) -> Any:
    """What it does there it does to its end, whoever has gone; to read does nothing."""
    if exchange.method == "GET":
        return await there.answer(exchange, *question)
    answer = there.start(there.answer(exchange, *question))
    try:
        async with asyncio.timeout_at(until_s):
            return await asyncio.shield(answer)
    except asyncio.CancelledError:
        if not answer.cancelled():
            raise
        return None  # it was killed


async def _silence(until_s: float) -> None:
    """Nothing comes any more."""
    await asyncio.sleep(until_s - asyncio.get_running_loop().time())
    raise TimeoutError


async def _unheard(answer: Awaitable[Any]) -> None:
    with suppress(Refusal):
        await answer


def _weathered(reply: Any, weather: Weather, rng: Random) -> Any:
    """A page as it comes out of a bad line."""
    if not isinstance(reply, Download):
        return reply
    if weather.cut and rng.random() < weather.cut:
        raise PeerFailed("reset", "the answer was cut short")
    if weather.damaged and rng.random() < weather.damaged:
        content = bytearray(reply.content)
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        return Download(bytes(content), reply.headers)
    return reply


_DECODERS: dict[str, Callable[[bytes], Any]] = {}


def _decoder(exchange: Exchange[Any, T]) -> Callable[[bytes], T]:
    key = f"{exchange.method} {exchange.path}"
    if key not in _DECODERS:
        _DECODERS[key] = msgspec.json.Decoder(exchange.reply).decode
    return _DECODERS[key]
