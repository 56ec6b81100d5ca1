"""Clusters for the length of a test, and the way to their central."""

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from cluster.peer import Peer, open_session
from tests.e2e.cluster import Connect, Launch, Launched


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Starts clusters; ends those that a failed test has left."""
    started: list[Launched] = []

    def start(*flags: str) -> Launched:
        started.append(Launched(tmp_path, *flags))
        return started[-1]

    yield start
    for one in started:
        with suppress(psutil.NoSuchProcess):
            one.family += psutil.Process(one.popen.pid).children(recursive=True)
        one.popen.kill()
        one.popen.wait()
        for process in one.family:
            with suppress(psutil.NoSuchProcess):
                process.kill()


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Opens the way to a cluster's central."""
    async with open_session() as session:
        yield lambda cluster: Peer(session, cluster.central(), cluster.token())
