"""Logs: JSON lines in rotating files for programs, readable lines on a terminal for people.

An event is logged at each change of state, not at each attempt. `extra={"event": KIND, ...}`
names it and carries its facts. Files are written by a thread of their own, so that a slow disk
does not stop the event loop; everything that is not ASCII is escaped in them. Tracebacks are in
the file only. A service never ends because its log cannot be written: the file's want is told on
standard error, and nobody need be there to hear it.
"""

import json
import logging
import logging.handlers
import queue
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from cluster.text import visible

GREETING = "started"  # the event that tells where a service listens
FILE_BYTES, FILES = 5_000_000, 5
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """One JSON object a line: at (microseconds), level, service, logger, event, text, facts."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": int(record.created * 1e6),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "text": record.getMessage(),
        }
        line |= _facts(record)
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class Readable(logging.Formatter):
    """`12:04:31 info  central  text  (fact=value ...)`."""

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        facts = " ".join(
            f"{key}={value}" for key, value in _facts(record).items() if key != "event"
        )
        text = f"{clock} {record.levelname.lower():7} {record.getMessage()}"
        return visible(f"{text}  ({facts})" if facts else text)


def _facts(record: logging.LogRecord) -> dict[str, object]:
    """What `extra=` gave."""
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


@contextmanager
def logging_to(
    folder: Path, service: str, level: str, *, on_terminal: bool = True
) -> Iterator[None]:
    """Log to FOLDER/logs/SERVICE.log while open; what matters to standard error, too.

    All of it if that is a terminal; nothing where the terminal is another's (`on_terminal`).
    """
    (folder / "logs").mkdir(mode=0o700, parents=True, exist_ok=True)
    file = _File(folder / "logs" / f"{service}.log", maxBytes=FILE_BYTES, backupCount=FILES)
    file.setFormatter(JsonLines(service))
    terminal = _Terminal(sys.stderr)
    terminal.setFormatter(Readable())
    terminal.setLevel(level)
    if not sys.stderr.isatty():
        terminal.addFilter(_matters)
    handlers = (file, terminal) if on_terminal else (file,)
    lines: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    enqueue = _Enqueue(lines)
    listener = logging.handlers.QueueListener(lines, *handlers, respect_handler_level=True)
    root = logging.getLogger()
    root.addHandler(enqueue)
    root.setLevel(level)
    listener.start()
    try:
        yield
    finally:
        root.removeHandler(enqueue)
        listener.stop()
        with suppress(OSError):  # the disk is full: that was told
            file.close()


def _matters(record: logging.LogRecord) -> bool:
    """What is told even where nobody reads along: the address, and what is wrong."""
    return record.levelno >= logging.WARNING or getattr(record, "event", "") == GREETING


def say(line: str) -> None:
    """A line to standard error, if anybody is there to hear it."""
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - where there is no log


class _File(logging.handlers.RotatingFileHandler):
    """Says once that it cannot be written (the disk is full), and once that it can be again."""

    lost = 0  # lines, since it cannot be written

    def emit(self, record: logging.LogRecord) -> None:
        before = self.lost
        super().emit(record)
        if before and self.lost == before:
            self.lost = 0
            say(f"{self.baseFilename} is written again; {before} lines are missing")

    def handleError(self, record: logging.LogRecord) -> None:
        if not self.lost:
            say(f"{self.baseFilename} cannot be written: {sys.exc_info()[1]}")
        self.lost += 1


class _Terminal(logging.StreamHandler[TextIO]):
    """Nobody reads any more: the file has the lines."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Nothing to be done."""


class _Enqueue(logging.handlers.QueueHandler):
    """Hands records over whole; both formatters need their facts and exceptions."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record
