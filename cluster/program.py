"""How a service's program begins and ends: settings, logs, exit codes.

Exit codes: 0 stopped as asked, 2 a wrong setting or a taken port, 70 a bug (traceback in the
log), 78 a data folder or database that cannot be used. Restarting does not help after 2 and 78.
"""

import logging
import os
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from cluster.lifeline import hold_lifeline
from cluster.logs import logging_to
from cluster.schema import DatabaseUnusable
from cluster.server import PortTaken
from cluster.settings import SettingsWrong

OK, USAGE, BUG, UNUSABLE = 0, 2, 70, 78

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Launch:
    """A service that is ready to run."""

    folder: Path
    service: str  # names the log file
    log_level: str
    main: Callable[[], Coroutine[Any, Any, None]]


def run_program(program: str, prepare: Callable[[], Launch]) -> None:
    """Prepare, run to the end, and leave with the exit code; a failed start is one clear line."""
    os.umask(0o077)  # databases, logs and tokens are nobody else's
    hold_lifeline()
    code, line = _outcome(prepare)
    if line:
        print(f"{program}: {line}", file=sys.stderr)  # noqa: T201 - the line is the output
    sys.exit(code)


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
    try:
        uvloop.run(launch.main())
    except* DatabaseUnusable as group:
        code, line = UNUSABLE, str(_first(group))
    except* PortTaken as group:
        code, line = USAGE, str(_first(group))
    except* Exception:
        log.critical("stopped by a bug", exc_info=True, extra={"event": "bug"})
        code, line = BUG, f"stopped by a bug; see {launch.folder}/logs/{launch.service}.log"
    return code, line


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    """The innermost first exception."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
