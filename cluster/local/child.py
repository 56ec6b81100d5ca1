"""One supervised child process: started, restarted when it dies, stopped for certain.

Restarts wait with full jitter. A child that dies again and again, or says that restarting cannot
help (wrong flags, unusable database), is given up. It lives in a session of its own, so that
Ctrl-C reaches only the parent, and on a lifeline, so that it never outlives the parent. A
foreground child (the console) has the terminal instead, and its end is the person's decision.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal

from cluster.backoff import Backoff
from cluster.lifeline import Lifeline
from cluster.settings import PREFIX

GRACE_S = 5.0
EXIT_USAGE = 2  # what argparse exits with
EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h: settings or database unusable
HOPELESS_EXITS = frozenset({EXIT_USAGE, EXIT_CONFIG})
TAIL_BYTES = 4096

State = Literal["starting", "running", "restarting", "failed", "stopped"]


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When to try again and when to give up; all durations in seconds."""

    base_s: float = 0.5
    cap_s: float = 10.0
    healthy_after_s: float = 30.0  # a life this long starts the backoff anew
    max_deaths: int = 5  # this many deaths ...
    within_s: float = 60.0  # ... within this time are a crash loop


class Child:
    """A program that is kept alive by `run()` until `stop()`; a stopped child stays stopped.

    `restarts` counts new starts after a death; `last_exit` is the latest exit code, negative for
    a signal; `last_line` is the last non-empty line of the log at that moment. `on_change` is
    called in the event loop after every change of `state`.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path | None = None,
        env: Mapping[str, str] | None = None,
        foreground: bool = False,
        policy: RestartPolicy = RestartPolicy(),
        on_change: Callable[["Child"], None] | None = None,
    ) -> None:
        """Raise ValueError unless there is either a `log` to append to or the foreground.

        `env` adds to this process's environment. The folder of `log` must exist.
        """
        if foreground == (log is not None):
            raise ValueError(f"{name}: a child has either a log file or the foreground")
        self.name = name
        self.argv = tuple(argv)
        self.env = dict(env or {})
        self.log = log
        self.policy = policy
        self.state: State = "stopped"
        self.restarts = 0
        self.last_exit: int | None = None
        self.last_line = ""
        self._on_change = on_change
        self._process: asyncio.subprocess.Process | None = None
        self._lifeline: Lifeline | None = None
        self._born = 0.0  # loop time
        self._spawning = asyncio.Lock()
        self._stop_asked = asyncio.Event()

    @property
    def foreground(self) -> bool:
        """Whether the child has the terminal instead of a log."""
        return self.log is None

    @property
    def pid(self) -> int | None:
        """The process id while the child lives, else None."""
        if self._process is None or self._process.returncode is not None:
            return None
        return self._process.pid

    async def start(self) -> None:
        """Start the process: it lives, though it need not be ready, when this returns.

        Does nothing while it lives or after `stop()`. Raise OSError if the program or the folder
        of the log is missing; the child has failed then.
        """
        async with self._spawning:
            if self._process is None and not self._stop_asked.is_set():
                await self._spawn()

    async def run(self) -> None:
        """Keep the child alive; return when it is stopped, given up, or left by the person.

        Starts it if `start()` did not. Cancelling this stops the child. Raise as `start()` does.
        """
        backoff = Backoff(self.policy.base_s, self.policy.cap_s, Random())
        deaths: deque[float] = deque(maxlen=self.policy.max_deaths)
        try:
            while await self._lives_and_dies(backoff):
                deaths.append(asyncio.get_running_loop().time())
                if self.foreground and self.last_exit == 0:
                    break
                if self.foreground or self._is_hopeless(deaths):
                    self._become("failed")
                    break
                self._become("restarting")
                await self._rest(backoff.next_s())
        finally:
            await self.stop()

    async def stop(self, grace_s: float = GRACE_S) -> None:
        """End the child for good: SIGTERM, then SIGKILL after `grace_s` seconds.

        Returns when the process is gone. Safe to repeat; a failed child stays failed.
        """
        self._stop_asked.set()
        async with self._spawning:  # a process that is just being born is met alive
            process = self._process
        if process is not None:
            await self._end(process, grace_s)
        if self.state != "failed":
            self._become("stopped")

    async def _lives_and_dies(self, backoff: Backoff) -> bool:
        """Live through one life of the process; False if the end was asked for."""
        await self.start()
        process = self._process
        if process is not None:
            await process.wait()
            await self._bury(process)
        if asyncio.get_running_loop().time() - self._born >= self.policy.healthy_after_s:
            backoff.reset()
        return not self._stop_asked.is_set()

    def _is_hopeless(self, deaths: deque[float]) -> bool:
        in_a_row = len(deaths) == deaths.maxlen and deaths[-1] - deaths[0] <= self.policy.within_s
        return in_a_row or self.last_exit in HOPELESS_EXITS

    async def _rest(self, wait_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._stop_asked.wait()

    async def _spawn(self) -> None:
        self.restarts += self.state == "restarting"
        self._become("starting")
        self._lifeline = Lifeline()
        try:
            self._process = await self._exec(self._lifeline)
        except OSError:
            self._become("failed")
            raise
        finally:
            self._lifeline.handed_over()
            if self._process is None:
                self._lifeline.close()
        self._born = asyncio.get_running_loop().time()
        self._become("running")

    async def _exec(self, lifeline: Lifeline) -> asyncio.subprocess.Process:
        with ExitStack() as files:
            log = files.enter_context(self.log.open("ab")) if self.log is not None else None
            return await asyncio.create_subprocess_exec(
                *self.argv,
                stdin=asyncio.subprocess.DEVNULL if log else None,
                stdout=log,
                stderr=log,
                env={**_environment(), **self.env, **lifeline.env},
                pass_fds=(lifeline.fd,),
                start_new_session=not self.foreground,
            )

    async def _end(self, process: asyncio.subprocess.Process, grace_s: float) -> None:
        try:
            with suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(grace_s):
                    await process.wait()
            except TimeoutError:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
            await self._bury(process)
        finally:
            if self._lifeline is not None:  # cancelled: the child ends by itself
                self._lifeline.close()

    async def _bury(self, process: asyncio.subprocess.Process) -> None:
        """Remember the end of a dead process and let go of it; harmless when done twice."""
        if self.log is not None:
            self.last_line = await asyncio.to_thread(_last_line, self.log)
        self.last_exit = process.returncode
        if self._lifeline is not None:
            self._lifeline.close()
        self._process = None

    def _become(self, state: State) -> None:
        if state != self.state:
            self.state = state
            if self._on_change is not None:
                self._on_change(self)


def _environment() -> dict[str, str]:
    """This process's, without settings: a child's are in its flags, whatever the shell has."""
    return {key: text for key, text in os.environ.items() if not key.startswith(f"{PREFIX}_")}


def _last_line(log: Path) -> str:
    """Return the last line that is not blank, "" if there is none or no such file any more."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
