"""What central says of its clock in each reply: where its time comes from, and how good it is."""

import struct
from typing import Any

import msgspec
import pytest

from central.time_server import ntp_timestamp, reply_header
from cluster.clock.state import ClockSource, ClockState

QUESTION = bytes([0b00_100_011]) + bytes(39) + b"8 bytes!"
SYNCED = ClockState(status="SYNC", stratum=3, leap=0, reference="192.0.2.7:123")


def synced_state(**facts: Any) -> ClockState:
    return msgspec.structs.replace(SYNCED, **facts)


def test_its_distance_from_the_root_is_truthful() -> None:
    """Delay and dispersion are the clock's own, rounded up; the server is named by address."""
    state = synced_state(
        status="HOLDOVER",
        root_delay_ms=1000.0,
        root_dispersion_ms=0.001,
        last_sync_age_s=100.0,
    )

    header = reply_header(QUESTION, state, 1_800_000_000 * 10**9)

    delay, dispersion, refid, synced, received = struct.unpack("!II4sQ8xQ", header[4:])
    assert (delay, dispersion, refid) == (2**16, 1, bytes([192, 0, 2, 7]))
    assert received - synced == 100 << 32


@pytest.mark.parametrize("leap", [0, 1, 2])
def test_a_leap_second_is_passed_on(leap: int) -> None:
    """As the clock heard it."""
    header = reply_header(QUESTION, synced_state(leap=leap), 10**18)

    assert (header[0] >> 6, header[1]) == (leap, 3)


def test_a_server_that_has_a_name_is_told_by_its_address() -> None:
    """So that a loop of servers finds itself in it."""
    source = ClockSource(name="time.example:123", addr="192.0.2.9", state="selected")
    other = ClockSource(name="other.example:123", addr="192.0.2.8", state="survivor")
    state = synced_state(reference="time.example:123", sources=[other, source])

    assert reply_header(QUESTION, state, 10**18)[12:16] == bytes([192, 0, 2, 9])


def test_2036_is_the_next_era() -> None:
    """The 32-bit seconds wrap to 0 on 7 February 2036, 06:28:16 UTC."""
    wrap_s = 2_085_978_496

    assert ntp_timestamp(wrap_s * 10**9) == 0
    assert ntp_timestamp(wrap_s * 10**9 - 1) >> 32 == 2**32 - 1
    assert ntp_timestamp((wrap_s + 5) * 10**9 + 500_000_000) == 5 << 32 | 1 << 31
