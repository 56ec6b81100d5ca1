"""What an NTP reply must look like to be believed: each lie is refused, and for what it is.

The table is what ntplib 0.4.0 believed when it was tried.
"""

import ntplib
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from central.time_server import ntp_timestamp
from cluster.clock.packet import (
    OWN_PRECISION_NS,
    Question,
    question_packet,
    read_reply,
    reference_id,
    unix_ns,
)
from cluster.clock.sample import NtpFailed, Reason, Sample
from tests.clock.impostor import truthful

MS, S = 1_000_000, 1_000_000_000
NONCE = b"\xfe\xdc\xba\x98\x76\x54\x32\x11"
PACKET = question_packet(NONCE)
SENT_NS = 5_000 * S
ARRIVED_NS = SENT_NS + 40 * MS
QUESTION = Question("time.example:123", "192.0.2.1", NONCE, SENT_NS, bytes([192, 0, 2, 7]))

ERA_1 = 2_085_978_496  # 7 February 2036, 06:28:16 UTC: the 32-bit seconds wrap to 0
Y2024, Y2160 = 1_704_067_200, 5_999_034_496


def read(**lies: int) -> Sample | None:
    return read_reply(truthful(PACKET, **lies), QUESTION, ARRIVED_NS)


def outcome(reply: bytes, arrived_ns: int = ARRIVED_NS) -> Sample | NtpFailed | None:
    try:
        return read_reply(reply, QUESTION, arrived_ns)
    except NtpFailed as failed:
        return failed


def code(text: str) -> int:
    return int.from_bytes(text.encode().ljust(4, b"\0"), "big")


def test_a_question_is_one_of_ntplib_with_a_nonce_for_its_time() -> None:
    """Version 4, mode 3, and nothing of the asker's own time."""
    stats = ntplib.NTPStats()
    stats.from_data(PACKET)

    assert (stats.version, stats.mode, len(PACKET)) == (4, 3, 48)
    assert PACKET.hex() == f"23{'00' * 39}{NONCE.hex()}"


def test_an_honest_reply_is_a_sample() -> None:
    """What the server says of itself is in it; without a lie, so each lie alone is refused."""
    sample = read(stratum=3, leap=1, root_delay=1 << 15, root_dispersion=1 << 14, precision=-10)

    assert sample is not None
    assert (sample.source, sample.addr) == ("time.example:123", "192.0.2.1")
    assert (sample.at_ns, sample.delay_ns) == (ARRIVED_NS, 40 * MS)
    assert (sample.stratum, sample.leap, sample.refid) == (3, 1, bytes([10, 0, 0, 1]))
    assert (sample.root_delay_ns, sample.root_dispersion_ns) == (500 * MS, 250 * MS)
    assert sample.precision_ns == OWN_PRECISION_NS + 976_563


@pytest.mark.parametrize(
    "lies",
    [{"origin": 0}, {"origin": 0x0123_4567_89AB_CDEF}, {"origin": 1, "stratum": 0}],
    ids=["zero", "random", "kiss"],
)
def test_a_forged_origin_answers_no_question_of_ours(lies: dict[str, int]) -> None:
    """It is passed over, not refused: the true answer may still come."""
    assert read(**lies) is None


def test_a_late_or_second_reply_to_an_earlier_question_is_passed_over() -> None:
    """Its nonce is not the present one."""
    earlier = truthful(question_packet(b"earlier!"))

    assert read_reply(earlier, QUESTION, ARRIVED_NS) is None


REFUSED: list[tuple[dict[str, int], Reason]] = [
    ({"stratum": 0, "refid": code("RATE"), "receive": 0, "transmit": 0}, "rate"),
    ({"stratum": 0, "leap": 3, "refid": code("DENY")}, "denied"),
    ({"stratum": 0, "leap": 3, "refid": code("RSTR")}, "denied"),
    ({"stratum": 0, "leap": 3, "refid": code("INIT")}, "unsynchronised"),
    ({"stratum": 0, "leap": 3, "refid": code("STEP")}, "unsynchronised"),
    ({"stratum": 0, "refid": 0}, "unsynchronised"),
    ({"leap": 3}, "unsynchronised"),
    ({"stratum": 16}, "unsynchronised"),
    ({"stratum": 255}, "unsynchronised"),
    ({"mode": 3}, "malformed"),
    ({"mode": 5}, "malformed"),
    ({"mode": 6}, "malformed"),
    ({"version": 2}, "malformed"),
    ({"version": 5}, "malformed"),
    ({"receive": 0}, "malformed"),
    ({"transmit": 0}, "malformed"),
    ({"root_dispersion": 3 << 15}, "implausible"),
    ({"root_delay": 3 << 16}, "implausible"),
    ({"precision": 1}, "implausible"),
    ({"receive": 0xEE00_0000 << 32, "transmit": 0xEE00_0001 << 32}, "implausible"),
    ({"receive": 0xEE00_0001 << 32, "transmit": 0xEE00_0000 << 32}, "implausible"),
    ({"receive": 0xEE00_0000 << 32}, "implausible"),
    ({"refid": int.from_bytes([192, 0, 2, 7], "big")}, "looped"),
]


@pytest.mark.parametrize(("lies", "reason"), REFUSED, ids=str)
def test_a_lie_is_refused_for_what_it_is(lies: dict[str, int], reason: Reason) -> None:
    """Every check that ntplib leaves out is made, and told apart."""
    with pytest.raises(NtpFailed) as failed:
        read(**lies)

    assert failed.value.reason == reason


@pytest.mark.parametrize(
    "truths",
    [
        {"version": 3},
        {"stratum": 15},
        {"leap": 2},
        {"precision": 0},
        {"root_dispersion": (3 << 15) - 1},
        {"stratum": 1, "refid": int.from_bytes([192, 0, 2, 7], "big")},
    ],
    ids=str,
)
def test_the_edge_of_what_is_allowed_is_allowed(truths: dict[str, int]) -> None:
    """At stratum 1 the reference id is a name such as GPS, not an address."""
    assert read(**truths) is not None


@pytest.mark.parametrize("length", [32, 40, 47])
def test_a_short_reply_is_malformed(length: int) -> None:
    """As far as it can be told to be a reply at all."""
    with pytest.raises(NtpFailed) as failed:
        read_reply(truthful(PACKET)[:length], QUESTION, ARRIVED_NS)

    assert failed.value.reason == "malformed"


def test_what_follows_the_48_bytes_is_not_read() -> None:
    """Extension fields and signatures are somebody else's business."""
    longer = truthful(PACKET) + b"\xff" * 100

    assert read_reply(longer, QUESTION, ARRIVED_NS) is not None


def test_a_kiss_code_cannot_steer_a_terminal() -> None:
    """It is four bytes from anybody, and goes into logs."""
    with pytest.raises(NtpFailed) as failed:
        read(stratum=0, refid=0x1B5B_324A)  # ESC [2J

    assert failed.value.reason == "unsynchronised"
    assert str(failed.value).isprintable()


@pytest.mark.parametrize(
    ("away_ns", "held_ns", "delay_ns"),
    [
        (S, 0, S),
        (S + 1, 0, None),
        (0, 0, OWN_PRECISION_NS),
        (0, MS - 1_000, OWN_PRECISION_NS),
        (0, MS + 1_000, None),
        (2 * S - 1_000, S - 1_000, S),
        (2 * S, S, None),
    ],
)
def test_a_round_trip_lasts_a_second_at_most_and_not_less_than_nothing(
    away_ns: int, held_ns: int, delay_ns: int | None
) -> None:
    """A little less than nothing is two slewed clocks; more is a lie. Held: under a second."""
    received_ns = 1_800_000_000 * S
    reply = truthful(
        PACKET, receive=ntp_timestamp(received_ns), transmit=ntp_timestamp(received_ns + held_ns)
    )

    heard = outcome(reply, SENT_NS + away_ns)

    if delay_ns is None:
        assert isinstance(heard, NtpFailed)
        assert heard.reason == "implausible"
    else:
        assert isinstance(heard, Sample)
        assert heard.delay_ns == pytest.approx(delay_ns, abs=1)


class TestEra:
    @given(st.integers(Y2024 * S, Y2160 * S - 1))
    @example(ERA_1 * S - 1)
    @example(ERA_1 * S)
    def test_a_time_survives_the_wire(self, at_ns: int) -> None:
        """From 2024 until 2160, to within the 0.23 ns of the format."""
        assert abs(unix_ns(ntp_timestamp(at_ns)) - at_ns) <= 1

    def test_a_server_may_step_into_era_1_while_it_holds_a_question(self) -> None:
        """Received in era 0, answered in era 1, 10 ms later."""
        received_ns = ERA_1 * S - 5 * MS
        receive, transmit = ntp_timestamp(received_ns), ntp_timestamp(received_ns + 10 * MS)

        sample = read(receive=receive, transmit=transmit)

        assert transmit < receive
        assert sample is not None
        assert sample.delay_ns == pytest.approx(30 * MS, abs=2)
        assert sample.offset_ns == pytest.approx(ERA_1 * S - (SENT_NS + 20 * MS), abs=2)


def test_a_reference_id_is_an_address_or_a_hash_of_one() -> None:
    """RFC 5905, 7.3: IPv6 by the first four bytes of its MD5."""
    assert reference_id("192.0.2.7") == bytes([192, 0, 2, 7])
    assert reference_id("2001:db8::1") == reference_id("2001:0db8:0:0::0:1")
    assert reference_id("::1").hex() == "cf404dc8"
    assert len(reference_id("time.example")) == 4
