"""Kept reads are read once, and never told once they are no longer true."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from cluster.database import Database, open_database
from cluster.kept import ALL, NOTHING
from cluster.problem import Refusal
from tests.store.test_database import SCHEMA, note


class Counted:
    """The number of notes, as a read that is kept; `reads`: how often it was really read."""

    def __init__(self, database: Database) -> None:
        self.reads = 0
        self._database = database

    async def get(self, about: str = "n1") -> int:
        return await self._database.kept.get(about, partial(self._database.read, self._count))

    def _count(self, sql: sqlite3.Connection) -> int:
        self.reads += 1
        return int(sql.execute("SELECT count(*) FROM notes").fetchone()[0])


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(tmp_path / "a.db", SCHEMA) as made:
        for start in "12":  # the first commit of a process trusts nobody
            await made.write(partial(note, start))
        yield made


async def test_what_nobody_writes_about_is_read_once(database: Database) -> None:
    counted = Counted(database)
    assert await counted.get() == 2
    await database.write(partial(note, "another node's"), about="n2")
    await database.write(partial(note, "a line of the journal"), about=NOTHING)
    assert (await counted.get(), counted.reads) == (2, 1)


@pytest.mark.parametrize("about", ["n1", ALL])
async def test_who_has_written_reads_what_he_wrote(database: Database, about: str) -> None:
    counted = Counted(database)
    for count in range(3, 30):
        await database.write(partial(note, f"note {count}"), about=about)
        assert await counted.get() == count


async def test_what_is_kept_about_all_depends_on_each(database: Database) -> None:
    counted = Counted(database)
    assert await counted.get(ALL) == 2
    await database.write(partial(note, "a third"), about="n1")
    assert await counted.get(ALL) == 3


async def test_what_was_read_before_a_write_is_not_kept_after_it(database: Database) -> None:
    """However the reader's and the writer's threads come to it."""
    counted = Counted(database)
    for count in range(3, 60):
        text = f"note {count}"
        await asyncio.gather(counted.get(), database.write(partial(note, text)), counted.get())
        assert await counted.get() == count


async def test_of_a_write_that_failed_nothing_is_believed(database: Database) -> None:
    counted = Counted(database)
    await counted.get()
    with pytest.raises(Refusal):
        await database.write(partial(note, "1"))
    assert (await counted.get(), counted.reads) == (2, 2)


async def test_what_a_person_has_written_is_seen_at_once(database: Database) -> None:
    """With the sqlite3 shell: no write of ours says so."""
    counted = Counted(database)
    for count in range(2, 40):
        assert await counted.get() == count
        with closing(sqlite3.connect(database.path)) as sql, sql:
            sql.execute("INSERT INTO notes VALUES (?)", (f"by hand {count}",))


async def test_a_failed_read_is_not_kept(database: Database) -> None:
    def fails(sql: sqlite3.Connection) -> None:
        sql.execute("SELECT * FROM nowhere")

    with pytest.raises(Refusal):
        await database.kept.get("n1", partial(database.read, fails))
    assert await Counted(database).get() == 2
