"""A real chronyd, as a server or as a client, that leaves the machine's own clock alone.

With -x it steers no clock but its own, which it serves on its port like any other NTP server: to
know what it believes, ask it. `frequency` reads the rest from its log.
"""

import getpass
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import SOCK_DGRAM

import pytest

from cluster.clock.sample import Server
from tests.clock.peers.network import Side
from tests.program import free_port

PROGRAM = shutil.which("chronyd", path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin")
needs_chronyd = pytest.mark.skipif(PROGRAM is None, reason="chronyd (chrony) is not installed")

STOP_S = 10


@dataclass(frozen=True)
class Frequency:
    """How much slower than its source the machine's clock runs, and how sure chronyd is of it."""

    slow_ppm: float
    skew_ppm: float


class Chronyd:
    """A running chronyd. Made by `chronyd`."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self._folder = folder

    def frequency(self) -> Frequency | None:
        """Its latest opinion; None before the first."""
        log = self._folder / "tracking.log"
        lines = log.read_text().splitlines() if log.exists() else []
        columns = [line.split() for line in lines if line[:1].isdigit()]
        if not columns:
            return None
        # date, time, address, stratum, frequency (negative: slow), skew
        return Frequency(-float(columns[-1][4]), float(columns[-1][5]))


@contextmanager
def chronyd(
    folder: Path,
    *config: str,
    side: Side | None = None,
) -> Iterator[Chronyd]:
    """Run chronyd with `config` until the block ends: on 127.0.0.1, or on a side of a network."""
    assert PROGRAM is not None, "the test is not marked with needs_chronyd"
    folder.mkdir(mode=0o700)
    file, said = folder / "chrony.conf", folder / "said.txt"
    server = Server("127.0.0.1" if side is None else side.address, free_port(SOCK_DGRAM))
    basis = (
        *(f"port {server.port}", f"bindaddress {server.host}", f"allow {server.host}/24"),
        *("cmdport 0", "bindcmdaddress /"),  # nobody gives it orders, not even by a Unix socket
        *(f"pidfile {folder / 'chronyd.pid'}", f"logdir {folder}", "log tracking"),
    )
    file.write_text("\n".join([*basis, *config, ""]))
    who = ["-u", getpass.getuser(), *([] if os.geteuid() == 0 else ["-U"])]
    command = [PROGRAM, "-x", "-d", *who, "-f", str(file)]
    with said.open("w") as output:
        process = subprocess.Popen(
            command if side is None else side.command(*command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Chronyd(server, folder)
    finally:
        process.terminate()
        process.wait(STOP_S)
    assert process.returncode == 0, f"chronyd ended with {process.returncode}: {said.read_text()}"
