"""The console's web server: its page, textual-serve's script, and a socket for each tab."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from aiohttp import WSCloseCode, web
from textual_serve.server import Server

from console.web.front import SOCKET_PATH, front, protect
from console.web.tab import Tab, side

PAGE = Path(__file__).parent / "page"
TABS_MAX = 8  # each is a process of 50 MB
HEARTBEAT_S = 15.0  # a browser that is gone without a word is noticed after this
CLOSE_S = 2.0


def make_app(
    key: str, port: int, argv: Sequence[str], env: Mapping[str, str], *, tabs_max: int = TABS_MAX
) -> web.Application:
    """What serves a console to each tab of who has the key.

    It is started as `argv`, with `env` beside this process's environment.
    """
    app = web.Application(middlewares=[front(key, port)])
    tabs = Tabs(argv, env, tabs_max)
    app.add_routes(tabs.routes())
    app.on_shutdown.append(tabs.close)
    protect(app, port)
    return app


class Tabs:
    """The tabs that are open, and where they get what they need."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], most: int) -> None:
        self._argv = argv
        self._env = env
        self._most = most
        self._textual = Server("console")  # for its script and its downloads; it serves nothing
        self._sockets: set[web.WebSocketResponse] = set()

    def routes(self) -> list[web.AbstractRouteDef]:
        """The page, and all that it asks for."""
        return [
            web.get("/", self._page),
            web.get(SOCKET_PATH, self._tab),
            web.get("/download/{key}", self._textual.handle_download),
            web.static("/static", self._textual.statics_path),
            web.static("/page", PAGE),
        ]

    async def close(self, app: web.Application) -> None:
        """Close every tab; their consoles end with them."""
        why = b"The console's server was stopped."
        await asyncio.gather(
            *(socket.close(code=WSCloseCode.GOING_AWAY, message=why) for socket in self._sockets)
        )

    async def _page(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(PAGE / "index.html")

    async def _tab(self, request: web.Request) -> web.StreamResponse:
        """A console for as long as somebody looks at it."""
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, timeout=CLOSE_S)
        await socket.prepare(request)
        if len(self._sockets) >= self._most:
            why = f"{self._most} tabs are open already. Close one of them, then open this again."
            await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=why.encode())
            return socket
        self._sockets.add(socket)
        tab = Tab(self._argv, self._env, socket, self._textual.download_manager)
        try:
            await tab.start(_cells(request, "width", 80), _cells(request, "height", 24))
            await tab.listen()
        except OSError as error:
            why = f"The console cannot be started: {error.strerror}"
            await socket.close(code=WSCloseCode.INTERNAL_ERROR, message=why.encode())
        finally:
            await tab.stop()
            self._sockets.discard(socket)
        return socket


def _cells(request: web.Request, name: str, usual: int) -> int:
    text = request.query.get(name, "")
    return side(int(text)) if text.isascii() and text.isdigit() and len(text) < 9 else usual
