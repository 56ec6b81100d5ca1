"""Files with secrets: nobody else may read them, and they change as a whole or not at all."""

import os
import stat
from pathlib import Path

from cluster.settings import SettingsWrong

State = tuple[int, ...] | None


def write_private(path: Path, content: bytes) -> Path:
    """Put it there for the owner alone, in one piece: a service may read it at this moment.

    OSError when that cannot be.
    """
    made = path.with_name(f"{path.name}.new")
    made.unlink(missing_ok=True)
    with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return made.replace(path)


def check_private(path: Path, origin: str) -> None:
    """SettingsWrong when others can read the file. OSError when it is not there."""
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SettingsWrong(f"{origin}: others can read it; chmod 600 {path}")


def state_of(path: Path) -> State:
    """What differs when a file has been changed or replaced. None: no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode
