"""The database door on real files: what is acknowledged is kept, what is foreign is left alone."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from cluster import records, windows
from cluster.database import READERS, Database, open_database
from cluster.problem import Refusal
from cluster.record import IdMaker, make
from cluster.schema import DatabaseUnusable, Schema

SCHEMA = Schema(
    application_id=0x54455354,
    migrations=(
        (
            *records.STATEMENTS,
            *windows.STATEMENTS,
            "CREATE TABLE notes (text TEXT NOT NULL UNIQUE) STRICT",
        ),
    ),
    before=windows.adopt,
    after=windows.fold_new,
)
ROOT = Path(__file__).parents[2]

# Writes numbered notes for ever and says which are acknowledged; argv[1] is the file.
WRITER = """
import asyncio, sys
from functools import partial
from pathlib import Path
from cluster.database import open_database
from tests.store.test_database import SCHEMA, note

async def main():
    async with open_database(Path(sys.argv[1]), SCHEMA) as database:
        for number in range(1_000_000):
            batch = [f"{sys.argv[2]}-{number}-{place}" for place in range(5)]
            await asyncio.gather(*(database.write(partial(note, text)) for text in batch))
            print("\\n".join(batch), flush=True)

asyncio.run(main())
"""


def note(text: str, sql: sqlite3.Connection) -> str:
    """A small piece of work."""
    sql.execute("INSERT INTO notes VALUES (?)", (text,))
    return text


def notes(sql: sqlite3.Connection) -> set[str]:
    return {text for (text,) in sql.execute("SELECT text FROM notes")}


def writing(text: str) -> Callable[[sqlite3.Connection], str]:
    return lambda sql: note(text, sql)


@asynccontextmanager
async def opened(path: Path, schema: Schema = SCHEMA) -> AsyncIterator[Database]:
    async with open_database(path, schema) as database:
        yield database


async def refusal_to_open(path: Path, schema: Schema = SCHEMA) -> str:
    """The one line with which a file is refused."""
    with pytest.raises(DatabaseUnusable) as refused:
        async with open_database(path, schema):
            pass
    line = str(refused.value)
    assert "\n" not in line
    assert str(path) in line
    return line


def fingerprints(folder: Path) -> dict[str, str]:
    """Every file in a folder but our lock, with a fingerprint of its bytes."""
    return {
        file.name: sha256(file.read_bytes()).hexdigest()
        for file in folder.iterdir()
        if file.suffix != ".lock"
    }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that is not there yet, in a folder that is not there either."""
    return tmp_path / "home" / "node.db"


@pytest.fixture
def empty_file(file: Path) -> Path:
    """A file of zero bytes, as a crash right after the creation (or `touch`) leaves it."""
    file.parent.mkdir()
    file.touch()
    return file


@pytest.fixture
def folder(file: Path) -> Path:
    """A folder in the place of the file."""
    file.mkdir(parents=True)
    return file


def start_writer(file: Path, word: str) -> subprocess.Popen[str]:
    """Another process that writes notes beginning with `word` until it is killed."""
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(file), word],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


async def test_work_comes_back_after_it_is_on_disk(file: Path) -> None:
    """The result is the work's own, and another connection sees the row at once."""
    async with opened(file) as database:
        assert await database.write(writing("a")) == "a"

        with closing(sqlite3.connect(file)) as other:
            assert notes(other) == {"a"}


async def test_a_failing_piece_of_work_costs_only_itself(file: Path) -> None:
    """Of 100 pieces committed together every third fails half way: the others are kept whole."""

    def faulty(number: int) -> Callable[[sqlite3.Connection], str]:
        def work(sql: sqlite3.Connection) -> str:
            note(f"{number}", sql)
            if number % 3 == 0:
                raise ValueError(f"no {number}")
            return note(f"{number} again", sql)

        return work

    async with opened(file) as database:
        results = await asyncio.gather(
            *(database.write(faulty(number)) for number in range(100)), return_exceptions=True
        )

        kept = await database.read(notes)

    expected = {f"{number}{end}" for number in range(100) if number % 3 for end in ("", " again")}
    assert kept == expected
    assert [number for number, one in enumerate(results) if isinstance(one, ValueError)] == list(
        range(0, 100, 3)
    )


async def test_a_broken_rule_of_the_schema_costs_only_its_own_piece(file: Path) -> None:
    """A constraint that SQLite refuses does not undo the neighbours' rows."""
    async with opened(file) as database:
        await database.write(writing("taken"))

        results = await asyncio.gather(
            *(database.write(writing(text)) for text in ("a", "taken", "b")),
            return_exceptions=True,
        )

        assert await database.read(notes) == {"taken", "a", "b"}
    assert isinstance(results[1], Refusal)
    assert results[1].problem.code == "storage_failed"


async def test_an_error_that_ends_the_transaction_costs_only_its_own_piece(file: Path) -> None:
    """An operational error undoes the group; then each piece is tried again by itself."""
    async with opened(file) as database:
        results = await asyncio.gather(
            database.write(writing("a")),
            database.write(lambda sql: sql.execute("INSERT INTO nowhere VALUES (1)")),
            database.write(writing("b")),
            return_exceptions=True,
        )

        assert await database.read(notes) == {"a", "b"}
    assert isinstance(results[1], Refusal)
    assert results[1].problem.code == "storage_failed"


async def test_a_cancelled_caller_leaves_all_or_nothing(file: Path) -> None:
    """Cancelled before, during or after the commit: both rows of a piece are there, or none."""

    def pair(number: int) -> Callable[[sqlite3.Connection], None]:
        def work(sql: sqlite3.Connection) -> None:
            note(f"{number} left", sql)
            note(f"{number} right", sql)

        return work

    async with opened(file) as database:
        callers = [asyncio.create_task(database.write(pair(number))) for number in range(200)]
        for turn, caller in enumerate(callers):
            if turn % 2:
                caller.cancel()
            if turn % 20 == 0:
                await asyncio.sleep(0)
        results = await asyncio.gather(*callers, return_exceptions=True)
        await database.write(writing("the writer still works"))

        kept = await database.read(notes)

    left = {text.removesuffix(" left") for text in kept if text.endswith(" left")}
    right = {text.removesuffix(" right") for text in kept if text.endswith(" right")}
    assert left == right
    assert {str(number) for number, one in enumerate(results) if one is None} <= left
    assert any(isinstance(one, asyncio.CancelledError) for one in results)


async def test_what_waits_is_written_before_the_door_closes(file: Path) -> None:
    """Leaving drains the queue; afterwards nothing more is taken."""
    async with opened(file) as database:
        waiting = [asyncio.create_task(database.write(writing(f"{n}"))) for n in range(50)]
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)

    with pytest.raises(Refusal, match="stopping"):
        await database.write(writing("late"))
    with closing(sqlite3.connect(file)) as other:
        assert notes(other) == {f"{n}" for n in range(50)}


async def test_too_much_waiting_work_is_refused_and_not_hoarded(file: Path) -> None:
    """A full queue says `busy` with a time to come back; what was taken is written."""
    async with opened(file) as database:
        results = await asyncio.gather(
            *(database.write(writing(f"{n}")) for n in range(5_000)), return_exceptions=True
        )

        kept = await database.read(notes)

    refused = [one for one in results if isinstance(one, Refusal)]
    assert refused
    assert {one.problem.code for one in refused} == {"busy"}
    assert all(one.problem.retry_after_s for one in refused)
    assert len(kept) == len(results) - len(refused)


async def test_a_reader_cannot_write(file: Path) -> None:
    """Reading work that writes is refused by SQLite itself."""
    async with opened(file) as database:
        with pytest.raises(Refusal, match="readonly"):
            await database.read(writing("never"))
        with pytest.raises(Refusal):
            await database.read(lambda sql: sql.execute("PRAGMA user_version = 9"))

        assert await database.read(notes) == set()


async def test_a_reader_sees_one_state(file: Path) -> None:
    """What is committed during a read does not change what that read sees."""
    async with opened(file) as database:
        await database.write(writing("before"))
        loop = asyncio.get_running_loop()

        def look_twice(sql: sqlite3.Connection) -> tuple[set[str], set[str]]:
            first = notes(sql)
            asyncio.run_coroutine_threadsafe(database.write(writing("during")), loop).result(10)
            return first, notes(sql)

        assert await database.read(look_twice) == ({"before"}, {"before"})
        assert await database.read(notes) == {"before", "during"}


class Endless:
    """A query that goes on until it is interrupted; `begun` tells that it is under way."""

    def __init__(self) -> None:
        self.begun = threading.Event()

    def __call__(self, sql: sqlite3.Connection) -> None:
        sql.create_function("tell", 0, self.begun.set)
        sql.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
            "SELECT count(tell()) FROM n"
        ).fetchone()


@asynccontextmanager
async def all_readers_busy(database: Database) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Each reader for long work has a query that does not end by itself."""
    queries = [Endless() for _ in range(READERS)]
    tasks = [asyncio.create_task(database.read(query)) for query in queries]
    for query in queries:
        assert await asyncio.to_thread(query.begun.wait, 10)
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def test_a_cancelled_read_ends_and_holds_up_nobody(file: Path) -> None:
    """Its query is interrupted, and only then its reader serves the next one."""
    async with opened(file) as database, all_readers_busy(database) as tasks:
        tasks[0].cancel()

        async with asyncio.timeout(5):
            assert await database.read(notes) == set()

        assert [task.done() for task in tasks] == [True, False, False]


async def test_a_quick_read_never_waits_behind_long_ones(file: Path) -> None:
    """What a poll needs is answered while every other reader is busy."""
    async with opened(file) as database, all_readers_busy(database):
        async with asyncio.timeout(5):
            assert await database.read(notes, quick=True) == set()


async def test_an_acknowledged_write_is_written_for_power_cuts_too(file: Path) -> None:
    """The writer syncs at each commit; readers never move the log into the file."""
    async with opened(file) as database:
        modes = await database.write(
            lambda sql: [
                sql.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("journal_mode", "synchronous", "foreign_keys", "trusted_schema")
            ]
        )
        checkpoint = await database.read(
            lambda sql: sql.execute("PRAGMA wal_autocheckpoint").fetchone()[0]
        )

    assert modes == ["wal", 2, 1, 0]
    assert checkpoint == 0


def other_application(path: Path) -> None:
    with closing(sqlite3.connect(path)) as sql:
        sql.execute("PRAGMA application_id = 7")
        sql.execute("CREATE TABLE t (x)")


def without_application(path: Path) -> None:
    with closing(sqlite3.connect(path)) as sql:
        sql.execute("CREATE TABLE t (x)")


def crashed_with_a_log(path: Path) -> None:
    """Another program's file whose rows are still in its write-ahead log."""
    run_python(
        "import os, sqlite3, sys; sql = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "sql.execute('PRAGMA journal_mode = WAL'); sql.execute('CREATE TABLE t (x)');"
        "sql.execute('INSERT INTO t VALUES (1)'); os._exit(0)",
        str(path),
    )


def crashed_in_a_transaction(path: Path) -> None:
    """Another program's file with a rollback journal that is not yet rolled back."""
    run_python(
        "import os, sqlite3, sys; sql = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "sql.execute('CREATE TABLE t (x)'); sql.execute('PRAGMA cache_size = 1');"
        "sql.execute('BEGIN EXCLUSIVE');"
        "[sql.execute('INSERT INTO t VALUES (randomblob(900))') for _ in range(500)];"
        "os._exit(0)",
        str(path),
    )


def run_python(code: str, *argv: str) -> None:
    subprocess.run([sys.executable, "-c", code, *argv], check=True, timeout=30)


@pytest.mark.parametrize(
    ("make_file", "says"),
    [
        (other_application, "another program"),
        (without_application, "another program"),
        (crashed_with_a_log, "another program"),
        (crashed_in_a_transaction, "another program"),
        (lambda path: path.write_text("Dear diary, " * 100), "not a database"),
        (lambda path: path.write_bytes(b"SQLite format 3\0"), "not a database"),
    ],
)
async def test_a_foreign_file_is_refused_and_not_changed(
    file: Path, make_file: Callable[[Path], None], says: str
) -> None:
    """Not one byte: neither of the file nor of the journals beside it."""
    file.parent.mkdir()
    make_file(file)
    before = fingerprints(file.parent)

    line = await refusal_to_open(file)

    assert says in line
    after = fingerprints(file.parent)
    assert {name: after.get(name) for name in before if name != "node.db-shm"} == {
        name: value for name, value in before.items() if name != "node.db-shm"
    }


async def test_a_newer_schema_is_refused_and_not_changed(file: Path) -> None:
    """An older program keeps its hands off what a newer one has written."""
    async with opened(file, replace(SCHEMA, migrations=(*SCHEMA.migrations, ()))):
        pass
    before = fingerprints(file.parent)

    line = await refusal_to_open(file)

    assert "newer Tidehold (schema 2, this one knows 1); upgrade" in line
    assert fingerprints(file.parent) == before


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ("DROP TABLE notes", "notes"),
        ("DROP TRIGGER records_unchanged", "records_unchanged"),
        ("DROP TRIGGER records_removed", "records_removed"),
        ("ALTER TABLE records RENAME COLUMN ts TO at", "records"),
        ("DROP TABLE digests", "digests"),
    ],
)
async def test_a_file_of_ours_with_another_shape_is_refused(
    file: Path, change: str, name: str
) -> None:
    """It would fail at each request; and without its triggers a digest proves nothing."""
    async with opened(file):
        pass
    with closing(sqlite3.connect(file)) as sql:
        sql.execute(change)

    assert f"it is damaged ({name} is missing or altered)" in await refusal_to_open(file)


async def test_a_schema_that_is_no_text_is_refused(file: Path) -> None:
    """Python's own error, which has no code of SQLite's, is one line too."""
    async with opened(file):
        pass
    garble(file)

    assert "SQLite says: " in await refusal_to_open(file)


async def test_what_a_person_has_added_is_left_alone(file: Path) -> None:
    """A view or an index for one's own queries does no harm."""
    async with opened(file):
        pass
    with closing(sqlite3.connect(file)) as sql:
        sql.execute("CREATE INDEX mine ON records (ts)")
        sql.execute("CREATE VIEW temperatures AS SELECT * FROM records WHERE stream = 't'")

    async with opened(file) as database:
        assert await database.read(notes) == set()


@pytest.mark.e2e  # as slow as SQLite's patience
async def test_a_file_that_somebody_holds_is_refused(file: Path) -> None:
    """After a while; the line says what to wait for."""
    async with opened(file):
        pass

    with closing(sqlite3.connect(file, isolation_level=None)) as sql:
        sql.execute("BEGIN IMMEDIATE")

        assert "let the other program end" in await refusal_to_open(file)


def garble(path: Path) -> None:
    """A byte that is no text, in the middle of a trigger."""
    path.write_bytes(path.read_bytes().replace(b"never changed", b"\xffever changed"))


def truncate(path: Path) -> None:
    """Keep half of it."""
    os.truncate(path, path.stat().st_size // 2)


def damage(path: Path) -> None:
    """Noise instead of the third page from the end."""
    with path.open("r+b") as raw:
        raw.seek(path.stat().st_size - 3 * 4096)
        raw.write(b"\xa5" * 4096)


async def test_a_truncated_file_is_refused(file: Path) -> None:
    """Half a database is not served as if it were one."""
    async with opened(file) as database:
        for n in range(400):
            await database.write(writing(f"{n} " + "x" * 200))
    truncate(file)

    assert "malformed" in await refusal_to_open(file)


async def test_a_damaged_page_is_refused(file: Path) -> None:
    """A page of noise inside of the file is found at the start."""
    async with opened(file) as database:
        await database.write(lambda sql: [note(f"{n} " + "x" * 200, sql) for n in range(400)])
    damage(file)

    assert "damaged" in await refusal_to_open(file)


async def test_an_empty_file_is_as_good_as_none(empty_file: Path) -> None:
    """Zero bytes begin a new database."""
    async with opened(empty_file) as database:
        await database.write(writing("a"))

        assert await database.read(notes) == {"a"}


async def test_a_folder_in_the_place_of_the_file_is_refused(folder: Path) -> None:
    """SQLite cannot open it, and that is said like any other trouble."""
    assert "unable to open" in await refusal_to_open(folder)


async def test_a_file_in_the_place_of_the_folder_is_refused(file: Path) -> None:
    """Nothing can be made below a file."""
    file.parent.write_text("I was here first")

    assert "cannot be written here" in await refusal_to_open(file)
    assert file.parent.read_text() == "I was here first"


async def test_a_folder_that_cannot_be_made_is_refused() -> None:
    """Where the kernel allows nothing (here /proc, also to root), one line says so."""
    assert "cannot be written here" in await refusal_to_open(Path("/proc/tidehold/node.db"))


@pytest.mark.fault(46, 47)
async def test_a_second_process_is_refused_while_the_first_lives(file: Path) -> None:
    """Two writers of one file are never there at the same time; after a kill -9 it is free."""
    with start_writer(file, "one") as first:
        assert first.stdout is not None
        first.stdout.readline()

        assert "another process uses it" in await refusal_to_open(file)
        first.kill()

    async with opened(file) as database:
        assert await database.read(notes)


async def test_the_same_process_cannot_open_a_file_twice(file: Path) -> None:
    """The lock holds inside of one process too, and is gone with the first."""
    async with opened(file):
        assert "another process uses it" in await refusal_to_open(file)

    async with opened(file):
        pass


async def test_acknowledged_writes_survive_kill_9(file: Path) -> None:
    """Killed at any moment under load: every note that was acknowledged is there."""
    acknowledged: set[str] = set()
    for number in range(4):
        with start_writer(file, f"round{number}") as writer:
            assert writer.stdout is not None
            for _ in range(50 + 111 * number):
                acknowledged.add(writer.stdout.readline().strip())
            writer.kill()
            rest = writer.stdout.read()
            acknowledged |= set(rest.rpartition("\n")[0].split("\n")) - {""}

        async with opened(file) as database:
            kept = await database.read(notes)

        assert acknowledged <= kept
        assert len(kept) - len(acknowledged) <= 5 * (number + 1)


async def test_a_migration_that_fails_changes_nothing(file: Path) -> None:
    """Its statements and its version number are one transaction."""
    async with opened(file) as database:
        await database.write(writing("old"))
    broken = (
        "CREATE TABLE fresh (x ANY) STRICT",
        "CREATE TABLE other (x INTEGER) STRICT",
        "nonsense",
    )

    line = await refusal_to_open(file, replace(SCHEMA, migrations=(*SCHEMA.migrations, broken)))

    assert "SQLite says" in line
    with closing(sqlite3.connect(file)) as sql:
        tables = {name for (name,) in sql.execute("SELECT name FROM sqlite_schema")}
        assert not {"fresh", "other"} & tables
        assert sql.execute("PRAGMA user_version").fetchone() == (1,)
    async with opened(file) as database:
        assert await database.read(notes) == {"old"}


async def test_migrations_run_once_and_in_order(file: Path) -> None:
    """An old file is brought up step by step and keeps its rows."""
    async with opened(file) as database:
        await database.write(writing("old"))
    second = ("ALTER TABLE notes ADD COLUMN seen INTEGER NOT NULL DEFAULT 0",)
    third = ("UPDATE notes SET seen = seen + 1",)
    newer = replace(SCHEMA, migrations=(*SCHEMA.migrations, second, third))

    for _ in range(2):
        async with opened(file, newer) as database:
            rows = await database.read(lambda sql: list(sql.execute("SELECT * FROM notes")))

        assert rows == [("old", 1)]


async def test_ids_are_the_same_after_a_restart_and_so_is_the_digest(file: Path) -> None:
    """What a set is does not depend on who opened the file."""
    maker = IdMaker()
    rows = [make(maker.next(0), "n1", n, "s", "{}") for n in range(20)]
    async with opened(file) as database:
        await database.write(lambda sql: records.insert_missing(sql, "n1", rows))
        before = await database.read(lambda sql: windows.digest(sql, "n1"))

    async with opened(file) as database:
        assert await database.read(lambda sql: windows.digest(sql, "n1")) == before
        assert before.count == 20
