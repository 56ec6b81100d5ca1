"""A real node and a real central, each in a folder of its own, and a client to ask them."""

import io
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession
from aiohttp.web import Application
from yarl import URL

from central import app as central_app
from central.settings import CentralSettings
from cluster.handshakes import listening
from cluster.problem import CODES, MEDIA_TYPE, Problem
from cluster.protocol.shared import Receipt, RecordPage
from cluster.server import base_url, bind, runner_of
from node import app as node_app
from node.settings import NodeSettings

TOKEN = "a-token-for-protocol-tests-0123456789"


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    def problem(self, code: str) -> Problem:
        """The problem that this answer must be, in every respect."""
        problem = msgspec.json.decode(self.body, type=Problem)
        assert problem.code == code, self.body
        assert (problem.status, problem.title) == CODES[code]
        assert problem.status == self.status
        assert problem.type == f"urn:tidehold:problem:{code}"
        assert problem.detail
        assert self.headers["Content-Type"] == MEDIA_TYPE
        return problem

    def receipt(self) -> Receipt:
        """The receipt that this answer must be; its numbers add up."""
        assert self.status == 200, self.body
        receipt = msgspec.json.decode(self.body, type=Receipt)
        parts = receipt.inserted + receipt.duplicate + receipt.conflict + len(receipt.rejected)
        assert receipt.received == parts
        assert len(receipt.conflicts) == receipt.conflict
        return receipt


class Api:
    """One service, asked as a client does. No answer may ever show the inside of the service."""

    def __init__(self, session: ClientSession, base: URL) -> None:
        self.base = base
        self._session = session

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str | None = "application/json",
        authorization: str | None = f"Bearer {TOKEN}",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask with the path and the body just as they are; structures become JSON."""
        if isinstance(body, dict | list):
            body = msgspec.json.encode(body)
        if isinstance(body, bytes):
            body = io.BytesIO(body)
        sent = dict(headers or {})
        if body is not None and content_type is not None:
            sent["Content-Type"] = content_type
        if authorization is not None:
            sent["Authorization"] = authorization
        url = URL(f"{self.base}{path.removeprefix('/')}", encoded=True)
        async with self._session.request(
            method, url, data=body, headers=sent, allow_redirects=False
        ) as response:
            answer = Answer(response.status, response.headers, await response.read())
        assert b"Traceback" not in answer.body
        assert b'File "' not in answer.body
        return answer

    async def post_rows(self, body: Any, content_type: str = "application/x-ndjson") -> Answer:
        """POST rows to a node."""
        return await self.ask("POST", "/v1/records", body, content_type=content_type)

    async def stored(self) -> RecordPage:
        """All that a node holds."""
        answer = await self.ask("GET", "/v1/records?limit=5000")
        assert answer.status == 200, answer.body
        return msgspec.json.decode(answer.body, type=RecordPage)

    async def payloads(self) -> list[str]:
        """All that a node holds, byte for byte."""
        return [bytes(record.payload).decode() for record in (await self.stored()).records]


@asynccontextmanager
async def serving(app: Application, tls: ssl.SSLContext | None = None) -> AsyncIterator[URL]:
    """Serve an app just as `cluster.server.run` does, on a free port."""
    runner = runner_of(app)
    listener = bind("127.0.0.1", 0)
    try:
        await runner.setup()
        async with listening(runner, listener, tls):
            yield URL(base_url(listener, tls) + "/")
    finally:
        await runner.cleanup()


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    """It takes nothing compressed unless a test says so."""
    async with ClientSession(
        auto_decompress=False, skip_auto_headers=("Accept-Encoding",)
    ) as session:
        yield session


@pytest.fixture
async def node(tmp_path: Path, session: ClientSession) -> AsyncIterator[Api]:
    """The node n1, without a source of its own."""
    settings = NodeSettings(name="n1", data=str(tmp_path / "n1"), source="none")
    app = node_app.build_app(settings, TOKEN, "http://127.0.0.1:1")
    async with serving(app) as base:
        yield Api(session, base)


@pytest.fixture
async def central(tmp_path: Path, session: ClientSession) -> AsyncIterator[Api]:
    """Central, which knows no node yet."""
    settings = CentralSettings(data=str(tmp_path / "central"), ntp_port=0)
    async with serving(central_app.build_app(settings, TOKEN)) as base:
        yield Api(session, base)


@pytest.fixture(params=["node", "central"])
def service(request: pytest.FixtureRequest) -> Api:
    """Each of the two services in turn."""
    api: Api = request.getfixturevalue(request.param)
    return api
