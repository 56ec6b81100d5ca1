"""One life of a child process, from its birth to its certain end.

Without a log it has the terminal. With one it lives in a session of its own, so that Ctrl-C
reaches only the parent; and always on a lifeline, so that it never outlives the parent.
"""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from cluster.lifeline import Lifeline
from cluster.settings import PREFIX


class Life:
    """Made by `begin`. `frozen`: it was made to stand still, and has not been thawed."""

    def __init__(self, process: asyncio.subprocess.Process, lifeline: Lifeline) -> None:
        self.frozen = False
        self.born_s = asyncio.get_running_loop().time()
        self._process = process
        self._lifeline = lifeline

    @classmethod
    async def begin(cls, argv: Sequence[str], env: Mapping[str, str], log: Path | None) -> "Life":
        """Start a process that appends to `log`. OSError if the program or the folder is missing.

        `env` adds to this process's environment.
        """
        lifeline = Lifeline()
        with ExitStack() as undo, ExitStack() as files:
            undo.callback(lifeline.close)
            output = files.enter_context(log.open("ab")) if log is not None else None
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL if output else None,
                stdout=output,
                stderr=output,
                env={**_environment(), **env, **lifeline.env},
                pass_fds=(lifeline.fd,),
                start_new_session=log is not None,
            )
            lifeline.handed_over()
            undo.pop_all()
        return cls(process, lifeline)

    @property
    def pid(self) -> int | None:
        """The process id while it lives, else None."""
        return self._process.pid if self.exit is None else None

    @property
    def exit(self) -> int | None:
        """The exit code, negative for a signal; None while it lives."""
        return self._process.returncode

    async def wait(self) -> None:
        """Return when it is dead."""
        await self._process.wait()
        self._lifeline.close()

    async def end(self, grace_s: float) -> None:
        """SIGTERM, and SIGKILL after `grace_s` seconds; SIGKILL alone if that is 0.

        Returns when it is dead. Safe to repeat. Cancelled, it still ends: its lifeline is cut.
        """
        try:
            with suppress(ProcessLookupError):
                if grace_s > 0:
                    self._process.terminate()
                    if self.frozen:  # it hears SIGTERM only when it goes on
                        self.thaw()
            try:
                async with asyncio.timeout(grace_s):
                    await self._process.wait()
            except TimeoutError:
                with suppress(ProcessLookupError):
                    self._process.kill()
                await self._process.wait()
        finally:
            self._lifeline.close()

    def freeze(self) -> None:
        """Make it stand still (SIGSTOP). ProcessLookupError when it is dead."""
        self._process.send_signal(signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        """Let it go on (SIGCONT). ProcessLookupError when it is dead."""
        self._process.send_signal(signal.SIGCONT)
        self.frozen = False


def _environment() -> dict[str, str]:
    """This process's, without settings: a child's are in its flags, whatever the shell has."""
    return {key: text for key, text in os.environ.items() if not key.startswith(f"{PREFIX}_")}
