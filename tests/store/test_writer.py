"""The writer in trouble: what it cannot store is refused, and it works again by itself."""

import asyncio
import logging
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cluster import schema, writer
from cluster.database import Database
from cluster.problem import Refusal
from cluster.schema import log_of
from tests.program import until
from tests.store.test_database import notes, opened, writing

KIB = "x" * 1024


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "node.db"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB; skips where none can be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("only root can mount a small disk")
    if (tried := subprocess.run(argv, capture_output=True, text=True, check=False)).returncode:
        pytest.skip(f"no small disk can be mounted here: {tried.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def failing_disk(sql: sqlite3.Connection) -> None:
    """What SQLite says when the kernel could not write."""
    sql.execute("CREATE TEMP TABLE IF NOT EXISTS of_this_connection (x)")
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
    raise error


def temporary(sql: sqlite3.Connection) -> int:
    return int(sql.execute("SELECT count(*) FROM sqlite_temp_schema").fetchone()[0])


def put_aside(file: Path) -> None:
    """Another thing is in the file's place."""
    file.rename(file.with_name("away"))
    file.mkdir()


def bring_back(file: Path) -> None:
    file.rmdir()
    file.with_name("away").rename(file)


async def write_for_ever(database: Database, acknowledged: set[str]) -> None:
    """Until it is refused."""
    for number in range(10_000):
        acknowledged.add(await database.write(writing(f"{number} {KIB}")))


@pytest.mark.fault(76)
async def test_after_an_io_error_the_file_is_opened_anew(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What SQLite held in memory is not believed any more; each change is told once."""
    caplog.set_level(logging.INFO)
    async with opened(file) as database:
        await database.write(writing("before"))
        for _ in range(3):
            with pytest.raises(Refusal, match="disk I/O error") as refused:
                await database.write(failing_disk)
            assert refused.value.problem.code == "storage_failed"

        assert await database.write(temporary) == 0
        await database.write(writing("after"))

        assert await database.read(notes) == {"before", "after"}
    events = [getattr(record, "event", "") for record in caplog.records]
    assert [one for one in events if one.startswith("storage")] == [
        "storage-failed",
        "storage-works",
    ]


@pytest.mark.fault(76)
async def test_a_file_that_cannot_be_opened_anew_refuses_until_it_can(file: Path) -> None:
    """While it is gone writes are refused; it comes back without a restart."""
    async with opened(file) as database:
        await database.write(writing("before"))
        with pytest.raises(Refusal):
            await database.write(failing_disk)
        put_aside(file)

        with pytest.raises(Refusal, match="unable to open") as refused:
            await database.write(writing("meanwhile"))
        assert refused.value.problem.code == "storage_failed"

        bring_back(file)
        await database.write(writing("after"))
        assert await database.read(notes) == {"before", "after"}


@pytest.mark.fault(77)
async def test_a_full_disk_costs_no_acknowledged_row_and_no_restart(small_disk: Path) -> None:
    """SQLite itself meets the end of the disk; reads go on, and writes do when there is room."""
    filler = small_disk / "filler"
    filler.write_bytes(bytes(1 << 20))
    acknowledged = set[str]()
    async with opened(small_disk / "node.db") as database:
        with pytest.raises(Refusal) as refused:
            await write_for_ever(database, acknowledged)
        assert refused.value.problem.code == "storage_failed"
        assert "full" in refused.value.problem.detail
        assert await database.read(notes) == acknowledged

        filler.unlink()
        acknowledged.add(await database.write(writing("there is room")))

        assert await database.read(notes) == acknowledged
    async with opened(small_disk / "node.db") as database:
        assert await database.read(notes) == acknowledged


@pytest.mark.fault(82)
async def test_a_long_reader_makes_the_log_grow_to_its_bound_only(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told, then writes are refused; when the reader goes all is as before by itself."""
    monkeypatch.setattr(writer, "LOG_LONG", 1 << 20)
    monkeypatch.setattr(writer, "LOG_MAX", 2 << 20)
    monkeypatch.setattr(writer, "LOOK_UP_S", 0.05)
    caplog.set_level(logging.INFO)

    def events() -> list[str]:
        found = [getattr(record, "event", "") for record in caplog.records]
        return [one for one in found if one.startswith("log-")]

    async def is_short() -> bool:
        return events()[-1:] == ["log-short"]

    async with opened(file) as database:
        await database.write(writing("first"))
        with closing(sqlite3.connect(file, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            assert notes(reader) == {"first"}
            with pytest.raises(Refusal, match="let a backup or a sqlite3 shell end") as refused:
                await write_for_ever(database, set())
            assert refused.value.problem.code == "busy"
            assert log_of(file).stat().st_size < 3 << 20
            assert "first" in await database.read(notes)
            assert events() == ["log-long"]

        await until(is_short, "the log is short again")
        assert database.log_bytes() == 0
        await database.write(writing("last"))

        assert "last" in await database.read(notes)


@pytest.mark.fault(14, 83)
async def test_a_lock_of_another_program_refuses_writes_and_nothing_else(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as it lasts; reads go on, and the first write after it is stored."""
    monkeypatch.setattr(
        schema,
        "WRITER_PRAGMAS",
        tuple(one.replace("5000", "50") for one in schema.WRITER_PRAGMAS),
    )
    async with opened(file) as database:
        await database.write(writing("before"))
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for _ in range(3):
                with pytest.raises(Refusal, match="locked") as refused:
                    await database.write(writing("meanwhile"))
                assert refused.value.problem.code == "storage_failed"
                assert await database.read(notes) == {"before"}
            other.execute("ROLLBACK")

        await database.write(writing("after"))
        assert await database.read(notes) == {"before", "after"}


@pytest.mark.fault(85)
async def test_nothing_leaks_however_often_work_fails_or_is_cancelled(file: Path) -> None:
    """Some descriptors and threads may come late; a leak would be one for each of the rounds."""

    def held() -> list[int]:
        return [len(list(Path("/proc/self", kind).iterdir())) for kind in ("fd", "task")]

    async with opened(file) as database:
        after_ten = [0, 0]
        for number in range(100):
            reading = asyncio.create_task(database.read(notes))
            storing = asyncio.create_task(database.write(writing(f"{number}")))
            await asyncio.sleep(0)
            reading.cancel()
            storing.cancel()
            with pytest.raises(Refusal):
                await database.write(failing_disk)
            if number == 10:
                after_ten = held()
        await database.write(writing("last"))

        assert after_ten != [0, 0]
        assert max(now - then for now, then in zip(held(), after_ten, strict=True)) <= 3
