"""A headless Chromium, driven over its DevTools protocol, and the terminal in its page.

The page paints on a canvas, which nothing can read back as text. So the terminal's bytes are
followed here as well, as far as Textual uses the language of terminals: what stands where is
known from them, and that it was painted is seen on a screenshot.
"""

import asyncio
import base64
import itertools
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from rich.cells import cell_len

from tests.console.conftest import until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)
KEYS = {"Escape": 27}
ESCAPE = re.compile(r"\x1b(?:\[([0-9;?$<>=]*)([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)|.)", re.DOTALL)


class Browser:
    """One page. `requests` are the addresses that it asked for, `complaints` what it logged."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.terminal = Terminal()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._session: str | None = None

    async def open_page(self) -> None:
        target = await self.ask("Target.createTarget", url="about:blank")
        attached = await self.ask(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            await self.ask(f"{domain}.enable")

    async def visit(self, address: str) -> None:
        await self.ask("Page.navigate", url=address)

    async def press(self, key: str) -> None:
        """A character, or one of KEYS."""
        stroke: dict[str, Any] = {"key": key}
        stroke |= {"windowsVirtualKeyCode": KEYS[key]} if key in KEYS else {"text": key}
        await self.ask("Input.dispatchKeyEvent", type="keyDown", **stroke)
        await self.ask("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def click(self, text: str) -> None:
        """The middle of the first place where the terminal shows this."""
        column, row = self.terminal.find(text)
        found = await self.evaluate(
            "(box => [box.left, box.top, box.width, box.height])"
            "(document.querySelector('.xterm-screen').getBoundingClientRect())"
        )
        left, top, width, height = found
        x = left + (column + cell_len(text) / 2) * width / self.terminal.width
        y = top + (row + 0.5) * height / self.terminal.height
        await self.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for kind in ("mousePressed", "mouseReleased"):
            await self.ask(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1
            )

    async def evaluate(self, script: str) -> Any:
        answer = await self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        return answer["result"].get("value")

    async def screenshot(self) -> bytes:
        """The page as PNG."""
        answer = await self.ask("Page.captureScreenshot")
        return base64.b64decode(answer["data"])

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        question: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self._session is not None:
            question["sessionId"] = self._session
        await self._socket.send_json(question)
        return await answer

    async def listen(self) -> None:
        """Take in what the browser says; for as long as it is there."""
        async for message in self._socket:
            said = message.json()
            if (answer := self._answers.pop(said.get("id", 0), None)) is not None:
                assert "error" not in said, said["error"]
                answer.set_result(said["result"])
            else:
                self._note(said.get("method", ""), said.get("params", {}))

    def _note(self, event: str, params: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif event == "Network.webSocketCreated":
            self.requests.append(params["url"])
            width, height = re.findall(r"=([0-9]+)", params["url"])
            self.terminal.begin(int(width), int(height))
        elif event == "Network.webSocketFrameReceived" and params["response"]["opcode"] == 2:
            self.terminal.feed(base64.b64decode(params["response"]["payloadData"]))
        elif event == "Log.entryAdded":
            self.complaints.append(params["entry"]["text"])
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"]))


class Terminal:
    """What bytes have put on a screen of so many cells."""

    def __init__(self) -> None:
        self.begin(80, 24)

    def begin(self, width: int, height: int) -> None:
        """An empty screen."""
        self.width, self.height = width, height
        self._cells = [[" "] * width for _ in range(height)]
        self._x = self._y = 0

    def feed(self, drawn: bytes) -> None:
        text, done = drawn.decode(), 0
        for escape in ESCAPE.finditer(text):
            self._write(text[done : escape.start()])
            done = escape.end()
            if escape[2] == "H":
                row, _, column = escape[1].partition(";")
                self._y, self._x = int(row or 1) - 1, int(column or 1) - 1
        self._write(text[done:])

    def find(self, text: str) -> tuple[int, int]:
        """The column and row where this begins."""
        for row, line in enumerate(self.lines()):
            if (place := line.find(text)) >= 0:
                return cell_len(line[:place]), row
        raise AssertionError(f"{text!r} is not on the screen:\n" + "\n".join(self.lines()))

    def lines(self) -> list[str]:
        return ["".join(line) for line in self._cells]

    def shows(self, *texts: str) -> bool:
        """Whether all of these are on the screen."""
        return all(any(text in line for line in self.lines()) for text in texts)

    def _write(self, text: str) -> None:
        for character in text:
            if character == "\n":
                self._y, self._x = self._y + 1, 0
            elif character == "\r":
                self._x = 0
            elif (cells := cell_len(character)) and self._y < self.height:
                self._cells[self._y][self._x : self._x + cells] = [character, *[""] * (cells - 1)]
                self._x = min(self._x + cells, self.width - 1)


@asynccontextmanager
async def chromium(folder: Path, size: tuple[int, int] = (1000, 600)) -> AsyncIterator[Browser]:
    """A browser with an empty page, its window this many pixels large."""
    assert CHROMIUM is not None
    width, height = size
    process = await asyncio.create_subprocess_exec(
        CHROMIUM,
        *FLAGS,
        f"--window-size={width},{height}",
        f"--user-data-dir={folder}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await until(lambda: len(_address(folder / "DevToolsActivePort")) == 2, within_s=20)
        port, path = _address(folder / "DevToolsActivePort")
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"ws://127.0.0.1:{port}{path}", max_msg_size=0) as socket,
        ):
            browser = Browser(socket)
            listening = asyncio.create_task(browser.listen())
            await browser.open_page()
            yield browser
            await browser._socket.close()
            await listening
    finally:
        process.terminate()
        await process.wait()


def _address(file: Path) -> list[str]:
    """The port and path where the browser listens: it writes them down as soon as it does."""
    return file.read_text().split() if file.exists() else []
