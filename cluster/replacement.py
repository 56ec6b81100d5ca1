"""Another file in the place of a database: after a restore, or a repair.

The new file waits complete beside the old one, as `node.db.next`. From then on the old one, its
log and its index move together into a folder `replaced-TIME`, and the new one takes its name. A
power cut in between does no harm: whoever opens the database next goes on where it was cut, so an
old log never meets a new file.
"""

import time
from pathlib import Path

from cluster.schema import BESIDE, sync_folder

NEXT = ".next"


def next_of(path: Path) -> Path:
    """Where the new file waits."""
    return path.with_name(path.name + NEXT)


def put_in_place(path: Path) -> Path | None:
    """Let a file that waits take the place of `path`; the folder with the old ones, if any.

    The caller holds the lock.
    """
    waiting = next_of(path)
    if not waiting.exists():
        return None
    # Named after the waiting file's time, so that it is the same folder when this was cut.
    taken = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(waiting.stat().st_mtime))
    folder = path.with_name(f"replaced-{taken}")
    for end in BESIDE:
        old = path.with_name(path.name + end)
        if old.exists():
            folder.mkdir(mode=0o700, exist_ok=True)
            old.rename(folder / old.name)
    if folder.exists():
        sync_folder(folder)
    sync_folder(path.parent)  # the old log is gone before the new file comes
    waiting.rename(path)
    sync_folder(path.parent)
    return folder if folder.exists() else None
