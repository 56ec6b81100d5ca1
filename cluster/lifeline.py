"""How a child process never outlives its parent, even one that died by kill -9.

The parent keeps the write end of a pipe and never writes. The child reads: the kernel closes the
write end with the parent, whatever ended it, and the read returns. A thread does the reading, so
it works with a stuck event loop too; only C code that never lets go of the GIL would escape it.
"""

import os
import signal
import threading
import time

VARIABLE = "TIDEHOLD_LIFELINE"
ESCALATE_S = 5.0
EXIT_CODE = 70  # EX_SOFTWARE: the child could not end by itself


class Lifeline:
    """The parent's side of one child's pipe: lives as long as that child."""

    def __init__(self) -> None:
        # Both ends are close-on-exec (PEP 446): a sibling holding the write end would keep the
        # child alive after the parent's death.
        read_fd, write_fd = os.pipe()
        self._reader = os.fdopen(read_fd, "rb", buffering=0)
        self._writer = os.fdopen(write_fd, "wb", buffering=0)

    @property
    def fd(self) -> int:
        """The read end, to be named in `pass_fds`; ValueError after `handed_over()`."""
        return self._reader.fileno()

    @property
    def env(self) -> dict[str, str]:
        """What the child's environment must hold for `hold_lifeline()`."""
        return {VARIABLE: str(self.fd)}

    def handed_over(self) -> None:
        """Close this process's copy of the read end: the child has its own."""
        self._reader.close()

    def close(self) -> None:
        """Let go: a child that still runs ends as if this process had died. Safe to repeat."""
        self._reader.close()
        self._writer.close()


def hold_lifeline(escalate_s: float = ESCALATE_S) -> None:
    """End this process when its parent is gone; call it first in `__main__`.

    SIGTERM at once, `os._exit(70)` after `escalate_s` seconds. Without TIDEHOLD_LIFELINE (started
    by hand) it does nothing. Raise ValueError or OSError if the variable names no open pipe.
    """
    number = os.environ.pop(VARIABLE, None)
    if number is None:
        return
    read_fd = int(number)
    os.set_inheritable(read_fd, False)
    watch = threading.Thread(
        target=_end_with_parent, args=(read_fd, escalate_s), name="lifeline", daemon=True
    )
    watch.start()


def _end_with_parent(read_fd: int, escalate_s: float) -> None:
    os.read(read_fd, 1)  # nobody writes: it returns only at end of file
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(escalate_s)
    os._exit(EXIT_CODE)
