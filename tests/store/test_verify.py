"""The command `verify`: damage is told and can be repaired, what is whole is left alone."""

import json
import os
import random
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from central.store import SCHEMA as CENTRAL
from cluster import records, verify, windows
from cluster.digest import Digest
from cluster.record import Record, id_text, make
from cluster.schema import Schema, locked, prepare, transaction
from node.store import SCHEMA as NODE
from tests import launcher
from tests.invariants import read_side
from tests.launcher import Launched
from tests.program import Program
from tests.world import lines, world

ROOT = Path(__file__).parents[2]
OK, DAMAGED, UNUSABLE = 0, 1, 2
COUNT = 600  # enough for windows below the first

Lines = list[str]
Verify = Callable[..., tuple[int, Lines]]


def some(number: int, payload: str = '{"n": 1}') -> Record:
    """A record of its own for each number, the ids spread over all windows."""
    return make(sha256(bytes([number % 256, number // 256])).digest()[:16], "n1", 7, "s", payload)


SECOND = id_text(some(2).id)  # of the record at position 2


def fill(file: Path, schema: Schema, count: int = COUNT) -> Path:
    """A file as the service leaves it, with `count` records of n1 at the positions 1, 2, 3..."""
    with closing(sqlite3.connect(file, isolation_level=None)) as sql:
        prepare(schema, sql)
        with transaction(sql):
            records.insert_missing(sql, "n1", [some(number) for number in range(1, count + 1)])
            windows.fold_new(sql)
    return file


@pytest.fixture(params=[(NODE, "node.db"), (CENTRAL, "central.db")], ids=["node", "central"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A sound file of each kind."""
    schema, name = request.param
    return fill(tmp_path / name, schema)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Verify:
    """The command: its exit code and its lines; errors are on stderr alone, and one line."""

    def run(file: Path, *flags: str) -> tuple[int, Lines]:
        code = verify.main([str(file), *flags])
        out, err = capsys.readouterr()
        if code == UNUSABLE:
            assert out == ""
            assert err.count("\n") == 1
            assert err.startswith("verify: ")
        else:
            assert err == ""
        return code, (out + err).splitlines()

    return run


def change(file: Path, statement: str, *values: object) -> None:
    """Change a file behind everybody's back, records too."""
    with closing(sqlite3.connect(file, isolation_level=None)) as sql:
        sql.execute("PRAGMA ignore_check_constraints = ON")
        with unguarded(sql):
            assert sql.execute(statement, values).rowcount > 0


@contextmanager
def unguarded(sql: sqlite3.Connection) -> Iterator[None]:
    """Without the trigger that keeps records from being changed; it is back afterwards."""
    guard = "SELECT sql FROM sqlite_schema WHERE name = 'records_unchanged'"
    (text,) = sql.execute(guard).fetchone()
    sql.execute("DROP TRIGGER records_unchanged")
    yield
    sql.execute(text)


def ask(file: Path, question: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as sql:
        return sql.execute(question).fetchall()


def places(file: Path) -> set[object]:
    """The positions that are there."""
    return {position for (position,) in ask(file, "SELECT position FROM records")}


def test_a_sound_file_is_told_in_a_line_a_node_and_keeps_its_bytes(file: Path, run: Verify) -> None:
    before = file.read_bytes()
    expected = read_side(file, "n1").digest

    code, said = run(file)

    assert code == OK
    assert said == [
        f"n1: 600 records, digest {expected.text}, the kept digests are those of the rows"
    ]
    assert file.read_bytes() == before


def test_a_file_without_records_is_sound(tmp_path: Path, run: Verify) -> None:
    empty = fill(tmp_path / "node.db", NODE, 0)

    assert run(empty) == (OK, [])
    assert run(empty, "--repair") == (OK, [])


def test_repairing_what_is_sound_changes_nothing(file: Path, run: Verify) -> None:
    before = ask(file, "SELECT * FROM digests"), ask(file, "SELECT * FROM records")

    code, said = run(file, "--repair")

    assert (code, len(said)) == (OK, 1)
    assert (ask(file, "SELECT * FROM digests"), ask(file, "SELECT * FROM records")) == before


@pytest.mark.parametrize(
    ("damage", "wrong"),
    [
        ("payload = '{\"n\": 2}'", "the content is not what its hash says"),
        ("payload = '{\"n\": 1'", "payload: not a JSON object"),
        ("payload = '{\"n\":' || char(10) || '1}'", "payload: more than one line"),
        ("payload = CAST(x'7b2261223a22ff227d' AS TEXT)", "payload: not a JSON object"),
        ("payload = printf('{\"n\": \"%.*c\"}', 70000, 'x')", "at most 65536"),
        ("hash = 5", "the content is not what its hash says"),
        ("ts = 8", "the content is not what its hash says"),
        ("ts = -9223372036854775808", "ts: not within the years 1 to 9999"),
        ("id = x'0102'", "id: 2 bytes instead of 16"),
        ("stream = CAST(x'80' AS TEXT)", "stream: \N{REPLACEMENT CHARACTER}: not 1-64 of"),
        ("stream = printf('%.*c', 300, 'x')", "not 1-64 of a-z 0-9 . _ -"),
        ("node = ''", "node: not a name"),
        ("node = CAST(x'6eff' AS TEXT)", "node: not a name"),
    ],
)
def test_a_damaged_record_is_named_and_moved_to_quarantine(
    file: Path, run: Verify, damage: str, wrong: str
) -> None:
    """Whatever of it was damaged: one line, and after the repair it is out of the way."""
    change(file, f"UPDATE records SET {damage} WHERE position = 2")

    code, said = run(file)
    assert code == DAMAGED
    assert len([line for line in said if "at position" in line]) == 1
    assert " at position 2: " in said[0]
    assert wrong in said[0]
    assert SECOND in said[0] or "id" in damage

    code, said = run(file, "--repair")
    assert code == OK, said
    assert any(line.startswith("1 record moved to quarantine; the next pu") for line in said)
    assert places(file) == set(range(1, COUNT + 1)) - {2}
    assert read_side(file, "n1").broken == []
    assert ask(file, "SELECT * FROM removed") == []
    ((code_word, detail),) = ask(file, "SELECT code, detail FROM quarantine")
    assert code_word == "damaged"
    assert str(detail).startswith("at position 2: ")
    assert run(file)[0] == OK
    assert ask(file, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.fault(79)
def test_a_log_without_its_file_is_named_and_kept(tmp_path: Path, run: Verify) -> None:
    """SQLite would delete it beside an empty file."""
    (tmp_path / "node.db").touch()
    (tmp_path / "node.db-wal").write_bytes(b"all that is left")

    code, (line,) = run(tmp_path / "node.db")

    assert code == UNUSABLE
    assert f"{tmp_path}/node.db: it is damaged (there is only its log" in line
    assert (tmp_path / "node.db-wal").read_bytes() == b"all that is left"


def test_the_row_in_quarantine_can_be_read(tmp_path: Path, run: Verify) -> None:
    """JSON with what is left of it, in the order of the other rows there."""
    file = fill(tmp_path / "node.db", NODE, 3)
    change(
        file, "UPDATE records SET payload = CAST(x'7b22613aff7d' AS TEXT) WHERE id = ?", some(2).id
    )

    run(file, "--repair")

    ((node, row, seen),) = ask(file, "SELECT node, row, seen FROM quarantine")
    assert node == "n1"
    assert json.loads(str(row)) == [
        *(some(2).id.hex(), "n1", 7, "s"),
        '{"a:\N{REPLACEMENT CHARACTER}}',
        some(2).hash,
    ]
    assert isinstance(seen, int)
    assert seen > 1_700_000_000_000_000


def test_a_flipped_bit_in_the_id_on_the_disk_is_repaired(file: Path, run: Verify) -> None:
    """The index still tells the old id: the row must go all the same."""
    content = bytearray(file.read_bytes())
    in_table = re.escape(some(2).id) + b"n1.{0,8}s{"  # in the index no stream follows
    (place,) = [found.start() for found in re.finditer(in_table, content, re.DOTALL)]
    content[place] ^= 1
    file.write_bytes(content)

    assert run(file)[0] == DAMAGED
    assert run(file, "--repair")[0] == OK

    assert places(file) == set(range(1, COUNT + 1)) - {2}
    assert ask(file, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.fault(80)
def test_twenty_flipped_bits_are_all_found(file: Path, run: Verify) -> None:
    """Anywhere in the payloads, where SQLite's own checks see nothing: each one is named."""
    rng, content = random.Random(80), bytearray(file.read_bytes())
    payloads = [found.start() for found in re.finditer(re.escape(b's{"n": 1}'), content)]
    for start in rng.sample(payloads, 20):
        content[start + rng.randrange(1, 9)] ^= 1 << rng.randrange(8)
    file.write_bytes(content)
    assert ask(file, "PRAGMA quick_check") == [("ok",)]

    code, said = run(file)

    assert code == DAMAGED
    assert len([line for line in said if " at position " in line]) == 20
    assert run(file, "--repair")[0] == OK
    assert len(places(file)) == COUNT - 20


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE digests SET sum = sum + 1 WHERE window = ''",
        "UPDATE digests SET count = count - 1 WHERE window = '7'",
        "DELETE FROM digests WHERE window = '7'",
        "DELETE FROM digests WHERE window = ''",
        "DELETE FROM digests",
        "INSERT INTO digests VALUES ('n1', 'abcdef', 3, 4, 'leaf')",
        "INSERT INTO digests VALUES ('n1', 'no window', 3, 4, 'leaf')",
        "INSERT INTO digests VALUES ('n7', '', 3, 4, 'split')",
        "UPDATE digests SET count = 9223372036854775807 WHERE window = ''",
        "INSERT INTO digests VALUES (CAST(x'6eff' AS TEXT), CAST(x'ff' AS TEXT), 3, 4, 'leaf')",
    ],
)
def test_kept_digests_that_are_wrong_are_told_and_made_anew(
    file: Path, run: Verify, damage: str
) -> None:
    before = ask(file, "SELECT * FROM digests")
    change(file, damage)

    code, said = run(file)
    assert code == DAMAGED
    assert any("KEPT DIGESTS WRONG" in line for line in said)
    assert not any("at position" in line for line in said)

    assert run(file, "--repair")[0] == OK
    assert [row for row in ask(file, "SELECT * FROM digests") if row[0] == "n1"] == before
    assert len(places(file)) == COUNT
    assert run(file)[0] == OK


def test_a_dropped_window_is_taken_as_it_is(tmp_path: Path, run: Verify) -> None:
    """Its rows were given up on purpose; its digest outlives a repair."""
    file = fill(tmp_path / "node.db", NODE)
    whole = read_side(file, "n1").digest
    with closing(sqlite3.connect(file, isolation_level=None)) as sql, transaction(sql):
        gone = windows.drop(sql, "n1", "7")
    told = f"n1: {COUNT - gone} records and {gone} dropped, digest {whole.text}, "

    code, said = run(file)
    assert code == OK, said
    assert said[0].startswith(told)

    change(file, "UPDATE digests SET sum = sum + 1 WHERE window = '8'")
    assert run(file)[0] == DAMAGED
    code, said = run(file, "--repair")
    assert code == OK
    assert said[0].startswith(told)
    assert Digest(*ask(file, "SELECT count, sum FROM digests WHERE window = ''")[0]) == whole  # type: ignore[arg-type]


def test_rows_deleted_by_hand_are_no_damage(file: Path, run: Verify) -> None:
    """The service brings the digests up to them by itself; so does a repair."""
    change(file, "DELETE FROM records WHERE position < 10")

    code, said = run(file)
    assert code == OK
    assert said[0].startswith("n1: 591 records")
    assert "yet to follow" in said[0]

    assert run(file, "--repair")[0] == OK
    assert read_side(file, "n1").broken == []
    assert "are those of the rows" in run(file)[1][0]


def test_hostile_text_comes_out_escaped(tmp_path: Path, run: Verify) -> None:
    """No escape of a stream or a name reaches the terminal, no line break makes a line."""
    file = fill(tmp_path / "node.db", NODE, 3)
    change(file, "UPDATE records SET stream = ? WHERE position = 1", "\x1b[2J\nn1: all well")
    change(file, "UPDATE records SET node = ? WHERE position = 2", "\x1b]0;\u202eowned\x07")

    code, said = run(file)

    assert code == DAMAGED
    assert all(line.isprintable() for line in said)
    assert r"stream: \x1b[2J\nn1: all well: not 1-64" in said[0]
    assert said[1].startswith(r"\x1b]0;\u202eowned\x07 ")
    assert all(line.isprintable() for line in run(file, "--repair")[1])


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Path]:
    """Another program's database, as it works with it."""
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as sql:
        sql.execute("CREATE TABLE records (x)")
        yield path


@pytest.mark.parametrize("flags", [(), ("--repair",)], ids=["look", "repair"])
def test_what_is_not_ours_is_refused_in_one_line(
    tmp_path: Path, run: Verify, other: Path, flags: tuple[str, ...]
) -> None:
    """Nothing is made beside it, not even a lock."""
    diary = tmp_path / "diary"
    diary.write_text("Dear diary " * 100)
    folder = tmp_path / "folder"
    folder.mkdir()
    before = set(tmp_path.iterdir())

    for path, says in (
        (tmp_path / "nowhere" / "node.db", "there is no such file"),
        (diary, "file is not a database"),
        (diary / "node.db", "there is no such file"),
        (folder, "unable to open database file"),
        (other, "it is no database of a node or of central"),
    ):
        code, (said,) = run(path, *flags)
        assert code == UNUSABLE
        assert said.startswith(f"verify: {path}: ")
        assert says in said

    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(("version", "says"), [(1, "older Tidehold"), (99, "newer Tidehold")])
def test_another_version_is_refused_in_one_line(
    file: Path, run: Verify, version: int, says: str
) -> None:
    with closing(sqlite3.connect(file)) as sql:
        sql.execute(f"PRAGMA user_version = {version}")

    code, (said,) = run(file, "--repair")

    assert code == UNUSABLE
    assert says in said


def test_a_file_beyond_repair_is_told_in_one_line(file: Path, run: Verify) -> None:
    """A page of zeros in the middle of the tree."""
    content = bytearray(file.read_bytes())
    content[4096 : 4096 * 6] = bytes(4096 * 5)
    file.write_bytes(content)

    for flags in ((), ("--repair",)):
        code, (said,) = run(file, *flags)
        assert code == UNUSABLE
        assert "malformed" in said


def test_a_file_in_use_is_looked_at_and_never_repaired(file: Path, run: Verify) -> None:
    with locked(file):
        assert run(file)[0] == OK
        code, (said,) = run(file, "--repair")

    assert code == UNUSABLE
    assert "another process uses it; stop that one first" in said


def command(file: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """The command as a person gives it."""
    return subprocess.run(
        [sys.executable, "-m", "cluster.verify", str(file), *flags],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_as_a_program(tmp_path: Path) -> None:
    """Its exit codes, its help, and a terminal that knows only ASCII."""
    file = fill(tmp_path / "node.db", NODE, 3)
    assert command(file).returncode == OK
    change(file, "UPDATE records SET stream = 'Ü' WHERE position = 1")

    told, help_text = command(file), command(file, "--help")

    assert (told.returncode, told.stderr) == (DAMAGED, "")
    assert "\\xdc" in told.stdout
    assert help_text.returncode == 0
    assert "--repair" in help_text.stdout
    assert command(file, "--frobnicate").returncode == UNUSABLE


def beside(file: Path, *flags: str) -> Launched:
    """The same beside a program that uses the file, or after it."""
    return launcher.run(["cluster.verify", str(file), *flags], os.environ)


def spoil(program: Program, *numbers: int) -> None:
    """The disk damages the payloads of these rows: lines(...) has its number as their ts."""
    (file,) = program.folder.glob("*.db")
    marks = ", ".join("?" * len(numbers))
    change(
        file,
        f"UPDATE records SET payload = replace(payload, 'line', 'lime') WHERE ts IN ({marks})",
        *numbers,
    )


@pytest.mark.e2e
async def test_what_was_damaged_on_either_side_comes_back_from_the_other(tmp_path: Path) -> None:
    """Different records at each side: after both repairs a pull and a push make all whole."""
    async with world(tmp_path) as w:
        n1 = await w.node("n1")
        await w.post("n1", lines(2_000))
        assert (await w.pull("n1")).state == "succeeded"
        spoil(n1, 3, 1_000)
        spoil(w.central, 5, 6, 1_999)
        files = n1.folder / "node.db", w.central.folder / "central.db"

        for found, file in zip((2, 3), files, strict=True):
            running = beside(file)
            assert running.returncode == DAMAGED, running
            assert running.stdout.count(" at position ") == found
            assert beside(file, "--repair").returncode == UNUSABLE
        for program, file in zip((n1, w.central), files, strict=True):
            program.kill()
            repaired = beside(file, "--repair")
            assert repaired.returncode == OK, repaired
            await program.start()
        await w.until_live("n1", "up")
        await w.poll("n1")
        pulled, pushed = await w.pull("n1"), await w.push("n1")

        assert (pulled.state, pushed.state) == ("succeeded", "succeeded")
        verdict = w.verdict("n1")
        assert verdict.equal, verdict.line()
        assert len(verdict.node.rows) == 2_000
        assert [beside(file).returncode for file in files] == [OK, OK]
