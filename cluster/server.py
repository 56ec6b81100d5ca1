"""The server side of exchanges: routes, the middleware, and the life of a service.

`serve` makes the route of an exchange and a handler; `fence` asks for the token, turns every
refusal into problem+json and everything unexpected into `internal` with its traceback in the
log only; `run` binds the port first, opens the app, and stops on a signal or on a crash.
"""

import asyncio
import errno
import logging
import math
import re
import signal
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from cluster import door
from cluster.compression import NAME, WORTH_BYTES, NotCompressed, compress, decompress
from cluster.door import DOOR, Door
from cluster.exchange import JSON, AskT, Exchange, ReplyT
from cluster.handler import Runner, problem_response
from cluster.handshakes import listening
from cluster.logs import GREETING
from cluster.problem import Refusal
from cluster.query import values_of
from cluster.shape import wording
from cluster.trust.gate import Gate, permit
from cluster.trust.keyring import Keyring

log = logging.getLogger(__name__)
encode = msgspec.json.encode

_QUALITY = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")

STOP = signal.SIGTERM, signal.SIGINT
SHUTDOWN_S = 2.0  # for requests that have begun; those that are cut off then have a second
INLINE_BYTES = 32 * 1024  # work on more than this would hold up everybody else's requests


class PortTaken(Exception):
    """Another program listens on this port, or the address is not of this machine."""


def serve(
    exchange: Exchange[AskT, ReplyT],
    handler: Callable[[web.Request, AskT], Awaitable[ReplyT | web.StreamResponse]],
) -> web.RouteDef:
    """The route of an exchange: reads the ask, calls the handler, writes its reply."""

    async def endpoint(request: web.Request) -> web.StreamResponse:
        permit(request, exchange)
        reply = await handler(request, await _ask(request, exchange))
        if isinstance(reply, web.StreamResponse):
            return reply
        response = web.Response(body=encode(reply), status=exchange.status, content_type=JSON)
        return await compressed(request, response)

    exactly = {"allow_head": False} if exchange.method == "GET" else {}
    return web.RouteDef(exchange.method, exchange.path, endpoint, exactly)


async def _ask(request: web.Request, exchange: Exchange[AskT, ReplyT]) -> AskT:
    """The ask of a request, checked. Refusal when it is not one."""
    query = dict(request.query)
    if len(query) != len(request.query):
        raise Refusal("bad_value", "a query parameter is given twice")
    if query and exchange.has_body:
        raise Refusal("bad_value", "no query parameters here; values go into the body")
    fields = values_of(query, exchange.ask)
    if exchange.has_body and exchange.takes == (JSON,):
        fields = await _json_object(request, exchange.body_max)
    if twice := fields.keys() & request.match_info.keys():
        raise Refusal("bad_value", f"{min(twice)}: stands in the path already")
    fields |= values_of(request.match_info, exchange.ask)
    try:
        return msgspec.convert(fields, exchange.ask)
    except msgspec.ValidationError as error:
        raise Refusal("bad_value", wording(error, exchange.ask)) from None


def _number(text: str) -> int | float:
    """A number with a fraction; 5.0 is a whole one, as in JSON Schema."""
    value = float(text)
    if math.isinf(value):
        raise msgspec.DecodeError("number out of range")
    return int(value) if value.is_integer() and abs(value) < 2**63 else value


_OBJECT = msgspec.json.Decoder(dict[str, Any], float_hook=_number)


async def _json_object(request: web.Request, limit: int) -> dict[str, Any]:
    body = await read_body(request, limit, (JSON,))
    if not body:
        return {}
    try:
        return _OBJECT.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal("bad_json", f"a JSON object is needed: {wording(error)}") from None


async def compressed(request: web.Request, response: web.Response) -> web.Response:
    """The answer, smaller where the other side says that it can unpack it."""
    body, wish = response.body, request.headers.get("Accept-Encoding")
    wanted = wish is not None and _media_ranges(wish).get(NAME, 0.0) > 0
    if wanted and isinstance(body, bytes) and len(body) >= WORTH_BYTES:
        small = len(body) <= INLINE_BYTES
        response.body = compress(body) if small else await asyncio.to_thread(compress, body)
        response.headers["Content-Encoding"] = NAME
    return response


async def read_body(request: web.Request, limit: int, takes: tuple[str, ...]) -> bytes:
    """The whole body, unpacked. Refusal over `limit` bytes, for another type or encoding."""
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if encoding not in ("identity", NAME):
        raise Refusal("unsupported_type", f"send the body without Content-Encoding, or as {NAME}")
    body = await _read_plain(request, limit, takes)
    if encoding != NAME:
        return body
    try:
        return await asyncio.to_thread(decompress, body, limit)
    except NotCompressed as error:
        raise Refusal("bad_request", f"Content-Encoding: {error}") from None


async def _read_plain(request: web.Request, limit: int, takes: tuple[str, ...]) -> bytes:
    if request.can_read_body and request.content_type not in takes:
        raise Refusal("unsupported_type", f"send Content-Type: {' or '.join(takes)}")
    if (request.content_length or 0) > limit:
        raise Refusal("too_large", f"at most {limit} bytes; send it in parts")
    parts, size = [], 0
    try:
        async with asyncio.timeout(door.BODY_S):
            async for chunk in request.content.iter_any():
                size += len(chunk)
                if size > limit:
                    raise Refusal("too_large", f"at most {limit} bytes; send it in parts")
                parts.append(chunk)
    except TimeoutError:
        raise Refusal("too_slow", f"no whole body came in {door.BODY_S:g} s; send less") from None
    return b"".join(parts)


def accepted(request: web.Request, gives: tuple[str, ...]) -> str:
    """The media type to answer with, by the Accept header (RFC 9110, 12.5.1).

    Refusal when none fits. Of those wanted equally the one that was named, else our usual one.
    """
    ranges = _media_ranges(",".join(request.headers.getall("Accept", ["*/*"])))
    wishes = {kind: max(_wishes(kind, ranges), default=(0, 0.0)) for kind in gives}
    best = max(gives, key=lambda kind: (wishes[kind][1], wishes[kind][0]))
    if not wishes[best][1]:
        raise Refusal("not_acceptable", f"this can be had as {', '.join(gives)}")
    return best


def _media_ranges(header: str) -> dict[str, float]:
    """Each media range with its quality; one that cannot be read counts as 1."""
    ranges: dict[str, float] = {}
    for part in header.lower().split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        qualities = [found[1] for one in parameters if (found := _QUALITY.fullmatch(one))]
        ranges[kind or "*/*"] = float(qualities[0]) if qualities else 1.0
    return ranges


def _wishes(kind: str, ranges: dict[str, float]) -> list[tuple[int, float]]:
    """How exactly each range that fits names this media type, and how much it is wanted."""
    fitting = enumerate(("*/*", f"{kind.partition('/')[0]}/*", kind))
    return [(exact, ranges[one]) for exact, one in fitting if one in ranges]


def fence(gate: Gate | str, exchanges: tuple[Exchange[Any, Any], ...]) -> Middleware:
    """Nobody in who does not pass the gate; nothing out but replies and problems.

    `gate`: or the one token that opens everything.
    """
    public = {exchange.path for exchange in exchanges if exchange.public}
    gate = Gate(Keyring.of(gate)) if isinstance(gate, str) else gate

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            gate.check_site(request)
            if request.path not in public:
                gate.admit(request)
            return await handler(request)
        except Refusal as refusal:
            return problem_response(refusal.problem)
        except web.RequestPayloadError as error:
            return problem_response(Refusal("bad_request", f"the body broke off: {error}").problem)
        except (web.HTTPException, ConnectionError, asyncio.CancelledError):
            raise  # cluster.handler tells of these, from wherever they come
        except Exception:
            log.exception("request failed", extra={"event": "bug", "path": request.path})
            return problem_response(
                Refusal("internal", "the service's log has the details").problem
            )

    return guard


def bind(host: str, port: int) -> socket.socket:
    """A listening TCP socket, before anything else is opened. PortTaken says what to do."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=256)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(
                f"port {port} on {host} is taken; stop the other program or give --port"
            ) from None
        raise PortTaken(f"cannot listen on {host} port {port}: {error.strerror}") from None
    except OverflowError:
        raise PortTaken(f"there is no port {port}; ports go from 0 to 65535") from None


def base_url(listener: socket.socket, tls: ssl.SSLContext | None = None) -> str:
    """The URL of a listening socket, with the port that it really got."""
    host, port = listener.getsockname()[:2]
    scheme, name = "https" if tls else "http", f"[{host}]" if ":" in host else host
    return f"{scheme}://{name}:{port}"


def runner_of(app: web.Application) -> Runner:
    """What serves an app, the same everywhere."""
    app[DOOR] = Door()
    return Runner(
        app,
        access_log=None,
        shutdown_timeout=SHUTDOWN_S,
        keepalive_timeout=door.IDLE_S,
        handler_cancellation=False,
        auto_decompress=False,  # read_body unpacks, and no more than it may
    )


async def run(
    app: web.Application,
    listener: socket.socket,
    greeting: str,
    tls: ssl.SSLContext | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, or until a background task of the app crashes.

    A second signal ends the process at once. A crash comes out of here as an exception group: a
    service never runs on without a part.
    """
    stop = _stop_asked()
    runner = runner_of(app)
    try:
        await runner.setup()
        async with listening(runner, listener, tls):
            log.info(greeting, extra={"event": GREETING})
            await stop.wait()
            log.info("stopping", extra={"event": "stopping"})
    finally:
        await runner.cleanup()


def _stop_asked() -> asyncio.Event:
    """Set by the first signal; the second is the kernel's, and ends whatever hangs."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ask() -> None:
        stop.set()
        for number in STOP:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in STOP:
        loop.add_signal_handler(number, ask)
    return stop
