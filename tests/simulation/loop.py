"""An asyncio loop on virtual time: where nothing is to be done now, it is the next moment already.

Everything runs in one thread in one order, so a run depends on nothing but its seed. Tasks,
futures and handles are asyncio's own; the loop around them is a smaller one, as a run consists of
some ten thousand of its turns.
"""

import asyncio
import gc
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from heapq import heappop, heappush
from itertools import count
from typing import Any, TypeVar

T = TypeVar("T")
END_S = 4 * 3600.0  # virtual: whatever lasts longer will never end


class Stuck(Exception):
    """Somebody waits for what nobody is going to do."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Callbacks run in the order in which they were asked for, timers in that of their moments."""

    _ready: "deque[asyncio.Handle]"

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._error: BaseException | None = None
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._number = count()

    def time(self) -> float:
        """Virtual seconds since the beginning."""
        return self._now_s

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heappush(self._timers, (when, next(self._number), handle))
        return handle

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """What nobody was there to hear ends the run."""
        self._error = self._error or context.get("exception")

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

    def _run_once(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        ready, timers = self._ready, self._timers
        if not ready:
            self._go_on(timers)
        while timers and timers[0][0] <= self._now_s:
            ready.append(heappop(timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def _go_on(self, timers: list[tuple[float, int, asyncio.TimerHandle]]) -> None:
        """To the next moment at which something is to be done."""
        while timers and timers[0][2]._cancelled:
            heappop(timers)
        if not timers or self._now_s > END_S:
            raise Stuck(f"at {self._now_s:.3f} s: {[str(one) for one in asyncio.all_tasks(self)]}")
        self._now_s = max(self._now_s, timers[0][0])

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
