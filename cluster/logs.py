"""Logs: JSON lines in rotating files for programs, readable lines on a terminal for people.

An event is logged at each change of state, not at each attempt. `extra={"event": KIND, ...}`
names it and carries its facts. Files are written by a thread of their own, so that a slow disk
does not stop the event loop; everything that is not ASCII is escaped in them.
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
        line = visible(f"{text}  ({facts})" if facts else text)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


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
    terminal = logging.StreamHandler(sys.stderr)
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


class _File(logging.handlers.RotatingFileHandler):
    """Says once that it cannot be written (the disk is full): the service goes on without."""

    told = False

    def handleError(self, record: logging.LogRecord) -> None:
        if not self.told:
            self.told = True
            why = f"{self.baseFilename} cannot be written: {sys.exc_info()[1]}"
            print(why, file=sys.stderr)  # noqa: T201 - there is no log to tell it to


class _Enqueue(logging.handlers.QueueHandler):
    """Hands records over whole; both formatters need their facts and exceptions."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record
