"""The drill: a disk dies under load, and the last backup with the other side bring all back."""

import asyncio
import random
import signal
from pathlib import Path

import pytest

from cluster.upkeep import UNUSABLE
from tests.faults.test_kill import Client
from tests.invariants import Verdict
from tests.program import Program
from tests.world import World, world

pytestmark = pytest.mark.e2e


def overwrite_a_page(file: Path) -> None:
    """Noise in the middle of a file without a log."""
    with file.open("r+b") as raw:
        raw.seek(file.stat().st_size // 4096 // 2 * 4096)
        raw.write(random.Random(7).randbytes(4096))


async def post_until(client: Client, stop: asyncio.Event) -> None:
    while not stop.is_set():
        await client.post(200)


async def under_load(w: World, client: Client, victim: Program, backup: Path) -> None:
    """Rows are posted and pulled all the time; a backup is taken in the middle of it."""
    stop = asyncio.Event()
    posting = asyncio.create_task(post_until(client, stop))
    before = len(client.acknowledged)
    pulling = asyncio.create_task(w.pull("n1"))
    await victim.back_up(backup)
    await pulling
    await w.pull("n1")
    stop.set()
    await posting
    assert len(client.acknowledged) > before


async def healed(w: World, client: Client) -> Verdict:
    """Both sides, equal after a pull and a push, with all that was acknowledged."""
    await w.until_live("n1", "up")
    pulled, pushed = await w.pull("n1"), await w.push("n1")

    assert (pulled.state, pushed.state) == ("succeeded", "succeeded")
    verdict = w.verdict("n1", frozenset(client.acknowledged))
    assert verdict.equal, verdict.line()
    return verdict


@pytest.mark.fault(16, 81)
@pytest.mark.parametrize("victim", ["node", "central"])
@pytest.mark.timeout(90)
async def test_a_disk_that_died_is_brought_back_from_a_backup(tmp_path: Path, victim: str) -> None:
    """What came after the backup is fetched from the other side; nothing acknowledged is lost."""
    async with world(tmp_path, 0.2) as w:
        n1 = await w.node("n1")
        client = Client(w)
        await client.post(500)
        await w.pull("n1")
        program = n1 if victim == "node" else w.central
        await under_load(w, client, program, tmp_path / "backup.db")
        await w.pull("n1")

        program.kill()
        program.wipe()
        await program.restore_backup(tmp_path / "backup.db")
        await program.start()
        verdict = await healed(w, client)
        assert len(verdict.node.rows) >= len(client.acknowledged)


@pytest.mark.fault(79)
@pytest.mark.parametrize("victim", ["node", "central"])
@pytest.mark.timeout(90)
async def test_a_disk_that_wrote_noise_is_repaired_and_refilled(
    tmp_path: Path, victim: str
) -> None:
    """The start ends with 78 and a line that says what to do; that done, both sides are equal."""
    async with world(tmp_path, 0.2) as w:
        n1 = await w.node("n1")
        client = Client(w)
        await client.post(2_000)
        await w.pull("n1")
        program = n1 if victim == "node" else w.central
        program.kill(signal.SIGTERM)
        overwrite_a_page(program.file)

        with pytest.raises(AssertionError, match=f"python -m {victim} repair --data "):
            await program.start()
        assert program.process is not None
        assert program.process.returncode == UNUSABLE
        await program.repair()
        await program.start()
        verdict = await healed(w, client)
        assert len(verdict.node.rows) == len(client.acknowledged)
