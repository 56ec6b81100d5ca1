"""One supervised child process: started, restarted when it dies, stopped for certain.

Restarts wait with full jitter. A child that dies again and again, or says that restarting cannot
help (wrong flags, unusable database), is given up. A foreground child (the console) has the
terminal, and its end is the person's decision. A child can also be hurt on purpose: what dies by
our own hand is no sign of a crash loop, and is started again at once.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from cluster.backoff import Backoff
from cluster.local.life import Life
from cluster.protocol.local import ProcessState

GRACE_S = 5.0
EXIT_USAGE = 2  # what argparse exits with
EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h: settings or database unusable
HOPELESS_EXITS = frozenset({EXIT_USAGE, EXIT_CONFIG})
TAIL_BYTES = 4096


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When to try again and when to give up; all durations in seconds."""

    base_s: float = 0.5
    cap_s: float = 10.0
    healthy_after_s: float = 30.0  # a life this long starts the backoff anew
    max_deaths: int = 5  # this many deaths ...
    within_s: float = 60.0  # ... within this time are a crash loop


class ChildGone(Exception):
    """The child was given up or stopped: nothing starts it again."""


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
        self.state: ProcessState = "stopped"
        self.restarts = 0
        self.last_exit: int | None = None
        self.last_line = ""
        self._on_change = on_change
        self._life: Life | None = None
        self._birth = asyncio.Lock()
        self._stop_asked = False
        self._hurry = asyncio.Event()  # ends the rest before a restart
        self._restart = asyncio.Lock()
        self._by_our_hand = False  # the death that comes next
        self._before_birth: Callable[[], None] | None = None
        self._settled = asyncio.Event()  # it lives, or never will again

    @property
    def foreground(self) -> bool:
        """Whether the child has the terminal instead of a log."""
        return self.log is None

    @property
    def pid(self) -> int | None:
        """The process id while the child lives, else None."""
        return self._life.pid if self._life is not None else None

    @property
    def frozen(self) -> bool:
        """Whether `freeze()` holds it."""
        return self._life is not None and self._life.frozen

    async def start(self) -> None:
        """Start the process: it lives, though it need not be ready, when this returns.

        Does nothing while it lives or after `stop()`. Raise OSError if the program or the folder
        of the log is missing; the child has failed then.
        """
        async with self._birth:
            if self._life is None and not self._stop_asked:
                await self._be_born()

    async def run(self) -> None:
        """Keep the child alive; return when it is stopped, given up, or left by the person.

        Starts it if `start()` did not. Cancelling this stops the child. Raise as `start()` does.
        """
        backoff = Backoff(self.policy.base_s, self.policy.cap_s, Random())
        deaths: deque[float] = deque(maxlen=self.policy.max_deaths)
        try:
            while await self._lives_and_dies(backoff):
                if self._by_our_hand:
                    self._by_our_hand = False
                    self._become("restarting")
                    continue
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
        """End the child for good: SIGTERM, and SIGKILL after `grace_s` seconds (0: at once).

        Returns when the process is gone. Safe to repeat; a failed child stays failed.
        """
        self._stop_asked = True
        self._hurry.set()
        async with self._birth:  # a process that is just being born is met alive
            life = self._life
        if life is not None:
            await life.end(grace_s)
            await self._bury(life)
        if self.state != "failed":
            self._become("stopped")

    async def restart(
        self,
        grace_s: float = GRACE_S,
        *,
        argv: Sequence[str] | None = None,
        before: Callable[[], None] | None = None,
    ) -> None:
        """End the process as `stop()` does, and start it again at once; return when it lives.

        It is started with `argv` from then on, if that is given. `before` is called in a thread
        while no process lives; its OSError fails the child. ChildGone when there is no new life.
        """
        async with self._restart:
            async with self._birth:
                self._check_supervised()
                life = self._life
                self._by_our_hand = life is not None
                self._before_birth = before
                self.argv = tuple(argv or self.argv)
                self._settled.clear()
            if life is not None:
                await life.end(grace_s)
            self._hurry.set()
            await self._settled.wait()
        self._check_supervised()

    def freeze(self) -> None:
        """Make the process stand still. ProcessLookupError when there is none."""
        self._living().freeze()

    def thaw(self) -> None:
        """Let a frozen process go on. ProcessLookupError when there is none."""
        self._living().thaw()

    def _living(self) -> Life:
        if self._life is None:
            raise ProcessLookupError(f"{self.name} has no process")
        return self._life

    def _check_supervised(self) -> None:
        if self._stop_asked or self.state in ("failed", "stopped"):
            raise ChildGone(f"{self.name} is {self.state}")

    async def _lives_and_dies(self, backoff: Backoff) -> bool:
        """Live through one life of the process; False if the end was asked for."""
        await self.start()
        life = self._life
        if life is not None:
            await life.wait()
            await self._bury(life)
            if asyncio.get_running_loop().time() - life.born_s >= self.policy.healthy_after_s:
                backoff.reset()
        return not self._stop_asked

    def _is_hopeless(self, deaths: deque[float]) -> bool:
        in_a_row = len(deaths) == deaths.maxlen and deaths[-1] - deaths[0] <= self.policy.within_s
        return in_a_row or self.last_exit in HOPELESS_EXITS

    async def _rest(self, wait_s: float) -> None:
        self._hurry.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._hurry.wait()

    async def _be_born(self) -> None:
        self.restarts += self.state == "restarting"
        self._become("starting")
        before, self._before_birth = self._before_birth, None
        try:
            if before is not None:
                await asyncio.to_thread(before)
            self._life = await Life.begin(self.argv, self.env, self.log)
        except OSError:
            self._become("failed")
            raise
        self._become("running")

    async def _bury(self, life: Life) -> None:
        """Remember the end of a dead process and let go of it; harmless when done twice."""
        last_line = await asyncio.to_thread(_last_line, self.log) if self.log is not None else ""
        if self._life is life:
            self.last_line, self.last_exit = last_line, life.exit
            self._life = None

    def _become(self, state: ProcessState) -> None:
        if state in ("running", "failed", "stopped"):
            self._settled.set()
        if state != self.state:
            self.state = state
            if self._on_change is not None:
                self._on_change(self)


def _last_line(log: Path) -> str:
    """Return the last line that is not blank, "" if there is none or no such file any more."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
