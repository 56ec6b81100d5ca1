"""What HTTP itself refuses, told in our words.

For a request that is not HTTP, aiohttp would answer with text/plain, echo what was sent and log
it with a traceback: a token in a broken header would end up in the log file.
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


class _Handler(RequestHandler):
    __slots__ = ()

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
            refusal = Refusal("bad_request", "the request line, a header or the body is malformed")
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
