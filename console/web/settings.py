"""What can be set at the console's web server, and the key that opens it."""

import secrets
from collections.abc import MutableMapping
from typing import Annotated

import msgspec

from cluster.protocol.central import Url
from cluster.settings import KEY_VARIABLE, Port, SettingsWrong
from cluster.trust.settings import CallerSettings

HOST = "127.0.0.1"  # without TLS, nowhere else
KEY_LENGTH = 43  # 256 bits in base64


class WebSettings(CallerSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The console in a browser on this machine; TIDEHOLD_CONSOLE_... variables hold in each tab."""

    central: Annotated[Url, msgspec.Meta(description="central's address")] = "http://127.0.0.1:8100"
    port: Port = 8180


def make_key() -> str:
    """A key of 256 bits, fit for an address."""
    return secrets.token_urlsafe(32)


def take_key(environ: MutableMapping[str, str]) -> str | None:
    """The key that whoever started this program made, out of its environment; None without one.

    No console that this program starts has a use for it. SettingsWrong when it is none.
    """
    key = environ.pop(KEY_VARIABLE, None)
    if key is not None and len(key) < KEY_LENGTH:
        raise SettingsWrong(f"{KEY_VARIABLE}: a key has {KEY_LENGTH} characters or more")
    return key
