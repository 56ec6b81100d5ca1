"""Settings: defaults < TOML file < environment < flags, strictly checked.

A program declares one frozen Struct; its fields, with their types, limits and descriptions, give
the flags, the environment variables, the keys of the TOML file and `--help`. Whatever is wrong is
named by where it was written: the flag, the variable, or the file and key.
"""

import argparse
import re
import secrets
import stat
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TypeVar, get_args, get_origin

import msgspec

from cluster.shape import END, explain, shape

PREFIX = "TIDEHOLD"
TOKEN_VARIABLE = f"{PREFIX}_TOKEN"
TOKEN_LENGTH_MIN = 16

Text = Annotated[str, shape(r"^[^\0]{1,4096}" + END, "a text of 1-4096 characters")]
Host = Annotated[
    str, msgspec.Meta(min_length=1, max_length=253, description="address to listen on")
]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535, description="TCP port; 0 takes a free one")]
LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR"], msgspec.Meta(description="log level")
]

SettingsT = TypeVar("SettingsT", bound=msgspec.Struct)


class SettingsWrong(Exception):
    """A wrong flag, variable, key or token; the text is one clear line."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SettingsWrong(f"{message} (see --help)")


def load(
    kind: type[SettingsT],
    program: str,
    argv: Sequence[str],
    environ: Mapping[str, str],
    *,
    command: str | None = None,
) -> SettingsT:
    """The settings of a program. SettingsWrong names the first thing that is wrong.

    `program` is in the names of its variables; it is started by `command`, else `python -m`.
    """
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    parser = _parser(kind, program, command or f"python -m {program}", fields)
    flags = vars(parser.parse_args(argv))
    config = flags.pop("config", None)
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, layer in (
        ("{file}: {key}", _from_file(config)),
        (f"{PREFIX}_{program.upper()}_{{KEY}}", _from_environment(program, fields, environ)),
        ("--{flag}", {key: value for key, value in flags.items() if value is not None}),
    ):
        for key, value in layer.items():
            values[key] = value
            origins[key] = origin.format(
                file=config, key=key, KEY=key.upper(), flag=key.replace("_", "-")
            )
    for key in values:
        if key not in fields:
            raise SettingsWrong(f"{origins[key]}: no such setting (known: {', '.join(fields)})")
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsWrong(_placed(error, origins)) from None


def _placed(error: msgspec.ValidationError, origins: Mapping[str, str]) -> str:
    """What is wrong, with the place where the value was written."""
    where, what = explain(error)
    if missing := re.search(r"missing required field `(\w+)`", what):
        return f"--{missing[1].replace('_', '-')} is needed (see --help)"
    return f"{origins.get(where.partition('[')[0], where)}: {what}"


def _parser(kind: type, program: str, command: str, fields: Mapping[str, Any]) -> _Parser:
    epilog = (
        f"Each setting can also be given as {PREFIX}_{program.upper()}_NAME in the environment "
        "or in the TOML file; flags win."
    )
    if "token_file" in fields:
        epilog += f" The token comes from {TOKEN_VARIABLE} or --token-file."
    parser = _Parser(prog=command, description=kind.__doc__, allow_abbrev=False, epilog=epilog)
    parser.add_argument("--config", metavar="FILE", help="TOML file with settings")
    for field in fields.values():
        inner, about = _described(field.type)
        default = "" if field.required or field.default in (None, ()) else f" [{field.default}]"
        options: dict[str, Any] = {"help": (about + default).replace("%", "%%"), "default": None}
        if inner is bool:
            options["action"] = argparse.BooleanOptionalAction
        else:
            options["metavar"] = _metavar(field.name, inner)
            if get_origin(inner) is tuple:
                options["action"] = "append"
        parser.add_argument(f"--{field.encode_name.replace('_', '-')}", **options)
    return parser


def _described(kind: Any) -> tuple[Any, str]:
    """A field's type without its Annotated, and its description."""
    about = ""
    while get_origin(kind) is Annotated:
        kind, *metas = get_args(kind)
        about = about or next((m.description for m in reversed(metas) if m.description), "")
    return kind, about


def _metavar(name: str, kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    return name.rpartition("_")[2].upper()


def _from_file(path: str | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsWrong(f"--config {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsWrong(f"--config {path}: not TOML: {error}") from None


def _from_environment(
    program: str, fields: Mapping[str, Any], environ: Mapping[str, str]
) -> dict[str, Any]:
    """The variables with this program's prefix; lists are separated by commas."""
    prefix = f"{PREFIX}_{program.upper()}_"
    values: dict[str, Any] = {}
    for variable, text in environ.items():
        if variable.startswith(prefix):
            key = variable.removeprefix(prefix).lower()
            listed = key in fields and get_origin(_described(fields[key].type)[0]) is tuple
            values[key] = [part for part in text.split(",") if part] if listed else text
    return values


def token(token_file: str | None, environ: Mapping[str, str]) -> str:
    """The cluster's token, from the file or the environment. SettingsWrong without one."""
    if token_file is not None:
        text, origin = _token_in(Path(token_file)), f"--token-file {token_file}"
    else:
        text, origin = environ.get(TOKEN_VARIABLE, ""), TOKEN_VARIABLE
    if not text:
        raise SettingsWrong(
            f"a token is needed: set {TOKEN_VARIABLE} or give --token-file FILE "
            "(openssl rand -hex 32 makes one)"
        )
    if len(text) < TOKEN_LENGTH_MIN or not text.isascii() or not text.isprintable() or " " in text:
        raise SettingsWrong(
            f"{origin}: a token is {TOKEN_LENGTH_MIN} or more printable ASCII characters"
        )
    return text


def _token_in(path: Path) -> str:
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SettingsWrong(f"--token-file {path}: others can read it; chmod 600 {path}")
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise SettingsWrong(f"--token-file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsWrong(f"--token-file {path}: not a token") from None


def make_token(path: Path) -> str:
    """The token kept in `path`; a new one of 256 bits, mode 0600, where there is none yet."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32) + "\n", encoding="ascii")
    return token(str(path), {})


LOOPBACK = re.compile(r"^(localhost|127(\.[0-9]{1,3}){3}|::1)" + END)


def check_host(host: str) -> None:
    """SettingsWrong for an address that others can reach: that needs TLS."""
    if not LOOPBACK.match(host):
        raise SettingsWrong(
            f"--host {host}: without TLS this service listens on loopback only "
            "(127.0.0.1, ::1, localhost); reach it through an SSH tunnel or a VPN's local end"
        )
