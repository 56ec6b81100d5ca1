"""Clocks of real programs: wrong ones corrected, lying servers told of, UDP blocked, restarts."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from central.time_server import time_server
from cluster.clock.base import RealBase, SkewedBase
from cluster.clock.cluster_clock import ClusterClock
from cluster.clock.ride import SOURCE
from cluster.clock.state import ClockState
from cluster.exchange import Nothing
from cluster.protocol import central, node
from tests.clock.hand import sample_of
from tests.program import ROOT, TOKEN, Program, free_port, until
from tests.world import World, world


async def clock_of(program: Program) -> ClockState:
    return await program.call(node.CLOCK, Nothing())


async def until_clock(
    program: Program, reached: Callable[[ClockState], bool], what: str
) -> ClockState:
    """The clock's state, once it is so."""
    states: list[ClockState] = []

    async def holds() -> bool:
        states.append(await clock_of(program))
        return reached(states[-1])

    await until(holds, what)
    return states[-1]


async def kinds(w: World) -> list[str]:
    """What central's journal tells, oldest first."""
    page = await w.central.call(central.JOURNAL, central.JournalAsk())
    return [line.kind for line in page.lines]


async def journaled(w: World, kind: str) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        return kind in await kinds(w)

    return holds


async def test_a_wrong_clock_is_told_and_its_records_are_right(tmp_path: Path) -> None:
    """1.2 s fast by its own clock: BAD, journaled, in the history; its time agrees all the same."""
    async with world(tmp_path) as w:
        program = await w.node("n1", "--skew-ms=1200", "--skew-ppm=80", source="synthetic")
        state = await until_clock(program, lambda clock: clock.status == "SYNC", "synchronised")

        async def judged() -> bool:
            return (await w.view("n1")).clock_word == "BAD"

        await until(judged, "central calls it BAD")

        view = await w.view("n1")
        assert state.drift_ms == pytest.approx(1200, abs=20)
        assert view.clock_agrees is True
        assert view.apart_ms is not None
        assert abs(view.apart_ms) < 100  # on a busy machine
        await until(await journaled(w, "clock-bad"), "it is journaled")
        ask = central.HistoryAsk("n1")
        points = (await w.central.call(central.NODE_CLOCK, ask)).points
        assert points[-1].drift_ms == pytest.approx(1200, abs=20)


async def test_without_udp_the_time_rides_on_the_poll(tmp_path: Path) -> None:
    """Nobody answers at its NTP server: central's polls set the clock, and it says so."""
    async with world(tmp_path) as w:
        nobody = f"127.0.0.1:{free_port()}"
        program = await w.node("n1", "--skew-ms=-5000", ntp=[nobody])

        state = await until_clock(program, lambda clock: clock.status == "SYNC", "synchronised")

        by_name = {source.name: source for source in state.sources}
        assert state.reference == SOURCE
        assert (by_name[SOURCE].transport, by_name[SOURCE].state) == ("http", "selected")
        assert by_name[nobody].state == "unreachable"
        assert by_name[nobody].rejected.keys() <= {"unreachable", "timeout"}
        assert state.drift_ms == pytest.approx(-5000, abs=100)


async def test_a_node_that_follows_a_liar_disagrees_with_central(tmp_path: Path) -> None:
    """Its own server is two seconds off, and it is sure of itself: central journals it, once."""
    liar = ClusterClock.reference(SkewedBase(2000, 0))
    async with time_server(liar, "127.0.0.1", 0) as server, world(tmp_path) as w:
        await w.node("n1", ntp=[f"127.0.0.1:{server.port}"])

        await until(await journaled(w, "CLOCK-DISAGREE"), "central says that they disagree")

        view = await w.view("n1")
        assert view.clock_agrees is False
        assert view.apart_ms == pytest.approx(2000, abs=100)
        for _ in range(3):
            await w.poll("n1")
        assert (await kinds(w)).count("CLOCK-DISAGREE") == 1


async def test_a_liar_among_three_is_a_falseticker(tmp_path: Path) -> None:
    """Central and two others: the one that is half a second off is not followed."""
    liar, honest = ClusterClock.reference(SkewedBase(500, 0)), ClusterClock.reference(RealBase())
    async with (
        time_server(liar, "127.0.0.1", 0) as bad,
        time_server(honest, "127.0.0.1", 0) as good,
        world(tmp_path) as w,
    ):
        servers = [f"127.0.0.1:{port}" for port in (bad.port, good.port, w.ntp_port)]
        program = await w.node("n1", ntp=servers)

        state = await until_clock(
            program,
            lambda clock: any(source.state == "falseticker" for source in clock.sources),
            "the liar is found out",
        )

        by_name = {source.name: source.state for source in state.sources}
        assert by_name[servers[0]] == "falseticker"
        assert sorted([by_name[servers[1]], by_name[servers[2]]]) == ["selected", "survivor"]


async def test_central_may_follow_others_and_is_unsynchronised_until_it_does(
    tmp_path: Path,
) -> None:
    """It tells its nodes so, and they believe nothing of it until then."""
    upstream = ClusterClock(RealBase())
    async with (
        time_server(upstream, "127.0.0.1", 0) as server,
        world(tmp_path, 0.2, "--ntp", f"127.0.0.1:{server.port}") as w,
    ):
        program = await w.node("n1")
        unsynced = await until_clock(
            program,
            lambda clock: (
                "unsynchronised" in clock.sources[-1].rejected
                or "unsynchronised" in clock.sources[0].rejected
            ),
            "central says that it has no time",
        )
        assert unsynced.status == "UNSYNC"
        assert (await w.view("n1")).clock_word == "UNSYNC"

        upstream.adopt(sample_of(upstream.base, upstream.base.system_ns(), delay_ns=10_000))

        state = await until_clock(program, lambda clock: clock.status == "SYNC", "synchronised")
        assert state.stratum == 4  # 1 upstream of the server, 2 the server, 3 central
        status = await w.central.call(central.STATUS, Nothing())
        assert status.clock.stratum == 3


async def test_records_of_a_machine_that_is_a_day_late_are_corrected(tmp_path: Path) -> None:
    """No time server at first: its records say so; when one comes, they say by how much."""
    upstream = ClusterClock(RealBase())
    async with (
        time_server(upstream, "127.0.0.1", 0) as server,
        world(tmp_path, 0.2, "--ntp", f"127.0.0.1:{server.port}") as w,
    ):
        day_ms = -86_400_000
        program = await w.node("n1", f"--skew-ms={day_ms}", ntp=[f"127.0.0.1:{server.port}"])
        await w.post("n1", b'{"stream":"t","payload":{}}')
        ask = node.RecordsAsk(after=0, limit=10)
        [before] = (await program.call(node.RECORDS, ask)).records
        assert (before.unsynced, before.correction_us) == (True, None)

        upstream.adopt(sample_of(upstream.base, upstream.base.system_ns(), delay_ns=10_000))

        async def corrected() -> bool:
            [record] = (await program.call(node.RECORDS, ask)).records
            return record.correction_us is not None

        await until(corrected, "the correction is told")
        [after] = (await program.call(node.RECORDS, ask)).records
        assert after.correction_us == pytest.approx(-day_ms * 1000, abs=1_000_000)
        assert (after.ts, after.hash) == (before.ts, before.hash)
        run = await w.pull("n1")
        assert (run.state, run.inserted) == ("succeeded", 1)


@pytest.mark.parametrize("member", ["central", "n1"])
async def test_what_is_wrong_can_be_scraped(member: str, tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        program = await w.node("n1")
        await until_clock(program, lambda clock: clock.status == "SYNC", "synchronised")
        await w.poll("n1")
        asked = w.central if member == "central" else program

        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session,
            session.get(f"{asked.url}/metrics") as answer,
        ):
            text = await answer.text()

        assert "tidehold_clock_bound_seconds" in text
        assert "tidehold_clock_steps_total" in text
        assert ('tidehold_node_clock_apart_seconds{node="n1"}' in text) == (member == "central")


@pytest.mark.e2e
async def test_a_killed_node_is_within_a_millisecond_after_its_start(tmp_path: Path) -> None:
    """Its clock's memory is on disk: it goes on, with no server, where it was."""
    async with world(tmp_path) as w:
        program = await w.node("n1", "--skew-ppm=100")
        await until_clock(
            program, lambda clock: clock.freq_ppm is not None and clock.freq_ppm > 50, "it knows"
        )
        memory = program.folder / "clock.json"
        await until(lambda: _exists(memory), "it is saved")
        before = json.loads(memory.read_bytes())
        program.kill()
        w.central.freeze()  # nobody answers, and the poll brings nothing
        await program.start()

        state = await clock_of(program)

        assert state.status == "HOLDOVER"
        assert state.bound_ms is not None
        assert state.bound_ms < before["bound_ns"] / 1e6 + 5
        w.central.thaw()
        state = await until_clock(program, lambda clock: clock.status == "SYNC", "synchronised")
        assert state.steps == 0
        [source] = [source for source in state.sources if source.transport == "ntp"]
        assert source.offset_ms is not None
        assert abs(source.offset_ms) < 1


async def _exists(path: Path) -> bool:
    return await asyncio.to_thread(path.exists)


async def test_the_clock_command_shows_who_lies() -> None:
    """Three servers, one a second off, and one that is not there: each has its line."""
    async with (
        time_server(ClusterClock.reference(RealBase()), "127.0.0.1", 0) as one,
        time_server(ClusterClock.reference(RealBase()), "127.0.0.1", 0) as two,
        time_server(ClusterClock.reference(SkewedBase(1000, 0)), "127.0.0.1", 0) as liar,
    ):
        servers = [f"127.0.0.1:{port}" for port in (one.port, two.port, liar.port, free_port())]
        argv = [sys.executable, "-m", "node", "clock", *servers, "--samples=2", "--apart=0.1"]
        asked = await asyncio.create_subprocess_exec(*argv, cwd=ROOT, stdout=subprocess.PIPE)
        output, _ = await asked.communicate()

    lines = {line[2:].split(" ")[0]: line for line in output.decode().splitlines()}
    assert asked.returncode == 0
    assert {lines[server][0] for server in servers[:2]} == {"*", "+"}
    assert lines[servers[2]].startswith("x")
    [behind_ms] = re.findall(r" ([-+][0-9.]+)ms", lines[servers[2]])
    assert float(behind_ms) == pytest.approx(-1000, abs=1)
    assert "unreachable" in lines[servers[3]]


async def test_the_clock_command_refuses_what_is_no_address() -> None:
    argv = [sys.executable, "-m", "node", "clock", "host:port"]
    asked = await asyncio.create_subprocess_exec(
        *argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    _, errors = await asked.communicate()

    assert asked.returncode == 2
    assert errors.decode() == "node clock: --ntp: 'host:port' is not HOST[:PORT] or [IPv6][:PORT]\n"
