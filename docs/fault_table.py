"""docs/faults.md: the catalogue, the tests that show each fault, and how they ended last."""

import json
from pathlib import Path
from typing import Any

from tests.faults.catalogue import CATALOGUE, NOT_SURVIVED, OPEN, Fault
from tests.faults.marks import shown_by_fault

LAST_RUN = Path(__file__).parent / "faults.json"

BEGIN = """\
# Faults

Written by `make docs` from tests/faults/catalogue.py and the marks of the tests; do not edit.

What may go wrong, by number; what is asked for then; and the tests that show it. `make faults` runs
all of these tests and writes down how they ended; `make soak` runs the long ones at full length.
"""


def fault_table() -> str:
    """The whole document."""
    shown, run = shown_by_fault(), _last_run()
    lines = [BEGIN]
    if run:
        lines += [f"The last column is of {run['at']}, commit {run['commit']}.", ""]
    for group, faults in CATALOGUE.items():
        lines += [f"## {group}", "", "| # | what happens | wanted | shown by | last run |"]
        lines.append("| --- | --- | --- | --- | --- |")
        lines += [
            _line(number, fault, shown.get(number, []), run.get("outcomes", {}))
            for number, fault in faults.items()
        ]
        lines.append("")
    lines += ["## What is not survived", ""]
    lines += [f"- **{number}**: {why}" for number, why in NOT_SURVIVED.items()]
    lines += ["", "More that is not promised is in [SECURITY.md](../SECURITY.md).", ""]
    return "\n".join(lines)


def _line(number: int, fault: Fault, tests: list[str], outcomes: dict[str, str]) -> str:
    ended = [outcomes.get(test, "not run") for test in tests]
    counts = {word: ended.count(word) for word in ("failed", "skipped", "not run", "passed")}
    last = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    nobody = "see below" if number in NOT_SURVIVED else "open" if number in OPEN else ""
    shown = "<br>".join(f"`{test.removeprefix('tests/')}`" for test in tests) or nobody
    return f"| {number} | {fault.happens} | {fault.wanted} | {shown} | {last} |"


def _last_run() -> dict[str, Any]:
    """What `make faults` wrote down."""
    if not LAST_RUN.exists():
        return {}
    run: dict[str, Any] = json.loads(LAST_RUN.read_text(encoding="utf-8"))
    return run
