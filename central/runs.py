"""Runs: the queue of pulls and pushes, and the record of those that ended.

A run that was asked for is kept until it ended: after a crash or a restart of central the open
ones go on where the tidemark stands. Asking again for what is still queued gives the same run.
"""

import asyncio
import logging
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import msgspec

from central.board import Board
from central.journal import Journal
from cluster.database import Database
from cluster.kept import NOTHING
from cluster.problem import Refusal
from cluster.protocol.central import RunsAsk
from cluster.protocol.views import Level, Run, RunKind

_INSERT = "INSERT INTO runs (node, state, run) VALUES (?, ?, '')"
_UPDATE = "UPDATE runs SET state = ?, run = ? WHERE id = ?"
_OPEN = "state IN ('queued', 'waiting', 'running')"
_ALL_OPEN = f"SELECT run FROM runs WHERE {_OPEN} ORDER BY id"
_FORGET = (
    "DELETE FROM runs WHERE node = ? AND state = 'succeeded' AND id <= "
    "(SELECT id FROM runs WHERE node = ? ORDER BY id DESC LIMIT 1 OFFSET ?)"
)
KEPT = 1_000
_ONE = "SELECT run FROM runs WHERE id = ?"
log = logging.getLogger(__name__)

_RUN = msgspec.json.Decoder(Run)


class Runs:
    """All runs. What is open is kept in memory as well; every change of state is stored."""

    def __init__(
        self, database: Database, board: Board, journal: Journal, now_us: Callable[[], int]
    ) -> None:
        self._database = database
        self._board = board
        self._journal = journal
        self._now_us = now_us
        self._open: dict[int, Run] = {}
        self._asking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # by node
        self._doubted: set[str] = set()  # nodes of which a run may be stored that nobody knows of

    async def load(self) -> None:
        """Show the latest runs; those that were open when central stopped are queued again."""
        for run in reversed(await self.list(RunsAsk())):
            self._board.show_run(run)
        for run in await self._database.read(lambda sql: list(_readable(sql.execute(_ALL_OPEN)))):
            self.progress(run, state="queued", reason="central was restarted")

    def open_of(self, node: str) -> list[Run]:
        """The node's open runs, the oldest first."""
        return sorted((run for run in self._open.values() if run.node == node), key=lambda r: r.id)

    @property
    def open_count(self) -> int:
        return len(self._open)

    async def ask(self, node: str, kind: RunKind, mode: str, *, scheduled: bool = False) -> Run:
        """Queue a run; or the same one that already waits. `scheduled`: nobody asked for it."""
        async with self._asking[node]:  # or both of two who ask at once would queue one
            await self.find_unknown(node)
            for run in self.open_of(node):
                alike = (run.kind, run.mode) == (kind, mode)
                if alike and run.state in ("queued", "waiting") and scheduled >= run.scheduled:
                    return run  # but a run that somebody asks for is told of in the journal
            run = Run(
                id=0,
                node=node,
                kind=kind,
                mode=mode,
                state="queued",
                asked=self._now_us(),
                scheduled=scheduled,
            )
            try:
                run = await self._database.write(partial(_insert, run), about=NOTHING)
            except (Refusal, asyncio.CancelledError):
                self._doubted.add(node)
                raise
            self.progress(run)
        if not scheduled:
            self._journal.write("info", "run-asked", f"{kind} {run.id} asked for ({mode})", node)
        return run

    async def find_unknown(self, node: str) -> None:
        """Take up what is stored although whoever asked for it was told otherwise, or has gone.

        It is looked for in the order of writes: behind it, and none that ends comes back.
        """
        if node not in self._doubted:
            return
        stored = partial(_select, RunsAsk(node=node, open=True))
        for run in await self._database.write(stored, about=NOTHING):
            if run.id not in self._open:
                self.progress(run)
        self._doubted.discard(node)

    async def change(self, run: Run, **changes: Any) -> Run:
        """A new state of a run, stored and then shown."""
        run = msgspec.structs.replace(run, **changes)
        await self._database.write(partial(_update, run), about=NOTHING)
        return self.progress(run)

    def progress(self, run: Run, **changes: Any) -> Run:
        """New numbers of a run, shown but not stored until its state changes."""
        run = msgspec.structs.replace(run, **changes)
        if run.ended_already:
            self._open.pop(run.id, None)
        else:
            self._open[run.id] = run
        self._board.show_run(run)
        return run

    async def end(self, run: Run, **changes: Any) -> Run:
        """A run's last state, and its line in the journal."""
        run = msgspec.structs.replace(run, ended=self._now_us(), left_s=None, **changes)
        await self._database.write(partial(_end, run), about=NOTHING)
        self.progress(run)
        level: Level = "info" if run.state in ("succeeded", "cancelled") else "error"
        if level == "info" and (run.conflict or run.rejected):
            level = "warning"
        if run.scheduled and level == "info":
            return run  # the journal is for what somebody did, or must know
        counts = f"{run.received} received, {run.inserted} inserted, {run.duplicate} duplicate"
        extra = "".join(
            f", {number} {word}"
            for number, word in ((run.conflict, "in conflict"), (run.rejected, "rejected"))
            if number
        )
        why = f": {run.error}" if run.error else ""
        self._journal.write(
            level,
            f"run-{run.state}",
            f"{run.kind} {run.id} {run.state}, {counts}{extra}{why}",
            run.node,
        )
        return run

    async def get(self, run_id: int) -> Run:
        """Refusal `unknown_run` when there is none."""
        if run_id in self._open:
            return self._open[run_id]
        row = await self._database.read(lambda sql: sql.execute(_ONE, (run_id,)).fetchone())
        for run in _readable([row] if row else []):
            return run
        raise Refusal("unknown_run", f"there is no run {run_id}")

    async def list(self, ask: RunsAsk) -> list[Run]:
        """The latest first, with their newest numbers."""
        runs = await self._database.read(partial(_select, ask))
        return [self._open.get(run.id, run) for run in runs]


def _insert(run: Run, sql: sqlite3.Connection) -> Run:
    """The run with its number."""
    run_id = sql.execute(_INSERT, (run.node, run.state)).lastrowid
    numbered = msgspec.structs.replace(run, id=run_id)
    _update(numbered, sql)
    return numbered


def _update(run: Run, sql: sqlite3.Connection) -> None:
    sql.execute(_UPDATE, (run.state, msgspec.json.encode(run).decode(), run.id))


def _end(run: Run, sql: sqlite3.Connection) -> None:
    """Of those that ended well keep the latest, as central may start one every second."""
    _update(run, sql)
    sql.execute(_FORGET, (run.node, run.node, KEPT))


def _readable(rows: Iterable[tuple[str]]) -> Iterator[Run]:
    """The runs of rows; one that another version wrote must not stop central."""
    for (text,) in rows:
        try:
            yield _RUN.decode(text)
        except msgspec.MsgspecError as error:
            log.warning("a run cannot be read", extra={"event": "bad-run", "why": str(error)})


def _select(ask: RunsAsk, sql: sqlite3.Connection) -> list[Run]:
    conditions, values = ["1"], list[str | int]()
    if ask.node is not None:
        conditions.append("node = ?")
        values.append(ask.node)
    if ask.open:
        conditions.append(_OPEN)
    query = f"SELECT run FROM runs WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT ?"
    return list(_readable(sql.execute(query, (*values, ask.limit))))
