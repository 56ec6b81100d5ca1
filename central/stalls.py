"""How long this process has stood still: stopped, starved, or held up by itself.

A poll that ran out of time meanwhile tells nothing about its node.
"""

import asyncio

BEAT_S = 0.1
LATE_S = 0.1  # less than this is everyday


class Stalls:
    """The stalls of one loop, in which `watch` runs."""

    def __init__(self) -> None:
        self._stood_s = 0.0
        self._due_s: float | None = None

    @property
    def stood_s(self) -> float:
        """All stalls so far, in seconds, with the one that has just ended."""
        if self._due_s is None:
            return 0.0
        late_s = asyncio.get_running_loop().time() - self._due_s
        return self._stood_s + (late_s if late_s > LATE_S else 0.0)

    async def watch(self) -> None:
        """Look for ever."""
        loop = asyncio.get_running_loop()
        while True:
            self._due_s = loop.time() + BEAT_S
            await asyncio.sleep(BEAT_S)
            self._stood_s = self.stood_s
