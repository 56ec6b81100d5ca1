"""Nobody but who opened the printed address, and no page but its own."""

import re
from http.cookies import SimpleCookie
from pathlib import Path

import aiohttp
import pytest

from cluster.settings import KEY_VARIABLE
from console.web.app import PAGE
from console.web.settings import take_key
from tests.console.web.conftest import visited

EVERYTHING = ("/", "/static/js/textual.js", "/page/console.js", "/ws", "/download/x", "/nothing")


async def test_the_printed_address_lets_in_and_forgets_its_key() -> None:
    """The cookie is out of reach of scripts and of other sites; the page's address has no key."""
    async with visited() as visitor:
        opened = await visitor.get(f"/?key={visitor.key}", {})
        cookie = SimpleCookie(opened.headers["Set-Cookie"])[f"tidehold-{visitor.port}"]
        page = await visitor.get("/", {"Cookie": f"{cookie.key}={cookie.value}"})

    assert (opened.status, opened.headers["Location"]) == (303, "/")
    assert cookie["httponly"]
    assert (cookie["samesite"], cookie["path"], cookie["domain"]) == ("Strict", "/", "")
    assert page.status == 200
    assert "Opening the console" in await page.text()


async def test_every_server_has_another_key() -> None:
    """A key that was seen opens nothing later."""
    async with visited() as first, visited() as second:
        assert first.key != second.key
        assert (await second.get(f"/?key={first.key}", {})).status == 403


def test_a_key_that_was_given_is_not_left_lying_about() -> None:
    """The consoles that are started have the same environment, and no use for it."""
    environ = {KEY_VARIABLE: "k" * 43, "HOME": "/"}

    assert take_key(environ) == "k" * 43
    assert environ == {"HOME": "/"}
    assert take_key(environ) is None


@pytest.mark.parametrize("key", ["", "wrong", "\udcff", "<script>alert(1)</script>"])
async def test_a_wrong_key_is_refused_and_not_repeated(key: str) -> None:
    """The refusal says what to do, sets no cookie, and shows nothing of what was sent."""
    async with visited() as visitor:
        refused = await visitor.get(f"/?key={key.encode('utf-8', 'surrogateescape')!r}", {})

    assert refused.status == 403
    assert "Set-Cookie" not in refused.headers
    assert "Copy the whole address" in await refused.text()
    assert "alert" not in await refused.text()


@pytest.mark.parametrize("path", EVERYTHING)
async def test_nothing_is_had_without_the_cookie(path: str) -> None:
    """Not a script, not a socket, not even what is not there."""
    async with visited() as visitor:
        own = {"Origin": visitor.url}
        bare = await visitor.get(path, own)
        wrong = await visitor.get(path, own | {"Cookie": f"tidehold-{visitor.port}=wrong"})
        other = await visitor.get(path, own | {"Cookie": f"tidehold-1={visitor.key}"})

    assert {bare.status, wrong.status, other.status} == {403}


@pytest.mark.parametrize("name", ["evil.example:{}", "127.0.0.1", "127.0.0.1:1", "localhost.:{}"])
async def test_a_foreign_name_is_refused_even_with_the_cookie(name: str) -> None:
    """A page whose name was made to point here (DNS rebinding) gets nothing."""
    async with visited() as visitor:
        host = name.format(visitor.port)
        refused = await visitor.get("/", visitor.cookie | {"Host": host})
        with_key = await visitor.get(f"/?key={visitor.key}", {"Host": host})

    assert {refused.status, with_key.status} == {403}


async def test_localhost_is_the_same_server() -> None:
    """People type it."""
    async with visited() as visitor:
        host = f"localhost:{visitor.port}"
        page = await visitor.get("/", visitor.cookie | {"Host": host})
        socket = await visitor.socket(Host=host, Origin=f"http://{host}")
        await socket.close()

    assert page.status == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "", "http://127.0.0.1:1", "http://localhost:{}"]
)
async def test_a_socket_is_only_for_the_own_page(origin: str) -> None:
    """Cookies go to every port of a host; the page that asks is named by its origin."""
    async with visited() as visitor:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await visitor.socket(Origin=origin.format(visitor.port))
        nameless = await visitor.get("/ws", visitor.cookie)

    assert (refused.value.status, nameless.status) == (403, 403)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
async def test_other_methods_are_only_for_the_own_page(method: str) -> None:
    """None does anything; none is answered to a foreign page."""
    async with visited() as visitor:
        foreign = visitor.cookie | {"Origin": "http://evil.example"}
        assert (await visitor.get("/", visitor.cookie, method)).status == 403
        assert (await visitor.get("/", foreign, method)).status == 403


@pytest.mark.parametrize("path", ["/", "/?key=wrong", "/page/console.css", "/nothing"])
async def test_every_answer_tells_the_browser_its_limits(path: str) -> None:
    """No foreign content, no frame round it, no guessing of types, no copy on disk."""
    async with visited() as visitor:
        headers = (await visitor.get(path, visitor.cookie)).headers

    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src 'self';" in policy
    assert not re.search(r"https?:|\*", policy)
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("file", sorted(PAGE.iterdir()), ids=lambda file: file.name)
def test_the_page_names_no_foreign_address(file: Path) -> None:
    """It works without the internet, and tells nobody that it is open."""
    assert not re.search(r"(https?|wss?):|[\"'(]//", file.read_text().replace("ws://${", ""))
