"""`run_cluster.py --web`: the cluster at an address for the browser."""

import re
import signal

import aiohttp
import psutil
import pytest

from tests.e2e.cluster import Launch, Launched, until

pytestmark = pytest.mark.e2e
ADDRESS = re.compile(r"^The console is at (http://127\.0\.0\.1:\d+/\?key=\S+)$", re.MULTILINE)


def server(cluster: Launched) -> psutil.Process:
    """The child that serves the console."""
    children = psutil.Process(cluster.popen.pid).children()
    (found,) = (child for child in children if "console.web" in child.cmdline())
    return found


async def lets_in(address: str) -> bool:
    async with aiohttp.ClientSession() as session:
        try:
            async with session.get(address, allow_redirects=False) as answer:
                return answer.status == 303
        except aiohttp.ClientConnectionError:
            return False


async def test_the_address_opens_the_console_as_long_as_the_cluster_runs(launch: Launch) -> None:
    """It outlives the death of its server, its key is nowhere else, and Ctrl-C stops all."""
    cluster = launch("--web", "--nodes", "1")
    await cluster.ready()
    await until(lambda: ADDRESS.search(cluster.out), 10.0)
    found = ADDRESS.search(cluster.out)
    assert found is not None
    address, key = found[1], found[1].partition("=")[2]
    first = server(cluster)
    assert await lets_in(address)
    assert not await lets_in(f"{address}x")

    first.kill()
    await until(lambda: not first.is_running(), 10.0)
    while not await lets_in(address):
        assert cluster.popen.poll() is None
    cluster.family.append(server(cluster))
    cluster.popen.send_signal(signal.SIGINT)

    assert await cluster.ended() == 0
    assert not cluster.alive()
    assert key not in (cluster.folder / "logs" / "web.out").read_text()


async def test_a_browser_and_lines_are_not_had_together(launch: Launch) -> None:
    """One of the two is meant."""
    cluster = launch("--web", "--headless")

    assert await cluster.ended() == 2
    assert cluster.err == "cluster: --web, --headless: give only one of them\n"
