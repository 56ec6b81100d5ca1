"""A plain command in the test's own loop, with what it prints."""

import io
from argparse import Namespace
from collections.abc import AsyncIterator, Callable, Mapping
from types import MappingProxyType

import pytest
from rich.cells import cell_len

from cluster.peer import Peer, open_session
from cluster.settings import load_beside
from console.plain.page import Page
from console.plain.program import carry_out
from console.plain.words import WORDS
from console.settings import ConsoleSettings
from tests.console.fake_central import FakeCentral

Run = Callable[..., "Spoken"]


class Paper(io.StringIO):
    """Standard output, as a pipe or as a terminal."""

    encoding = "utf-8"

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


class Spoken:
    """One command: `await` it for its exit code; `lines` is what it has printed so far."""

    def __init__(
        self,
        word: str,
        peer: Peer,
        *argv: str,
        terminal: bool = False,
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._paper, self._environ = Paper(terminal), environ
        _, given = load_beside(ConsoleSettings, "console", argv, {}, word, WORDS[word].fill)
        self.done = self._carry_out(word, peer, given)

    async def _carry_out(self, word: str, peer: Peer, given: Namespace) -> int:
        return await carry_out(word, peer, Page(self._paper, self._environ), given)

    @property
    def text(self) -> str:
        return self._paper.getvalue()

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @property
    def width(self) -> int:
        return max(cell_len(line) for line in self.lines)


@pytest.fixture
async def peer(fake: FakeCentral) -> AsyncIterator[Peer]:
    async with open_session() as session:
        yield Peer(session, fake.url, fake.token)
