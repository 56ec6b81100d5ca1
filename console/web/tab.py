"""One tab of a browser: a console in a process of its own, and the socket that shows it.

textual-serve knows how to speak with such a process. What is here is its life: started without
a shell and on a lifeline, so that it never outlives this server; ended for certain when the
socket closes; and when it ends by itself, the socket closes and says why.
"""

import asyncio
import logging
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web
from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager

from cluster.lifeline import Lifeline
from cluster.text import visible

log = logging.getLogger(__name__)

GRACE_S = 2.0
SIDE_MAX = 2_000  # cells; the screen of a console takes memory
BEGIN = b"__GANGLION__\n"  # what an app says before its first packet
TAIL_BYTES = 4096
REASON_BYTES = 123  # what fits into the frame that closes a socket


class Tab(AppService):
    """`start`, `listen` for as long as the browser is there, `stop`."""

    def __init__(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        socket: web.WebSocketResponse,
        downloads: DownloadManager,
    ) -> None:
        super().__init__(
            argv[0],
            write_bytes=self._show,
            write_str=self._tell,
            close=self._close,
            download_manager=downloads,
        )
        self._argv = tuple(argv)
        self._env = env
        self._socket = socket
        self._lifeline = Lifeline()
        self._last_words = b""

    async def _open_app_process(self, width: int = 80, height: int = 24) -> Process:
        """OSError when it cannot be started."""
        with ExitStack() as undo:
            undo.callback(self._lifeline.close)
            process = await asyncio.create_subprocess_exec(
                *self._argv,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                env={**self._build_environment(width, height), **self._env, **self._lifeline.env},
                pass_fds=(self._lifeline.fd,),
                start_new_session=True,  # Ctrl-C is this server's to hear
            )
            undo.pop_all()
        self._lifeline.handed_over()
        self._process, self._stdin = process, process.stdin
        return process

    async def listen(self) -> None:
        """Pass on what the browser says; return when its socket is closed."""
        async for message in self._socket:
            if message.type is WSMsgType.TEXT:
                await self._heed(message.data)

    async def _heed(self, text: str) -> None:
        match _decoded(text):
            case ["stdin", str(typed)]:
                await self.send_bytes(typed.encode("utf-8", "replace"))
            case ["resize", {"width": int(width), "height": int(height)}]:
                await self.set_terminal_size(side(width), side(height))
            case ["ping", str(sent)]:
                await self._tell(msgspec.json.encode(["pong", sent]).decode())
            case ["focus"]:
                await self.focus()
            case ["blur"]:
                await self.blur()

    async def run(self) -> None:
        """Show what the console draws, to its end, and close the socket then."""
        assert self._process is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        words = asyncio.create_task(self._hear(self._process.stderr))
        with suppress(asyncio.IncompleteReadError):
            await self._forward(self._process.stdout)
        await words
        await self._close()

    async def _forward(self, stdout: asyncio.StreamReader) -> None:
        """IncompleteReadError at the end."""
        takers = {b"D": self.on_data, b"M": self.on_meta, b"P": self.on_packed}
        await stdout.readuntil(BEGIN)
        while True:
            kind, size = await stdout.readexactly(1), await stdout.readexactly(4)
            await takers[kind](await stdout.readexactly(int.from_bytes(size, "big")))

    async def _hear(self, stderr: asyncio.StreamReader) -> None:
        while words := await stderr.read(TAIL_BYTES):
            self._last_words = (self._last_words + words)[-TAIL_BYTES:]

    async def _close(self) -> None:
        """The console has left, or is about to: close the socket, with the reason if it failed."""
        assert self._process is not None
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE_S):
                await self._process.wait()
        code = self._process.returncode
        if code == 0 or self._socket.closed:
            await self._socket.close()
            return
        lines = self._last_words.decode(errors="replace").splitlines()
        last_line = next((line.strip() for line in reversed(lines) if line.strip()), "no last word")
        reason = visible(f"The console ended with exit {code}: {last_line}")
        log.warning(reason)
        cut = reason.encode()[:REASON_BYTES].decode(errors="ignore").encode()
        await self._socket.close(code=WSCloseCode.INTERNAL_ERROR, message=cut)

    async def stop(self) -> None:
        """Ask the console to leave, and make it after a while; return when it is gone."""
        if self._process is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE_S):
                await self.send_meta({"type": "quit"})
                await self._process.wait()
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        self._lifeline.close()
        if self._task is not None:
            await self._task
        await self._download_manager.cancel_app_downloads(self.app_service_id)

    async def _show(self, drawn: bytes) -> None:
        with suppress(
            ConnectionError
        ):  # nobody looks any more; it is read all the same, to the end
            await self._socket.send_bytes(drawn)

    async def _tell(self, text: str) -> None:
        with suppress(ConnectionError):
            await self._socket.send_str(text)


def _decoded(text: str) -> object:
    """What the browser said; None if it makes no sense."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None


def side(cells: int) -> int:
    """A width or height that a console can have."""
    return min(max(cells, 1), SIDE_MAX)
