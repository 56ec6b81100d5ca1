"""Central's time, as it comes with each poll: the node's last resort, and a second opinion.

Where no NTP server is in reach, the clock follows it. Where one is, it is only compared: a
machine that was paused unseen is found out within a poll or two, instead of at the next time
that a server is asked.
"""

import asyncio

from cluster.clock.cluster_clock import ClusterClock
from cluster.clock.follower import Follower
from cluster.clock.ride import SOURCE, Rider, Ticket, read_ticket
from cluster.clock.sample import Sample
from cluster.problem import Refusal


class SecondOpinion:
    """Listens to what central says of the time.

    `synced` is set once the clock is; `follower` asks the NTP servers, if there are any.
    """

    def __init__(
        self, clock: ClusterClock, synced: asyncio.Event, follower: Follower | None
    ) -> None:
        self._clock = clock
        self._synced = synced
        self._follower = follower
        self._rider = Rider()
        self._source = clock.source(SOURCE, "http")
        self._differs = False

    def heard(self, text: str) -> Ticket:
        """A poll came, with this in its header. Refusal when it makes no sense."""
        ticket = read_ticket(text)
        if ticket is None:
            raise Refusal("bad_request", "the header Tidehold-Clock is not what central sends")
        sample = self._rider.sample(ticket)
        differs = self._is_from_future(ticket) or (sample is not None and self._contradicts(sample))
        if differs and not self._differs and self._follower is not None:
            self._follower.hurry()  # once: if they stay apart, asking more often will not help
        self._differs = differs
        if sample is not None:
            self._clock.adopt(sample)
            if self._clock.synced:
                self._synced.set()
        return ticket

    def answers(self, ticket: Ticket, came_ns: int) -> None:
        """The answer is sent now, to a poll that came at `came_ns` of the base."""
        self._rider.answer(ticket, came_ns, self._clock.base.monotonic_ns())

    def _is_from_future(self, ticket: Ticket) -> bool:
        """Whether it was sent later than it can be here: no network is that fast."""
        bound_ns = self._clock.bound_ns()
        latest = None if bound_ns is None else self._clock.now_ns() + bound_ns
        return latest is not None and ticket.sent - ticket.bound > latest

    def _contradicts(self, sample: Sample) -> bool:
        bound_ns = self._clock.bound_ns()
        if bound_ns is None:
            return False
        apart_ns = abs(self._clock.shown_at(sample.at_ns) - sample.at_ns - sample.offset_ns)
        return apart_ns > bound_ns + sample.delay_ns // 2 + sample.root_dispersion_ns
