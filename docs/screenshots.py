"""Saves the pictures of docs/pictures: `make screenshots`. They show scenes that stand still."""

import asyncio
import os
import re
import time
from pathlib import Path

from tests.console.scenes import SCENES, draw

FOLDER = Path(__file__).parent / "pictures"
_FONTS = re.compile(r"@font-face \{[^}]*\}\s*")


async def main() -> None:
    os.environ["TZ"] = "UTC"
    time.tzset()
    FOLDER.mkdir(exist_ok=True)
    for scene in SCENES:
        svg, _ = await draw(scene)
        (FOLDER / f"{scene.name}.svg").write_text(_FONTS.sub("", svg), encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main())
