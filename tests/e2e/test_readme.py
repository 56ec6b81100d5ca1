"""What the README says one can type does what the README says."""

import asyncio
import os
import re
import shutil
from pathlib import Path

import pytest

from cluster.exchange import Nothing
from cluster.protocol import node
from tests.program import ROOT, TOKEN, until
from tests.world import World, lines, world

pytestmark = pytest.mark.e2e

README = (ROOT / "README.md").read_text(encoding="utf-8")
ROWS = 1_000


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


async def type_in(folder: Path, command: str) -> str:
    """Run a command in a shell; what it prints."""
    shell = await asyncio.create_subprocess_shell(
        command,
        cwd=folder,
        env={**os.environ, "TIDEHOLD_TOKEN": TOKEN},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await shell.communicate()
    assert shell.returncode == 0, err
    return out.decode()


async def filled(w: World) -> None:
    """node-1 has records, and central has them too."""
    await w.node("node-1")
    await w.post("node-1", lines(ROWS))
    await w.pull("node-1")


def sqlite_command(file: str) -> str:
    """The one command of the README that changes this file."""
    (found,) = re.findall(rf"`(sqlite3 {file} '[^`]*')`", README)
    return str(found)


@needs("sqlite3")
async def test_rows_deleted_at_central_are_seen_and_pulled_again(tmp_path: Path) -> None:
    async with world(tmp_path / "data") as w:
        await filled(w)

        await type_in(tmp_path, sqlite_command("data/central/central.db"))

        async def seen() -> bool:
            return (await w.poll("node-1")).records.missing_at_central == ROWS // 10

        await until(seen, "central sees what it lacks")
        assert (await w.pull("node-1")).inserted == ROWS // 10
        assert w.verdict("node-1").equal


@needs("sqlite3")
async def test_rows_deleted_at_a_node_are_pushed_back(tmp_path: Path) -> None:
    async with world(tmp_path / "data") as w:
        await filled(w)

        await type_in(tmp_path, sqlite_command("data/node-1/node.db"))

        assert (await w.push("node-1")).inserted == ROWS
        assert w.verdict("node-1").equal


@needs("curl")
async def test_any_program_can_be_the_source(tmp_path: Path) -> None:
    """The command as it stands, but for the port."""
    (command,) = re.findall(r"^curl .*?\n.*?/v1/records$", README, re.MULTILINE)
    async with world(tmp_path) as w:
        shop = await w.node("shop-7")

        answer = await type_in(tmp_path, command.replace("http://127.0.0.1:8101", shop.url))

        assert '"inserted":1' in answer
        assert (await shop.call(node.STATUS, Nothing())).records.count == 1
