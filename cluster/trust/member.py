"""What a member trusts: its keyring and its TLS, from its settings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from cluster.exchange import Role
from cluster.protocol.views import Level
from cluster.settings import LOOPBACK, SettingsWrong
from cluster.trust.gate import Gate
from cluster.trust.keyring import Keyring
from cluster.trust.renewal import renew_for_ever
from cluster.trust.settings import CallerSettings, MemberSettings
from cluster.trust.tls import Tls, TlsFiles
from cluster.trust.tokens import Tokens, read_tokens, read_viewer_tokens


@dataclass(frozen=True, slots=True)
class Trust:
    """Made by `open_trust` or, of one token and without TLS, by `Trust.of`."""

    keyring: Keyring
    tls: Tls

    @classmethod
    def of(cls, operator: str, viewer: str | None = None) -> "Trust":
        return cls(Keyring.of(operator, viewer), Tls(TlsFiles()))

    def gate(self) -> Gate:
        return Gate(self.keyring, secure=self.tls.serving is not None)

    async def renew(self, tell: Callable[[Level, str, str], None]) -> None:
        """Take up what changes on the disk, for ever."""
        await renew_for_ever((self.keyring, self.tls), tell)


def open_trust(
    kind: Literal["central", "node"], settings: MemberSettings, environ: Mapping[str, str]
) -> Trust:
    """Read what the settings name. SettingsWrong says what cannot be used."""
    operators = read_tokens(settings.token_file, environ)
    node = _tokens(settings.node_token_file, "--node-token-file")
    central = _tokens(settings.central_token_file, "--central-token-file")
    other: Role = "node" if kind == "central" else "central"
    comes, brought = (node, central) if kind == "central" else (central, node)
    known: dict[Role, Tokens | None] = {
        "operator": operators,
        "viewer": read_viewer_tokens(settings.viewer_token_file, environ),
        other: comes,
    }
    let_in = {role: tokens for role, tokens in known.items() if tokens is not None}
    return Trust(Keyring(let_in, brought or operators), open_tls(settings, settings.tls_mutual))


def open_tls(settings: CallerSettings, mutual: bool = False) -> Tls:
    """SettingsWrong for files that cannot be used."""
    return Tls(TlsFiles(settings.tls_cert, settings.tls_key, settings.tls_ca, mutual))


def check_host(host: str, tls: Tls) -> None:
    """SettingsWrong for an address that others can reach, without TLS."""
    if tls.serving is None and not LOOPBACK.match(host):
        raise SettingsWrong(
            f"--host {host}: without TLS this service listens on loopback only (127.0.0.1, ::1, "
            "localhost); give --tls-cert and --tls-key (`python -m central certs` makes them)"
        )


def _tokens(name: str | None, flag: str) -> Tokens | None:
    return Tokens.of_file(name, flag) if name is not None else None
