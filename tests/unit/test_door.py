"""The door: who may be inside."""

import logging

import pytest

from cluster.door import ADDRESS_MAX, BODY_S, HEADER_S, IDLE_S, INSIDE_MAX, TAKE_S, Door, address_of
from cluster.problem import Refusal


def test_the_deadlines_are_those_of_the_documents() -> None:
    """Ten seconds for a header, thirty for a body or for an answer, 75 between requests."""
    assert (HEADER_S, BODY_S, TAKE_S, IDLE_S) == (10, 30, 30, 75)
    assert (INSIDE_MAX, ADDRESS_MAX) == (1_024, 64)


class Guest:
    def __init__(self, address: str | None) -> None:
        self.address = address
        self.left = False

    def make_room(self) -> None:
        self.left = True


@pytest.mark.fault(27)
@pytest.mark.parametrize(("address", "most"), [("192.0.2.1", ADDRESS_MAX), (None, INSIDE_MAX)])
def test_the_longest_idle_makes_room_for_a_new_one(address: str | None, most: int) -> None:
    """64 an address and 1,024 in all; this machine itself counts only among all."""
    door = Door()
    guests = [Guest(address) for _ in range(most)]
    for guest in guests:
        door.enter(guest)
    assert not any(guest.left for guest in guests)
    door.busy(guests[0])

    door.enter(Guest(address))

    assert [guest.left for guest in guests[:3]] == [False, True, False]
    assert door.inside == most


@pytest.mark.fault(27)
def test_only_where_all_are_busy_a_new_one_is_refused() -> None:
    """And counted; it never was inside."""
    door = Door()
    for _ in range(ADDRESS_MAX):
        guest = Guest("192.0.2.1")
        door.enter(guest)
        door.busy(guest)

    with pytest.raises(Refusal):
        door.enter(Guest("192.0.2.1"))

    door.enter(Guest("192.0.2.2"))
    assert door.inside == ADDRESS_MAX + 1
    door.leave(guest)
    door.enter(Guest("192.0.2.1"))


def test_who_has_left_is_idle_no_more() -> None:
    """An answer may be finished after its connection is gone."""
    door, guest = Door(), Guest(None)
    door.enter(guest)
    door.leave(guest)

    door.idle(guest)
    door.leave(guest)

    assert not door.is_idle(guest)
    assert door.inside == 0


def test_cuts_are_told_of_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """A thousand bad requests are one line: nobody can fill our disk by asking."""
    caplog.set_level(logging.INFO)
    door = Door()

    for _ in range(1_000):
        door.cut("bad_http")
    door.cut("broken")

    assert [one.getMessage() for one in caplog.records] == [
        "a request is not HTTP",
        "a request broke off",
    ]
    assert door.cuts == {"bad_http": 1_000, "broken": 1}


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        (("192.0.2.7", 5), "192.0.2.7"),
        (("::ffff:192.0.2.7", 5, 0, 0), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 5, 0, 0), "2001:db8:1:2::"),
        (("fe80::1%eth0", 5, 0, 2), "fe80::"),
        (("127.0.0.1", 5), None),
        (("127.9.9.9", 5), None),
        (("::1", 5, 0, 0), None),
        (("::ffff:127.0.0.1", 5, 0, 0), None),
        ("", None),  # a Unix socket
        (None, None),  # it has gone already
    ],
)
def test_an_address_is_what_one_person_has(peer: object, address: str | None) -> None:
    """Of IPv6 everybody has 2^64; this machine is not counted by its address."""
    assert address_of(peer) == address
