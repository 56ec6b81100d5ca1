"""Tokens: where they come from, whom they stand for, until when. Never a flag, never in a log.

A token file has a token a line:

    # the stations of the north
    4f0c...  node=ams1  until=2026-12-01T00:00:00Z
    sha256:9b74...

The first one is brought to others, all of them are let in: a new token is added, brought once
everybody lets it in, and the old one is taken out, or ends by itself at `until`. `node` binds a
token to one node. Where only `sha256:` of a token is given, it can be let in but not be brought.
"""

import hashlib
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cluster.record import NAME_PATTERN
from cluster.settings import TOKEN_VARIABLE, VIEWER_TOKEN_VARIABLE, SettingsWrong
from cluster.shape import END
from cluster.trust.private import check_private, state_of, write_private

LENGTH_MIN = 16
MAKES_ONE = "openssl rand -hex 32 makes one"
FILE_MAX = 1024 * 1024  # bytes: ten thousand nodes with a token each
_SHA256 = re.compile(r"sha256:([0-9a-f]{64})" + END)


def fingerprint(text: str) -> bytes:
    """What is kept of a token to know it again: its SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


@dataclass(frozen=True, slots=True)
class Token:
    """`text` is None where only the fingerprint is known; `until_s` is Unix time."""

    fingerprint: bytes
    text: str | None = None
    node: str | None = None
    until_s: float = float("inf")

    def __repr__(self) -> str:
        return "Token(...)"  # in no log and no traceback

    @classmethod
    def of(cls, text: str) -> "Token":
        return cls(fingerprint(text), text)


class Tokens:
    """All tokens of one role, those of a file as it is now."""

    def __init__(self, tokens: Sequence[Token], path: Path | None = None) -> None:
        self.tokens = tuple(tokens)
        self._path = path
        self._seen = state_of(path) if path is not None else None
        self._brought: dict[str | None, Token] = {}

    @classmethod
    def one(cls, text: str) -> "Tokens":
        return cls([Token.of(text)])

    @classmethod
    def of_file(cls, name: str, origin: str) -> "Tokens":
        """SettingsWrong unless it can be used."""
        path = Path(name)
        return cls(_read(path, f"{origin} {name}"), path)

    def renew(self) -> bool:
        """Read the file again where it has changed; whether it had. SettingsWrong: still the old.

        What is wrong is told once, until the file changes again.
        """
        if self._path is None or (state := state_of(self._path)) == self._seen:
            return False
        self._seen = state
        self.tokens = tuple(_read(self._path, str(self._path)))
        self._brought.clear()
        return True

    def for_node(self, node: str | None = None) -> str:
        """The first that still holds: the node's own one, else one of no node. "" without any."""
        now_s = time.time()
        known = self._brought.get(node)
        if known is None or now_s >= known.until_s:
            holding = [one for one in self.tokens if one.text and now_s < one.until_s]
            fitting = [one for whose in (node, None) for one in holding if one.node == whose]
            if not fitting:
                return ""
            known = self._brought[node] = fitting[0]
        return known.text or ""


def read_token(token_file: str | None, environ: Mapping[str, str]) -> str:
    """The token to be brought. SettingsWrong without a good one."""
    if token := read_tokens(token_file, environ).for_node():
        return token
    raise SettingsWrong(f"--token-file {token_file}: no token in it holds for everybody now")


def read_tokens(token_file: str | None, environ: Mapping[str, str]) -> Tokens:
    """The operators' tokens, of the file or the environment. SettingsWrong without a good one."""
    if token_file is not None:
        return Tokens.of_file(token_file, "--token-file")
    if not (text := environ.get(TOKEN_VARIABLE)):
        raise SettingsWrong(
            f"a token is needed: set {TOKEN_VARIABLE} or give --token-file FILE ({MAKES_ONE})"
        )
    return Tokens.one(check_token(text, TOKEN_VARIABLE))


def read_viewer_tokens(token_file: str | None, environ: Mapping[str, str]) -> Tokens | None:
    """The tokens of those who may only look, where there are any. SettingsWrong for a bad one."""
    if token_file is not None:
        return Tokens.of_file(token_file, "--viewer-token-file")
    if text := environ.get(VIEWER_TOKEN_VARIABLE):
        return Tokens.one(check_token(text, VIEWER_TOKEN_VARIABLE))
    return None


def make_token(path: Path) -> str:
    """The token kept in `path`; a new one of 256 bits, mode 0600, where there is nothing yet.

    SettingsWrong when what is there is none; OSError when the file cannot be made.
    """
    if not path.exists() or path.stat().st_size == 0:
        write_private(path, f"{secrets.token_hex(32)}\n".encode())
    return Tokens(_read(path, str(path))).for_node()


def check_token(text: str, origin: str) -> str:
    """The same text. SettingsWrong unless it can be a token."""
    if len(text) < LENGTH_MIN or not text.isascii() or not text.isprintable() or " " in text:
        raise SettingsWrong(
            f"{origin}: a token is {LENGTH_MIN} or more printable ASCII characters ({MAKES_ONE})"
        )
    return text


def _read(path: Path, origin: str) -> list[Token]:
    try:
        check_private(path, origin)
        with path.open(encoding="ascii") as file:
            text = file.read(FILE_MAX + 1)
    except OSError as error:
        raise SettingsWrong(f"{origin}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsWrong(f"{origin}: not a token") from None
    if len(text) > FILE_MAX:
        raise SettingsWrong(f"{origin}: over {FILE_MAX} bytes")
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    found = [
        _token(line, f"{origin}, line {number}")
        for number, line in lines
        if line and not line.startswith("#")
    ]
    if not found:
        raise SettingsWrong(f"{origin}: a token is needed in it ({MAKES_ONE})")
    return found


def _token(line: str, origin: str) -> Token:
    """A line of a token file. What is refused is not shown: it may be a token."""
    text, *marks = line.split()
    node, until_s = None, float("inf")
    for mark in marks:
        key, _, value = mark.partition("=")
        if key == "node" and re.match(NAME_PATTERN, value):
            node = value
        elif key == "until":
            until_s = _time(value, origin)
        else:
            raise SettingsWrong(f"{origin}: after the token only node=NAME and until=TIME")
    if hashed := _SHA256.fullmatch(text):
        return Token(bytes.fromhex(hashed[1]), None, node, until_s)
    return Token(fingerprint(check_token(text, origin)), text, node, until_s)


def _time(text: str, origin: str) -> float:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise SettingsWrong(f"{origin}: until is a time with a zone: 2026-12-31T00:00:00Z")
    return found.timestamp()
