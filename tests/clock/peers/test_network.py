"""The network that other tests trust: it delays, loses, cuts and goes away as it says."""

import errno
import os
import socket
import subprocess
import sys
import time
from random import Random

import pytest

from tests.clock.peers.emulator import Way as EmulatedWay
from tests.clock.peers.network import NAMESPACES, PREFIX, Way, network

PATIENCE_S = 5.0
AT_ONCE = Way(0)


def namespaces_of(pid: int) -> list[str]:
    return [found.name for found in NAMESPACES.glob(f"{PREFIX}-{pid}-*")]


class TestNetwork:
    def test_a_packet_takes_as_long_as_it_was_told(self) -> None:
        """TCP goes through too: shaking hands is one way there and one back."""
        with network(there=Way(20), back=Way(40)) as net:
            with net.far.entered():
                listener = socket.create_server((net.far.address, 0))
            with listener, net.near.entered():
                began_s = time.monotonic()
                socket.create_connection(listener.getsockname(), PATIENCE_S).close()
                took_s = time.monotonic() - began_s

        assert took_s >= 0.060

    def test_no_road_leads_out(self) -> None:
        """Neither to the world nor to what listens on this machine."""
        with (
            network(AT_ONCE, AT_ONCE) as net,
            socket.create_server(("127.0.0.1", 0)) as outside,
            net.near.entered(),
        ):
            with pytest.raises(OSError, match="unreachable") as world:
                socket.create_connection(("198.51.100.1", 9), PATIENCE_S)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(outside.getsockname(), PATIENCE_S)

        assert world.value.errno == errno.ENETUNREACH

    def test_a_process_runs_on_its_side(self) -> None:
        """Each side has its own address, and sees nothing of the other's."""
        show = "import socket; s = socket.create_server(('{}', 0)); print(s.getsockname()[0])"

        with network(AT_ONCE, AT_ONCE) as net:
            here, there = (
                subprocess.run(
                    net.near.command(sys.executable, "-c", show.format(side.address)),
                    capture_output=True,
                    text=True,
                    check=False,
                )
                for side in (net.near, net.far)
            )

        assert here.stdout.split() == [net.near.address]
        assert "Cannot assign requested address" in there.stderr

    def test_nothing_is_left_of_it_whatever_happens(self) -> None:
        """A test that fails inside finds its own error outside, and no namespace."""
        before, during = namespaces_of(os.getpid()), list[str]()

        def fail_inside() -> None:
            with network(AT_ONCE, AT_ONCE):
                during.extend(namespaces_of(os.getpid()))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail_inside()

        assert len(during) == len(before) + 2
        assert namespaces_of(os.getpid()) == before

    def test_what_a_killed_run_left_is_removed(self) -> None:
        """Nobody else would do it: a namespace outlives the process that made it."""
        dead = subprocess.Popen([sys.executable, "-c", ""])
        dead.wait()

        with network(AT_ONCE, AT_ONCE) as net:
            left = net.near.namespace.replace(str(os.getpid()), str(dead.pid))
            subprocess.run(["ip", "netns", "add", left], check=True)
            assert namespaces_of(dead.pid) == [left]
            with network(AT_ONCE, AT_ONCE):
                assert namespaces_of(dead.pid) == []


class TestWay:
    def test_the_same_seed_is_the_same_fate(self) -> None:
        """More loss loses more packets, and those that arrive take as long as before."""
        lossless, lossy = (
            [way.fate_s() for _ in range(1000)]
            for way in (EmulatedWay(0, 1, Random(7), 0.01, 0.002, loss) for loss in (0.0, 0.3))
        )

        arrived = [(a, b) for a, b in zip(lossless, lossy, strict=True) if b is not None]
        assert None not in lossless
        assert 640 < len(arrived) < 760
        assert all(a == b >= 0.01 for a, b in arrived)
