"""When a server is asked: often at first, seldom later, soon when something does not fit."""

from itertools import islice

from cluster.clock.sample import Reason
from cluster.clock.schedule import Schedule
from cluster.clock.source import Source


def waits(schedule: Schedule, count: int) -> list[float]:
    return [schedule.next_s() for _ in range(count)]


def test_polls_grow_rarer() -> None:
    """Four at 2 s, then 16 s to ten minutes, 32 s to an hour, 64 s from then on."""
    plan = waits(Schedule(), 200)

    assert plan[:5] == [2, 2, 2, 2, 16]
    assert sum(wait for wait in plan if wait <= 16) == 600
    assert 3500 <= sum(wait for wait in plan if wait <= 32) <= 3616
    assert plan[-1] == 64


def test_a_burst_is_three_polls_two_seconds_apart() -> None:
    schedule = Schedule()
    waits(schedule, 10)

    schedule.burst()

    assert waits(schedule, 5) == [2, 2, 2, 16, 16]


def test_a_server_that_says_rate_is_asked_half_as_often_each_time() -> None:
    """And never more seldom than once in 1024 s."""
    source = Source("192.0.2.1:123")
    waits(source.schedule, 200)

    plan = []
    for _ in range(6):
        source.miss("rate")
        plan.append(source.schedule.next_s())

    assert plan == [128, 256, 512, 1024, 1024, 1024]


def test_a_server_that_is_content_again_is_asked_as_before() -> None:
    source = Source("192.0.2.1:123")
    waits(source.schedule, 200)
    source.miss("rate")
    source.miss("rate")

    plan = waits(source.schedule, 70)

    assert plan[0] == 256
    assert plan[40] == 128
    assert plan[-1] == 64


def test_a_server_that_says_rate_at_the_start_ends_the_start() -> None:
    source = Source("192.0.2.1:123")
    source.schedule.next_s()

    source.miss("rate")

    assert source.schedule.next_s() == 32


def test_somebody_elses_server_is_not_asked_more_than_once_in_64_s() -> None:
    """After the first four, a public address is left in peace; one of the site is not."""
    public, own = Schedule(), Schedule()
    public.found_at("8.8.8.8")
    own.found_at("192.168.1.1")

    assert waits(public, 6) == [2, 2, 2, 2, 64, 64]
    assert waits(own, 6) == [2, 2, 2, 2, 16, 16]


def test_the_third_miss_asks_again_soon_but_only_the_third() -> None:
    """A server that is away for a week is not asked every two seconds for a week."""
    source = Source("192.0.2.1:123")
    waits(source.schedule, 10)
    reasons: list[Reason] = ["timeout"] * 9

    plan = []
    for reason in reasons:
        source.miss(reason)
        plan.append(source.schedule.next_s())

    assert plan == [16, 16, 2, 2, 2, 16, 16, 16, 16]
    assert f"{source.reach:03o}" == "000"
    assert source.rejected == {"timeout": 9}


def test_a_server_that_denies_is_asked_no_more() -> None:
    source = Source("192.0.2.1:123")

    source.miss("denied")

    assert source.schedule.denied


def test_a_public_server_still_gets_its_burst() -> None:
    schedule = Schedule()
    schedule.found_at("2001:4860:4806::")
    list(islice(iter(schedule.next_s, None), 6))

    schedule.burst()

    assert waits(schedule, 4) == [2, 2, 2, 64]
