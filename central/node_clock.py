"""A node's clock as central sees it: the word for it, whether it can be true, and how it went.

Each poll brings the node's time; sent and received on central's own clock, it is known to within
half of the round trip. A node that is further from central than both bounds allow is wrong about
its bound, or central is. Central offers its own time with each poll, for nodes that UDP does not
reach.
"""

from central.context import Context
from central.history import ClockHistory
from cluster.clock.packet import HIGHEST_STRATUM
from cluster.clock.report import stratum_of
from cluster.clock.ride import Ticket
from cluster.clock.state import ClockSummary
from cluster.clock.verdict import ClockWord, word_of
from cluster.protocol.node import NodeStatus
from cluster.protocol.views import ClockPoint


class NodeClock:
    """What central knows of one node's clock."""

    def __init__(self, context: Context, name: str) -> None:
        self.word: ClockWord | None = None
        self.apart_ms: float | None = None  # the node's cluster clock minus central's
        self.agrees: bool | None = None
        self.history = ClockHistory()
        self._context = context
        self._name = name
        self._last: tuple[int, int] | None = None  # when the last answered poll went and came

    def ticket(self) -> Ticket | None:
        """What to send along with a poll that goes out now; None while central has no time."""
        clock = self._context.clock
        bound_ns, stratum = clock.bound_ns(), stratum_of(clock)
        if bound_ns is None or stratum is None or stratum > HIGHEST_STRATUM:
            return None
        last_sent, last_answered = self._last or (None, None)
        return Ticket(
            sent=clock.now_ns(),
            bound=bound_ns,
            stratum=stratum,
            last_sent=last_sent,
            last_answered=last_answered,
        )

    def answered(self, ticket: Ticket | None) -> None:
        """The poll that carried it is answered just now."""
        self._last = (ticket.sent, self._context.clock.now_ns()) if ticket else None

    def meet(self, status: NodeStatus, sent_us: int, seen_us: int) -> None:
        """Judge what the node said; what has changed is journaled once."""
        self.apart_ms = round((status.now - (sent_us + seen_us) / 2) / 1000, 3)
        self._judge(status)
        self._compare(status, (seen_us - sent_us) / 2000)
        clock = status.clock
        if clock.drift_ms is not None and clock.bound_ms is not None:
            self.history.add(ClockPoint(seen_us, clock.drift_ms, clock.bound_ms))

    def _judge(self, status: NodeStatus) -> None:
        before, clock = self.word, status.clock
        self.word = word_of(clock, status.uptime_s, self._context.clock_limits)
        write = self._context.journal.write
        if self.word == "BAD" and before != "BAD":
            said = "is not synchronised" if clock.bound_ms is None else _drift_text(clock)
            write("warning", "clock-bad", f"clock is BAD: {said}", self._name)
        elif before == "BAD" and self.word != "BAD":
            write("info", "clock-better", f"clock is {self.word} again", self._name)

    def _compare(self, status: NodeStatus, half_rtt_ms: float) -> None:
        own_ns, bound_ms, before = (
            self._context.clock.bound_ns(),
            status.clock.bound_ms,
            self.agrees,
        )
        if own_ns is None or bound_ms is None or self.apart_ms is None:
            self.agrees = None
            return
        allowed_ms = bound_ms + own_ns / 1e6 + half_rtt_ms
        self.agrees = abs(self.apart_ms) <= allowed_ms
        write = self._context.journal.write
        if not self.agrees and before is not False:
            text = (
                f"its cluster clock is {self.apart_ms:+.3f} ms from central's, "
                f"where {allowed_ms:.3f} ms are allowed"
            )
            write("warning", "CLOCK-DISAGREE", text, self._name)
        elif self.agrees and before is False:
            write(
                "info", "clock-agrees", "its cluster clock agrees with central's again", self._name
            )


def _drift_text(clock: ClockSummary) -> str:
    return f"its system clock is {clock.drift_ms:+.1f} ms off, give or take {clock.bound_ms:.1f} ms"
