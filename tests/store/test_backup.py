"""Backup and restore of real files: a copy is one state, sound and complete, or it is not there."""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from central import __main__ as central
from cluster import snapshot
from cluster.replacement import next_of
from node import __main__ as node
from node.store import SCHEMA as NODE
from tests.invariants import Side, read_side
from tests.sides import Sides
from tests.store.test_database import fingerprints
from tests.store.test_migration import restore as write_dump

OK, UNUSABLE = 0, 78
PROGRAMS = {"node": node.UPKEEP, "central": central.UPKEEP}
Say = Callable[..., str]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Run a command, and give its one line: of the error when it fails."""

    def say(program: str, *argv: object, code: int = OK) -> str:
        assert PROGRAMS[program].run([str(one) for one in argv]) == code
        out, err = capsys.readouterr()
        told = err if code else out
        assert code == OK or (out == "" and err.count("\n") == 1)
        return told.rstrip("\n")

    return say


@pytest.fixture
async def sides(tmp_path: Path) -> Sides:
    """A node and central that were closed, with 300 records each."""
    sides = Sides(tmp_path)
    await sides.open()
    await sides.ingest(300)
    await sides.replicate("pull", "incremental", None)
    await sides.close()
    return sides


def names(folder: Path) -> list[str]:
    """Everything below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def prefix(whole: Side, part: Side) -> bool:
    """Whether a part has the first positions of the whole, and nothing else."""
    last = max(part.positions.values(), default=0)
    first = {one: value for one, value in whole.rows.items() if whole.positions[one] <= last}
    return part.broken == [] and part.rows == first


@pytest.mark.fault(81)
async def test_a_backup_taken_while_rows_are_stored_is_a_prefix(tmp_path: Path, say: Say) -> None:
    """Whatever is committed meanwhile: one state, its digest told, nobody else's business."""
    sides = Sides(tmp_path)
    await sides.open()
    stop = asyncio.Event()

    async def store() -> None:
        while not stop.is_set():
            await sides.ingest(50)

    storing = asyncio.create_task(store())
    backups = [tmp_path / f"{number}.db" for number in range(5)]
    for backup in backups:
        told = await asyncio.to_thread(
            say, "node", "backup", "--data", tmp_path / "node", "--to", backup
        )
        side = read_side(backup, "n1")
        assert f"{len(side.rows)} records, digest {side.digest.text}" in told
        assert f"{backup.stat().st_size} bytes" in told
    stop.set()
    await storing
    await sides.close()

    whole = read_side(sides.file("node"), "n1")
    counts = [len(read_side(backup, "n1").rows) for backup in backups]
    assert all(prefix(whole, read_side(backup, "n1")) for backup in backups)
    assert counts == sorted(counts)
    assert {backup.stat().st_mode & 0o777 for backup in backups} == {0o600}


@pytest.mark.parametrize("program", ["node", "central"])
async def test_a_backup_changes_nothing_of_what_it_copies(
    tmp_path: Path, program: str, say: Say
) -> None:
    """Neither the file nor its log: whoever reads must never checkpoint."""
    sides = Sides(tmp_path)
    await sides.open()
    await sides.ingest(300)
    await sides.replicate("pull", "incremental", None)
    folder = sides.file(program).parent
    before = fingerprints(folder)
    assert len(before) == 3

    say(program, "backup", "--data", folder, "--to", tmp_path / "b.db")

    after = fingerprints(folder)
    assert {name: after[name] for name in before if not name.endswith("-shm")} == {
        name: value for name, value in before.items() if not name.endswith("-shm")
    }
    await sides.close()


async def test_a_folder_gets_a_name_with_the_time(sides: Sides, tmp_path: Path, say: Say) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()

    say("node", "backup", "--data", tmp_path / "node", "--to", folder)

    (file,) = folder.iterdir()
    assert file.match("node-20??????T??????Z.db")
    assert read_side(file, "n1").rows == read_side(sides.file("node"), "n1").rows


def there(folder: Path) -> Path:
    (folder / "b.db").write_text("mine")
    return folder / "b.db"


def dangling(folder: Path) -> Path:
    (folder / "b.db").symlink_to(folder / "nowhere")
    return folder / "b.db"


def linked_folder(folder: Path) -> Path:
    (folder / "real").mkdir()
    (folder / "linked").symlink_to(folder / "real")
    return folder / "linked"


@pytest.mark.fault(70)
@pytest.mark.parametrize(
    ("make", "says"),
    [
        (there, "is there already, and is not written over"),
        (dangling, "is there already, and is not written over"),
        (linked_folder, "is a symbolic link"),
        (lambda folder: folder / "no" / "b.db", "No such file or directory"),
    ],
)
async def test_a_backup_takes_no_name_that_is_not_free(
    sides: Sides, tmp_path: Path, make: Callable[[Path], Path], says: str, say: Say
) -> None:
    """Nothing is written over, no link is followed, and nothing is left behind."""
    target = make(tmp_path)
    before = names(tmp_path)

    told = say("node", "backup", "--data", tmp_path / "node", "--to", target, code=UNUSABLE)

    assert says in told
    assert names(tmp_path) == before


async def test_a_backup_without_room_is_refused(
    sides: Sides, tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it fills the disk on which the service writes."""
    monkeypatch.setattr(snapshot, "ROOM_LEFT", 1 << 60)

    told = say("node", "backup", "--data", tmp_path / "node", "--to", tmp_path, code=UNUSABLE)

    assert "make room" in told


async def test_what_is_damaged_makes_no_backup(sides: Sides, tmp_path: Path, say: Say) -> None:
    """A good backup of a bad file would push out the good ones."""
    file = sides.file("node")
    with file.open("r+b") as raw:
        raw.seek(file.stat().st_size - 2 * 4096)
        raw.write(b"\xa5" * 4096)

    told = say("node", "backup", "--data", file.parent, "--to", tmp_path / "b.db", code=UNUSABLE)

    assert "damaged" in told
    assert not [name for name in names(tmp_path) if name.startswith((".b", "b"))]


@pytest.mark.parametrize("program", ["node", "central"])
async def test_a_restore_brings_the_backup_and_keeps_what_was_there(
    sides: Sides, tmp_path: Path, program: str, say: Say
) -> None:
    folder, backup = tmp_path / program, tmp_path / "b.db"
    say(program, "backup", "--data", folder, "--to", backup)
    await sides.open()
    await sides.ingest(10)
    await sides.replicate("pull", "incremental", None)
    await sides.close()
    newer = read_side(sides.file(program), "n1").rows

    told = say(program, "restore", "--data", folder, "--from", backup)

    (replaced,) = folder.glob("replaced-*")
    assert f"what was there is in {replaced}" in told
    assert read_side(sides.file(program), "n1").rows == read_side(backup, "n1").rows
    assert read_side(replaced / f"{program}.db", "n1").rows == newer
    await sides.open()
    assert sides.verdict().broken == []
    await sides.replicate("pull", "incremental", None)
    await sides.replicate("push", "missing", None)
    assert sides.verdict().equal
    assert len(newer) == 310
    await sides.close()


def foreign(file: Path) -> None:
    with closing(sqlite3.connect(file)) as sql:
        sql.execute("PRAGMA application_id = 7")
        sql.execute("CREATE TABLE t (x)")


def newer(file: Path) -> None:
    shutil.copy(file.with_name("sound.db"), file)
    with closing(sqlite3.connect(file)) as sql:
        sql.execute("PRAGMA user_version = 99")


def noise(file: Path) -> None:
    content = bytearray(file.with_name("sound.db").read_bytes())
    content[-8192:-4096] = b"\xa5" * 4096
    file.write_bytes(content)


def half(file: Path) -> None:
    content = file.with_name("sound.db").read_bytes()
    file.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (foreign, "another program"),
        (newer, "newer Tidehold"),
        (noise, "damaged"),
        (half, "SQLite says"),
        (Path.touch, "there is no database"),
        (lambda file: None, "there is no database"),
        (lambda file: file.write_text("Dear diary, " * 100), "not a database"),
    ],
)
async def test_what_is_no_sound_backup_is_not_restored(
    sides: Sides, tmp_path: Path, make: Callable[[Path], None], says: str, say: Say
) -> None:
    """The database that is there stays, to the byte."""
    say("node", "backup", "--data", tmp_path / "node", "--to", tmp_path / "sound.db")
    make(tmp_path / "bad.db")
    before = fingerprints(tmp_path / "node")

    told = say(
        *("node", "restore", "--data", tmp_path / "node", "--from", tmp_path / "bad.db"),
        code=UNUSABLE,
    )

    assert says in told
    assert fingerprints(tmp_path / "node") == before


async def test_a_restore_waits_for_the_service_to_stop(
    sides: Sides, tmp_path: Path, say: Say
) -> None:
    """Nobody's file is taken away under them."""
    say("node", "backup", "--data", tmp_path / "node", "--to", tmp_path / "b.db")
    await sides.open()

    told = say(
        *("node", "restore", "--data", tmp_path / "node", "--from", tmp_path / "b.db"),
        code=UNUSABLE,
    )

    assert "another process uses it" in told
    await sides.close()


class Cut(BaseException):
    """The power goes."""


@pytest.mark.parametrize("steps", range(5))
async def test_a_restore_that_is_cut_anywhere_goes_on_at_the_next_start(
    sides: Sides, tmp_path: Path, steps: int, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each rename: the old log never meets the new file, and no byte of the old is gone."""
    folder = tmp_path / "node"
    say("node", "backup", "--data", folder, "--to", tmp_path / "b.db")
    log = folder / "node.db-wal"
    log.write_bytes(b"of another time")  # beside its index, which the backup has left
    old = fingerprints(folder)
    left, rename = steps, Path.rename

    def rename_or_cut(path: Path, target: Path) -> Path:
        nonlocal left
        left -= 1
        if left < 0:
            raise Cut
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", rename_or_cut)
    with suppress(Cut):
        say("node", "restore", "--data", folder, "--from", tmp_path / "b.db")
    monkeypatch.undo()
    assert next_of(sides.file("node")).exists() == (steps < 4)

    await sides.open()

    await sides.close()
    assert not log.exists()
    assert read_side(sides.file("node"), "n1").rows == read_side(tmp_path / "b.db", "n1").rows
    (replaced,) = folder.glob("replaced-*")
    assert fingerprints(replaced) == old


@pytest.mark.fault(48)
@pytest.mark.parametrize("version", ["version1", "version2", "version3"])
async def test_an_older_file_is_kept_before_it_is_migrated(version: str, tmp_path: Path) -> None:
    """As it was, under a name that says so; the next start makes no other."""
    sides = Sides(tmp_path)
    write_dump(version, "node", sides.file("node"))
    write_dump(version, "central", sides.file("central"))
    with closing(sqlite3.connect(sides.file("node"))) as sql:
        old = "\n".join(sql.iterdump())

    for _ in range(2):
        await sides.open()
        await sides.close()

    (kept,) = sides.file("node").parent.glob("*.before-*")
    assert kept.name == f"node.db.before-v{NODE.version}"
    assert kept.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(kept)) as sql:
        assert "\n".join(sql.iterdump()) == old
        (number,) = sql.execute("PRAGMA user_version").fetchone()
        assert f"version{number}" == version


@pytest.mark.fault(48)
async def test_without_room_for_the_copy_nothing_is_migrated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start is refused with what to do, and the file keeps its bytes."""
    sides = Sides(tmp_path)
    write_dump("version1", "node", sides.file("node"))
    before = fingerprints(sides.file("node").parent)
    monkeypatch.setattr(snapshot, "ROOM_LEFT", 1 << 60)

    with pytest.raises(Exception, match=r"no copy can be kept .* make room"):
        await sides._open("node")

    assert fingerprints(sides.file("node").parent) == before
