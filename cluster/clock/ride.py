"""Time that rides on the poll, for where UDP is blocked: the four stamps of NTP over HTTP.

Central asks, so the roles are turned round: it tells with each poll when it sent this one, and when
the one before was sent and answered; the node, which noted when that one came and went, has all
four. A sample is one poll late and as good as the poll's round trip is short. Pure, and a second
opinion where UDP works: a poll that was sent later than the node's clock can be is from the future.
"""

from typing import Annotated

import msgspec

from cluster.clock.packet import HIGHEST_STRATUM, LONGEST_DELAY_NS
from cluster.clock.sample import Sample

HEADER = "Tidehold-Clock"
SOURCE = "central (poll)"

UnixNs = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Bound = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """What central writes into a poll's header: its cluster clock, in Unix nanoseconds.

    `sent`: of this poll. `last_sent`, `last_answered`: of the poll before, when it was answered.
    `bound`: how far that clock may be off; `stratum`: its own.
    """

    sent: UnixNs
    bound: Bound
    stratum: Annotated[int, msgspec.Meta(ge=1, le=HIGHEST_STRATUM)]
    last_sent: UnixNs | None = None
    last_answered: UnixNs | None = None

    @property
    def text(self) -> str:
        """As it is in the header."""
        return msgspec.json.encode(self).decode()


def read_ticket(text: str) -> Ticket | None:
    """The header's content; None when it is none."""
    try:
        return msgspec.json.decode(text, type=Ticket)
    except msgspec.DecodeError:
        return None


class Rider:
    """The node's side: notes when polls come and go, and makes samples of them."""

    def __init__(self) -> None:
        self._last: tuple[int, int, int] | None = None  # sent (Unix), came, went (base)

    def sample(self, ticket: Ticket) -> Sample | None:
        """What the poll before says, now that its answer's arrival is known."""
        if self._last is None or ticket.last_answered is None:
            return None
        sent_ns, came_ns, went_ns = self._last
        if ticket.last_sent != sent_ns:
            return None  # another poll came between, or ours was lost
        delay_ns = (ticket.last_answered - sent_ns) - (went_ns - came_ns)
        if not 0 <= delay_ns <= LONGEST_DELAY_NS:
            return None
        return Sample(
            source=SOURCE,
            at_ns=went_ns,
            offset_ns=((sent_ns - came_ns) + (ticket.last_answered - went_ns)) // 2,
            delay_ns=max(1, delay_ns),
            root_dispersion_ns=ticket.bound,
            stratum=ticket.stratum,
        )

    def answer(self, ticket: Ticket, came_ns: int, went_ns: int) -> None:
        """The poll came at `came_ns` of the base, and its answer is sent at `went_ns`."""
        self._last = (ticket.sent, came_ns, went_ns)
