"""Throttle: how fast bytes may flow, for lines that have other things to carry."""

import asyncio
import time

BURST_S = 0.25  # what was not used is saved up for at most this long


class Throttle:
    """Lets through `rate` bytes a second in all; None: as many as come (token bucket)."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._free_at = 0.0  # monotonic seconds: when what was spent has been paid for

    @property
    def limited(self) -> bool:
        return self._rate is not None

    async def spend(self, size: int) -> None:
        """Return when `size` more bytes may flow."""
        if self._rate is None:
            return
        now = time.monotonic()
        self._free_at = max(self._free_at, now - BURST_S) + size / self._rate
        if self._free_at > now:
            await asyncio.sleep(self._free_at - now)


UNLIMITED = Throttle(None)
