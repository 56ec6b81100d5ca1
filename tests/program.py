"""A service as a process of its own: started, asked, and hurt.

Nothing sleeps: `until` waits for a condition, and says what it waited for when it does not come.
"""

import asyncio
import os
import shutil
import signal
import socket
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from central import __main__ as central_program
from cluster.exchange import AskT, Exchange, Nothing, ReplyT
from cluster.peer import Peer, PeerFailed
from cluster.protocol.shared import HEALTH
from cluster.schema import log_of
from cluster.upkeep import OK
from node import __main__ as node_program
from tests.launcher import Launched, launch
from tests.strace import injected

TOKEN = "a-token-for-tests-only-0123456789"
ROOT = Path(__file__).parent.parent
UPKEEP = {"node": node_program.UPKEEP, "central": central_program.UPKEEP}


async def until(
    condition: Callable[[], Awaitable[bool]], what: str, within_s: float = 20.0
) -> None:
    """Wait until `condition` holds; AssertionError when it does not in time."""
    deadline = time.monotonic() + within_s
    while not await condition():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        await asyncio.sleep(0.02)


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that nobody uses at this moment."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Program:
    """One service as a process, with its folder and its address."""

    fresh = False  # benchmarks start Python anew, as users do

    def __init__(self, peers: Callable[[str], Peer], module: str, folder: Path, *args: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        self.peer = peers(self.url)
        self._argv = [module, "--data", str(folder), "--port", str(self.port), *args]
        self.process: Launched | None = None

    def through(self, *argv: str) -> None:
        """Have another module start it from now on: `python -m ARGV central ...`."""
        self._argv = [*argv, *self._argv]

    async def start(self) -> None:
        """Start, and return when it answers."""
        env = {**os.environ, "TIDEHOLD_TOKEN": TOKEN}
        self.process = launch(self._argv, env, fresh=self.fresh)
        await until(self.answers, f"{self._argv[0]} answers", 30)

    async def answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"{self._argv}: {self.process.stderr}")
        try:
            await self.peer.call(HEALTH, Nothing(), timeout_s=1)
        except PeerFailed:
            return False
        return True

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Kill it and wait for its end."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(timeout_s=15)
            self.process = None

    def advertise(self, url: str) -> None:
        """Where a node tells central that it is."""
        self._argv += ["--advertise", url]

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def wipe(self) -> None:
        """The disk dies: nothing of it is left."""
        assert self.process is None, "kill it first"
        shutil.rmtree(self.folder)

    @contextmanager
    def break_disk(self, fault: str) -> Iterator[None]:
        """While open, calls on its database and log fail or wait: `fdatasync:error=EIO`."""
        assert self.process is not None
        with injected(self.process.pid, fault, self.file, log_of(self.file)):
            yield

    @contextmanager
    def fill_disk(self, left: int) -> Iterator[None]:
        """While open, the disk under its folder has room for `left` bytes only."""
        filler = self.folder / "filler"
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(self.folder).free - left)
        yield
        filler.unlink()

    @property
    def file(self) -> Path:
        """Its database."""
        return self.folder / f"{self._argv[0]}.db"

    def sql(self, statement: str, *values: object) -> int:
        """Change its database behind its back; how many rows changed."""
        with closing(sqlite3.connect(self.file, timeout=10)) as sql, sql:
            return sql.execute(statement, values).rowcount

    async def back_up(self, to: Path) -> None:
        """As an operator does: from another process than the service's."""
        await self._upkeep("backup", "--to", str(to))

    async def restore_backup(self, backup: Path) -> None:
        assert self.process is None, "kill it first"
        await self._upkeep("restore", "--from", str(backup))

    async def repair(self) -> None:
        await self._upkeep("repair")

    async def _upkeep(self, command: str, *args: str) -> None:
        argv = [command, "--data", str(self.folder), *args]
        assert await asyncio.to_thread(UPKEEP[self._argv[0]].run, argv) == OK

    async def jump_clock(self, by_ms: float) -> None:
        """A node's system clock is set: it starts anew with that, as a process has one clock."""
        self.kill()
        self._argv += ["--skew-ms", str(by_ms)]
        await self.start()

    async def call(self, exchange: Exchange[AskT, ReplyT], ask: AskT) -> ReplyT:
        return await self.peer.call(exchange, ask, timeout_s=20)
