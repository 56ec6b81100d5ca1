"""A peer: another member of the cluster, asked through exchanges.

This is the only place where a foreign client error becomes one of ours. The peer may be hostile:
every answer has one total deadline and a size limit, is not decompressed, redirected or believed
before it fits its type.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Hashable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, cast

import aiohttp
import msgspec
from yarl import URL

from cluster import compression
from cluster.compression import NAME, WORTH_BYTES
from cluster.exchange import JSON, AskT, Exchange, ReplyT
from cluster.problem import Problem
from cluster.text import visible
from cluster.throttle import UNLIMITED, Throttle
from cluster.trust.reach import OutOfReach, Reach

Reason = Literal[
    "refused",  # nobody listens there
    "unreachable",  # no way leads there
    "dns",
    "timeout",
    "reset",  # the connection broke
    "tls",
    "forbidden_address",  # central's --node-net
    "auth",  # 401, 403
    "redirect",
    "http_4xx",
    "http_5xx",
    "too_large",
    "bad_json",
    "bad_schema",
    "bad_http",
    "wrong_node",
    "epoch_changed",
    "internal",  # our own fault: never counts against the peer
]

DETAIL_MAX = 300
INLINE_BYTES = 16 * 1024  # larger contents are unpacked in a thread
PIECE_BYTES = 16 * 1024  # of a body that is sent at a limited rate
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
#: Refusals that another moment may change: what was damaged on its way is sent again.
PASSING = ("too_slow", "too_many_requests", "status_old", "bad_page", "bad_request")
#: This machine's own want: tells nothing about the peer.
OUR_WANT = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL}


class PeerFailed(Exception):
    """An exchange that did not come off: `reason` for programs, `detail` for people.

    `problem` is the peer's own refusal where it gave one.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str,
        problem: Problem | None = None,
        retry_after_s: float = 0.0,
    ) -> None:
        self.reason: Reason = reason
        self.detail = detail[:DETAIL_MAX]  # a peer may have written it
        super().__init__(f"{reason}: {self.detail}")
        self.problem = problem
        self.retry_after_s = retry_after_s  # the peer asks for so much time

    @property
    def definite(self) -> bool:
        """True when the peer said no: asking the same again gives the same answer."""
        passing = self.problem is not None and self.problem.code in PASSING
        return self.reason in ("auth", "http_4xx", "wrong_node") and not passing


def open_session(
    tls: ssl.SSLContext | None = None, reach: Reach | None = None
) -> aiohttp.ClientSession:
    """The one client session of a process, tuned for many peers.

    `tls`: whom it believes, else whom the system believes; `reach`: where it may go, else anywhere.
    """
    dial = reach.open_socket if reach is not None else None
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0, limit_per_host=0, ssl=tls or True, socket_factory=dial
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        skip_auto_headers=("Accept-Encoding", "User-Agent"),
    )


@lru_cache
def _in_all(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds)


@lru_cache
def _decoder(reply: Hashable) -> "msgspec.json.Decoder[Any]":
    return msgspec.json.Decoder(cast(Any, reply))


_PROBLEM = msgspec.json.Decoder(Problem)


class Download(NamedTuple):
    """A content as it came, with its headers."""

    content: bytes
    headers: Mapping[str, str]


class Peer:
    """One member at one base URL."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        token: str | Callable[[], str],
        throttle: Throttle = UNLIMITED,
    ) -> None:
        """`token`: or what tells the one that is to be brought now."""
        self._session = session
        self.authorize(token)
        self._throttle = throttle
        self._base = base_url.rstrip("/")
        self._urls: dict[str, URL] = {}
        self.bytes_moved = 0

    def authorize(self, token: str | Callable[[], str]) -> None:
        """Ask with another token from now on."""
        self._token = token if callable(token) else lambda: token

    async def call(
        self,
        exchange: Exchange[AskT, ReplyT],
        ask: AskT,
        *,
        timeout_s: float,
        body: bytes | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
        compress: bool = False,
    ) -> ReplyT:
        """Ask, within `timeout_s` in all. PeerFailed for everything that goes wrong.

        `body`: sent as it is, as the exchange's first type unless `headers` say otherwise;
        `compress`: it and the answer may be compressed.
        """
        if compress:
            headers = {**headers, "Accept-Encoding": NAME}
            if body is not None and len(body) >= WORTH_BYTES:
                body = await asyncio.to_thread(compression.compress, body)
                headers = {**headers, "Content-Encoding": NAME}
        timeout = _in_all(timeout_s)
        with _OURS:
            async with self._request(exchange, ask, timeout, body, headers) as response:
                content = await self._read(response, exchange.reply_max)
        if response.status != exchange.status:
            raise _refused(response, content)
        return self._decode(exchange, content)

    async def download(
        self,
        exchange: Exchange[AskT, Any],
        ask: AskT,
        *,
        accept: str,
        timeout_s: float,
        compress: bool,
    ) -> Download:
        """Ask for a content as it is, of the type `accept`. PeerFailed as with `call`."""
        headers = {"Accept": accept} | ({"Accept-Encoding": NAME} if compress else {})
        timeout = _in_all(timeout_s)
        with _OURS:
            async with self._request(exchange, ask, timeout, None, headers) as response:
                content = await self._read(response, exchange.reply_max)
        if response.status != exchange.status:
            raise _refused(response, content)
        if response.content_type != accept:
            raise PeerFailed("bad_http", f"{accept} was asked for, not {response.content_type}")
        return Download(content, response.headers)

    @asynccontextmanager
    async def stream(
        self,
        exchange: Exchange[AskT, ReplyT],
        ask: AskT,
        *,
        connect_timeout_s: float,
        idle_s: float,
    ) -> AsyncIterator[AsyncIterator[tuple[str, bytes]]]:
        """Server-sent events as (event, data); `idle_s` is the longest silence allowed."""
        timeout = aiohttp.ClientTimeout(total=None, connect=connect_timeout_s, sock_read=idle_s)
        with _OURS:
            async with self._request(exchange, ask, timeout, None) as response:
                if response.status != exchange.status:
                    raise _refused(response, await self._read(response, exchange.reply_max))
                try:
                    yield _events(response, exchange.reply_max)
                finally:  # it has no end; over TLS a farewell would wait for the other side's
                    line = response.connection
                    if line is not None and line.transport is not None:
                        line.transport.abort()

    def _request(
        self,
        exchange: Exchange[AskT, ReplyT],
        ask: AskT,
        timeout: aiohttp.ClientTimeout,
        body: bytes | None,
        own_headers: Mapping[str, str] = NO_HEADERS,
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """The answer, open; to be entered where errors become ours."""
        headers = {"Authorization": f"Bearer {self._token()}", "Accept": JSON}
        if exchange.has_body:
            headers["Content-Type"] = exchange.takes[0]
        headers |= own_headers
        url, content = self._target(exchange, ask)
        return self._session.request(
            exchange.method,
            url,
            data=self._paced(content if body is None else body),
            headers=headers,
            timeout=timeout,
            allow_redirects=False,
        )

    async def _read(self, response: aiohttp.ClientResponse, limit: int) -> bytes:
        """The whole body, unpacked, never more than `limit` bytes of it."""
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding not in ("identity", NAME):
            raise PeerFailed("bad_http", "an encoded answer was not asked for")
        parts, size = [], 0
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > limit:
                raise PeerFailed("too_large", f"the answer is over {limit} bytes")
            parts.append(chunk)
            self.bytes_moved += len(chunk)
            await self._throttle.spend(len(chunk))
        content = b"".join(parts)
        if encoding == "identity":
            return content
        try:
            if len(content) <= INLINE_BYTES:
                return compression.decompress(content, limit)
            return await asyncio.to_thread(compression.decompress, content, limit)
        except compression.NotCompressed as error:
            raise PeerFailed("bad_http", str(error)) from None

    def _paced(self, body: bytes | None) -> bytes | AsyncIterator[bytes] | None:
        """A body to be sent, in pieces where there is a limit to the rate."""
        self.bytes_moved += len(body or b"")
        if body is None or not self._throttle.limited:
            return body
        return self._pieces(body)

    async def _pieces(self, body: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(body), PIECE_BYTES):
            piece = body[start : start + PIECE_BYTES]
            await self._throttle.spend(len(piece))
            yield piece

    def _target(self, exchange: Exchange[AskT, ReplyT], ask: AskT) -> tuple[URL, bytes | None]:
        """The URL, ready made where nothing varies, and the JSON body."""
        fields = {
            key: value
            for key, value in msgspec.to_builtins(ask).items()
            if f"{{{key}}}" not in exchange.path and value is not None
        }
        path = self._base + exchange.url_path(ask)
        if exchange.has_body:
            return URL(path, encoded=True), msgspec.json.encode(fields)
        if fields:
            return URL(path).with_query({key: _query(value) for key, value in fields.items()}), None
        if path != self._base + exchange.path:  # the path of one thing; there may be many
            return URL(path, encoded=True), None
        if path not in self._urls:
            self._urls[path] = URL(path, encoded=True)
        return self._urls[path], None

    def _decode(self, exchange: Exchange[AskT, ReplyT], content: bytes) -> ReplyT:
        try:
            if exchange.reply is str:
                return cast(ReplyT, content.decode())
            return cast(ReplyT, _decoder(cast(Hashable, exchange.reply)).decode(content))
        except msgspec.ValidationError as error:
            raise PeerFailed("bad_schema", str(error)) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise PeerFailed("bad_json", str(error)) from error


def _query(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


async def _events(response: aiohttp.ClientResponse, limit: int) -> AsyncIterator[tuple[str, bytes]]:
    """Split a text/event-stream (WHATWG HTML, 9.2) into its events; a comment is a "ping"."""
    pending = bytearray()
    async for chunk in response.content.iter_any():
        pending += chunk
        if len(pending) > limit:
            raise PeerFailed("too_large", f"an event is over {limit} bytes")
        while (end := pending.find(b"\n\n")) >= 0:
            event, lines = "message", []
            for line in bytes(pending[:end]).split(b"\n"):
                field, _, value = line.partition(b": ")
                if field == b"event":
                    event = value.decode()
                elif field == b"data":
                    lines.append(value)
            del pending[: end + 2]
            yield (event, b"\n".join(lines)) if lines else ("ping", b"")


def _refused(response: aiohttp.ClientResponse, content: bytes) -> PeerFailed:
    """An answer with an unexpected status, with the peer's reason where it gave one."""
    status = response.status
    try:
        problem = _PROBLEM.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        problem = None
    detail = f"{status} {problem.detail or problem.title}" if problem else f"status {status}"
    reason: Reason = "http_5xx" if status >= 500 else "http_4xx"
    if 300 <= status < 400:
        reason = "redirect"
    elif status in (401, 403):
        reason = "auth"
    elif problem is not None and problem.code == "epoch_changed":
        reason = "epoch_changed"
    return PeerFailed(reason, detail, problem, _retry_after_s(response))


def _retry_after_s(response: aiohttp.ClientResponse) -> float:
    """For how long a busy peer asks to be left alone; a date is not heeded: whose clock is it?"""
    text = response.headers.get("Retry-After", "")
    if response.status not in (429, 503) or not (text.isascii() and text.isdigit()):
        return 0.0
    return float(text[:9])


#: Foreign errors with what each is here, from the special to the general.
_KINDS: tuple[tuple[type[Exception], Reason, str], ...] = (
    (TimeoutError, "timeout", "no answer in time"),
    (aiohttp.ClientConnectorDNSError, "dns", "the name is not known"),
    (aiohttp.ClientSSLError, "tls", "the TLS connection was not accepted"),
    (ssl.SSLError, "tls", "the TLS connection was not accepted"),
    (socket.gaierror, "dns", "the name is not known"),
    (ConnectionRefusedError, "refused", "nobody listens there"),
    (aiohttp.ClientConnectorError, "refused", "no connection"),
    (aiohttp.ClientResponseError, "bad_http", "the answer is not valid HTTP"),
    (aiohttp.ClientPayloadError, "reset", "the answer was cut short"),
    (aiohttp.ClientConnectionError, "reset", "the connection broke"),
    (ConnectionError, "reset", "the connection broke"),
    (OutOfReach, "forbidden_address", "central may not go to this address (--node-net)"),
    (OSError, "unreachable", "no way leads there"),
    (ValueError, "bad_http", "the address is not a URL"),
)


class _Ours:
    """Inside of it, foreign client errors become ours."""

    def __enter__(self) -> None:
        """Nothing is to be prepared."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (aiohttp.ClientError, OSError, ValueError)):
            raise _failed(error) from error


_OURS = _Ours()


def _failed(error: Exception) -> PeerFailed:
    """A foreign client error as one of ours."""
    if type(error) is aiohttp.ClientConnectorError:  # what lies under it says more
        error = error.os_error
    if isinstance(error, OSError) and error.errno in OUR_WANT:
        return PeerFailed("internal", f"{type(error).__name__}: {error}")
    for kind, reason, text in _KINDS:
        if isinstance(error, kind):
            return PeerFailed(reason, f"{text}: {_tls_want(error)}" if reason == "tls" else text)
    return PeerFailed("bad_http", f"{type(error).__name__}: {error}")


def _tls_want(error: Exception) -> str:
    """What was wrong with the other side's certificate, or with its TLS."""
    under = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    why = getattr(under, "verify_message", None) or getattr(under, "reason", None) or ""
    return visible(str(why).lower().replace("_", " "))
