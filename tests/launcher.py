"""Starts the programs of tests without the cost of starting Python.

    central = launch(["central", "--port", "8000"], os.environ)
    central.send_signal(signal.SIGKILL)
    assert central.wait(timeout_s=15) == -signal.SIGKILL

Nearly all of a start is imports: 0.4 s of CPU. So each process that runs tests keeps one launcher,
which has imported what node and central need, and has no thread and no event loop. For each start
it forks; the child takes its arguments, environment and streams, and runs the program as
`python -m` does. That is as real a process to kill, to freeze or to wait for: only its command line
is the launcher's. tests/process and tests/e2e start the programs as users do.

Nothing outlives the tests: when their end of the launcher's socket closes, whatever closed it, the
launcher kills what still runs, also what is frozen.
"""

import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import BinaryIO

PREPARED = ("central.app", "node.app", "node.clock_command", "cluster.program", "run_cluster")
NUMBER = struct.Struct("i")  # a child's pid, then its exit code: what the launcher tells


def launch(argv: Sequence[str], env: Mapping[str, str], *, fresh: bool = False) -> "Launched":
    """Start `python -m ARGV` in the root of the repository; it may not run yet on return.

    `fresh`: in a Python of its own, whose memory and command line are those of users.
    """
    ours, theirs = socket.socketpair()
    out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - closed at its end
    with theirs:
        socket.send_fds(started(), [b"+"], [file.fileno() for file in (theirs, out, err)])
    ours.sendall(json.dumps([argv, dict(env), fresh]).encode())
    ours.shutdown(socket.SHUT_WR)
    return Launched(ours, out, err)


def run(argv: Sequence[str], env: Mapping[str, str], *, fresh: bool = False) -> "Launched":
    """Start it as `launch` does, and return when it has ended. TimeoutError after 30 s."""
    program = launch(argv, env, fresh=fresh)
    program.wait(30)
    return program


class Launched:
    """A program that was started; what tests need of `subprocess.Popen`."""

    def __init__(self, launcher: socket.socket, out: BinaryIO, err: BinaryIO) -> None:
        self.returncode: int | None = None
        self.stdout = self.stderr = ""  # all of them, once it has ended
        self._launcher = launcher
        self._streams = out, err
        self._pid = 0

    @property
    def pid(self) -> int:
        if not self._pid:
            self._pid = self._told(None)
        return self._pid

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        with suppress(BlockingIOError):
            self._end(0)
        return self.returncode

    def wait(self, timeout_s: float) -> int:
        """Its exit code when it has ended. TimeoutError when it does not in time."""
        return self._end(timeout_s)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def _end(self, timeout_s: float) -> int:
        if self.returncode is None:
            self._pid = self._pid or self._told(timeout_s)
            self.returncode = self._told(timeout_s)
            self._launcher.close()
            self.stdout, self.stderr = map(_all_of, self._streams)
        return self.returncode

    def _told(self, timeout_s: float | None) -> int:
        """The next number from the launcher. ConnectionError when that is gone."""
        self._launcher.settimeout(timeout_s)
        number = self._launcher.recv(NUMBER.size)
        if not number:
            raise ConnectionError("the launcher has ended; its standard error tells why")
        return int(NUMBER.unpack(number)[0])


def _all_of(stream: BinaryIO) -> str:
    with stream:
        stream.seek(0)
        return stream.read().decode(errors="replace")


@cache
def started() -> socket.socket:
    """This process's own launcher, by its socket; it stays until this process ends."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=Path(__file__).parents[1],
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
        )
    atexit.register(process.wait)
    atexit.register(ours.close)  # before the wait: last in, first out
    return ours


class Launcher:
    """The process that forks. Its standard input is the socket of the tests."""

    def __init__(self) -> None:
        self._tests = socket.socket(fileno=0)
        self._woken, self._wake = socket.socketpair()
        self._running: dict[int, socket.socket] = {}

    def serve(self) -> socket.socket | None:
        """Fork for each request until the tests are gone: None then.

        Returns in each child, too, with the socket that tells what it shall be.
        """
        self._wake.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)  # it wakes only with a handler
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests and the children
        while True:
            ready, _, _ = select.select([self._tests, self._woken], [], [])
            if self._woken in ready:
                self._woken.recv(1_000)
                self._tell_ends()
            if self._tests in ready:
                _, fds, _, _ = socket.recv_fds(self._tests, 1, 3)
                if not fds:
                    self._kill()
                    return None
                request = socket.socket(fileno=fds[0])
                if not self._fork(request, fds[1:]):
                    return request

    def _fork(self, request: socket.socket, streams: Sequence[int]) -> int:
        """The child's pid, which is told; 0 in the child, which holds nothing of the others."""
        pid = os.fork()
        if pid:
            self._running[pid] = request
            _tell(request, pid)
        else:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for other in (self._tests, self._woken, self._wake, *self._running.values()):
                other.close()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            for number, stream in enumerate(streams, 1):
                os.dup2(stream, number)
        for stream in streams:
            os.close(stream)
        return pid

    def _tell_ends(self) -> None:
        while self._running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            with self._running.pop(pid) as request:
                _tell(request, os.waitstatus_to_exitcode(status))

    def _kill(self) -> None:
        for pid in self._running:
            os.kill(pid, signal.SIGKILL)


def _tell(request: socket.socket, number: int) -> None:
    with suppress(ConnectionError):  # the test does not want to know any more
        request.sendall(NUMBER.pack(number))


def become(request: socket.socket) -> None:
    """Run the program that a request asks for, as the first thing that this process does."""
    with request, request.makefile("rb") as file:
        argv, env, fresh = json.load(file)
    if fresh:
        os.execve(sys.executable, [sys.executable, "-m", *argv], env)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = argv
    gc.enable()
    runpy.run_module(argv[0], run_name="__main__", alter_sys=True)


def main() -> None:
    gc.disable()
    for module in PREPARED:
        import_module(module)
    gc.freeze()  # so that no child's collection touches, and so copies, what all share
    if request := Launcher().serve():
        become(request)


if __name__ == "__main__":
    main()
