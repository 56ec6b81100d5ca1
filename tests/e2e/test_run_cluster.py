"""`run_cluster.py` as a person runs it: real processes, real kills, real files.

Each cluster has a folder of its own and is started from there, as two tests may run at the same
time and find the usual ports taken by each other.
"""

import asyncio
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from random import sample

import psutil
import pytest

from cluster.exchange import Nothing
from cluster.local.ports import OTHERS, is_free
from cluster.protocol import central as protocol
from cluster.protocol.central import PullAsk, PushAsk
from tests.e2e.cluster import (
    PROGRAM,
    Connect,
    Launch,
    holds,
    succeeded,
    until,
    view_of,
)
from tests.invariants import read_side
from tests.launcher import run

pytestmark = pytest.mark.e2e


async def test_a_cluster_runs_for_its_seconds_and_all_sets_are_equal_at_the_end(
    launch: Launch,
) -> None:
    cluster = launch("--headless", "--nodes", "3", "--rate", "50", "--seconds", "8", "--verify")

    assert await cluster.ended() == 0

    assert cluster.equal().keys() == {"node-1", "node-2", "node-3"}
    assert min(cluster.equal().values()) > 50
    assert cluster.err == ""
    assert re.search(r"^\d\d:\d\d:\d\d node-1 +up +\w+ +node +\d+ central +\d+ ", cluster.out, re.M)


async def test_with_auto_nodes_come_in_sync_without_anybody_asking(launch: Launch) -> None:
    """The state lines say so while the records go on coming; then the sets are equal.

    All of it over mutual TLS.
    """
    flags = ("--headless", "--nodes", "2", "--rate", "50", "--seconds", "8", "--auto", "--verify")
    cluster = launch(*flags, "--tls")

    assert await cluster.ended() == 0

    assert cluster.equal().keys() == {"node-1", "node-2"}
    assert min(cluster.equal().values()) > 50
    for name in ("node-1", "node-2"):
        held = re.findall(rf"^\S+ {name} +up .* central +(\d+) ", cluster.out, re.M)
        assert int(held[-1]) > 50  # long before --verify makes them equal


async def test_a_killed_and_wiped_node_comes_back_and_gets_its_records_back(
    launch: Launch, connect: Connect, tmp_path: Path
) -> None:
    """Whatever central held of it before the loss is at the node again after a push."""
    cluster = launch("--headless", "--nodes", "3", "--rate", "50", "--verify")
    await cluster.ready()
    central, folder = connect(cluster), cluster.folder

    async def has_records() -> bool:
        return ((await view_of(central, "node-2")).records.node or 0) > 100

    await holds(has_records, 15.0)
    pull = await central.call(protocol.PULL, PullAsk("node-2"), timeout_s=5.0)
    await succeeded(central, pull)
    before = await asyncio.to_thread(read_side, folder / "central" / "central.db", "node-2")
    assert len(before.rows) > 100

    lost_epoch, victim = (await view_of(central, "node-2")).epoch, cluster.child("node-2")
    shutil.move(folder / "node-2", tmp_path / "lost")  # at once, whatever is being written
    victim.kill()

    async def is_back() -> bool:
        view = await view_of(central, "node-2")
        return view.live == "up" and view.epoch not in (None, lost_epoch)

    await holds(is_back, 15.0)
    push = await central.call(protocol.PUSH, PushAsk("node-2"), timeout_s=5.0)
    await succeeded(central, push)
    cluster.popen.send_signal(signal.SIGINT)

    assert await cluster.ended() == 0
    assert cluster.equal().keys() == {"node-1", "node-2", "node-3"}
    after = await asyncio.to_thread(read_side, folder / "node-2" / "node.db", "node-2")
    assert before.rows.items() <= after.rows.items()


@pytest.mark.fault(44)
async def test_kill_9_leaves_no_orphan(launch: Launch) -> None:
    cluster = launch("--headless")
    await cluster.ready()
    assert len(cluster.alive()) == 4

    cluster.popen.kill()

    await until(lambda: not cluster.alive(), 7.0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_first_signal_stops_in_order(launch: Launch, number: signal.Signals) -> None:
    cluster = launch("--headless", "--nodes", "2")
    await cluster.ready()

    cluster.popen.send_signal(number)

    assert await cluster.ended(10.0) == 0
    assert cluster.alive() == []
    assert "stopped in" in cluster.out


async def test_the_second_signal_ends_all_at_once(launch: Launch) -> None:
    """A node that does not even hear SIGTERM is no reason to wait."""
    cluster = launch("--headless", "--nodes", "2")
    await cluster.ready()
    cluster.child("node-1").suspend()

    cluster.popen.send_signal(signal.SIGINT)
    await until(lambda: len(cluster.alive()) == 2, 3.0)  # the stopped node, and central
    cluster.popen.send_signal(signal.SIGINT)

    assert await cluster.ended(2.0) == 130
    assert cluster.alive() == []


async def test_a_signal_during_the_start_stops_what_has_started(launch: Launch) -> None:
    cluster = launch("--headless")

    await until(lambda: len(psutil.Process(cluster.popen.pid).children()) > 0, 10.0)
    cluster.family = psutil.Process(cluster.popen.pid).children()
    cluster.popen.terminate()

    assert await cluster.ended(10.0) == 0
    assert cluster.alive() == []


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--bogus"], "--bogus"),
        (["--nodes", "0"], "--nodes"),
        (["--nodes", "51"], "--nodes"),
        (["--nodes", "many"], "--nodes"),
        (["--rate", "nan"], "--rate"),
        (["--port", "0"], "--port"),
        (["--seconds", "-1"], "--seconds"),
        (["--source", "sky"], "--source"),
    ],
)
def test_a_wrong_flag_is_named_in_one_line(flags: list[str], named: str, tmp_path: Path) -> None:
    folder = tmp_path / "d"

    cluster = run(["run_cluster", "--data", str(folder), *flags], os.environ)

    assert (cluster.returncode, cluster.stdout) == (2, "")
    assert cluster.stderr.count("\n") == 1
    assert named in cluster.stderr
    assert not folder.exists()


async def test_a_file_is_no_data_folder(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "d").write_text("precious")

    cluster = launch()

    assert await cluster.ended() == 78
    assert cluster.err == "cluster: --data d: cannot be used: Not a directory\n"
    assert (tmp_path / "d").read_text() == "precious"


async def test_a_folder_in_use_is_refused_and_left_alone(launch: Launch) -> None:
    first = launch("--headless", "--nodes", "1")
    await first.ready()

    second = launch("--headless", "--nodes", "1")

    assert await second.ended() == 78
    assert second.err.count("\n") == 1
    assert "another run_cluster.py uses it" in second.err
    assert len(first.alive()) == 2


async def test_central_has_the_port_that_is_asked_for(launch: Launch) -> None:
    """One from which no connection goes out by itself, or another test may be first there."""
    port = next(port for port in sample(OTHERS, 50) if is_free(port, "tcp"))
    cluster = launch("--headless", "--nodes", "1", "--port", str(port))
    await cluster.ready()

    assert cluster.central() == f"http://127.0.0.1:{port}"


async def test_another_port_serves_where_the_wanted_one_is_taken(launch: Launch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        cluster = launch("--headless", "--nodes", "1", "--seconds", "1", "--port", str(port))
        await cluster.ready()

        assert cluster.central() != f"http://127.0.0.1:{port}"
        assert await cluster.ended() == 0


async def test_clusters_started_at_the_same_moment_get_out_of_each_others_way(
    launch: Launch,
) -> None:
    """All see the usual ports free; who loses the race for one takes another."""
    clusters = [launch("--headless", "--nodes", "1", "--data", f"d{n}") for n in range(3)]

    for cluster in clusters:
        await cluster.ready()

    assert len({cluster.central() for cluster in clusters}) == 3


async def test_the_same_folder_goes_on_where_it_ended(launch: Launch) -> None:
    flags = ("--headless", "--nodes", "2", "--rate", "50", "--seconds", "2", "--verify")
    first = launch(*flags)
    assert await first.ended() == 0

    second = launch(*flags)
    assert await second.ended() == 0

    for name, count in first.equal().items():
        assert second.equal()[name] >= count > 0


def test_without_its_packages_it_says_how_to_get_them() -> None:
    ended = subprocess.run(
        [sys.executable, "-I", "-S", str(PROGRAM)], capture_output=True, text=True, timeout=20
    )

    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert "make run" in ended.stderr


async def test_the_token_stays_in_its_file(launch: Launch) -> None:
    cluster = launch("--headless", "--nodes", "1")
    await cluster.ready()
    token = cluster.token()

    assert len(token) >= 64
    assert stat.S_IMODE((cluster.folder / "token").stat().st_mode) == 0o600
    for process in [psutil.Process(cluster.popen.pid), *cluster.family]:
        assert token not in " ".join(process.cmdline())
    cluster.popen.send_signal(signal.SIGINT)
    assert await cluster.ended() == 0
    assert token not in cluster.out + cluster.err
    for path in cluster.folder.rglob("*"):
        if path.is_file() and path != cluster.folder / "token":
            assert token.encode() not in path.read_bytes(), path


async def test_wrong_clocks_are_seen_and_corrected(launch: Launch, connect: Connect) -> None:
    cluster = launch("--headless", "--skew")
    await cluster.ready()
    central = connect(cluster)

    async def seen_and_corrected() -> bool:
        views = (await central.call(protocol.NODES, Nothing(), timeout_s=5.0)).nodes
        drifts = {view.name: view.clock.drift_ms for view in views if view.clock is not None}
        apart = [view.apart_ms for view in views]
        return (drifts.get("node-1") or 0.0) > 1000 and all(
            one is not None and abs(one) < 50 for one in apart
        )

    await holds(seen_and_corrected, 20.0)


async def test_a_node_that_cannot_start_is_named_with_its_reason(launch: Launch) -> None:
    first = launch("--headless", "--nodes", "2", "--seconds", "1")
    assert await first.ended() == 0
    for path in (first.folder / "node-2").glob("node.db*"):
        path.unlink()
    (first.folder / "node-2" / "node.db").write_bytes(b"this is no database" * 100)

    second = launch("--headless", "--nodes", "2")
    await until(lambda: second.popen.poll() is not None or second.err, 30.0)

    assert await second.ended() == 1
    assert re.fullmatch(r"cluster: node-2 cannot .*exit 78.*not a database.*\n", second.err)
    assert not [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(second.folder) in " ".join(process.info["cmdline"] or [])
    ]


async def test_a_node_that_is_lost_later_is_named_and_the_others_go_on(
    launch: Launch, connect: Connect
) -> None:
    cluster = launch("--headless", "--nodes", "2")
    await cluster.ready()
    central = connect(cluster)

    victim = cluster.child("node-2")
    shutil.move(cluster.folder / "node-2", cluster.folder / "moved")
    (cluster.folder / "node-2").write_text("in the way")
    victim.kill()
    await until(lambda: "node-2 cannot be kept alive" in cluster.err, 15.0)
    assert "node-2 cannot be kept alive (exit 78)" in cluster.err, cluster.err

    assert (await view_of(central, "node-1")).live == "up"
    cluster.popen.send_signal(signal.SIGINT)
    assert await cluster.ended() == 1
