"""`--faults FILE` writes down how each test of a fault ended: what docs/faults.md tells."""

import json
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

WORST_LAST = ("passed", "skipped", "failed")


class Recording:
    """The worst outcome of each test over its parameters."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._outcomes: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if "fault" in report.keywords:
            name = re.sub(r"\[.*|(?<=::)\w+::", "", report.nodeid, flags=re.DOTALL)
            before = self._outcomes.get(name, "passed")
            self._outcomes[name] = max(before, report.outcome, key=WORST_LAST.index)

    def pytest_sessionfinish(self) -> None:
        run = {
            "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            "commit": _commit(),
            "outcomes": dict(sorted(self._outcomes.items())),
        }
        self._file.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")


def _commit() -> str:
    """Of what was run; empty outside of a repository."""
    asked = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip()
