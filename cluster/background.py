"""Background tasks that cannot die unseen.

Tasks run in a TaskGroup inside the service's own context: a crash of one cancels the service and
comes out of `cluster.server.run`, so a service never runs on without a part of itself (with bare
`create_task` it would go on answering "ok"). On leaving, every task is cancelled and awaited.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


class Background:
    """Where a service starts its tasks. Made by `background`."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run `work` until it ends, is cancelled or the service stops."""
        task = self._group.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def stop(self) -> None:
        """Cancel every task; leaving `background` waits for their ends."""
        for task in list(self._tasks):
            task.cancel()


@asynccontextmanager
async def background() -> AsyncIterator[Background]:
    """The tasks of a service, supervised while the block is open."""
    async with asyncio.TaskGroup() as group:
        tasks = Background(group)
        try:
            yield tasks
        finally:
            tasks.stop()
