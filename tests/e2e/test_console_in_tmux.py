"""The console as a person sees it: a real terminal, a real cluster, keys pressed one by one."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.program import ROOT, until

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]


class Terminal:
    """A tmux session of its own server, so that no other is touched."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def start(self, command: str) -> None:
        self._tmux("new-session", "-d", "-x", "80", "-y", "24", command)
        self._tmux("set-option", "remain-on-exit", "on")

    def press(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def write(self, text: str) -> None:
        self._tmux("send-keys", "-l", text)

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p")

    def close(self) -> None:
        subprocess.run(["tmux", "-S", str(self._socket), "kill-server"], check=False)

    async def press_until(self, press: Callable[[], None], pattern: str) -> None:
        """Press again until it shows: a new dialog is deaf for a moment, by design."""

        async def shows() -> bool:
            press()
            with suppress(AssertionError):
                await self.until_seen(pattern, within_s=1)
                return True
            return False

        try:
            await until(shows, pattern)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.screen()}") from None

    async def until_seen(self, pattern: str, within_s: float = 20.0) -> re.Match[str]:
        found: re.Match[str] | None = None

        async def seen() -> bool:
            nonlocal found
            found = re.search(pattern, await asyncio.to_thread(self.screen), re.MULTILINE)
            return found is not None

        try:
            await until(seen, pattern, within_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.screen()}") from None
        assert found is not None
        return found

    def _tmux(self, *args: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", str(self._socket), "-f", "/dev/null", *args],
            check=True,
            capture_output=True,
            encoding="utf-8",
            env={**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"},
        )
        return done.stdout


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path / "tmux")
    yield made
    made.close()


@pytest.mark.timeout(120)
async def test_a_person_pulls_a_node_and_central_has_its_records(
    terminal: Terminal, tmp_path: Path
) -> None:
    """Select a node, press p, read, press y, watch it finish; then all; then quit."""
    folder = tmp_path / "data"
    terminal.start(
        f"cd {ROOT} && {sys.executable} run_cluster.py --rate 20 --data {folder}; echo ended $?"
    )

    await terminal.until_seen(r"^[▌ ] node-3 .* behind", within_s=40)
    # A key holds the order of the rows for a moment: let them settle before one is pressed.
    await terminal.until_seen(r"MISSING *\n[▌ ] node-1 .*\n[▌ ] node-2 ")
    top = r"^▌ node-1 .* behind +\S+ +[1-9][\d,]* +- "
    await terminal.press_until(lambda: terminal.press("g"), top)
    terminal.press("p")
    question = await terminal.until_seen(r"missing at central +([1-9][\d,]*) records?")
    await terminal.press_until(lambda: terminal.press("y"), r"pull node-1|pull 1")
    after = await terminal.until_seen(r"node-1 .* ([1-9][\d,]*) +([1-9][\d,]*) +\S+\s*$")
    terminal.press("2")
    await terminal.until_seen(r"node-1 +⇣ pull +[\d,]+ .* ok, [\d,]+ new")
    terminal.press("1")
    terminal.press("P")
    await terminal.until_seen(r"Type PULL 3")
    await terminal.press_until(lambda: type_phrase(terminal, "PULL 3"), r"^.*│ +PULL 3 ")
    terminal.press("Enter")
    await terminal.until_seen(r"node-2 .* [1-9][\d,]* +[1-9][\d,]* +\S+\s*$")
    await terminal.until_seen(r"node-3 .* [1-9][\d,]* +[1-9][\d,]* +\S+\s*$")
    terminal.press("q")
    await terminal.until_seen(r"^ended 0", within_s=15)

    assert number(after[2]) >= number(question[1])


def type_phrase(terminal: Terminal, phrase: str) -> None:
    terminal.press("C-u")
    terminal.write(phrase)


def number(text: str) -> int:
    return int(text.replace(",", ""))
