"""The cluster's token: where it comes from, and how one is made. Never a flag, never in a log."""

import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from cluster.settings import TOKEN_VARIABLE, VIEWER_TOKEN_VARIABLE, SettingsWrong

LENGTH_MIN = 16
MAKES_ONE = "openssl rand -hex 32 makes one"


def read_token(token_file: str | None, environ: Mapping[str, str]) -> str:
    """The token, from the file or the environment. SettingsWrong without a good one."""
    if token_file is not None:
        return _in_file(Path(token_file), f"--token-file {token_file}")
    if not (text := environ.get(TOKEN_VARIABLE)):
        raise SettingsWrong(
            f"a token is needed: set {TOKEN_VARIABLE} or give --token-file FILE ({MAKES_ONE})"
        )
    return check_token(text, TOKEN_VARIABLE)


def read_viewer_token(
    token_file: str | None, environ: Mapping[str, str], operator: str
) -> str | None:
    """The token of those who may only look, where there is one. SettingsWrong when it is bad."""
    if token_file is not None:
        token = _in_file(Path(token_file), f"--viewer-token-file {token_file}")
    elif text := environ.get(VIEWER_TOKEN_VARIABLE):
        token = check_token(text, VIEWER_TOKEN_VARIABLE)
    else:
        return None
    if token == operator:
        raise SettingsWrong("the viewers' token is the operator's: make another one")
    return token


def make_token(path: Path) -> str:
    """The token kept in `path`; a new one of 256 bits, mode 0600, where there is nothing yet.

    SettingsWrong when what is there is none; OSError when the file cannot be made.
    """
    if not path.exists() or path.stat().st_size == 0:
        made = path.with_name(f"{path.name}.new")
        made.unlink(missing_ok=True)
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        made.replace(path)  # all of it or nothing: half a token would lock everybody out
    return _in_file(path, str(path))


def check_token(text: str, origin: str) -> str:
    """The same text. SettingsWrong unless it can be a token."""
    if len(text) < LENGTH_MIN or not text.isascii() or not text.isprintable() or " " in text:
        raise SettingsWrong(
            f"{origin}: a token is {LENGTH_MIN} or more printable ASCII characters ({MAKES_ONE})"
        )
    return text


def _in_file(path: Path, origin: str) -> str:
    try:
        text = path.read_text(encoding="ascii").strip()
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SettingsWrong(f"{origin}: others can read it; chmod 600 {path}")
    except OSError as error:
        raise SettingsWrong(f"{origin}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsWrong(f"{origin}: not a token") from None
    return check_token(text, origin)
