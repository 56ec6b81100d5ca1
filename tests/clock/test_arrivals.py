"""When a datagram arrived: by the kernel's stamp, as long as nobody steps the system clock."""

import select
import socket
import time
from dataclasses import dataclass

import pytest

from cluster.clock.sample import NtpFailed
from cluster.clock.stamps import Arrivals, Datagram, ask_for_stamps, receive

MS, S = 1_000_000, 1_000_000_000
START_NS = 1_800_000_000 * S


@dataclass
class Machine:
    """Two clocks that a test moves."""

    realtime: int = START_NS
    monotonic: int = 70 * S

    def arrivals(self) -> Arrivals:
        return Arrivals(lambda: self.realtime, lambda: self.monotonic)

    def base_ns(self) -> int:
        """Another clock, of another start."""
        return self.monotonic + 5 * S

    def arrive(self) -> Datagram:
        return Datagram(b"", None, self.realtime)

    def wait(self, ns: int) -> None:
        self.realtime += ns
        self.monotonic += ns


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_the_time_a_datagram_lay_waiting_is_taken_off(machine: Machine) -> None:
    """A busy event loop reads it late, and it does not matter."""
    arrivals, moment_ns = machine.arrivals(), machine.base_ns()
    datagram = machine.arrive()
    machine.wait(20 * MS)

    assert arrivals.moment_ns(datagram, machine.base_ns) == moment_ns


def test_without_a_stamp_the_moment_of_reading_has_to_do(machine: Machine) -> None:
    """As where the system has none."""
    arrivals = machine.arrivals()

    assert arrivals.moment_ns(Datagram(b"", None, None), machine.base_ns) == machine.base_ns()


@pytest.mark.parametrize("step_ns", [-S, -11 * MS, 11 * MS, 500 * MS, 30 * S])
def test_a_step_of_the_system_clock_is_noticed_and_told_once(
    machine: Machine, step_ns: int
) -> None:
    """What it may have touched is dropped; the next datagram is as good as ever."""
    arrivals = machine.arrivals()
    datagram = machine.arrive()
    machine.realtime += step_ns

    with pytest.raises(NtpFailed) as failed:
        arrivals.moment_ns(datagram, machine.base_ns)

    assert failed.value.reason == "disturbed"
    assert arrivals.moment_ns(machine.arrive(), machine.base_ns) == machine.base_ns()


def test_a_sleep_of_the_machine_is_a_step(machine: Machine) -> None:
    """Its monotonic clock stood still, its wall clock did not."""
    arrivals = machine.arrivals()
    datagram = machine.arrive()
    machine.realtime += 600 * S

    with pytest.raises(NtpFailed, match="disturbed"):
        arrivals.moment_ns(datagram, machine.base_ns)


def test_a_clock_that_is_slewed_is_not_stepped(machine: Machine) -> None:
    """An NTP daemon slews both clocks; an hour of it between two datagrams is nothing."""
    arrivals = machine.arrivals()
    machine.wait(3600 * S)

    assert arrivals.moment_ns(machine.arrive(), machine.base_ns) == machine.base_ns()


@pytest.mark.parametrize("ago_ns", [-2 * MS, -S, S + MS, 3600 * S])
def test_a_stamp_that_cannot_be_is_not_used(machine: Machine, ago_ns: int) -> None:
    """From the future, or of a datagram that lay about for over a second."""
    arrivals = machine.arrivals()
    datagram = Datagram(b"", None, machine.realtime - ago_ns)

    with pytest.raises(NtpFailed, match="disturbed"):
        arrivals.moment_ns(datagram, machine.base_ns)


@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
def test_the_kernel_stamps_what_arrives(family: socket.AddressFamily, host: str) -> None:
    """Long before it is read, and at once after it was sent."""
    if family == socket.AF_INET6 and not _has_ipv6():
        pytest.skip("no IPv6 on this machine")
    with (
        socket.socket(family, socket.SOCK_DGRAM) as listener,
        socket.socket(family, socket.SOCK_DGRAM) as sender,
    ):
        listener.bind((host, 0))
        if not ask_for_stamps(listener):
            pytest.skip("this system has no stamps")
        before_ns = time.time_ns()
        sender.sendto(b"hello", listener.getsockname())
        after_ns = time.time_ns()
        assert select.select([listener], [], [], 5)[0]

        datagram = receive(listener)

    assert (datagram.payload, datagram.sender[0]) == (b"hello", host)
    assert datagram.realtime_ns is not None
    assert before_ns <= datagram.realtime_ns <= max(after_ns, before_ns + 50 * MS)


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
