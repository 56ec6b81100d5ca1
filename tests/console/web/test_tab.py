"""A console for each tab: it begins with the socket and ends with it, whatever happens."""

import asyncio
import sys
from pathlib import Path

import aiohttp
import psutil
import pytest

from console.web import tab
from tests.console.conftest import until
from tests.console.web.conftest import visited


async def shown(socket: aiohttp.ClientWebSocketResponse) -> str:
    """The next that is drawn."""
    return (await socket.receive_bytes(timeout=10)).decode()


async def closed(socket: aiohttp.ClientWebSocketResponse) -> tuple[int | None, str | None]:
    """The code and the reason with which the server closes the socket."""
    message = await socket.receive(timeout=10)
    assert message.type is aiohttp.WSMsgType.CLOSE, message
    return message.data, message.extra


async def test_what_is_typed_reaches_the_console_and_what_it_draws_the_browser() -> None:
    """Both ways, with sizes kept within what a console can be."""
    async with visited() as visitor:
        socket = await visitor.socket()
        await shown(socket)

        await socket.send_json(["stdin", "pü"])
        assert await shown(socket) == "pü"
        await socket.send_json(["resize", {"width": 10**12, "height": 40}])
        assert await shown(socket) == str(tab.SIDE_MAX)
        await socket.send_json(["ping", "17"])
        assert await socket.receive_json(timeout=10) == ["pong", "17"]
        await socket.close()


@pytest.mark.parametrize("nonsense", ["", "{", "[]", '["stdin"]', '["stdin", 7]', "[" * 5000])
async def test_nonsense_from_a_browser_is_ignored(nonsense: str) -> None:
    """What comes after it is heard."""
    async with visited() as visitor:
        socket = await visitor.socket()
        await shown(socket)
        await socket.send_str(nonsense)
        await socket.send_json(["stdin", "still here"])
        assert await shown(socket) == "still here"
        await socket.close()


async def test_one_tab_too_many_is_told_so() -> None:
    """It gets no process; a place that is given up is free for the next."""
    async with visited(tabs_max=1) as visitor:
        first = await visitor.socket()
        await shown(first)

        code, why = await closed(await visitor.socket())
        await first.close()
        second = await visitor.socket()
        while (await second.receive(timeout=10)).type is not aiohttp.WSMsgType.BINARY:
            second = await visitor.socket()  # the first one's console may need a moment to leave
        await second.close()

    assert code == aiohttp.WSCloseCode.TRY_AGAIN_LATER
    assert why is not None
    assert "1 tabs are open already" in why


async def test_a_console_leaves_with_its_tab() -> None:
    """Closing the tab ends the process."""
    async with visited() as visitor:
        socket = await visitor.socket()
        pid = int(await shown(socket))
        await socket.close()
        await until(lambda: not psutil.pid_exists(pid))


async def test_a_console_that_does_not_leave_is_made_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deaf to the wish and to SIGTERM, it is killed."""
    monkeypatch.setattr(tab, "GRACE_S", 0.1)
    async with visited() as visitor:
        socket = await visitor.socket()
        pid = int(await shown(socket))
        await socket.send_json(["stdin", "deaf"])
        await shown(socket)
        await socket.close()
        await until(lambda: not psutil.pid_exists(pid))


async def test_a_browser_hears_why_its_console_ended() -> None:
    """The last line it said, with nothing in it that a screen would obey."""
    async with visited() as visitor:
        socket = await visitor.socket()
        await shown(socket)
        await socket.send_json(["stdin", "die"])
        await shown(socket)
        code, why = await closed(socket)

    assert code == aiohttp.WSCloseCode.INTERNAL_ERROR
    assert why == r"The console ended with exit 3: no such \x1b[31mthing"


async def test_a_console_that_cannot_begin_is_no_silence() -> None:
    """Neither one that fails at once, nor one whose program is missing."""
    failing = [sys.executable, "-S", "-c", "raise SystemExit('a token is needed')"]
    async with visited(failing) as visitor:
        assert (await closed(await visitor.socket()))[1] == (
            "The console ended with exit 1: a token is needed"
        )
    async with visited(["/nothing/here"]) as visitor:
        assert "cannot be started" in str((await closed(await visitor.socket()))[1])


async def test_a_server_that_stops_takes_its_consoles_along() -> None:
    """The browser is told, and no process is left."""
    async with visited() as visitor:
        socket = await visitor.socket()
        pid = int(await shown(socket))

        heard, _ = await asyncio.gather(closed(socket), visitor.stop_server())

    assert heard == (aiohttp.WSCloseCode.GOING_AWAY, "The console's server was stopped.")
    assert not psutil.pid_exists(pid)


async def test_a_file_that_the_console_gives_is_downloaded() -> None:
    """A screenshot, for example: once, under its own name, never shown as a page of ours."""
    async with visited([sys.executable, str(Path(__file__).parent / "saving_app.py")]) as visitor:
        socket = await visitor.socket()
        await shown(socket)
        await socket.send_json(["stdin", "s"])
        while (message := await socket.receive(timeout=10)).type is not aiohttp.WSMsgType.TEXT:
            pass
        kind, key = message.json()
        file = await visitor.get(f"/download/{key}", visitor.cookie)
        again = await visitor.get(f"/download/{key}", visitor.cookie)
        await socket.close()

    assert kind == "deliver_file_start"
    assert (file.status, await file.text()) == (200, "<svg/>")
    assert file.headers["Content-Disposition"] == "attachment; filename=fleet.svg"
    assert again.status == 404
