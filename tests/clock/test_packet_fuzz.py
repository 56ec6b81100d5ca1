"""Whatever comes off the wire, a reply is a sample within its limits, a failure, or not for us."""

import struct

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from central.time_server import ntp_timestamp
from cluster.clock.packet import OWN_PRECISION_NS, read_reply
from cluster.clock.sample import NtpFailed
from tests.clock.impostor import truthful
from tests.clock.test_packet import (
    MS,
    NONCE,
    PACKET,
    QUESTION,
    SENT_NS,
    Y2024,
    Y2160,
    S,
    outcome,
)

WAY = st.integers(0, 499 * MS)


@given(
    offset_ns=st.integers(Y2024 * S, Y2160 * S - 10_000 * S),
    there_ns=WAY,
    back_ns=WAY,
    held_ns=st.integers(0, S - 10),
)
def test_the_truth_lies_within_half_of_the_round_trip(
    offset_ns: int, there_ns: int, back_ns: int, held_ns: int
) -> None:
    """However unequal the two ways are; that is all that a sample promises."""
    received_ns = SENT_NS + there_ns + offset_ns
    reply = truthful(
        PACKET, receive=ntp_timestamp(received_ns), transmit=ntp_timestamp(received_ns + held_ns)
    )

    sample = read_reply(reply, QUESTION, SENT_NS + there_ns + held_ns + back_ns)

    assert sample is not None
    assert abs(sample.offset_ns - offset_ns) <= sample.delay_ns / 2 + sample.precision_ns
    assert sample.delay_ns == pytest.approx(max(there_ns + back_ns, OWN_PRECISION_NS), abs=2)


SHORT = st.integers(0, 2**32 - 1) | st.integers(0, 2**16)


@given(st.binary(max_size=200), st.booleans(), st.integers(-S, 2 * S))
def test_no_bytes_whatever_do_more_than_fail(noise: bytes, ours: bool, away_ns: int) -> None:
    """A sample within its limits, a failure, or nothing for us: never an accident."""
    reply = noise[:24] + NONCE + noise[32:] if ours else noise

    heard = outcome(reply, SENT_NS + away_ns)

    if isinstance(heard, NtpFailed):
        assert str(heard).isprintable()
    else:
        assert heard is None or 0 < heard.delay_ns <= S


@given(
    first=st.integers(0, 255) | st.sampled_from([0b00_100_100, 0b01_011_100]),
    stratum=st.integers(0, 255) | st.integers(1, 15),
    precision=st.integers(-128, 127),
    refid=st.binary(min_size=4, max_size=4),
    root=st.tuples(SHORT, SHORT),
    held=st.integers(-(2**33), 2**33) | st.integers(0, 10 * 2**22),
)
def test_no_header_with_the_right_nonce_gets_past_its_limits(
    first: int,
    stratum: int,
    precision: int,
    refid: bytes,
    root: tuple[int, int],
    held: int,
) -> None:
    """Whatever else a server sends along with our nonce."""
    received = ntp_timestamp(1_800_000_000 * S)
    assume(received + held > 0)
    stamps = struct.pack("!QQ", received, received + held)
    head = struct.pack("!BBBbII4sQ", first, stratum, 6, precision, *root, refid, 0)

    heard = outcome(head + NONCE + stamps)

    if isinstance(heard, NtpFailed):
        assert str(heard).isprintable()
        return
    assert heard is not None
    assert (first & 7, first >> 3 & 7 in (3, 4), heard.leap < 3) == (4, True, True)
    assert 1 <= heard.stratum <= 15
    assert heard.root_delay_ns / 2 + heard.root_dispersion_ns < 1.5 * S
    assert 1_000 <= heard.precision_ns <= S + 1_000
