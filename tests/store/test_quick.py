"""Quick reads go to the reader's thread together, and stay what they are for each caller."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cluster.connection import Connection, T, Work
from cluster.database import Database, open_database
from cluster.problem import Refusal
from tests.store.test_database import SCHEMA


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(tmp_path / "a.db", SCHEMA) as made:
        yield made


class Gate:
    """A quick read that holds the reader until it is opened."""

    def __init__(self) -> None:
        self.entered, self._open = threading.Event(), threading.Event()

    def read(self, sql: sqlite3.Connection) -> str:
        self.entered.set()
        assert self._open.wait(10)
        return "let through"

    def open(self) -> None:
        self._open.set()


async def test_each_gets_his_own_answer_and_a_failure_harms_nobody_else(database: Database) -> None:
    def fails(sql: sqlite3.Connection) -> None:
        sql.execute("SELECT * FROM nowhere")

    answers = await asyncio.gather(
        database.read(lambda sql: "one", quick=True),
        database.read(fails, quick=True),
        database.read(lambda sql: sql.execute("SELECT 2").fetchone()[0], quick=True),
        return_exceptions=True,
    )

    assert (answers[0], answers[2]) == ("one", 2)
    assert isinstance(answers[1], Refusal)


async def test_what_is_asked_while_the_reader_is_busy_goes_in_one_hop(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And who has gone meanwhile is not read for."""
    gate, read, hops = Gate(), list[int](), 0
    run = Connection.run

    async def counted(reader: Connection, work: Work[T]) -> T:
        nonlocal hops
        hops += 1
        return await run(reader, work)

    monkeypatch.setattr(Connection, "run", counted)
    holding = asyncio.create_task(database.read(gate.read, quick=True))
    await asyncio.to_thread(gate.entered.wait, 10)
    waiting = [
        asyncio.create_task(database.read(lambda sql, n=n: read.append(n), quick=True))  # type: ignore[misc]
        for n in range(50)
    ]
    await asyncio.sleep(0)
    waiting[7].cancel()

    gate.open()
    await asyncio.wait(waiting)

    assert await holding == "let through"
    assert hops == 2  # the gate, and all others
    assert read == [n for n in range(50) if n != 7]
