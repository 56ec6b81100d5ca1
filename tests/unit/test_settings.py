"""Settings: four layers, strictly checked, and every refusal names where the value was written."""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from central.settings import CentralSettings
from cluster.settings import (
    SettingsT,
    SettingsWrong,
    load,
)
from cluster.trust.member import check_host
from cluster.trust.tls import Tls, TlsFiles
from console.settings import ConsoleSettings
from node.settings import NodeSettings

NEEDED = ("--name", "n1", "--data", "d")
PROGRAMS: dict[str, Any] = {
    "node": NodeSettings,
    "central": CentralSettings,
    "console": ConsoleSettings,
}
SECRET = "0123456789abcdef"
NO_TLS = Tls(TlsFiles())


def node(*flags: str, environ: dict[str, str] | None = None) -> NodeSettings:
    """The settings of a node with these flags besides the needed ones."""
    return load(NodeSettings, "node", [*NEEDED, *flags], environ or {})


def refusal(
    *flags: str,
    environ: dict[str, str] | None = None,
    kind: type[SettingsT] | Any = NodeSettings,
    program: str = "node",
) -> str:
    """The one line that says what is wrong."""
    needed = NEEDED if program == "node" else ("--data", "d")
    with pytest.raises(SettingsWrong) as wrong:
        load(kind, program, [*needed, *flags], environ or {})
    line = str(wrong.value)
    assert "\n" not in line
    assert "regex" not in line
    return line


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "node.toml"


def test_each_layer_wins_over_the_one_below(toml: Path) -> None:
    """Defaults < TOML file < environment < flags, for each setting by itself."""
    toml.write_text('port = 1\nrate = 2.0\nsource = "host"\nlog_level = "DEBUG"\n')
    environ = {"TIDEHOLD_NODE_PORT": "2", "TIDEHOLD_NODE_RATE": "3", "OTHER": "x"}

    settings = node("--config", str(toml), "--port", "3", environ=environ)

    assert (settings.port, settings.rate, settings.source) == (3, 3.0, "host")
    assert (settings.log_level, settings.host) == ("DEBUG", "127.0.0.1")


def test_what_must_be_given_may_be_given_anywhere(toml: Path) -> None:
    """A name in the file and a folder in the environment are as good as flags."""
    toml.write_text('name = "n7"\n')

    settings = load(
        NodeSettings, "node", ["--config", str(toml)], {"TIDEHOLD_NODE_DATA": "/somewhere"}
    )

    assert (settings.name, settings.data) == ("n7", "/somewhere")


def test_a_missing_setting_is_asked_for() -> None:
    with pytest.raises(SettingsWrong, match=r"--data is needed"):
        load(NodeSettings, "node", ["--name", "n1"], {})


def test_lists_are_repeated_flags_commas_or_toml_arrays(toml: Path) -> None:
    """All three ways give the same; the higher layer replaces the whole list."""
    toml.write_text('ntp = ["a", "b:1"]\n')

    in_file = node("--config", str(toml))
    in_environment = node(environ={"TIDEHOLD_NODE_NTP": "a,b:1"})
    in_flags = node("--ntp", "a", "--ntp", "b:1", environ={"TIDEHOLD_NODE_NTP": "c"})

    assert in_file.ntp == in_environment.ntp == in_flags.ntp == ("a", "b:1")


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--port", "65536"), "--port: expected `int` <= 65535"),
        (("--port", "-1"), "--port: expected `int` >= 0"),
        (("--port", "http"), "--port: expected `int`, got 'http'"),
        (("--port", "1_0"), "--port: expected `int`"),
        (("--port", "١٢"), "--port: expected `int`"),
        (("--port", "9" * 5_000), "--port: integer value out of range"),
        (("--rate", "-0.1"), "--rate: expected `float` >= 0"),
        (("--rate", "10001"), "--rate: expected `float` <= 10000"),
        (("--rate", "nan"), "--rate: expected `float`"),
        (("--rate", "inf"), "--rate: expected `float`"),
        (("--rate", "1e999"), "--rate: "),
        (("--skew-ms", "nan"), "--skew-ms: expected `float`"),
        (("--skew-ppm", "-1001"), "--skew-ppm: expected `float` >= -1000"),
        (("--source", "sun"), "--source: expected synthetic, host, none, not 'sun'"),
        (
            ("--log-level", "debug"),
            "--log-level: expected DEBUG, INFO, WARNING, ERROR, not 'debug'",
        ),
        (("--name", "N1"), "--name: expected 1-64 of a-z 0-9 . _ -"),
        (("--name", "a\n"), "--name: expected 1-64 of a-z 0-9 . _ -"),
        (("--name", ""), "--name: expected 1-64 of a-z 0-9 . _ -"),
        (("--data", ""), "--data: expected a text of 1-4096 characters"),
        (("--data", "x" * 4_097), "--data: expected a text of 1-4096 characters"),
        (("--central", "127.0.0.1:8100"), "--central: expected http://HOST:PORT"),
        (("--advertise", "http://h/x"), "--advertise: expected http://HOST:PORT"),
        (("--ntp", "a", "--ntp", ""), "--ntp: expected HOST[:PORT]"),
        (("--ntp", "a b"), "--ntp: expected HOST[:PORT]"),
        (("--frobnicate", "1"), "unrecognized arguments: --frobnicate 1"),
        (("--por", "1"), "unrecognized arguments: --por 1"),
        (("stray",), "unrecognized arguments: stray"),
        (("--port",), "--port: expected one argument"),
        (("--config", "/nowhere.toml"), "--config /nowhere.toml: No such file"),
        (("--config", "/"), "--config /: Is a directory"),
    ],
)
def test_a_wrong_flag_is_named(flags: tuple[str, ...], says: str) -> None:
    assert says in refusal(*flags)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("PORT", "no", "TIDEHOLD_NODE_PORT: expected `int`, got 'no'"),
        ("NTP", "good,b:c", "TIDEHOLD_NODE_NTP: expected HOST[:PORT]"),
        ("RATE", "nan", "TIDEHOLD_NODE_RATE: expected `float`"),
        ("PROT", "1", "TIDEHOLD_NODE_PROT: no such setting (known: name, data, host"),
        ("TOKEN", SECRET, "TIDEHOLD_NODE_TOKEN: no such setting"),
    ],
)
def test_a_wrong_variable_is_named(name: str, text: str, says: str) -> None:
    assert says in refusal(environ={f"TIDEHOLD_NODE_{name}": text})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("prot = 1", "node.toml: prot: no such setting"),
        ("port = 99999", "node.toml: port: expected `int` <= 65535"),
        ("port = 1.5", "node.toml: port: expected `int`"),
        ("port = []", "node.toml: port: expected `int`"),
        ("rate = nan", "node.toml: rate: expected `float`"),
        ("rate = inf", "node.toml: rate: expected `float`"),
        ("name = 5", "node.toml: name: expected `str`"),
        ('data = "a\\u0000b"', "node.toml: data: expected a text of 1-4096 characters"),
        ('ntp = "a"', "node.toml: ntp: expected `array`"),
        ("ntp = [1]", "node.toml: ntp: expected `str`"),
        ("[node]\nport = 1", "node.toml: node: no such setting"),
        ("port = 1\nport = 2", "node.toml: not TOML: "),
        ("port: 1", "node.toml: not TOML: "),
        ('port = "1"', "node.toml: port: expected `int`, got '1'"),
        ('rate = "fast"\nport = 0', "node.toml: rate: expected `float`, got 'fast'"),
        ("rate = " + "9" * 5_000, "node.toml: not TOML: "),
        ("rate = " + "[" * 3_000, "node.toml: not TOML: nested too deeply"),
        ("port = 99999999999999999999999999", "node.toml: port: "),
    ],
)
def test_a_wrong_key_of_the_file_is_named(toml: Path, text: str, says: str) -> None:
    """By the file and the key; flags for the needed settings are not to blame."""
    toml.write_text(text)

    with pytest.raises(SettingsWrong) as wrong:
        load(NodeSettings, "node", ["--config", str(toml)], {})

    assert says in str(wrong.value)


def test_a_file_that_is_no_text_is_refused(toml: Path) -> None:
    toml.write_bytes(b"\xff\xfe\x00")

    assert "not TOML" in refusal("--config", str(toml))


@pytest.mark.parametrize("value", ["0", "3601", "nan", "inf", "-1"])
def test_central_never_polls_without_a_pause(value: str) -> None:
    """An interval of zero or of no number would be a busy loop."""
    line = refusal("--poll-interval", value, kind=CentralSettings, program="central")

    assert line.startswith("--poll-interval: expected `float`")


class Switched(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings with a switch."""

    data: str
    loud: bool = False


@pytest.mark.parametrize(
    ("flags", "environ", "loud"),
    [
        ((), {}, False),
        (("--loud",), {}, True),
        (("--no-loud",), {"TIDEHOLD_NODE_LOUD": "true"}, False),
        ((), {"TIDEHOLD_NODE_LOUD": "1"}, True),
        ((), {"TIDEHOLD_NODE_LOUD": "false"}, False),
    ],
)
def test_a_switch_is_on_or_off(flags: tuple[str, ...], environ: dict[str, str], loud: bool) -> None:
    settings = load(Switched, "node", ["--data", "d", *flags], environ)

    assert settings.loud is loud


def test_a_switch_that_is_neither_is_named() -> None:
    with pytest.raises(SettingsWrong, match=r"TIDEHOLD_NODE_LOUD: expected `bool`"):
        load(Switched, "node", ["--data", "d"], {"TIDEHOLD_NODE_LOUD": "maybe"})


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_lists_every_setting(program: str) -> None:
    """Each with its default and a few words; and where the token comes from."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), pytest.raises(SystemExit) as left:
        load(PROGRAMS[program], program, ["--help"], {})
    shown = " ".join(text.getvalue().split())
    options = shown.partition(" options: ")[2]

    assert left.value.code == 0
    assert "TIDEHOLD_TOKEN" in shown
    for field in msgspec.structs.fields(PROGRAMS[program]):
        flag = f"--{field.name.replace('_', '-')}"
        found = re.search(rf"{flag}(?:, --no-\S+)? (.*?)(?= --|$)", options)
        assert found is not None, flag
        about = found[1]
        assert len(about.split()) > 2, f"{flag} is not described"
        if not field.required and field.default not in (None, ()):
            assert f"[{field.default}]" in about


@pytest.mark.parametrize("host", ["127.0.0.1", "127.255.0.7", "::1", "localhost"])
def test_loopback_needs_no_more(host: str) -> None:
    check_host(host, NO_TLS)


@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.0",
        "::",
        "192.168.1.5",
        "example.org",
        "127.0.0.1.example.org",
        "localhost.example.org",
        "",
        "127.0.0.1\n",
        "١٢٧.0.0.1",
    ],
)
def test_every_other_address_is_refused(host: str) -> None:
    """Without TLS nobody else may reach the service."""
    with pytest.raises(SettingsWrong, match=r"loopback only"):
        check_host(host, NO_TLS)
