"""TLS: the contexts of a service that is called, and of a member that calls.

A service shows its own certificate, and calls others with it. Whom it believes is said by one
file of certificates; without one, callers believe whom the system believes. TLS 1.2 is the least.
"""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.settings import SettingsWrong
from cluster.trust.private import State, check_private, state_of


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: own certificate, its key, and whom to believe. `mutual`: callers show theirs."""

    cert: str | None = None
    key: str | None = None
    ca: str | None = None
    mutual: bool = False

    @property
    def paths(self) -> Sequence[Path]:
        return [Path(name) for name in (self.cert, self.key, self.ca) if name is not None]


class Tls:
    """Both contexts of one member; `serving` is None where it serves without TLS.

    SettingsWrong when the files cannot be used.
    """

    def __init__(self, files: TlsFiles) -> None:
        if (files.cert is None) != (files.key is None):
            raise SettingsWrong("--tls-cert and --tls-key go together: give both or none")
        if files.mutual and (files.cert is None or files.ca is None):
            raise SettingsWrong("--tls-mutual needs --tls-cert, --tls-key and --tls-ca")
        self._files = files
        self.calling = ssl.create_default_context()
        if files.ca is not None:  # nobody else is believed
            self.calling = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.serving: ssl.SSLContext | None = None
        if files.cert is not None:
            self.serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if self.serving is not None and files.mutual:
            self.serving.verify_mode = ssl.CERT_REQUIRED
        for context in self._contexts:
            context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._seen = self._state()
        self._load()

    @property
    def _contexts(self) -> list[ssl.SSLContext]:
        return [one for one in (self.calling, self.serving) if one is not None]

    def renew(self) -> bool:
        """Show new files from the next connection on; whether there are any.

        SettingsWrong, once: these cannot be used, the old ones still are. Who was believed
        before is believed until the next start.
        """
        if (state := self._state()) == self._seen:
            return False
        self._seen = state
        self._load()
        return True

    def _state(self) -> list[State]:
        return [state_of(path) for path in self._files.paths]

    def _load(self) -> None:
        files = self._files
        if files.cert is not None and files.key is not None:
            _check_pair(files.cert, files.key)
            for context in self._contexts:
                context.load_cert_chain(files.cert, files.key)
        if files.ca is not None:
            try:
                for context in self._contexts:
                    context.load_verify_locations(files.ca)
            except (OSError, ssl.SSLError) as error:
                raise SettingsWrong(f"--tls-ca {files.ca}: {_why(error)}") from None


def _check_pair(cert: str, key: str) -> None:
    """SettingsWrong unless both can be used together: half of a new pair would stop a service."""
    try:
        check_private(Path(key), f"--tls-key {key}")
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, _no_password)
    except (OSError, ssl.SSLError, ValueError) as error:
        raise SettingsWrong(f"--tls-cert {cert}, --tls-key {key}: {_why(error)}") from None


def _no_password() -> str:
    """Nobody sits at a service's terminal."""
    raise ValueError("the key has a password; give one without")


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"not PEM files that belong together ({error.reason or error})"
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
