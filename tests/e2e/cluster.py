"""One run of run_cluster.py as a process of its own, with what can be seen and asked of it."""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil

from cluster.peer import Peer, PeerFailed
from cluster.protocol import central as protocol
from cluster.protocol.central import Named, RunId
from cluster.protocol.views import NodeView, Run

PROGRAM = Path(__file__).parents[2] / "run_cluster.py"
READY = re.compile(r"central is at (\S+), the token in (\S+);")
BREAK_IT = re.compile(r"^break it: (curl .* (http://\S+)/v1/members/node-1/kill)$", re.MULTILINE)
EQUAL = re.compile(r"^(node-\d+) +equal +node +([\d,]+) ", re.MULTILINE)


class Launched:
    """One run of run_cluster.py; its folder is FOLDER/d."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.folder = folder / "d"
        self._streams = [folder / f"{time.monotonic_ns()}.{name}" for name in ("out", "err")]
        with ExitStack() as files:
            out, err = (files.enter_context(path.open("wb")) for path in self._streams)
            self.popen = subprocess.Popen(
                [sys.executable, str(PROGRAM), "--data", "d", *flags],
                cwd=folder,
                env={k: v for k, v in os.environ.items() if not k.startswith("TIDEHOLD_")},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        self.family: list[psutil.Process] = []

    @property
    def out(self) -> str:
        return self._streams[0].read_text()

    @property
    def err(self) -> str:
        return self._streams[1].read_text()

    async def ready(self) -> None:
        """Wait until all are up, and remember the children."""
        await until(lambda: READY.search(self.out) or self.popen.poll() is not None, 30.0)
        assert self.popen.poll() is None, self.err
        self.family = psutil.Process(self.popen.pid).children(recursive=True)

    async def ended(self, within_s: float = 35.0) -> int:
        """The exit code."""
        await until(lambda: self.popen.poll() is not None, within_s)
        assert "Traceback" not in self.err
        return int(self.popen.returncode)

    def child(self, name: str) -> psutil.Process:
        """The process that is central or a node now."""
        for process in psutil.Process(self.popen.pid).children():
            with suppress(psutil.Error):
                if f"--data={self.folder / name}" in process.cmdline():
                    return process
        raise LookupError(f"{name} does not run")

    def alive(self) -> list[psutil.Process]:
        """The children that were seen and have not ended."""
        return [process for process in self.family if not gone(process)]

    def token(self) -> str:
        return (self.folder / "token").read_text().strip()

    def central(self) -> str:
        found = READY.search(self.out)
        assert found is not None
        return found[1]

    async def break_it(self) -> tuple[str, str]:
        """The command that is offered for breaking a node, and the workbench's address."""
        await until(lambda: BREAK_IT.search(self.out), 5.0)
        found = BREAK_IT.search(self.out)
        assert found is not None
        return found[1], found[2]

    def equal(self) -> dict[str, int]:
        """What --verify found equal: the records of each node."""
        return {name: int(count.replace(",", "")) for name, count in EQUAL.findall(self.out)}


def gone(process: psutil.Process) -> bool:
    """Whether a process has ended, reaped or not."""
    with suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True


async def until(condition: Callable[[], object], within_s: float) -> float:
    """Wait for a condition and return the seconds that it took; fail after `within_s`."""
    begun = time.monotonic()
    while not await asyncio.to_thread(condition):
        waited_s = time.monotonic() - begun
        assert waited_s < within_s, f"not so after {within_s} s"
        await asyncio.sleep(0.05)
    return time.monotonic() - begun


async def holds(condition: Callable[[], Awaitable[bool]], within_s: float) -> None:
    """Wait for a condition that has to be asked for; no answer is a no."""
    begun = time.monotonic()
    while True:
        with suppress(PeerFailed):
            if await condition():
                return
        assert time.monotonic() - begun < within_s, f"not so after {within_s} s"
        await asyncio.sleep(0.1)


Launch = Callable[..., Launched]
Connect = Callable[[Launched], Peer]


async def view_of(central: Peer, name: str) -> NodeView:
    return await central.call(protocol.NODE, Named(name), timeout_s=5.0)


async def succeeded(central: Peer, run: Run) -> None:
    """Wait until a run has succeeded."""

    async def ended() -> bool:
        return (await central.call(protocol.RUN, RunId(run.id), timeout_s=5.0)).ended_already

    await holds(ended, 20.0)
    assert (await central.call(protocol.RUN, RunId(run.id), timeout_s=5.0)).state == "succeeded"
