"""Members of a cluster that trust by files."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.protocol.conftest import session
from tests.security.members import Members, members

__all__ = ["session"]


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Members]:
    async with members(tmp_path) as made:
        yield made
