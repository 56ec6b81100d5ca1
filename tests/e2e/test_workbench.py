"""Members broken on purpose by the workbench of a real cluster, and how the cluster heals."""

import asyncio
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

import psutil
import pytest

from cluster.exchange import Exchange, Nothing
from cluster.local.members import NTP_PORT
from cluster.local.ports import HOST
from cluster.peer import Peer, PeerFailed, open_session
from cluster.protocol import central, local
from cluster.protocol.central import PullAsk, PushAsk
from cluster.protocol.local import MemberAsk, MemberView, SkewAsk
from cluster.protocol.views import NodeView
from tests.e2e.cluster import Launch, Launched, holds, succeeded, until, view_of
from tests.invariants import read_side
from tests.program import free_port

pytestmark = pytest.mark.e2e

ASK_S = 10.0


@dataclass
class Bench:
    """A running cluster of node-1 alone, which makes 50 records a second.

    Its ports are not the usual ones: another test's cluster would take those of a dead member.
    """

    cluster: Launched
    central: Peer
    peer: Peer
    stranger: Peer  # with another token
    command: str

    async def do(self, exchange: Exchange[MemberAsk, MemberView], name: str) -> MemberView:
        return await self.peer.call(exchange, MemberAsk(name), timeout_s=ASK_S)

    async def skew(self, name: str, ms: float) -> MemberView:
        return await self.peer.call(local.SKEW, SkewAsk(name, ms), timeout_s=ASK_S)

    async def members(self) -> dict[str, MemberView]:
        found = (await self.peer.call(local.MEMBERS, Nothing(), timeout_s=ASK_S)).members
        return {member.name: member for member in found}

    async def node(self) -> NodeView:
        return await view_of(self.central, "node-1")

    async def is_live(self, *lives: str) -> None:
        async def so() -> bool:
            return (await self.node()).live in lives

        await holds(so, 15.0)

    async def pulled(self) -> int:
        """Wait for some records, and pull them; how many central holds then."""

        async def has_records() -> bool:
            return ((await self.node()).records.node or 0) > 20

        await holds(has_records, 15.0)
        ask = PullAsk("node-1")
        await succeeded(self.central, await self.central.call(central.PULL, ask, timeout_s=ASK_S))
        return (await self.node()).records.central


@pytest.fixture
async def bench(launch: Launch) -> AsyncIterator[Bench]:
    with socket.socket(type=socket.SOCK_DGRAM) as usual:
        with suppress(OSError):  # somebody else has it
            usual.bind((HOST, NTP_PORT))
        cluster = launch("--headless", "--nodes", "1", "--rate", "50", "--port", str(free_port()))
        await cluster.ready()
    command, address = await cluster.break_it()
    async with open_session() as session:
        yield Bench(
            cluster,
            Peer(session, cluster.central(), cluster.token()),
            Peer(session, address, cluster.token()),
            Peer(session, address, "not-the-token-of-this-cluster"),
            command,
        )


async def test_a_killed_node_is_another_process_with_the_same_records(bench: Bench) -> None:
    before, held = (await bench.members())["node-1"], await bench.pulled()
    epoch = (await bench.node()).epoch

    after = await bench.do(local.KILL, "node-1")

    assert after.pid not in (before.pid, None)
    assert (after.state, after.last_exit) == ("running", -signal.SIGKILL)
    assert after.restarts == before.restarts + 1

    async def is_back() -> bool:
        view = await bench.node()
        return view.live == "up" and (view.records.node or 0) > held

    await holds(is_back, 15.0)
    assert (await bench.node()).epoch == epoch


async def test_central_can_be_killed_and_restarted_too(bench: Bench) -> None:
    before = (await bench.members())["central"]

    killed = await bench.do(local.KILL, "central")
    await bench.is_live("up")

    restarted = await bench.do(local.RESTART, "central")
    await bench.is_live("up")

    assert (killed.kind, killed.last_exit) == ("central", -signal.SIGKILL)
    assert restarted.last_exit == 0  # it stopped in order
    assert restarted.restarts == killed.restarts + 1 == before.restarts + 2


async def test_a_frozen_node_is_missed_until_it_is_thawed(bench: Bench) -> None:
    frozen = await bench.do(local.FREEZE, "node-1")
    await bench.is_live("suspect", "down")
    thawed = await bench.do(local.THAW, "node-1")
    await bench.is_live("up")

    assert (frozen.frozen, thawed.frozen) == (True, False)
    assert frozen.pid == thawed.pid


async def test_a_wiped_node_gets_back_what_central_holds(bench: Bench) -> None:
    held = await bench.pulled()
    epoch = (await bench.node()).epoch

    wiped = await bench.do(local.WIPE, "node-1")

    async def has_a_new_epoch() -> bool:
        view = await bench.node()
        return view.live == "up" and view.epoch not in (None, epoch)

    assert wiped.last_exit == -signal.SIGKILL
    await holds(has_a_new_epoch, 15.0)
    push = await bench.central.call(central.PUSH, PushAsk("node-1"), timeout_s=ASK_S)
    await succeeded(bench.central, push)
    side = await asyncio.to_thread(read_side, bench.cluster.folder / "node-1/node.db", "node-1")
    assert len(side.rows) >= held > 20


async def test_a_skewed_node_has_a_bad_clock_and_right_records(bench: Bench) -> None:
    """Its system clock is an hour late; what it stamps with goes on as if nothing had been."""
    skewed = await bench.skew("node-1", -3_600_000.0)

    async def is_bad() -> bool:
        view = await bench.node()
        return view.clock_word == "BAD" and view.apart_ms is not None and abs(view.apart_ms) < 100

    assert skewed.skew_ms == -3_600_000.0
    await holds(is_bad, 15.0)
    clock = (await bench.node()).clock
    assert clock is not None
    assert clock.drift_ms == pytest.approx(-3_600_000.0, abs=500.0)

    right = await bench.skew("node-1", 0.0)

    async def is_right() -> bool:
        return (await bench.node()).clock_word == "OK"

    assert right.skew_ms == 0.0
    await holds(is_right, 15.0)


async def test_a_node_whose_port_was_taken_keeps_its_skew_on_another(bench: Bench) -> None:
    await bench.skew("node-1", 5_000.0)
    await bench.is_live("up")
    port = int((await bench.node()).url.rpartition(":")[2])

    killed = await bench.do(local.KILL, "node-1")
    with socket.create_server((HOST, port)):  # it is not so far yet

        async def has_moved() -> bool:
            view = await bench.node()
            return view.live == "up" and not view.url.endswith(f":{port}")

        await holds(has_moved, 20.0)
    moved = (await bench.members())["node-1"]

    assert (moved.skew_ms, moved.restarts) == (5_000.0, killed.restarts + 1)
    assert (await bench.node()).clock_word == "BAD"


async def test_what_is_frozen_is_no_reason_to_stop_out_of_order(bench: Bench) -> None:
    """Both end by themselves at once; nobody is killed for not having heard."""
    pids = {(await bench.do(local.FREEZE, name)).pid for name in ("node-1", "central")}
    assert {process.pid for process in bench.cluster.alive()} == pids

    bench.cluster.popen.send_signal(signal.SIGTERM)

    assert await bench.cluster.ended(4.0) == 0
    assert bench.cluster.alive() == []


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_the_command_that_is_offered_kills_a_node(bench: Bench) -> None:
    """Typed in where run_cluster.py was; the program's own log names what was done."""
    before = (await bench.members())["node-1"]
    shell = await asyncio.create_subprocess_shell(
        bench.command,
        cwd=bench.cluster.folder.parent,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, _ = await shell.communicate()

    assert b'"name":"node-1"' in out
    assert (await bench.members())["node-1"].restarts == before.restarts + 1
    log = bench.cluster.folder / "logs" / "run_cluster.log"
    await until(lambda: "node-1 was killed" in log.read_text(), 5.0)


async def test_what_cannot_be_done_is_refused_and_does_nothing(bench: Bench) -> None:
    before = await bench.members()
    by_a_stranger = bench.stranger.call(local.KILL, MemberAsk("node-1"), timeout_s=ASK_S)

    for code, said, asked in (
        ("unknown_member", "central, node-1", bench.do(local.KILL, "node-2")),
        ("unknown_member", "central, node-1", bench.skew("node-2", 1.0)),
        ("nodes_only", "wipe a node", bench.do(local.WIPE, "central")),
        ("nodes_only", "clock", bench.skew("central", 1.0)),
        ("bad_value", "ms", bench.skew("node-1", 3_600_001.0)),
        ("unauthorized", "token", by_a_stranger),
    ):
        with pytest.raises(PeerFailed) as failed:
            await asked
        assert failed.value.problem is not None
        assert failed.value.problem.code == code
        assert said in failed.value.problem.detail

    after = await bench.members()
    assert {name: view.pid for name, view in after.items()} == {
        name: view.pid for name, view in before.items()
    }


async def test_who_was_given_up_is_refused_with_the_reason(bench: Bench) -> None:
    """Its database is none any more: it says so, and nobody starts it again."""
    victim = psutil.Process((await bench.members())["node-1"].pid or 0)
    await bench.do(local.FREEZE, "node-1")
    for path in (bench.cluster.folder / "node-1").glob("node.db*"):
        path.unlink()
    (bench.cluster.folder / "node-1" / "node.db").write_bytes(b"this is no database" * 100)
    victim.kill()
    await until(lambda: "node-1 cannot be kept alive" in bench.cluster.err, 15.0)

    with pytest.raises(PeerFailed) as failed:
        await bench.do(local.RESTART, "node-1")

    assert (await bench.members())["node-1"].state == "failed"
    assert failed.value.problem is not None
    assert failed.value.problem.code == "member_gone"
    assert "exit 78" in failed.value.problem.detail
