"""The order of the tests: random, but for the longest, which begin first. How much is tried."""

import os

import pytest
from hypothesis import settings

settings.register_profile("quick", max_examples=int(os.environ.get("TIDEHOLD_EXAMPLES", "40")))
settings.load_profile("quick")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One that waits for half a minute, begun last, would keep all the others' workers idle."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
