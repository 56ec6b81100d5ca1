"""Who may speak to the console in a browser: whoever opened the address that was printed.

A loopback port is open to every user of this machine, and to every page in this browser. So all,
down to the last script, needs the key, by a cookie that the printed address sets; a request must
name this very server (a foreign name may be made to point here), and one that acts must come from
this server's own page, as cookies do not tell one port from another.
"""

import hmac
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from console.web.settings import HOST

SOCKET_PATH = "/ws"
NO_KEY = "This console opens only by the address that was printed when it was started."
WRONG_KEY = "This key does not fit. Each start of the console makes a new one."
FOREIGN_HOST = (
    "This console answers under its own address only. If you come through an SSH tunnel, "
    "take the same port at both ends: ssh -L {port}:127.0.0.1:{port} HOST"
)
FOREIGN_ORIGIN = "Another page asked for this, not the console's own."
REFUSAL = """\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>Tidehold</title>
<link rel="icon" href="data:,">
<style>
  body {{ max-width: 40em; margin: 15vh auto; padding: 0 1em; line-height: 1.6;
         font-family: ui-monospace, monospace; color: #dde3ea; background: #11161c }}
  code {{ font: inherit; color: #6fc3df }}
</style>
<h1>Not let in</h1>
<p>{why}</p>
<p>Copy the whole address from the terminal where the console was started:
<code>http://127.0.0.1:{port}/?key=...</code></p>
</html>
"""


def front(key: str, port: int) -> Middleware:
    """Nobody in without the key, from a foreign page, or under a foreign name."""
    hosts = hosts_of(port)
    cookie = f"tidehold-{port}"  # a name for each port: cookies are shared by all of a host

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = request.headers.get("Host", "")
        acts = request.method != "GET" or request.path == SOCKET_PATH
        origin = request.headers.get("Origin", "" if acts else f"http://{host}")
        if host not in hosts:
            return _refused(FOREIGN_HOST.format(port=port), port)
        if origin != f"http://{host}":
            return _refused(FOREIGN_ORIGIN, port)
        if request.path == "/" and "key" in request.query:
            if not _equal(request.query["key"], key):
                return _refused(WRONG_KEY, port)
            return _let_in(cookie, key)
        if not _equal(request.cookies.get(cookie, ""), key):
            return _refused(NO_KEY, port)
        return await handler(request)

    return guard


def hosts_of(port: int) -> tuple[str, ...]:
    """How this server may be called in a Host header."""
    return tuple(f"{name}:{port}" if port != 80 else name for name in (HOST, "localhost"))


def protect(app: web.Application, port: int) -> None:
    """Have every answer say what the browser may do with it: nothing but to show the console."""
    sockets = " ".join(f"ws://{host}" for host in hosts_of(port))  # not 'self' to every browser
    headers = {
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; img-src data:; font-src 'self'; "
            "style-src 'self' 'unsafe-inline'; "  # the terminal writes sheets of its own
            f"connect-src 'self' {sockets}; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        "Cache-Control": "no-store",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }

    async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(headers)

    app.on_response_prepare.append(add_headers)


def _equal(given: str, key: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), key.encode())


def _let_in(cookie: str, key: str) -> web.Response:
    """To the page, without the key in its address."""
    response = web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": "/"})
    response.set_cookie(cookie, key, path="/", httponly=True, samesite="Strict")
    return response


def _refused(why: str, port: int) -> web.Response:
    page = REFUSAL.format(why=why, port=port)
    return web.Response(status=HTTPStatus.FORBIDDEN, text=page, content_type="text/html")
