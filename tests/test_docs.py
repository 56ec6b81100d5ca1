"""The documents say what the code does: generated ones are up to date, exit codes are listed."""

import re
from pathlib import Path

import pytest

from cluster import program
from cluster.problem import CODES
from docs.generate import documents
from tests.faults.catalogue import NOT_SURVIVED, OPEN, numbers
from tests.faults.marks import shown_by_fault

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("name", ["protocol.md", "settings.md", "console.md", "faults.md"])
def test_a_generated_document_is_up_to_date(name: str) -> None:
    """Otherwise: `make docs`, and look at what changed."""
    assert (DOCS / name).read_text(encoding="utf-8") == documents()[name]


@pytest.mark.parametrize("name", ["protocol.md", "settings.md"])
def test_every_link_inside_of_a_document_leads_to_a_heading(name: str) -> None:
    text = documents()[name]
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}

    assert set(re.findall(r"\]\(#([^)]*)\)", text)) <= anchors


def test_every_room_that_is_named_is_there() -> None:
    """docs/architecture.md leads nobody to a file that was renamed."""
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w/*]+(?:\.py|/))`", text))

    assert len(named) > 40
    assert [one for one in named if not list(DOCS.parent.glob(one.rstrip("/")))] == []


def test_every_flag_that_the_readme_names_exists() -> None:
    """But for those of the programs that it uses."""
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`(--[a-z-]+)`", documents()["settings.md"]))

    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", readme))

    assert named - documented == {"--data-binary", "--repair"}  # curl's, cluster.verify's


def test_every_exit_code_is_documented() -> None:
    """A code that a program can leave with is in the table of docs/settings.md."""
    codes = {value for key, value in vars(program).items() if key.isupper() and type(value) is int}

    documented = {
        int(code) for code in re.findall(r"^\| (\d+) \|", documents()["settings.md"], re.M)
    }

    assert codes <= documented


def test_every_code_of_a_problem_is_documented() -> None:
    text = documents()["protocol.md"]

    assert [code for code in CODES if f"| `{code}` |" not in text] == []


def test_every_fault_has_its_tests_or_its_reason() -> None:
    """And none is called open that is shown."""
    shown = set(shown_by_fault())

    assert numbers() == list(range(1, 86))
    assert shown | NOT_SURVIVED.keys() | OPEN == set(numbers())
    assert not shown & OPEN


def test_each_decision_has_a_number_of_its_own() -> None:
    """The file's and the heading's."""
    files = sorted((DOCS / "decisions").glob("*.md"))
    headings = [re.match(r"# (\d+)\.", file.read_text(encoding="utf-8")) for file in files]

    numbers = [int(file.name[:4]) for file in files]
    assert numbers == list(range(1, len(files) + 1))
    assert [int(found[1]) for found in headings if found] == numbers


def test_operations_names_metrics_and_words_that_there_are() -> None:
    """An alert on a metric that was renamed would never fire."""
    text = (DOCS / "operations.md").read_text(encoding="utf-8")
    code = "".join(
        file.read_text(encoding="utf-8")
        for folder in ("central", "node", "cluster")
        for file in (DOCS.parent / folder).rglob("*.py")
    )
    metrics = set(re.findall(r"tidehold_\w+", text)) - {"tidehold_"}
    alarms = text.partition("## What each alarm means")[2].partition("Exit codes:")[0]
    words = set(re.findall(r"^\| (`[^|]*) \|", alarms, re.MULTILINE))

    assert len(metrics) > 5
    assert [one for one in metrics if one.removesuffix("_bucket") not in code] == []
    named = {word for cell in words for word in re.findall(r"`([\w-]+)`", cell)}
    made = {f"{kind}-{state}" for kind in ("node", "run") for state in re.findall(r"\w+", code)}
    assert len(named) > 8
    assert [word for word in named if word not in code and word not in made] == []
