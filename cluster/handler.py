"""What HTTP itself refuses, told in our words.

For a request that is not HTTP, aiohttp would answer with text/plain, echo what was sent and log
it with a traceback: a token in a broken header would end up in the log file. Its own errors are
text/plain as well, some of them (417) from outside of every middleware.
"""

import logging

import msgspec
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from cluster.problem import MEDIA_TYPE, Problem, Refusal

log = logging.getLogger(__name__)


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
    __slots__ = ()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if isinstance(resp, web.HTTPException):
            resp = _http_refused(resp)
        return await super().finish_response(request, resp, start_time)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has been begun already")
        if status < 500:
            log.info("a request is not HTTP", extra={"event": "bad-request"})
            refusal = Refusal(
                "bad_request", "the request line, a header or the body is malformed or too long"
            )
        elif isinstance(exc, ConnectionError):
            log.info("a request broke off", extra={"event": "bad-request"})
            refusal = Refusal("bad_request", "the request broke off")
        else:
            log.error("request failed", exc_info=exc, extra={"event": "bug"})
            refusal = Refusal("internal", "the service's log has the details")
        response = problem_response(refusal.problem)
        response.force_close()
        return response


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Handler(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """aiohttp's runner with our handler of broken requests."""

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        server.__class__ = _Server  # aiohttp has no place to name a class of one's own
        return server
