"""Damaged files: refused with what to do, repaired without losing a byte, refilled to be equal."""

import random
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from central import __main__ as central
from cluster.record import make
from cluster.salvage import find_records
from cluster.schema import DatabaseUnusable, log_of
from cluster.upkeep import OK, UNUSABLE
from node import __main__ as node
from node.store import Draft, open_node_store
from tests.invariants import read_side
from tests.sides import CLOCK, Sides
from tests.store.test_database import fingerprints

PROGRAMS = {"node": node.UPKEEP, "central": central.UPKEEP}
COUNT = 700
Damage = Callable[[Path], None]


def zero_length(file: Path) -> None:
    """The file is empty, its log is not."""
    file.write_bytes(b"")


def gone(file: Path) -> None:
    file.unlink()


def truncated(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def page_of_noise(file: Path) -> None:
    """One in the middle; the log, which may hold it too, is in the file by now."""
    overwrite(file, file.stat().st_size // 4096 // 2 * 4096, 4096)


def header(file: Path) -> None:
    overwrite(file, 0, 100)


def first_page(file: Path) -> None:
    """With it goes all that SQLite knows of tables."""
    overwrite(file, 0, 4096)


def many_pages(file: Path) -> None:
    for number in range(3, file.stat().st_size // 4096, 4):
        overwrite(file, number * 4096, 4096)


def overwrite(file: Path, start: int, count: int) -> None:
    with file.open("r+b") as raw:
        raw.seek(start)
        raw.write(random.Random(start).randbytes(count))


DAMAGES: list[tuple[Damage, bool]] = [  # with what is in the log beside it, or in the file
    (zero_length, True),
    (gone, True),
    (truncated, False),
    (page_of_noise, False),
    (header, False),
    (first_page, False),
    (many_pages, False),
]


async def filled(folder: Path) -> Sides:
    """A node and central that are equal, stopped as by kill -9: all is in the logs."""
    sides = Sides(folder)
    await sides.open()
    await sides.ingest(COUNT)
    await sides.replicate("pull", "incremental", None)
    return sides


async def stop(sides: Sides, side: str, *, log: bool) -> Path:
    """Close; one side's file with its log beside it as it was while it ran, or with none."""
    file = sides.file(side)
    if log:
        shutil.copy(log_of(file), kept := file.with_name("kept"))
        shutil.copy(file, kept_file := file.with_name("kept.db"))
    await sides.close()
    if log:
        kept.rename(log_of(file))
        kept_file.rename(file)
    return file


async def refusal(sides: Sides, side: str) -> str:
    with pytest.raises(DatabaseUnusable) as refused:
        await sides._open(side)
    line = str(refused.value)
    assert "\n" not in line
    return line


def repair(file: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    assert PROGRAMS[file.stem].run(["repair", "--data", str(file.parent)]) == OK
    out, err = capsys.readouterr()
    assert err == ""
    return out.splitlines()


async def refill(sides: Sides) -> None:
    """What an operator does next."""
    await sides.open()
    await sides.replicate("pull", "incremental", None)
    await sides.replicate("push", "missing", None)


@pytest.mark.fault(79)
@pytest.mark.parametrize("side", ["node", "central"])
@pytest.mark.parametrize(
    ("damage", "log"), DAMAGES, ids=[f"{one.__name__}-{log}" for one, log in DAMAGES]
)
async def test_a_damaged_file_is_refused_repaired_and_refilled(
    tmp_path: Path, damage: Damage, log: bool, side: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused without a byte changed, and with what to do; afterwards all is where it was."""
    sides = await filled(tmp_path)
    file = await stop(sides, side, log=log)
    damage(file)
    before = fingerprints(file.parent)

    line = await refusal(sides, side)
    assert f"python -m {side} repair --data {file.parent}" in line
    assert fingerprints(file.parent).items() >= before.items()

    said = repair(file, capsys)
    (replaced,) = file.parent.glob("replaced-*")
    assert fingerprints(replaced).items() >= before.items()
    (told,) = [one for one in said if one.startswith("saved: ")]
    saved = read_side(file, "n1")
    assert told.startswith(f"saved: {len(saved.rows)} records, digest {saved.digest.text}")
    assert saved.broken == []
    await refill(sides)
    verdict = sides.verdict()
    await sides.close()
    assert verdict.equal, verdict.line()
    assert len(verdict.node.rows) == COUNT


@pytest.mark.fault(79)
@pytest.mark.parametrize(
    ("damage", "log", "least"),
    [
        (first_page, False, COUNT),
        (gone, True, COUNT),
        (page_of_noise, False, COUNT * 8 // 10),
        (many_pages, False, COUNT // 2),
    ],
)
async def test_a_repair_saves_what_is_whole(
    tmp_path: Path, damage: Damage, log: bool, least: int
) -> None:
    """A page of noise costs its own records, and a lost beginning none."""
    sides = await filled(tmp_path)
    file = await stop(sides, "node", log=log)
    rows = read_side(file, "n1").rows
    damage(file)

    found = {record.id: record.hash for record in find_records(file)}

    assert found.items() <= rows.items()
    assert len(found) >= least


@pytest.mark.fault(79)
@pytest.mark.parametrize("count", [1, 3 * COUNT])
async def test_a_log_of_another_database_does_no_harm(
    tmp_path: Path, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is refused before SQLite mixes the two; another node's records do not come in."""
    sides = await filled(tmp_path)
    file = await stop(sides, "node", log=False)
    async with open_node_store(tmp_path / "n2", "n2", CLOCK) as other:
        await other.store([Draft("t", f'{{"n":{number}}}') for number in range(count)])
        shutil.copy(log_of(other.database.path), log_of(file))
    before = fingerprints(file.parent)

    line = await refusal(sides, "node")
    assert "node.db-wal belongs to another database" in line
    assert fingerprints(file.parent).items() >= before.items()

    said = repair(file, capsys)
    assert any(one.startswith(f"saved: {COUNT} records") for one in said)
    await refill(sides)
    assert sides.verdict().equal
    await sides.close()


@pytest.mark.fault(79)
@pytest.mark.parametrize("side", ["node", "central"])
async def test_a_lost_index_of_the_log_is_made_anew(tmp_path: Path, side: str) -> None:
    """The -shm file is SQLite's own business."""
    sides = await filled(tmp_path)
    file = await stop(sides, side, log=True)
    assert not file.with_name(f"{file.name}-shm").exists()

    await sides.open()

    assert sides.verdict().equal
    await sides.close()


@pytest.mark.fault(79)
async def test_a_sound_file_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sides = await filled(tmp_path)
    file = await stop(sides, "node", log=False)
    before = fingerprints(file.parent)

    (line,) = repair(file, capsys)

    assert ": sound; " in line
    assert fingerprints(file.parent) == before


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("PRAGMA application_id = 7", "another program"),
        ("PRAGMA user_version = 99", "newer Tidehold"),
    ],
)
async def test_what_is_not_ours_is_not_repaired(
    tmp_path: Path, statement: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sides = await filled(tmp_path)
    file = await stop(sides, "node", log=False)
    with closing(sqlite3.connect(file)) as sql:
        sql.execute(statement)
    before = fingerprints(file.parent)

    assert PROGRAMS["node"].run(["repair", "--data", str(file.parent)]) == UNUSABLE

    assert says in capsys.readouterr().err
    assert fingerprints(file.parent) == before


async def test_a_repair_of_a_running_service_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sides = await filled(tmp_path)

    assert PROGRAMS["node"].run(["repair", "--data", str(tmp_path / "node")]) == UNUSABLE

    assert "another process uses it" in capsys.readouterr().err
    await sides.close()


async def test_what_central_knew_besides_is_saved_where_it_can_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its nodes and the journal; the tidemarks are forgotten, as the records may have gone."""
    sides = await filled(tmp_path)
    line = "INSERT INTO journal (ts, level, kind, text) VALUES (1, 'info', 'k', 'kept')"
    await sides.central.database.write(lambda sql: sql.execute(line))
    file = await stop(sides, "central", log=False)
    with closing(sqlite3.connect(file)) as sql:
        (page,) = sql.execute(
            "SELECT max(pageno) FROM dbstat WHERE name = 'records' AND pagetype = 'leaf'"
        ).fetchone()
    overwrite(file, (page - 1) * 4096, 4096)

    said = repair(file, capsys)

    assert not [one for one in said if one.startswith("not saved")]
    with closing(sqlite3.connect(file)) as sql:
        assert sql.execute("SELECT text FROM journal").fetchall()[-1] == ("kept",)
        nodes = sql.execute("SELECT name, url, tidemark_position FROM nodes").fetchall()
    assert nodes == [("n1", "http://127.0.0.1:1", None)]


async def test_a_repaired_file_remembers_whose_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another node cannot be started on it."""
    sides = await filled(tmp_path)
    file = await stop(sides, "node", log=False)
    first_page(file)
    repair(file, capsys)
    with closing(sqlite3.connect(file)) as sql:
        assert sql.execute("SELECT * FROM meta").fetchall() == [("node", "n1")]

    await sides.open()

    assert re.fullmatch("[0-9a-f]{16}", sides.node.epoch)
    await sides.close()


async def test_records_of_every_size_are_found(tmp_path: Path) -> None:
    """Those that go on over further pages, too, in the file and in its log."""
    rng = random.Random(7)
    sizes = [1, 60, 3_900, 4_030, 4_060, 4_090, 8_000, 20_000, 65_500]
    made = [
        make(rng.randbytes(16), "n1", rng.randrange(2**50), "s", f'{{"t":"{"é" * (size // 2)}"}}')
        for size in sizes * 3
    ]
    sides = Sides(tmp_path)
    await sides.open()
    await sides.store(made)
    file = sides.file("node")
    in_log = {record.id for record in find_records(file)}
    await sides.close()

    in_file = {record.id for record in find_records(file)}

    assert in_log == in_file == {record.id for record in made}
