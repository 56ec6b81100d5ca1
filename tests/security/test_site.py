"""What a page of another site can have its reader's browser ask: nothing."""

from typing import Any

import pytest
from aiohttp import ClientSession

from tests.protocol.conftest import TOKEN, Api, central, node, service

__all__ = ["central", "node", "service"]
pytestmark = pytest.mark.fault(73)


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1", ""]
)
@pytest.mark.parametrize("path", ["/v1/status", "/healthz", "/nowhere"])
async def test_another_origin_is_refused_with_the_token_too(
    service: Api, origin: str, path: str
) -> None:
    answer = await service.ask("GET", path, headers={"Origin": origin})

    answer.problem("foreign_origin")
    assert not [name for name in answer.headers if name.startswith("Access-Control")]


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example:80",
        "localhost.evil.example",
        "169.254.1.1",
        "10.0.0.1",
    ],
)
async def test_another_name_for_this_machine_is_refused(service: Api, host: str) -> None:
    """DNS rebinding: the browser believes that it asks its own site."""
    answer = await service.ask("GET", "/v1/status", headers={"Host": host})

    answer.problem("foreign_host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:99", "[::1]:80", "[::1]"])
async def test_loopbacks_own_names_are_let_in(service: Api, host: str) -> None:
    assert (await service.ask("GET", "/v1/status", headers={"Host": host})).status == 200


async def test_a_page_of_its_own_is_let_in(service: Api) -> None:
    origin = str(service.base).rstrip("/")

    assert (await service.ask("GET", "/v1/status", headers={"Origin": origin})).status == 200


async def test_a_preflight_is_told_nothing(service: Api, session: ClientSession) -> None:
    asked: dict[str, Any] = {
        "Origin": "http://evil.example",
        "Access-Control-Request-Method": "POST",
        "Authorization": f"Bearer {TOKEN}",
    }
    async with session.options(service.base / "v1/records", headers=asked) as answer:
        assert answer.status == 403
        assert not [name for name in answer.headers if name.startswith("Access-Control")]
