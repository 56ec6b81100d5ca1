"""The console's web server on a port of its own, and visitors with and without its key."""

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from cluster.server import base_url, bind, runner_of
from cluster.settings import TOKEN_VARIABLE
from console.web.app import make_app
from console.web.settings import HOST, make_key
from tests.console.fake_central import TOKEN

ROOT = Path(__file__).parents[3]
STAND_IN = [sys.executable, "-S", str(Path(__file__).parent / "stand_in.py")]


class Visitor:
    """Asks the server for things, by default as its own page would with the key's cookie."""

    def __init__(
        self, session: aiohttp.ClientSession, runner: web.AppRunner, url: str, key: str
    ) -> None:
        self.stop_server = runner.cleanup
        self.url = url
        self.key = key
        self.port = int(url.rpartition(":")[2])
        self.cookie = {"Cookie": f"tidehold-{self.port}={key}"}
        self._session = session

    async def get(
        self, path: str, headers: dict[str, str], method: str = "GET"
    ) -> aiohttp.ClientResponse:
        """The answer, read to its end."""
        async with self._session.request(
            method, self.url + path, headers=headers, allow_redirects=False
        ) as answer:
            await answer.read()
            return answer

    async def socket(self, **more: str) -> aiohttp.ClientWebSocketResponse:
        """A tab's socket; WSServerHandshakeError when it is refused."""
        headers = self.cookie | {"Origin": self.url} | more
        return await self._session.ws_connect(f"{self.url}/ws?width=80&height=24", headers=headers)


@asynccontextmanager
async def visited(
    argv: Sequence[str] = STAND_IN, env: dict[str, str] | None = None, **more: Any
) -> AsyncIterator[Visitor]:
    """The server while it serves `argv`."""
    key, listener = make_key(), bind(HOST, 0)
    url = base_url(listener)
    app = make_app(key, listener.getsockname()[1], argv, env or {}, **more)
    runner = runner_of(app)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    try:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            yield Visitor(session, runner, url, key)
    finally:
        await runner.cleanup()


async def start(
    *flags: str, token: str | None = TOKEN, variables: dict[str, str] | None = None
) -> Process:
    """`python -m console.web`, with no settings but these."""
    env = {key: text for key, text in os.environ.items() if not key.startswith("TIDEHOLD")}
    env |= ({TOKEN_VARIABLE: token} if token else {}) | (variables or {})
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "console.web", *flags), stdout=PIPE, stderr=PIPE, cwd=ROOT, env=env
    )


@asynccontextmanager
async def program(central: str) -> AsyncIterator[tuple[Process, str]]:
    """The program on a free port while it runs, and the address that it printed."""
    process = await start(f"--central={central}", "--port=0")
    assert process.stdout is not None
    try:
        line = (await process.stdout.readline()).decode()
        found = re.search(r"http://127\.0\.0\.1:[0-9]+/\?key=\S+", line)
        assert found is not None, line
        yield process, found[0]
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()
