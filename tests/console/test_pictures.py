"""The pictures of the documents are what the console draws: also a snapshot of each screen."""

import re
import time
from html import unescape
from pathlib import Path

import pytest

from tests.console.scenes import SCENES, Scene, draw

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
async def test_a_picture_is_up_to_date(scene: Scene) -> None:
    """Otherwise: `make screenshots`, look at what changed, and commit it."""
    svg, text = await draw(scene)

    kept = (PICTURES / f"{scene.name}.svg").read_text(encoding="utf-8")
    assert words(svg) == words(kept)
    assert {len(line) for line in text.splitlines()} == {scene.size[0]}


def test_every_picture_is_of_a_scene() -> None:
    assert {file.stem for file in PICTURES.glob("*.svg")} == {scene.name for scene in SCENES}


def words(svg: str) -> list[str]:
    """What is written in it, in the order in which it was drawn."""
    return [unescape(part).strip("\xa0 ") for part in re.findall(r"<text[^>]*>([^<]*)<", svg)]
