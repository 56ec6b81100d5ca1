"""When to ask a server again: often at first, to find the frequency, then as seldom as is enough.

Pure. Four polls two seconds apart, then 16 s for ten minutes, 32 s for an hour, 64 s from there
on: measured, a quarter of that gains next to nothing, and four times of it costs half of the
precision. A burst looks into what does not fit. A server that says RATE is asked half as often,
until it has been content for 32 polls; one on the internet never more than once in 64 s, after the
first four.
"""

import ipaddress

FIRST, FIRST_S = 4, 2.0
STAGES = ((600.0, 16.0), (3600.0, 32.0))  # (until so old, so far apart), in seconds
STEADY_S = 64.0
BURST, BURST_S = 3, 2.0
LONGEST_S = 1024.0
CONTENT = 32  # polls without RATE, after which it is asked twice as often again


class Schedule:
    """The polls of one server."""

    def __init__(self) -> None:
        self.denied = False  # it said go away: nothing is due any more
        self._asked = 0
        self._age_s = 0.0  # the sum of the waits so far
        self._burst = 0
        self._slowed = 1.0
        self._content = 0
        self._public = False

    def next_s(self) -> float:
        """The wait until the next poll, in seconds; each call stands for one poll."""
        self._asked += 1
        self._content += 1
        if self._content >= CONTENT:
            self._content, self._slowed = 0, max(1.0, self._slowed / 2.0)
        wait_s = self.next_extra_s() or self.poll_s
        self._age_s += wait_s
        return wait_s

    def next_extra_s(self) -> float | None:
        """The wait until the next poll of a burst, None when there is none; each call is one."""
        if not self._burst:
            return None
        self._burst -= 1
        return BURST_S

    @property
    def poll_s(self) -> float:
        """The usual wait at this age."""
        if self._asked <= FIRST:
            return FIRST_S
        apart = (apart for until, apart in STAGES if self._age_s < until and not self._public)
        return min(next(apart, STEADY_S) * self._slowed, LONGEST_S)

    def burst(self) -> None:
        """Ask again soon, three times."""
        self._burst = BURST

    def slow_down(self) -> None:
        """It said that it is asked too often."""
        self._burst = self._content = 0
        self._asked = max(self._asked, FIRST + 1)
        self._slowed = min(self._slowed * 2.0, LONGEST_S / FIRST_S)

    def found_at(self, host: str) -> None:
        """Its address: somebody else's server on the internet is treated with more care."""
        try:
            self._public = ipaddress.ip_address(host).is_global
        except ValueError:
            self._public = False
