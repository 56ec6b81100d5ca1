"""Settings: defaults < TOML file < environment < flags, strictly checked.

A program declares one frozen Struct; its fields, with their types, limits and descriptions, give
the flags, the environment variables, the keys of the TOML file and `--help`. Whatever is wrong is
named by where it was written: the flag, the variable, or the file and key.
"""

import argparse
import re
import tomllib
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TypeVar, get_args, get_origin

import msgspec

from cluster.clock.sample import Server
from cluster.shape import END, explain, shape

PREFIX = "TIDEHOLD"
TOKEN_VARIABLE = f"{PREFIX}_TOKEN"
VIEWER_TOKEN_VARIABLE = f"{PREFIX}_VIEWER_TOKEN"
KEY_VARIABLE = f"{PREFIX}_KEY"  # opens the console in a browser

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
    return load_beside(kind, program, argv, environ, command or f"python -m {program}")[0]


def load_beside(
    kind: type[SettingsT],
    program: str,
    argv: Sequence[str],
    environ: Mapping[str, str],
    command: str,
    add: Callable[[argparse.ArgumentParser], None] = lambda _: None,
    flags: Container[str] | None = None,
) -> tuple[SettingsT, argparse.Namespace]:
    """As `load`, of a command that takes more than settings: `add` declares its own arguments.

    `flags`: only these settings are flags; all can be in the file and the environment.
    """
    fields = settings_of(kind)
    shown = {name: each for name, each in fields.items() if flags is None or name in flags}
    parser = _parser(kind, program, command, shown)
    add(parser)
    given = vars(parser.parse_intermixed_args(argv))
    set_by = {key: value for key, value in given.items() if key in shown or key == "config"}
    own = {key: value for key, value in given.items() if key not in set_by}
    return _load(kind, program, set_by, environ, fields), argparse.Namespace(**own)


def settings_of(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """A program's own settings, then those that it shares with others."""
    found = msgspec.structs.fields(kind)
    own = sorted(found, key=lambda field: field.name not in kind.__annotations__)
    return {field.name: field for field in own}


def _load(
    kind: type[SettingsT],
    program: str,
    flags: dict[str, Any],
    environ: Mapping[str, str],
    fields: Mapping[str, Any],
) -> SettingsT:
    values: dict[str, Any] = {}
    for strict, layer in (
        (True, _from_file(flags.pop("config", None))),
        (False, _from_environment(f"{PREFIX}_{program.upper()}_", fields, environ)),
        (False, _from_flags(flags)),
    ):
        for place, (key, value) in layer.items():
            if key not in fields:
                raise SettingsWrong(f"{place}: no such setting (known: {', '.join(fields)})")
            values[key] = _checked(fields[key].type, place, value, strict=strict)
    for field in fields.values():
        if field.required and field.name not in values:
            raise SettingsWrong(f"{_flag(field.name)} is needed (see --help)")
    return kind(**values)


def _checked(kind: Any, place: str, value: Any, *, strict: bool) -> Any:
    """A value of its setting's type. SettingsWrong with the place where it was written."""
    try:
        return msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        _, what = explain(error, kind)
        if isinstance(value, str):
            what = what.replace("got `str`", f"got {value!r:.80}")
        raise SettingsWrong(f"{place}: {what}") from None


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
        parser.add_argument(_flag(field.name), **options)
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


def _flag(key: str) -> str:
    return f"--{key.replace('_', '-')}"


Layer = dict[str, tuple[str, Any]]  # where it was written -> (key, value)


def _from_file(path: str | None) -> Layer:
    if path is None:
        return {}
    try:
        found = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsWrong(f"--config {path}: {error.strerror}") from None
    except RecursionError:
        raise SettingsWrong(f"--config {path}: not TOML: nested too deeply") from None
    except ValueError as error:  # not UTF-8, not TOML, a number of thousands of digits
        raise SettingsWrong(f"--config {path}: not TOML: {error}") from None
    return {f"{path}: {key}": (key, value) for key, value in found.items()}


def _from_environment(prefix: str, fields: Mapping[str, Any], environ: Mapping[str, str]) -> Layer:
    """The variables with this program's prefix; lists are separated by commas."""
    layer: Layer = {}
    for variable, text in environ.items():
        if variable.startswith(prefix):
            key = variable.removeprefix(prefix).lower()
            listed = key in fields and get_origin(_described(fields[key].type)[0]) is tuple
            parts = [part.strip() for part in text.split(",") if part.strip()]
            layer[variable] = key, parts if listed else text
    return layer


def _from_flags(flags: Mapping[str, Any]) -> Layer:
    return {_flag(key): (key, value) for key, value in flags.items() if value is not None}


LOOPBACK = re.compile(r"^(localhost|127(\.[0-9]{1,3}){3}|::1)" + END)


def parse_servers(texts: Sequence[str]) -> list[Server]:
    """What was given as --ntp. SettingsWrong for what is no address."""
    try:
        return [Server.parse(text) for text in texts]
    except ValueError as error:
        raise SettingsWrong(f"--ntp: {error}") from None
