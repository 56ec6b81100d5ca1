"""The disk under the database: how much room is left, looked at now and then."""

import shutil
import time

from cluster.database import Database
from cluster.problem import Refusal
from cluster.protocol.shared import Disk

LOOK_EVERY_S = 0.5
FREE_MIN = 64 * 1024 * 1024  # bytes; below it rows are refused before SQLite fails


class DiskWatch:
    """What was seen last; asking the kernel for every record would cost more than the record."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen = Disk(0, 0, 0)
        self._seen_s = float("-inf")

    def state(self) -> Disk:
        now_s = time.monotonic()
        if now_s - self._seen_s > LOOK_EVERY_S:
            usage = shutil.disk_usage(self._database.path.parent)
            self._seen = Disk(self._database.size(), usage.free, usage.total)
            self._seen_s = now_s
        return self._seen

    def check_room(self) -> None:
        """Refusal `not_ready` when rows should not be taken."""
        free = self.state().free_bytes
        if free < FREE_MIN:
            raise Refusal(
                "not_ready", f"only {free} bytes free on the disk; make room", retry_after_s=60
            )
