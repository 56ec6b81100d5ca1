"""What docs/deploy offers for a long life: units that systemd takes, an image with all packages."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from central.settings import CentralSettings
from cluster.settings import load
from cluster.trust.settings import MemberSettings
from node.settings import NodeSettings
from tests.program import ROOT

DEPLOY = ROOT / "docs" / "deploy"
UNITS: dict[str, type[MemberSettings]] = {
    "tidehold-central.service": CentralSettings,
    "tidehold-node@.service": NodeSettings,
}
PYTHON = "/opt/tidehold/.venv/bin/python"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
@pytest.mark.parametrize("unit", UNITS)
def test_systemd_takes_the_units(tmp_path: Path, unit: str) -> None:
    """As they are, but for where Python is."""
    installed = tmp_path / unit.replace("@", "@ams1")
    text = (DEPLOY / unit).read_text(encoding="utf-8")
    installed.write_text(text.replace(PYTHON, sys.executable), encoding="utf-8")

    ended = subprocess.run(
        ["systemd-analyze", "verify", str(installed)], capture_output=True, text=True, timeout=50
    )

    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS)
def test_the_units_start_our_programs_with_flags_that_exist(tmp_path: Path, unit: str) -> None:
    text = (DEPLOY / unit).read_text(encoding="utf-8").replace("\\\n", " ")
    (command,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    python, dash_m, program, *flags = command.replace("%i", "ams1").split()
    (tmp_path / "empty.toml").touch()
    config = re.compile(r"/etc/tidehold/\w+\.toml").sub(
        str(tmp_path / "empty.toml"), " ".join(flags)
    )

    settings = load(UNITS[unit], program, config.split(), {})

    assert (python, dash_m) == (PYTHON, "-m")
    assert settings.token_file == "/etc/tidehold/token"
    assert "RestartPreventExitStatus=2 78" in text


def test_the_image_has_every_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    copied = re.findall(r"^COPY (\w+) \1$", (DEPLOY / "Containerfile").read_text(), re.MULTILINE)

    assert sorted(copied) == sorted(packages)
