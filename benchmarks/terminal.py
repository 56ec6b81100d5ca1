"""A pseudo-terminal with a program in it: what it writes, when, and how fast it may be read."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import psutil

SIZE = (140, 40)
PIECE = 65_536
TURN_S = 0.02
#: Longer than a program is silent within one frame.
PAUSE_S = 0.04
END_S = 5.0


class Terminal:
    """`rate`: bytes a second at which the line carries what the program writes; None: at once."""

    def __init__(self, argv: Sequence[str], env: dict[str, str], rate: float | None = None) -> None:
        self.born = time.monotonic()
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.execvpe(argv[0], list(argv), {**os.environ, **env, "TERM": "xterm-256color",
                                             "COLORTERM": "truecolor"})  # fmt: skip
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE[1], SIZE[0], 0, 0))
        self._process = psutil.Process(self.pid)
        self._rate = rate
        self._credit, self._credited_at = 0.0, self.born
        self.received = 0

    def read(self, timeout_s: float) -> bytes:
        """What has come, as far as the line carries it; nothing after `timeout_s`."""
        if not select.select([self._fd], [], [], timeout_s)[0]:
            return b""
        room = PIECE
        if self._rate is not None:
            now = time.monotonic()
            self._credit += (now - self._credited_at) * self._rate
            self._credit, self._credited_at = min(self._credit, self._rate / 10), now
            room = int(self._credit)
            if room <= 0:
                time.sleep(TURN_S)
                return b""
        try:
            found = os.read(self._fd, room)
        except OSError:  # the program has ended
            return b""
        self._credit -= len(found)
        self.received += len(found)
        return found

    def watch(self, seconds: float, see: Callable[[bytes], None] = lambda _: None) -> None:
        """Read on for a while."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            see(self.read(min(left, TURN_S)))

    def until(self, pattern: bytes, within_s: float = 30.0) -> float:
        """Seconds since the start when something like this came. TimeoutError when it does not."""
        seen = b""
        while time.monotonic() - self.born < within_s:
            seen += self.read(TURN_S)
            if re.search(pattern, seen):
                return time.monotonic() - self.born
        raise TimeoutError(f"{pattern!r} did not come")

    def press(self, keys: bytes) -> None:
        os.write(self._fd, keys)

    def burst(self, within_s: float = 1.0) -> tuple[float, float]:
        """Seconds to the first and the last byte of what is written now, until it pauses.

        TimeoutError when nothing is.
        """
        began, first, last = time.monotonic(), 0.0, 0.0
        while (after := time.monotonic() - began) < within_s:
            if self.read(PAUSE_S / 4):
                last = time.monotonic() - began
                first = first or last
            elif first and after - last > PAUSE_S:
                break
        if not first:
            raise TimeoutError(f"nothing was written for {within_s:g} s")
        return first, last

    def cpu_s(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def close(self) -> None:
        """End the program in order, so that it can tell how it went."""
        os.kill(self.pid, signal.SIGTERM)
        end = time.monotonic() + END_S
        while os.waitpid(self.pid, os.WNOHANG)[0] == 0:
            self.read(TURN_S)
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
        os.close(self._fd)


@contextmanager
def terminal(
    argv: Sequence[str], env: dict[str, str], rate: float | None = None
) -> Iterator[Terminal]:
    opened = Terminal(argv, env, rate)
    try:
        yield opened
    finally:
        opened.close()
