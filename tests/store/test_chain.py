"""The journal's chain: what is done to a line afterwards is found, and told by its number."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from central.journal import Journal
from central.store import open_central_store
from cluster import chain, verify
from cluster.protocol.views import JournalLine

pytestmark = pytest.mark.fault(74)

OK, DAMAGED, UNUSABLE = 0, 1, 2
COUNT = 12

Run = Callable[..., tuple[int, str]]


async def write(folder: Path, count: int, start: int = 0) -> tuple[chain.Head, list[JournalLine]]:
    """Central writes lines in two batches and stops; the head, and the lines that were shown."""
    shown: list[JournalLine] = []
    async with open_central_store(folder) as store:
        journal = Journal(store.database, lambda: 1_760_000_000_000_000, shown.append)
        await journal.load()
        shown.clear()
        for number in range(start, start + count):
            journal.write("info", "node-up", f"line {number} é", "n1" if number % 2 else None)
            if number == start + count // 2:
                await journal.flush()
        await journal.close()
        return journal.head, shown


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    """Central's file with twelve lines, written in two lives of it."""
    await write(tmp_path, COUNT // 2)
    await write(tmp_path, COUNT // 2, COUNT // 2)
    return tmp_path / "central.db"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """The command `verify`: its exit code, and what it says."""

    def run(file: Path, *flags: str) -> tuple[int, str]:
        code = verify.main([str(file), *flags])
        out, err = capsys.readouterr()
        return code, out + err

    return run


def tamper(file: Path, statements: str) -> None:
    """With the sqlite3 shell, and nobody looking."""
    with closing(sqlite3.connect(file)) as sql:
        sql.executescript(statements)


def rows(file: Path) -> Iterator[tuple[int, int, str, str, str | None, str, bytes]]:
    with closing(sqlite3.connect(file)) as sql:
        yield from sql.execute(
            "SELECT seq, ts, level, kind, node, text, hash FROM journal ORDER BY seq"
        )


def test_a_chain_that_nobody_touched_is_unbroken(file: Path, run: Run) -> None:
    """Over batches and restarts; every head that was ever told is in it."""
    heads = [f"{seq}:{value.hex()}" for seq, *_, value in rows(file)]

    assert len(heads) == COUNT
    assert run(file) == (OK, f"journal: 12 lines, unbroken, head {heads[-1]}\n")
    assert all(run(file, "--head", head)[0] == OK for head in heads)
    assert run(file, "--head", str(chain.EMPTY))[0] == OK


def test_anybody_can_work_a_hash_out(file: Path) -> None:
    """As `printf | sha256sum` would: six lines, the hash before in hex the first."""
    before = "0" * 64
    for _, ts, level, kind, node, text, value in rows(file):
        lines = (before, str(ts), level, kind, node or "", text)
        before = sha256("\n".join(lines).encode()).hexdigest()
        assert value.hex() == before


@pytest.mark.parametrize(
    ("statements", "says"),
    [
        ("UPDATE journal SET text = 'line 5' WHERE seq = 6", "line 6 was edited"),
        ("UPDATE journal SET text = CAST(x'ff' AS TEXT) WHERE seq = 6", "line 6 was edited"),
        ("UPDATE journal SET ts = ts + 1 WHERE seq = 1", "line 1 was edited"),
        ("UPDATE journal SET level = 'error' WHERE seq = 12", "line 12 was edited"),
        ("UPDATE journal SET kind = 'node-down' WHERE seq = 3", "line 3 was edited"),
        ("UPDATE journal SET node = 'n2' WHERE seq = 2", "line 2 was edited"),
        ("UPDATE journal SET node = NULL, kind = 'x' WHERE seq = 2", "line 2 was edited"),
        ("UPDATE journal SET hash = x'' WHERE seq = 7", "line 7 was edited"),
        ("UPDATE journal SET hash = zeroblob(32) WHERE seq = 12", "line 12 was edited"),
        ("DELETE FROM journal WHERE seq = 1", "line 1 is missing"),
        ("DELETE FROM journal WHERE seq IN (4, 5, 6, 9)", "lines 4 to 6 are missing"),
        ("DELETE FROM journal WHERE seq > 9", "lines 10 to 12 are missing"),
        ("DELETE FROM journal", "lines 1 to 12 are missing"),
        (
            "DELETE FROM journal WHERE seq = 4; UPDATE journal SET seq = -seq WHERE seq > 4;"
            "UPDATE journal SET seq = -seq - 1 WHERE seq < 0",
            "line 4 was edited or does not belong there",
        ),
        (
            "UPDATE journal SET seq = 99 WHERE seq = 5; UPDATE journal SET seq = 5 WHERE seq = 8;"
            "UPDATE journal SET seq = 8 WHERE seq = 99",
            "line 5 was edited or does not belong there",
        ),
        (
            "INSERT INTO journal (ts, level, kind, text) VALUES (1, 'info', 'x', 'forged')",
            "line 13 was edited or does not belong there",
        ),
    ],
)
def test_the_first_line_that_was_tampered_with_is_told(
    file: Path, run: Run, statements: str, says: str
) -> None:
    """Edited, removed, renumbered, reordered or put in; a repair does not hide it."""
    tamper(file, statements)

    code, said = run(file)
    assert (code, said.count("\n")) == (DAMAGED, 1)
    assert said.startswith(f"JOURNAL BROKEN: {says}")

    assert run(file, "--repair")[0] == DAMAGED
    assert run(file)[0] == DAMAGED


async def test_a_cut_is_seen_also_after_central_went_on(file: Path, run: Run) -> None:
    """The numbers go on where they were, so the hole stays."""
    tamper(file, "DELETE FROM journal WHERE seq > 9")

    await write(file.parent, 3)

    assert run(file) == (
        DAMAGED,
        "JOURNAL BROKEN: lines 10 to 12 are missing; it cannot be repaired\n",
    )


def test_an_end_that_was_cut_off_with_care_is_seen_by_the_head(file: Path, run: Run) -> None:
    """From inside the file nobody could tell: whoever kept the head can."""
    *_, (seq, *_, value) = rows(file)
    tamper(
        file,
        "DELETE FROM journal WHERE seq > 9;"
        "UPDATE sqlite_sequence SET seq = 9 WHERE name = 'journal'",
    )

    assert run(file)[0] == OK
    code, said = run(file, "--head", f"{seq}:{value.hex()}")
    assert code == DAMAGED
    assert "lines 10 to 12 are missing" in said


def test_a_chain_that_was_worked_out_anew_is_seen_by_the_head(file: Path, run: Run) -> None:
    *_, (seq, *_, value) = rows(file)
    tamper(file, "UPDATE journal SET text = 'nothing happened' WHERE seq = 3")
    with closing(sqlite3.connect(file)) as sql, sql:
        chain.chain_all(sql)

    assert run(file)[0] == OK
    code, said = run(file, "--head", f"{seq}:{value.hex()}")
    assert code == DAMAGED
    assert "line 12 is not the one that was kept" in said


@pytest.mark.parametrize(
    "text", ["", "12", "12:ab", f"x:{'0' * 64}", f"1:{'g' * 64}", "²:" + "0" * 64]
)
def test_what_is_no_head_is_refused_in_words(file: Path, run: Run, text: str) -> None:
    with pytest.raises(SystemExit) as ended:
        run(file, "--head", text)

    assert ended.value.code == UNUSABLE


async def test_lines_are_shown_with_their_numbers_in_order(tmp_path: Path) -> None:
    """What the consoles get is what the file holds."""
    head, shown = await write(tmp_path, COUNT)

    stored = [(seq, text, node) for seq, _, _, _, node, text, _ in rows(tmp_path / "central.db")]
    assert [(line.seq, line.text, line.node) for line in shown] == stored
    assert head.seq == COUNT


async def test_the_head_is_told_at_every_start_and_stop(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In the log, which somebody may ship elsewhere."""
    caplog.set_level("INFO", logger="central.journal")

    first, _ = await write(tmp_path, 3)
    second, _ = await write(tmp_path, 3)

    told = [vars(record)["head"] for record in caplog.records if "head" in vars(record)]
    assert told == [str(chain.EMPTY), str(first), str(first), str(second)]
