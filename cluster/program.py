"""How a service's program begins and ends: settings, logs, exit codes.

Exit codes: 0 stopped as asked, 2 a wrong setting or a taken port, 70 a bug (traceback in the
log), 78 a data folder or database that cannot be used. Restarting does not help after 2 and 78.
"""

import gc
import logging
import os
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import uvloop

from cluster.descriptors import allow_descriptors
from cluster.lifeline import hold_lifeline
from cluster.logs import logging_to, say
from cluster.schema import DatabaseUnusable
from cluster.server import PortTaken
from cluster.settings import SettingsWrong

OK, USAGE, BUG, UNUSABLE = 0, 2, 70, 78
#: Looked for less often than Python does by itself: each look at all of it holds up the loop.
GARBAGE = 20_000, 20, 50

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Launch:
    """A service that is ready to run."""

    folder: Path
    service: str  # names the log file
    log_level: str
    main: Callable[[], Coroutine[Any, Any, None]]


def run_program(program: str, prepare: Callable[[], Launch]) -> NoReturn:
    """Prepare, run to the end, and leave with the exit code; a failed start is one clear line."""
    os.umask(0o077)  # databases, logs and tokens are nobody else's
    _open_standard_streams()
    allow_descriptors()
    hold_lifeline()
    code, line = _outcome(prepare)
    if line:
        say(f"{program}: {line}")
    _leave(code)


def _open_standard_streams() -> None:
    """Where one was closed, a database or a socket would take its number, and get its lines."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - to the end


def _leave(code: int) -> NoReturn:
    """End now. After a crash in several parts a thread may hang, which Python would wait for."""
    with suppress(OSError):  # nobody reads any more
        sys.stderr.flush()
    os._exit(code)


def _outcome(prepare: Callable[[], Launch]) -> tuple[int, str]:
    code, line = OK, ""
    try:
        launch = prepare()
        with logging_to(launch.folder, launch.service, launch.log_level):
            code, line = _run(launch)
    except (SettingsWrong, PortTaken) as wrong:
        code, line = USAGE, str(wrong)
    except OSError as error:
        code, line = UNUSABLE, f"the data folder cannot be used: {error}"
    return code, line


def _run(launch: Launch) -> tuple[int, str]:
    code, line = OK, ""
    gc.freeze()  # what was imported stays: nobody has to look through it for garbage
    gc.set_threshold(*GARBAGE)
    try:
        uvloop.run(launch.main())
    except* DatabaseUnusable as group:
        code, line = UNUSABLE, str(_first(group))
    except* PortTaken as group:
        code, line = USAGE, str(_first(group))
    except* Exception as group:
        what = f"stopped by a bug ({type(_first(group)).__name__})"
        log.critical(what, exc_info=True, extra={"event": "bug"})
        code, line = BUG, f"{what}; see {launch.folder}/logs/{launch.service}.log"
    return code, line


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    """The innermost first exception."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
