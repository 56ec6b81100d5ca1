"""The order of the tests: random, but for the longest, which begin first. How much is tried.

Bytecode is kept: where a container says not to write it, each worker, and each program that a test
starts, would compile all of our code anew.
"""

import gc
import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from tests.faults.recording import Recording

sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# To read the system's certificates, which no test needs, takes a tenth of each start of Python.
os.environ["SSL_CERT_FILE"] = os.devnull

settings.register_profile("quick", max_examples=int(os.environ.get("TIDEHOLD_EXAMPLES", "25")))
settings.load_profile("quick")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", type=Path, help="write down how the tests of faults ended")


def pytest_configure(config: pytest.Config) -> None:
    if config.option.faults and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recording(config.option.faults))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One that waits for half a minute, begun last, would keep all the others' workers idle."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def pytest_collection_finish() -> None:
    """What has been loaded stays: to look for garbage in it took a fifth of the tests' time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 50)
