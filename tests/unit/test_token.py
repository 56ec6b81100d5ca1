"""The token: found where it may be, made once, and refused when it is weak or open to others."""

from pathlib import Path

import pytest

from cluster.settings import SettingsWrong
from cluster.trust.tokens import make_token, read_token

SECRET = "0123456789abcdef"


def test_the_token_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    """The file wins; line ends around it do not count."""
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text(f"{SECRET}\n")

    assert read_token(None, {"TIDEHOLD_TOKEN": "f" * 16}) == "f" * 16
    assert read_token(str(file), {"TIDEHOLD_TOKEN": "f" * 16}) == SECRET


@pytest.mark.parametrize(
    "text", ["short", "0" * 15, "with a space in it", "tab\tin the middle", "é" * 16, "\x1b" * 20]
)
def test_a_weak_or_odd_token_is_refused_and_not_shown(text: str) -> None:
    """16 printable ASCII characters at least; the refusal does not repeat it."""
    with pytest.raises(SettingsWrong, match=r"TIDEHOLD_TOKEN: a token is 16 or more") as wrong:
        read_token(None, {"TIDEHOLD_TOKEN": text})

    assert text not in str(wrong.value)


def test_without_a_token_it_is_said_how_to_make_one() -> None:
    for environ in ({}, {"TIDEHOLD_TOKEN": ""}):
        with pytest.raises(SettingsWrong, match=r"openssl rand -hex 32"):
            read_token(None, environ)


@pytest.mark.fault(64)
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o610, 0o601])
def test_a_token_file_that_others_can_open_is_refused(tmp_path: Path, mode: int) -> None:
    """Also when it is only group, or only executable; the line says how to mend it."""
    file = tmp_path / "token"
    file.write_text(SECRET)
    file.chmod(mode)

    with pytest.raises(SettingsWrong, match=r"others can read it; chmod 600"):
        read_token(str(file), {})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file"),
        (b"", "a token is needed in it"),
        (b"\n# none\n", "a token is needed in it"),
        (b"short", "16 or more printable"),
        (b"\xff" * 32, "not a token"),
        (b"0123456789abcdef\nshort\n", "line 2: a token is 16 or more printable"),
        (b"0123456789abcdef 0123456789abcdef", "only node=NAME and until=TIME"),
        (b"0123456789abcdef until=2026-12-01", "a time with a zone"),
        (b"0123456789abcdef until=soon", "a time with a zone"),
        (b"0123456789abcdef node=../up", "only node=NAME"),
        (b"0123456789abcdef until=2020-01-01T00:00:00Z", "holds for everybody now"),
        (b"0123456789abcdef node=n1", "holds for everybody now"),
        (b"sha256:" + b"0" * 64, "holds for everybody now"),
    ],
)
def test_a_token_file_that_is_none_is_refused(
    tmp_path: Path, content: bytes | None, says: str
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.touch(mode=0o600)
        file.write_bytes(content)

    with pytest.raises(SettingsWrong) as wrong:
        read_token(str(file), {"TIDEHOLD_TOKEN": SECRET})

    assert says in str(wrong.value)


def test_a_token_is_made_once(tmp_path: Path) -> None:
    """256 bits, only for the owner; the second call gives the same."""
    file = tmp_path / "token"

    made = make_token(file)

    assert len(made) == 64
    assert file.stat().st_mode & 0o777 == 0o600
    assert make_token(file) == made


def test_an_empty_file_is_as_good_as_none(tmp_path: Path) -> None:
    """A full disk may have left one."""
    file = tmp_path / "token"
    file.touch()

    assert len(make_token(file)) == 64


def test_half_a_token_is_told_by_its_place(tmp_path: Path) -> None:
    """Whoever reads it has no flag to give another file."""
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text("half")

    with pytest.raises(SettingsWrong, match=f"^{file}, line 1: a token is 16 or more"):
        make_token(file)
