"""I9: what was begun has ended: tasks, descriptors, threads and children are as many as before.

async with no_leaks():
    ...

before = Held.by(pid)           # of another process
await settles(pid, before)
"""

import asyncio
import os
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests import launcher
from tests.program import until

#: Threads of a loop's pool stay until the loop ends: their name, and how many there can be.
POOL, POOL_MAX = "asyncio_", min(32, (os.cpu_count() or 1) + 4)


@dataclass(frozen=True)
class Held:
    """What one process holds."""

    descriptors: Counter[str]  # by what they lead to
    threads: int
    children: frozenset[int]

    @staticmethod
    def by(pid: int) -> "Held":
        """Of any process."""
        process = psutil.Process(pid)
        children = frozenset(child.pid for child in process.children())
        return Held(_descriptors(pid), process.num_threads(), children)

    @staticmethod
    def here() -> "Held":
        """Of this process."""
        threads = [one for one in threading.enumerate() if not one.name.startswith(POOL)]
        children = frozenset(child.pid for child in psutil.Process().children())
        return Held(_descriptors(os.getpid()), len(threads), children)

    def more_than(self, before: "Held") -> str:
        """What is held beyond `before`; empty when nothing is."""
        more = [
            f"descriptor of {one}" for one in (self.descriptors - before.descriptors).elements()
        ]
        more += [f"child {pid}" for pid in self.children - before.children]
        if self.threads > before.threads:
            more.append(f"{self.threads - before.threads} threads")
        return ", ".join(more)


def _descriptors(pid: int) -> Counter[str]:
    found: Counter[str] = Counter()
    for one in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile, as the one that lists them is
            found[str(one.readlink())] += 1
    del found[f"/proc/{pid}/fd"]
    return found


@asynccontextmanager
async def no_leaks() -> AsyncIterator[None]:
    """When the block is left all is as it was, at once or a moment later. AssertionError if not."""
    launcher.started()  # a child that stays
    before, tasks = Held.here(), asyncio.all_tasks()
    yield
    left = ""

    async def nothing() -> bool:
        nonlocal left
        left = Held.here().more_than(before)
        left += "".join(f", {task}" for task in asyncio.all_tasks() - tasks)
        return not left

    try:
        await until(nothing, "everything ends", 5)
    except AssertionError:
        raise AssertionError(f"left over: {left}") from None


async def settles(pid: int, before: Held) -> None:
    """Wait until a process holds no more than before, by number: its files may be others now."""
    now = before

    async def as_before() -> bool:
        nonlocal now
        now = Held.by(pid)
        return (
            now.descriptors.total() <= before.descriptors.total()
            and now.threads <= before.threads + POOL_MAX
            and now.children == before.children
        )

    try:
        await until(as_before, "it holds no more than before")
    except AssertionError:
        raise AssertionError(f"left over in {pid}: {now.more_than(before)}") from None
