"""Two machines with a network between them, on one: network namespaces, joined by an emulator.

    with network(there=Way(10), back=Way(20, loss=0.02)) as net:
        with net.far.entered():  # sockets made in this block belong to the far side
            server = await stack.enter_async_context(time_server(clock, net.far.address, 0))
        process = subprocess.Popen(net.near.command(sys.executable, "-m", "node", ...))
        net.change(there=Way(10, loss=0.3), back=Way(20))
        net.near.unplug()

`near` is where a test asks from, `far` where it asks; `there` leads from near to far. Addresses
are of 192.0.2.0/24 (for documentation, RFC 5737), and nothing leads anywhere else: what runs on
a side sees only its own 127.0.0.1 and the other side. Any protocol over IPv4 goes through.

Needs root, `ip` and TUN devices; the test is skipped, with the reason, where they are not to be
had. Namespaces and emulator are gone after the block, and what a killed run left is removed by
the next one. What a test starts on a side, it stops.
"""

import ctypes
import fcntl
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from tests.program import ROOT

DEVICE = "wan"
PREFIX = "tidehold"
NAMESPACES = Path("/run/netns")

# linux/sched.h and linux/if_tun.h
CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000

_numbers = count()


@dataclass(frozen=True)
class Way:
    """One direction of the network: each packet takes `delay_ms`, plus exponential jitter."""

    delay_ms: float
    jitter_ms: float = 0.0
    loss: float = 0.0


class Side:
    """One of the two machines."""

    def __init__(self, namespace: str, address: str) -> None:
        self.namespace = namespace
        self.address = address

    def command(self, *argv: str) -> list[str]:
        """`argv` as a command whose process runs on this side, files and all else shared."""
        return ["ip", "netns", "exec", self.namespace, *argv]

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread is on this side until the block ends.

        Sockets and threads that begin in the block stay on this side for good. That goes for all
        that the event loop runs meanwhile.
        """
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _enter(NAMESPACES / self.namespace)
            try:
                yield
            finally:
                _enter(Path(f"/proc/self/fd/{home}"))
        finally:
            os.close(home)

    def unplug(self) -> None:
        """Pull the cable on this side: nothing can be sent from here, nothing arrives."""
        self.ip(f"link set {DEVICE} down")

    def plug_in(self) -> None:
        """Put the cable back."""
        self.ip(f"link set {DEVICE} up")

    def ip(self, *lines: str) -> None:
        """Carry out commands of `ip`, one a line, on this side."""
        _run("ip", "-n", self.namespace, "-batch", "-", text="\n".join(lines))


class Network:
    """Two sides and the emulator between them. Made by `network`."""

    def __init__(self, near: Side, far: Side, emulator: "subprocess.Popen[str]") -> None:
        self.near = near
        self.far = far
        self._emulator = emulator

    def change(self, there: Way, back: Way) -> None:
        """Packets that set out from now on travel like this; those under way are left alone."""
        ways = {
            name: (way.delay_ms / 1000, way.jitter_ms / 1000, way.loss)
            for name, way in (("there", there), ("back", back))
        }
        assert self._emulator.stdin is not None
        assert self._emulator.stdout is not None
        print(json.dumps(ways), file=self._emulator.stdin, flush=True)
        assert self._emulator.stdout.readline() == "set\n", "the emulator has ended"


@contextmanager
def network(there: Way, back: Way, seed: int = 1) -> Iterator[Network]:
    """Two new namespaces and a network between them; the test is skipped where that is refused."""
    reason = _obstacle()
    if reason is not None:
        pytest.skip(reason)
    _sweep()
    name = f"{PREFIX}-{os.getpid()}-{next(_numbers)}"
    near, far = Side(f"{name}-near", "192.0.2.1"), Side(f"{name}-far", "192.0.2.2")
    with ExitStack() as stack:
        try:
            for side in (near, far):
                stack.callback(_remove, side.namespace)
                _run("ip", "netns", "add", side.namespace)
            devices = [stack.enter_context(_plugged(*ends)) for ends in ((near, far), (far, near))]
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no network namespaces here: {getattr(error, 'stderr', '') or error}")
        net = Network(near, far, stack.enter_context(_emulator(devices, seed)))
        net.change(there, back)
        yield net


def _obstacle() -> str | None:
    if not sys.platform.startswith("linux"):
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "ip (iproute2) is not installed"
    return None if Path("/dev/net/tun").exists() else "this system has no /dev/net/tun"


def _sweep() -> None:
    """Remove namespaces of test runs that were killed before they could."""
    for namespace in NAMESPACES.glob(f"{PREFIX}-*"):
        if not Path("/proc", namespace.name.split("-")[1]).exists():
            _remove(namespace.name)


def _remove(namespace: str) -> None:
    if (NAMESPACES / namespace).exists():
        with suppress(subprocess.CalledProcessError):  # another sweep was faster
            _run("ip", "netns", "delete", namespace)


@contextmanager
def _plugged(side: Side, other: Side) -> Iterator[int]:
    """A TUN device on `side`: what is sent there is read from the number that is given."""
    with side.entered():
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    try:
        request = struct.pack("16sH22x", DEVICE.encode(), IFF_TUN | IFF_NO_PI)
        fcntl.ioctl(device, TUNSETIFF, request)
        side.ip(
            "link set lo up",
            f"addr add {side.address} peer {other.address} dev {DEVICE}",
            f"link set {DEVICE} up",
        )
        yield device
    finally:
        os.close(device)


@contextmanager
def _emulator(devices: list[int], seed: int) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.clock.peers.emulator", *map(str, devices), str(seed)],
        cwd=ROOT,
        pass_fds=devices,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        ended = process.poll()
        process.kill()
        process.communicate()
    assert ended is None, f"the emulator ended by itself, with {ended}"


def _enter(namespace: Path) -> None:
    # os.setns is there from Python 3.12 on.
    handle = os.open(namespace, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(handle, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
    finally:
        os.close(handle)


def _run(*argv: str, text: str | None = None) -> None:
    subprocess.run(argv, input=text, check=True, capture_output=True, text=True, timeout=10)
