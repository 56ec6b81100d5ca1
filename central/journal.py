"""The journal: numbered lines of what the services did, in central's database and in its log.

Each stored line is a link of a chain (`cluster.chain`): what is done to it later can be found out.

Writing a line never waits; a task of its own stores what has gathered, in order, and shows it to
the consoles once it has its number. While the database cannot store, lines wait here; the log
file has them already.
"""

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from random import Random

from cluster import chain
from cluster.backoff import Backoff
from cluster.chain import Head
from cluster.database import Database
from cluster.kept import NOTHING
from cluster.problem import Refusal
from cluster.protocol.central import JournalAsk
from cluster.protocol.views import JournalLine, Level
from cluster.text import visible

log = logging.getLogger(__name__)

WAITING_MAX = 10_000  # lines; beyond it the oldest are only in the log file
TEXT_MAX = 500
_LEVELS: dict[str, int] = {
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_INSERT = "INSERT INTO journal (ts, level, kind, node, text, hash) VALUES (?, ?, ?, ?, ?, ?)"
_COLUMNS = "seq, ts, level, kind, node, text"

Unnumbered = tuple[int, Level, str, str | None, str]


class Journal:
    """Central's journal. `show` gets each line once it is stored."""

    def __init__(
        self, database: Database, now_us: Callable[[], int], show: Callable[[JournalLine], None]
    ) -> None:
        self._database = database
        self._now_us = now_us
        self._show = show
        self._waiting: deque[Unnumbered] = deque(maxlen=WAITING_MAX)
        self._written = asyncio.Event()
        self.head = chain.EMPTY  # of what is stored

    async def load(self) -> None:
        """Take the chain up where it ends; the lines that `show` gets are the latest ones."""
        self.head = await self._database.read(chain.head)
        log.info("the journal begins", extra={"event": "journal-head", "head": str(self.head)})
        for line in await self.lines(JournalAsk()):
            self._show(line)

    def write(self, level: Level, kind: str, text: str, node: str | None = None) -> None:
        """Note what happened. `kind` is a stable word for programs, `text` is for people."""
        text = visible(text)[:TEXT_MAX]
        log.log(_LEVELS[level], text, extra={"event": kind, "node": node})
        self._waiting.append((self._now_us(), level, kind, node, text))
        self._written.set()

    async def run(self) -> None:
        """Store lines for ever."""
        patience = Backoff(base_s=0.5, cap_s=10.0, rng=Random())
        while True:
            await self._written.wait()
            self._written.clear()
            try:
                await self.flush()
                patience.reset()
            except Refusal:
                await asyncio.sleep(patience.next_s())
                self._written.set()

    async def flush(self) -> None:
        """Store and show what waits. Refusal when the database cannot; the lines wait on."""
        lines, self._waiting = self._waiting, deque(maxlen=WAITING_MAX)
        if not lines:
            return
        try:
            work = partial(_store, list(lines))
            self.head, first = await self._database.write(work, about=NOTHING)
        except Refusal:
            self._waiting = deque([*lines, *self._waiting], maxlen=WAITING_MAX)
            raise
        for seq, (ts, level, kind, node, text) in enumerate(lines, first):
            self._show(JournalLine(seq=seq, ts=ts, level=level, kind=kind, node=node, text=text))

    async def close(self) -> None:
        """Store what waits, if the database can, and log where the chain ends."""
        with suppress(Refusal):  # the log file has the lines too
            await self.flush()
        log.info("the journal ends", extra={"event": "journal-head", "head": str(self.head)})

    async def lines(self, ask: JournalAsk) -> list[JournalLine]:
        """Past lines, the oldest first."""
        return await self._database.read(partial(_select, ask))


def _store(lines: list[Unnumbered], sql: sqlite3.Connection) -> tuple[Head, int]:
    """The head, and the number of the first line; the others follow without gaps."""
    last = chain.head(sql).hash
    numbers = []
    for line in lines:
        last = chain.link(last, *line)
        numbers.append(sql.execute(_INSERT, (*line, last)).lastrowid or 0)
    return Head(numbers[-1], last), numbers[0]


def _select(ask: JournalAsk, sql: sqlite3.Connection) -> list[JournalLine]:
    wanted = (
        ("seq > ?", ask.after),
        ("seq < ?", ask.before),
        ("level = ?", ask.level),
        ("node = ?", ask.node),
        ("kind = ? COLLATE NOCASE", ask.kind),
        ("instr(lower(text || ' ' || coalesce(node, '')), lower(?))", ask.text),
    )
    chosen = [(text, value) for text, value in wanted if value is not None]
    where = " AND ".join(text for text, _ in chosen) or "1"
    order = "DESC" if ask.after is None else "ASC"
    query = f"SELECT {_COLUMNS} FROM journal WHERE {where} ORDER BY seq {order} LIMIT ?"
    rows = sql.execute(query, (*(value for _, value in chosen), ask.limit)).fetchall()
    lines = [
        JournalLine(seq=seq, ts=ts, level=level, kind=kind, node=node, text=text)
        for seq, ts, level, kind, node, text in rows
    ]
    return lines if ask.after is not None else lines[::-1]
