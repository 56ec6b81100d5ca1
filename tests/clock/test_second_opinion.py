"""Central's time rides on the poll: a sample where UDP is blocked, a second opinion where not."""

import asyncio
from dataclasses import dataclass, field

import pytest

from cluster.clock.base import SkewedBase
from cluster.clock.cluster_clock import ClusterClock
from cluster.clock.report import state_of
from cluster.clock.ride import SOURCE, Ticket, read_ticket
from cluster.problem import Refusal
from node.second_opinion import SecondOpinion
from tests.clock.hand import MS, SECOND, SERVER, HandBase, sample_of, settle
from tests.clock.test_follower import Site


@dataclass
class Central:
    """Polls a node whose answer takes `there_ns` and `back_ns` on the way."""

    true: HandBase
    there_ns: int = 3 * MS
    back_ns: int = 1 * MS
    last: tuple[int, int] | None = None
    told: list[Ticket] = field(default_factory=list)

    def poll(self, opinion: SecondOpinion, base: SkewedBase | HandBase) -> None:
        sent, answered = self.last or (None, None)
        ticket = Ticket(
            sent=self.true.system, bound=MS, stratum=10, last_sent=sent, last_answered=answered
        )
        self.advance(self.there_ns, base)
        came_ns = base.monotonic_ns()
        heard = opinion.heard(ticket.text)
        self.advance(2 * MS, base)  # what the node needs to answer
        opinion.answers(heard, came_ns)
        self.advance(self.back_ns, base)
        self.last = (ticket.sent, self.true.system)
        self.advance(SECOND, base)

    def advance(self, ns: int, base: SkewedBase | HandBase) -> None:
        self.true.advance(ns)
        if isinstance(base, HandBase) and base is not self.true:
            base.advance(ns)


def test_two_polls_set_a_clock_that_has_no_server() -> None:
    """The first is noted, the second brings what was missing; half of the way back is the error."""
    true = HandBase()
    base = SkewedBase(-3_600_000, 50, true)
    clock = ClusterClock(base)
    opinion, central = SecondOpinion(clock, asyncio.Event(), None), Central(true)

    central.poll(opinion, base)
    assert not clock.synced
    central.poll(opinion, base)

    state = state_of(clock)
    assert (state.status, state.reference, state.stratum) == ("SYNC", SOURCE, 11)
    assert state.sources[0].transport == "http"
    assert clock.now_ns() - true.system == pytest.approx(-MS, abs=MS // 5)  # (1 - 3) / 2
    assert state.bound_ms is not None
    assert 3 < state.bound_ms < 5  # half of the round trip, and central's own


def test_it_finds_the_frequency_too() -> None:
    true = HandBase()
    base = SkewedBase(0, 80, true)
    clock = ClusterClock(base)
    opinion, central = SecondOpinion(clock, asyncio.Event(), None), Central(true, there_ns=MS)

    for _ in range(120):
        central.poll(opinion, base)

    assert state_of(clock).freq_ppm == pytest.approx(80, abs=1)
    assert clock.now_ns() == pytest.approx(true.system, abs=MS // 10)


async def test_a_pause_is_found_out_at_the_next_poll() -> None:
    """A poll from the future: the time servers are asked at once, not a minute later."""
    site = Site()
    follower = site.follower()
    settle(site.clock, site.base, site.base)
    opinion, central = SecondOpinion(site.clock, follower.synced, follower), Central(HandBase())
    central.true.system = site.base.system
    central.poll(opinion, site.base)
    schedule = site.clock.source(SERVER).schedule
    for _ in range(20):
        schedule.next_s()

    central.true.system += 120 * SECOND  # here, no time passed
    central.poll(opinion, site.base)

    assert [schedule.next_s() for _ in range(4)] == [2, 2, 2, 16]


async def test_who_stays_apart_does_not_ask_for_ever() -> None:
    """Central and the time servers disagree, all day: one burst, and then the usual pace."""
    site = Site()
    follower = site.follower()
    settle(site.clock, site.base, site.base)
    opinion, central = SecondOpinion(site.clock, follower.synced, follower), Central(HandBase())
    central.true.system = site.base.system - 5 * SECOND
    schedule = site.clock.source(SERVER).schedule
    for _ in range(20):
        schedule.next_s()

    waits = []
    for _ in range(8):
        central.poll(opinion, site.base)
        waits.append(schedule.next_s())

    assert waits == [16, 2, 2, 2, 16, 16, 16, 16]
    assert abs(site.clock.now_ns() - site.base.system) < MS


def test_an_answer_that_central_never_got_makes_no_sample() -> None:
    """Central speaks of another poll than the last one here: nothing can be made of it."""
    true = HandBase()
    clock = ClusterClock(true)
    opinion, central = SecondOpinion(clock, asyncio.Event(), None), Central(true)
    central.poll(opinion, true)
    central.last = (central.true.system - 5 * SECOND, central.true.system)

    central.poll(opinion, true)

    assert not clock.synced


@pytest.mark.parametrize(
    "text", ["", "{}", '{"sent":-1,"bound":0,"stratum":1}', '{"sent":1,"bound":1e99,"stratum":1}']
)
def test_nonsense_is_refused(text: str) -> None:
    assert read_ticket(text) is None
    with pytest.raises(Refusal) as refused:
        SecondOpinion(ClusterClock(HandBase()), asyncio.Event(), None).heard(text)
    assert refused.value.problem.code == "bad_request"


def test_a_sample_over_ntp_is_preferred() -> None:
    """As soon as a server answers, the poll is only listened to."""
    true = HandBase()
    clock = ClusterClock(true)
    opinion, central = SecondOpinion(clock, asyncio.Event(), None), Central(true)
    for _ in range(3):
        central.poll(opinion, true)

    clock.adopt(sample_of(true, true.system))

    assert state_of(clock).reference == SERVER
