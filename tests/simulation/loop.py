"""An asyncio loop on virtual time: where nothing is to be done now, it is the next moment already.

Everything runs in one thread in one order, so a run depends on nothing but its seed.
"""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
END_S = 4 * 3600.0  # virtual: whatever lasts longer will never end


class Stuck(Exception):
    """Somebody waits for what nobody is going to do."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Its own selector: to wait for files costs no time, and none ever comes."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._error: BaseException | None = None
        self._selector = self
        self._clock_resolution = 1e-6

    def time(self) -> float:
        """Virtual seconds since the beginning."""
        return self._now_s

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """What nobody was there to hear ends the run."""
        self._error = self._error or context.get("exception")

    def select(self, timeout_s: float | None) -> tuple[()]:
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        if timeout_s is None or self._now_s > END_S:
            raise Stuck(f"at {self._now_s:.3f} s: {[str(one) for one in asyncio.all_tasks(self)]}")
        self._now_s += timeout_s
        return ()

    def run_in_executor(  # type: ignore[override]
        self, executor: object, work: Callable[..., T], *args: Any
    ) -> "asyncio.Future[T]":
        """At once: threads would come in any order."""
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(work(*args))
        except Exception as error:
            done.set_exception(error)
        return done

    def _process_events(self, event_list: object) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody sleeps who would have to be woken."""


def run(story: Coroutine[Any, Any, T]) -> T:
    """Run a story to its end, in next to no time."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    gc.disable()  # or abandoned generators would be closed at a moment that no seed knows
    try:
        return loop.run_until_complete(story)
    finally:
        gc.enable()
        _end_all(loop)
        asyncio.set_event_loop(None)
        loop.close()


def _end_all(loop: VirtualLoop) -> None:
    """Where a story has failed, others are left."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks, timeout=1))
