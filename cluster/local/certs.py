"""The certificates of a cluster on this machine: made at each start with --tls, for all members."""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.local.ports import HOST
from cluster.trust.tls import Tls, TlsFiles

OPERATOR = "operator"  # of run_cluster.py itself, and of its console
DAYS = 30


@dataclass(frozen=True, slots=True)
class Certs:
    """A folder with a pair for each member."""

    folder: Path

    @property
    def calling(self) -> ssl.SSLContext:
        """What an operator asks the members with."""
        own = self._files(OPERATOR)
        return Tls(TlsFiles(own["cert"], own["key"], own["ca"])).calling

    @property
    def env(self) -> dict[str, str]:
        """The same for a console that is a child."""
        files = self._files(OPERATOR).items()
        return {f"TIDEHOLD_CONSOLE_TLS_{kind.upper()}": path for kind, path in files}

    def flags(self, member: str) -> list[str]:
        """What a member is started with."""
        files = self._files(member).items()
        return [*(f"--tls-{kind}={path}" for kind, path in files), "--tls-mutual"]

    def _files(self, name: str) -> dict[str, str]:
        files = {"cert": f"{name}.crt", "key": f"{name}.key", "ca": "ca.crt"}
        return {kind: str(self.folder / file) for kind, file in files.items()}


def own_certs(folder: Path, members: Sequence[str]) -> Certs:
    """Make them, by the authority of the last time where there is one. OSError, ValueError."""
    from cluster.trust.certs import make_certs  # costs what a start without TLS need not pay

    make_certs(folder, {name: [HOST, "localhost"] for name in (*members, OPERATOR)}, days=DAYS)
    return Certs(folder)
