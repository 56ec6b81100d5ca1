"""A token is where it was put, and nowhere else: a canary that is looked for in all that comes out.

Real processes, told the canary in every way that is right and in many that are wrong, killed and
stopped; then every file, answer, last word and command line is searched.
"""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from aiohttp import ClientSession, ClientTimeout
from yarl import URL

from tests.program import TOKEN
from tests.world import World, lines, world

WRONG_PLACES = (
    ("GET", f"/v1/status?token={TOKEN}"),
    ("GET", f"/{TOKEN}"),
    ("POST", f"/v1/nodes/{TOKEN}/pull"),
    ("DELETE", "/v1/status"),
)
BROKEN = (
    f"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer\x00{TOKEN}\r\n\r\n",
    f"GET /v1/status HTTP/9.9\r\nAuthorization: Bearer {TOKEN}\r\n\r\n",
    f"{TOKEN}\r\n\r\n",
    f"POST /v1/nodes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
    f"Authorization: Bearer {TOKEN}\r\n\r\n{{",
)


@pytest.mark.fault(71, 72)
async def test_a_canary_comes_out_nowhere(tmp_path: Path) -> None:
    async with world(tmp_path, 0.2, "--log-level=DEBUG") as w:
        node = await w.node("n1", "--log-level=DEBUG")
        await w.post("n1", lines(20))
        assert (await w.pull("n1")).state == "succeeded"
        answers = [answer for base in (w.central.url, node.url) for answer in await wrongly(base)]
        answers += [await told(w, path) for path in ("/metrics", "/openapi.json", "/v1/journal")]
        node.kill()
        await w.until_live("n1", "down")
        await node.start()
        last_words = []
        for program in (node, w.central):
            process = program.process
            assert process is not None
            answers.append(command_line(process.pid))
            program.kill(signal.SIGTERM)
            last_words.append(process.stderr)

    assert TOKEN not in "".join(answers)
    assert TOKEN not in "".join(last_words)
    check_files(tmp_path)


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")


def check_files(folder: Path) -> None:
    """Nothing that was written holds the token, and nobody else may open any of it."""
    written = list(folder.rglob("*"))
    files = [path for path in written if path.is_file()]
    assert {"node.db", "central.db", "central.log", "n1.log"} <= {path.name for path in files}
    assert [path for path in files if TOKEN.encode() in path.read_bytes()] == []
    assert [path for path in written if path.stat().st_mode & 0o077] == []


async def told(w: World, path: str) -> str:
    """A whole answer as text."""
    async with (
        ClientSession() as session,
        session.get(
            URL(w.central.url + path),
            headers={"Authorization": f"Bearer {TOKEN}"},
        ) as answer,
    ):
        return await answer.text()


async def wrongly(base: str) -> list[str]:
    """What is answered to those who put the token into the wrong place."""
    said = []
    async with ClientSession(timeout=ClientTimeout(total=10)) as session:
        for method, path in WRONG_PLACES:
            for scheme in ("Bearer", "Basic"):
                headers = {"Authorization": f"{scheme} {TOKEN}x"}
                async with session.request(method, URL(base + path), headers=headers) as answer:
                    said.append(await answer.text())
    port = int(base.rpartition(":")[2])
    for text in BROKEN:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(text.encode())
        writer.write_eof()
        said.append((await reader.read()).decode("utf-8", "replace"))
        writer.close()
    return said


def test_the_environment_that_holds_it_is_the_owners_alone() -> None:
    """What /proc tells of a process is for its user: the mode is the kernel's, not ours."""
    assert Path(f"/proc/{os.getpid()}/environ").stat().st_mode & 0o077 == 0
