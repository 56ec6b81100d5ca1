"""A disk that fails, fills up or hesitates under a service that runs.

Whatever was acknowledged is there, once; what could not be stored is said to be unknown and may
be sent again; reads and polls go on; and nobody has to restart anything.
"""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from cluster.exchange import Nothing
from cluster.peer import PeerFailed
from cluster.protocol import central, node
from cluster.protocol.shared import READY
from cluster.record import IdMaker, id_text
from tests.program import Program, until
from tests.strace import needs_strace
from tests.world import World, world

pytestmark = pytest.mark.e2e

RECOVERED_S = 5.0


def rows(count: int, maker: IdMaker) -> tuple[bytes, frozenset[bytes]]:
    """Rows with ids of their own, and the ids."""
    ids = [maker.next(time.time_ns() // 1000) for _ in range(count)]
    lines = b"".join(
        b'{"id":"%b","stream":"t","ts":1,"payload":{"n":1}}\n' % id_text(one).encode()
        for one in ids
    )
    return lines, frozenset(ids)


async def refusal(program: Program, lines: bytes) -> str:
    """The code with which rows are refused; empty when they are stored."""
    try:
        await program.peer.call(node.APPEND, Nothing(), timeout_s=20, body=lines)
    except PeerFailed as failure:
        return failure.problem.code if failure.problem else failure.reason
    return ""


async def is_ready(program: Program) -> bool:
    try:
        await program.call(READY, Nothing())
    except PeerFailed as failure:
        return failure.problem is None or failure.problem.status != 503
    return True


async def count(program: Program) -> int:
    return (await program.call(node.STATUS, Nothing())).records.count


@needs_strace
@pytest.mark.fault(76, 77)
@pytest.mark.parametrize(
    "fault",
    [
        "fdatasync:error=EIO",
        "pwrite64:error=EIO",
        "pwrite64:error=ENOSPC",
        "pwrite64:error=ENOSPC:when=2+3",  # some of them
    ],
)
async def test_a_write_that_failed_is_never_acknowledged(tmp_path: Path, fault: str) -> None:
    """It is refused as unknown; sent again with the same ids it is there once, also on disk."""
    async with world(tmp_path) as w:
        n1, maker = await w.node("n1"), IdMaker()
        batches = [rows(50, maker) for _ in range(5)]
        assert await refusal(n1, batches[0][0]) == ""

        with n1.break_disk(fault):
            codes = [await refusal(n1, lines) for lines, _ in batches[1:]]
            assert await count(n1) >= 50
        assert "storage_failed" in codes
        assert set(codes) <= ({"", "storage_failed"} if "when" in fault else {"storage_failed"})
        for (lines, _), code in zip(batches[1:], codes, strict=True):
            assert code == "" or await refusal(n1, lines) == ""

        n1.kill()
        await n1.start()
        await w.until_live("n1", "up")
        await w.pull("n1")
        acknowledged = frozenset().union(*(ids for _, ids in batches))
        verdict = w.verdict("n1", acknowledged)
        assert verdict.equal, verdict.line()
        assert verdict.node.rows.keys() == acknowledged


@needs_strace
@pytest.mark.fault(76)
async def test_a_read_that_failed_is_refused_and_works_the_next_time(tmp_path: Path) -> None:
    """503, no half answer, and the same question is answered when the disk can be read again."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        lines, _ = rows(5_000, IdMaker())
        assert await refusal(n1, lines) == ""
        n1.kill()
        await n1.start()  # nothing is in memory now
        ask = node.RecordsAsk(limit=1_000)

        with n1.break_disk("pread64:error=EIO"):
            with pytest.raises(PeerFailed) as failed:
                await n1.call(node.RECORDS, ask)
            assert failed.value.problem is not None
            assert failed.value.problem.code == "storage_failed"

        assert len((await n1.call(node.RECORDS, ask)).records) == 1_000


@needs_strace
@pytest.mark.fault(76)
async def test_a_pull_outlives_a_disk_that_failed_at_central(tmp_path: Path) -> None:
    """Central's own trouble is no fault of the node's: the run waits, and ends well."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        lines, ids = rows(500, IdMaker())
        assert await refusal(n1, lines) == ""
        run = await w.central.call(central.PULL, central.PullAsk("n1"))

        with w.central.break_disk("fdatasync:error=EIO"):
            await until(lambda: is_waiting(w, run.id), "the run waits, or had ended already")
            assert (await w.view("n1")).live == "up"

        assert (await w.ended(run)).state == "succeeded"
        await w.pull("n1")
        assert w.verdict("n1", ids).equal


async def is_waiting(w: World, run_id: int) -> bool:
    run = await w.central.call(central.RUN, central.RunId(run_id))
    return run.reason is not None or run.attempts > 1 or run.ended_already


@needs_strace
@pytest.mark.fault(14, 78)
async def test_polls_are_on_time_while_the_disk_hesitates(tmp_path: Path) -> None:
    """Each sync at central takes 3 s, in a pull as in what it notes of nodes: no poll waits."""
    async with world(tmp_path, 0.2) as w:
        n1 = await w.node("n1")
        seen: list[int] = []

        async def seen_for(seconds: float) -> bool:
            seen.append((await w.view("n1")).last_seen or 0)
            return seen[-1] - seen[0] > seconds * 1e6

        with w.central.break_disk("fdatasync:delay_enter=3000000"):
            await refusal(n1, rows(10, IdMaker())[0])
            asking = asyncio.create_task(w.central.call(central.PULL, central.PullAsk("n1")))
            await until(lambda: seen_for(7.0), "what was announced is noted again")

        assert max(late - early for early, late in pairwise(seen)) < 1_500_000
        assert (await w.ended(await asking)).state == "succeeded"
        assert (await w.view("n1")).live == "up"


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A disk of its own under a folder; skips where that may not be."""
    folder.mkdir()
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("only root can mount a small disk")
    argv = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if (tried := subprocess.run(argv, capture_output=True, text=True, check=False)).returncode:
        pytest.skip(f"no small disk can be mounted here: {tried.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.fault(77)
async def test_a_disk_nearly_full_refuses_rows_and_nothing_else(tmp_path: Path) -> None:
    """At a node and at central: reads and polls go on, and it takes rows again by itself."""
    with small_disk(tmp_path / "n1", "80m"), small_disk(tmp_path / "central", "80m"):
        async with world(tmp_path) as w:
            n1, maker = await w.node("n1"), IdMaker()
            lines, first = rows(100, maker)
            assert await refusal(n1, lines) == ""
            lines, second = rows(100, maker)

            with n1.fill_disk(left=60 << 20):
                await until(lambda: is_not_ready(n1), "the node is not ready")
                assert await refusal(n1, lines) == "not_ready"
                assert (await w.pull("n1")).state == "succeeded"
            begun = time.monotonic()
            await until(lambda: is_ready(n1), "the node is ready", RECOVERED_S)
            assert await refusal(n1, lines) == ""
            assert time.monotonic() - begun < RECOVERED_S

            with w.central.fill_disk(left=60 << 20):
                await until(lambda: is_not_ready(w.central), "central is not ready")
                run = await w.central.call(central.PULL, central.PullAsk("n1"))
                run = await w.waiting(run)
                assert "bytes free on the disk" in (run.reason or "")
                assert (await w.view("n1")).live == "up"
            await until(lambda: is_ready(w.central), "central is ready", RECOVERED_S)
            assert (await w.ended(run)).state == "succeeded"

            assert w.verdict("n1", first | second).equal
            w.stop()


async def is_not_ready(program: Program) -> bool:
    return not await is_ready(program)


@pytest.mark.fault(84)
async def test_one_connection_alone_can_write(tmp_path: Path) -> None:
    """In each service one descriptor of the database is open for writing: that of its writer."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        await refusal(n1, rows(100, IdMaker())[0])
        await w.pull("n1")

        for program in (n1, w.central):
            assert len(descriptors(program, writable=True)) == 1
            assert len(descriptors(program, writable=False)) >= 1
            (log,) = (program.folder / "logs").glob("*.log")
            assert log.read_text().count('"event": "sqlite"') == 1


def descriptors(program: Program, *, writable: bool) -> list[str]:
    """A service's open descriptors of its database file."""
    assert program.process is not None
    proc = Path(f"/proc/{program.process.pid}")
    found = []
    for link in (proc / "fd").iterdir():
        if os.path.realpath(link) == str(program.file.resolve()):
            (flags,) = [
                int(line.split()[1], 8)
                for line in (proc / "fdinfo" / link.name).read_text().splitlines()
                if line.startswith("flags:")
            ]
            if bool(flags & (os.O_WRONLY | os.O_RDWR)) == writable:
                found.append(link.name)
    return found
