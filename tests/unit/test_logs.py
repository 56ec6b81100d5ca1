"""Logs: one JSON object a line in the file, whatever was logged; secrets and control never."""

import json
import logging
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from cluster.logs import JsonLines, Readable, logging_to
from cluster.text import visible
from tests.program import until

log = logging.getLogger("tests.logs")

HOSTILE = 'line\nbreak \x1b[31m \u202e \x00 "quotes" é 😀'


def lines(folder: Path, service: str = "n1") -> list[dict[str, Any]]:
    """Every line of a log file, each of which must be a JSON object of ASCII."""
    raw = (folder / "logs" / f"{service}.log").read_bytes()
    assert raw.isascii()
    return [json.loads(line) for line in raw.splitlines()]


def test_an_event_is_one_json_line_with_its_facts(tmp_path: Path) -> None:
    """When, how bad, who, where in the code, what, and the facts given."""
    with logging_to(tmp_path, "n1", "INFO"):
        log.info("stored %d rows", 5, extra={"event": "stored", "rows": 5, "path": Path("/x")})

    (line,) = lines(tmp_path)
    assert line.pop("at") > 1_700_000_000_000_000
    assert line == {
        "level": "info",
        "service": "n1",
        "logger": "tests.logs",
        "text": "stored 5 rows",
        "event": "stored",
        "rows": 5,
        "path": "/x",
    }


def test_hostile_text_stays_on_its_line(tmp_path: Path) -> None:
    """Line breaks, escapes and surrogates are kept as escapes: nobody can forge a line."""
    with logging_to(tmp_path, "n1", "INFO"):
        log.info(HOSTILE, extra={"event": "x", "detail": HOSTILE})
        log.info("next")

    first, second = lines(tmp_path)
    assert first["text"] == first["detail"] == HOSTILE
    assert second["text"] == "next"


def test_a_lone_surrogate_can_be_logged() -> None:
    """A name from the command line may hold bytes that are no text."""
    record = logging.makeLogRecord({"msg": "\udcff", "levelname": "INFO"})

    assert json.loads(JsonLines("n1").format(record))["text"] == "\udcff"
    assert "\\udcff" in Readable().format(record)


def test_a_traceback_is_inside_of_its_line(tmp_path: Path) -> None:
    with logging_to(tmp_path, "n1", "INFO"):
        try:
            raise ValueError(HOSTILE)
        except ValueError:
            log.exception("failed")

    (line,) = lines(tmp_path)
    assert line["level"] == "error"
    assert "ValueError" in line["traceback"]


def test_the_level_holds_and_old_lines_stay(tmp_path: Path) -> None:
    """Below the level nothing is written; a restart goes on in the same file."""
    for _ in range(2):
        with logging_to(tmp_path, "n1", "WARNING"):
            log.info("not this")
            log.warning("this")

    assert [line["text"] for line in lines(tmp_path)] == ["this", "this"]


def test_nothing_is_lost_at_the_end(tmp_path: Path) -> None:
    """All that was logged is in the file when the block is left, in order."""
    with logging_to(tmp_path, "n1", "INFO"):
        for number in range(2_000):
            log.info("%d", number)

    assert [line["text"] for line in lines(tmp_path)] == [str(number) for number in range(2_000)]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_told_once_and_ends_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "n1.log").symlink_to("/dev/full")

    with logging_to(tmp_path, "n1", "INFO"):
        for _ in range(10):
            log.info("nobody will read this")

    assert capfd.readouterr().err.count("cannot be written: [Errno 28] No space left") == 1


def descriptor_of(file: Path) -> int:
    (number,) = [int(one.name) for one in Path("/proc/self/fd").iterdir() if one.resolve() == file]
    return number


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
async def test_a_log_goes_on_when_there_is_room_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """And says that lines are missing; the next want of room is told, too."""
    file = tmp_path / "logs" / "n1.log"
    told = ""
    with logging_to(tmp_path, "n1", "INFO"), ExitStack() as opened:
        number = descriptor_of(file)
        room, full = os.dup(number), os.open("/dev/full", os.O_WRONLY)
        opened.callback(os.close, room)
        opened.callback(os.close, full)
        for count, (disk, says) in enumerate(2 * ((full, "cannot be"), (room, "is written again"))):
            os.dup2(disk, number)

            async def is_told(times: int = count // 2 + 1, says: str = says) -> bool:
                nonlocal told
                log.info("is there room?")
                told += capfd.readouterr().err
                return told.count(says) == times

            await until(is_told, f"{says} is told")
        log.info("kept")

    assert lines(tmp_path)[-1]["text"] == "kept"
    assert (told.count("cannot be"), told.count("is written again")) == (2, 2)


def test_afterwards_logging_is_as_before(tmp_path: Path) -> None:
    before = list(logging.getLogger().handlers)

    with logging_to(tmp_path, "n1", "INFO"):
        pass

    assert logging.getLogger().handlers == before


def test_people_read_one_line_without_control_characters() -> None:
    """On a terminal too: what does not print is shown, never sent."""
    record = logging.makeLogRecord(
        {"msg": HOSTILE, "levelname": "INFO", "event": "x", "node": "\x1b[2J"}
    )

    line = Readable().format(record)

    assert line.isprintable()
    assert "\\x1b[31m" in line
    assert "(node=\\x1b[2J)" in line


@pytest.mark.parametrize("text", ["", "plain", "é 😀 ü", "a  b"])
def test_what_prints_is_shown_as_it_is(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize("text", ["\n", "\x1b[0m", "\u202e", "\u200b", "\x7f", "\x9b", "\ud800"])
def test_what_does_not_print_is_shown_as_an_escape(text: str) -> None:
    assert visible(text).isprintable()
    assert visible(text).startswith("\\")
