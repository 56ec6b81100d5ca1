"""What HTTP itself refuses, told in our words, and how long it may take.

For a request that is not HTTP, aiohttp would answer with text/plain, echo what was sent and log
it with a traceback: a token in a broken header would end up in the log file. Its own errors are
text/plain as well, some of them (417) from outside of every middleware. It waits for ever for a
header, and for whoever does not read his answer; at a stop it hears nothing more, so that an
upload that has begun could never be answered. All this rests on protected parts of it, which
tests/requests shows to be there at each new version.
"""

import asyncio
import logging
from typing import Any, cast

import msgspec
from aiohttp import web
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from cluster import door
from cluster.door import DOOR, Door, address_of
from cluster.problem import MEDIA_TYPE, Problem, Refusal

log = logging.getLogger(__name__)

CUT_S = 0.5  # aiohttp waits so long twice


def problem_response(problem: Problem) -> web.Response:
    """The HTTP answer that carries a problem."""
    headers = {}
    if problem.retry_after_s is not None:
        headers["Retry-After"] = str(problem.retry_after_s)
    if problem.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return web.Response(
        body=msgspec.json.encode(problem),
        status=problem.status,
        content_type=MEDIA_TYPE,
        headers=headers,
    )


def _http_refused(error: web.HTTPException) -> web.Response:
    """aiohttp's own errors in our words."""
    codes = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
    code = codes.get(error.status, "bad_request" if error.status < 500 else "internal")
    allowed = error.headers.get("Allow")
    refusal = Refusal(code, f"allowed: {allowed}" if allowed else error.reason)
    response = problem_response(refusal.problem)
    if allowed:
        response.headers["Allow"] = allowed
    return response


class _Handler(RequestHandler):
    """One connection: a guest at the door."""

    __slots__ = ("_door", "_due", "_left", "_left_s", "_line", "_stopped", "_taking", "address")

    def __init__(self, server: "_Server", **settings: Any) -> None:
        super().__init__(server, **settings)
        self._door = server.door
        self._due: asyncio.TimerHandle | None = None  # when the header must have come
        self._taking: asyncio.TimerHandle | None = None  # when to look whether answers are taken
        self._left, self._left_s = 0, 0.0  # bytes that were waiting to be taken, and when
        self._stopped = False  # while a request was coming in

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._line = cast(asyncio.Transport, transport)
        self.address = address_of(transport.get_extra_info("peername"))
        try:
            self._door.enter(self)
        except Refusal as refusal:
            self._refuse(refusal)
        else:
            self._due = self._loop.call_later(door.HEADER_S, self._header_is_due)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._door.leave(self)
        for timer in (self._due, self._taking):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def make_room(self) -> None:
        self.force_close()

    def close(self) -> None:
        """Nothing after the request that is being read or answered."""
        self._stopped = self._request_in_progress and not self._close
        super().close()

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        """Wait until what was begun is answered; cut off what is not in time."""
        if self._request_in_progress:
            self._handler_waiter = self._loop.create_future()
            await asyncio.wait([self._handler_waiter], timeout=timeout)
            self._handler_waiter = None
        await super().shutdown(CUT_S)

    def data_received(self, data: bytes) -> None:
        before = self._request_count
        if data:
            self._door.busy(self)
        self._close &= not self._stopped  # or aiohttp would not hear the rest of the request
        super().data_received(data)
        self._close |= self._stopped
        if self._request_count != before:
            if self._due is not None:
                self._due.cancel()
                self._due = None
        elif self._due is None and self._awaits_request():  # the beginning of a further one
            self._due = self._loop.call_later(door.HEADER_S, self._header_is_due)

    def _awaits_request(self) -> bool:
        return self._waiter is not None and not self._waiter.done()

    def _header_is_due(self) -> None:
        self._due = None
        if not self._awaits_request():
            return
        if self._door.is_idle(self):  # where nothing was asked nothing is answered
            self._door.cut("silent")
            self.force_close()
        else:
            self._door.cut("slow_header")
            self._refuse(Refusal("too_slow", f"no whole header came in {door.HEADER_S:g} s"))

    def _refuse(self, refusal: Refusal) -> None:
        """Answer without a request, hear nothing more, and close."""
        self._messages.append((_ErrInfo(refusal.problem.status, refusal, ""), EMPTY_PAYLOAD))
        self._close = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_taking()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._watch_taking()

    def _watch_taking(self) -> None:
        """Note how much of the answers waits to be taken, and look again later if any does."""
        self._left = self._line.get_write_buffer_size()
        if self._left:
            self._left_s = self._loop.time()
            if self._taking is None:
                self._taking = self._loop.call_later(door.TAKE_S, self._look_at_taking)

    def _look_at_taking(self) -> None:
        self._taking = None
        left, now_s = self._line.get_write_buffer_size(), self._loop.time()
        if left >= self._left > 0 and now_s - self._left_s >= door.TAKE_S:
            self._door.cut("slow_reader")
            self._line.abort()  # to close it would be to wait until it was taken
        else:
            self._watch_taking()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if isinstance(resp, web.HTTPException):
            resp = _http_refused(resp)
        self._door.answers[resp.status] += 1
        finished = await super().finish_response(request, resp, start_time)
        if not self._line.is_closing():
            self._watch_taking()
            if not self._messages:
                self._door.idle(self)
        return finished

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has been begun already")
        response = problem_response(self._refusal(status, exc).problem)
        response.force_close()
        return response

    def _refusal(self, status: int, error: BaseException | None) -> Refusal:
        """What to say about a request that came to no answer."""
        if isinstance(error, Refusal):
            return error
        if status < 500:
            self._door.cut("bad_http")
            return Refusal(
                "bad_request", "the request line, a header or the body is malformed or too long"
            )
        if isinstance(error, ConnectionError):
            self._door.cut("broken")
            return Refusal("bad_request", "the request broke off")
        log.error("request failed", exc_info=error, extra={"event": "bug"})
        return Refusal("internal", "the service's log has the details")


class _Server(web.Server):
    door: Door

    def __call__(self) -> RequestHandler:
        return _Handler(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """aiohttp's runner with our handler of connections."""

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        server.__class__ = _Server  # aiohttp has no place to name a class of one's own
        assert isinstance(server, _Server)
        server.door = self.app[DOOR]
        return server
