"""A person's patience, for a program in the foreground: one signal is a wish, two are an order.

A program lives in phases. The first SIGINT or SIGTERM ends the phase that is on, so that what
comes after it (stop in order, say goodbye) still happens; the second one ends everything.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from signal import SIGINT, SIGTERM


class EndedAtOnce(Exception):
    """The second signal came."""


class Patience:
    """`everything()` goes round the whole program, each `phase()` round a part of it."""

    def __init__(self) -> None:
        self._phase: asyncio.Timeout | None = None
        self._everything: asyncio.Timeout | None = None
        self._signals = 0

    @asynccontextmanager
    async def everything(self) -> AsyncIterator[None]:
        """Heed signals in here. EndedAtOnce comes out of it at the second one."""
        loop = asyncio.get_running_loop()
        everything = self._everything = asyncio.timeout(None)
        try:
            async with everything:
                for number in (SIGINT, SIGTERM):
                    loop.add_signal_handler(number, self._wished)
                yield
        except TimeoutError:
            if everything.expired():
                raise EndedAtOnce from None
            raise

    @asynccontextmanager
    async def phase(self) -> AsyncIterator[asyncio.Timeout]:
        """What goes on until it is over, its time is up, or somebody wishes it to end."""
        phase = self._phase = asyncio.timeout(None)
        try:
            async with phase:
                yield phase
        except TimeoutError:
            if not phase.expired():
                raise
        finally:
            self._phase = None

    def end_phase(self) -> None:
        """End the phase that is on, if there is one."""
        _end(self._phase)

    def _wished(self) -> None:
        self._signals += 1
        _end(self._phase if self._signals == 1 else self._everything)


def _end(scope: asyncio.Timeout | None) -> None:
    if scope is not None:
        with suppress(RuntimeError):  # it is ending already
            scope.reschedule(0)
