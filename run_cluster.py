"""`python run_cluster.py`: a whole Tidehold on this machine, for as long as you look at it.

It starts central and N nodes as child processes, keeps them alive, and opens the console on the
terminal. With --web it prints an address that opens the console in a browser on this machine.
Without a terminal, or with --headless, it prints a line for each node every two seconds.
All is kept in one folder: the same folder again goes on where the last run ended. With --verify
both sides are made equal at the end, and their files are compared record by record.

The first Ctrl-C (or SIGTERM) stops in order: nodes, then central. The second ends all at once.
Exit codes: 0 stopped as asked (by --seconds, the console, or the first signal), 1 a program could
not be kept alive or the sets are not equal, 2 a wrong setting or missing packages, 78 a data
folder that cannot be used, 130 ended at once.
"""

import signal
import sys
from importlib.util import find_spec

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until it is heeded: no traceback of an import

if None in map(
    find_spec,
    [
        "aiohttp",
        "aiosqlite",
        "cryptography",
        "msgspec",
        "ntplib",
        "prometheus_client",
        "psutil",
        "textual",
        "textual_serve",
        "uvloop",
        *(["backports"] if sys.version_info < (3, 14) else []),
    ],
):
    print(
        "cluster: packages are missing; get them with `make run`, or with "
        "`python -m venv .venv && .venv/bin/pip install -e .`",
        file=sys.stderr,
    )
    sys.exit(2)

import asyncio
import os
import sqlite3
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.exchange import Nothing
from cluster.local.certs import Certs, own_certs
from cluster.local.child import Child
from cluster.local.equal import NotEqual, make_equal
from cluster.local.folder import FolderUnusable, claimed
from cluster.local.members import Cluster, Member, StartFailed, how_ended
from cluster.local.patience import EndedAtOnce, Patience
from cluster.local.settings import ClusterSettings, central_flags, node_flags
from cluster.local.web_console import serve_console
from cluster.local.workbench import workbench
from cluster.peer import PeerFailed, open_session
from cluster.program import OK, UNUSABLE, USAGE
from cluster.protocol import central as protocol
from cluster.protocol.views import NodeView
from cluster.settings import SettingsWrong, load

FAILED, AT_ONCE = 1, 130  # exit codes besides those of cluster.program
STATES_EVERY_S = 2.0
ASK_S = 2.0
#: Leave the alternate screen, show the cursor, end mouse reports and bracketed paste.
SANE = "".join(f"\x1b[?{mode}" for mode in ("1049l", "25h", "1000l", "1003l", "1006l", "2004l"))


def main() -> int:
    """From the flags to the exit code."""
    code, line = OK, ""
    try:
        settings = load(
            ClusterSettings, "cluster", sys.argv[1:], os.environ, command="python run_cluster.py"
        )
        if settings.web and settings.headless:
            raise SettingsWrong("--web, --headless: give only one of them")
        with claimed(Path(settings.data)) as (folder, token):
            code = asyncio.run(Visit(settings, folder, token).run())
    except SettingsWrong as wrong:
        code, line = USAGE, str(wrong)
    except FolderUnusable as unusable:
        code, line = UNUSABLE, str(unusable)
    if line:
        print(f"cluster: {line}", file=sys.stderr)
    return code


class Visit:
    """One run of the cluster, from its start to its stop."""

    def __init__(self, settings: ClusterSettings, folder: Path, token: str) -> None:
        self._settings = settings
        self._folder = folder
        self._token = token
        self._patience = Patience()
        self._code = OK
        self._console_open = False
        self._kept_back: list[str] = []  # what would have spoilt the console's screen

    async def run(self) -> int:
        """Start, look on, make equal if that is wanted, stop, compare; the exit code."""
        certs = self._make_certs()
        tls = certs.calling if certs else None
        async with open_session(tls) as session, asyncio.TaskGroup() as group:
            cluster = Cluster(
                self._folder,
                self._token,
                self._settings.port,
                session,
                group,
                self._given_up,
                certs,
            )
            try:
                async with self._patience.everything():
                    try:
                        await self._go_through(cluster)
                    finally:
                        await self._stop(cluster)
            except EndedAtOnce:
                self._fail("ended at once")
                self._code = AT_ONCE
            finally:
                await cluster.kill()
        if self._settings.verify and self._code != AT_ONCE:
            await asyncio.to_thread(self._verify, cluster)
        return self._code

    def _make_certs(self) -> Certs | None:
        """FolderUnusable when --tls cannot be had."""
        if not self._settings.tls:
            return None
        folder = self._folder / "certs"
        nodes = [f"node-{number}" for number in range(1, self._settings.nodes + 1)]
        try:
            return own_certs(folder, ["central", *nodes])
        except (OSError, ValueError) as error:
            raise FolderUnusable(f"{folder}: cannot be used: {error}") from None

    async def _go_through(self, cluster: Cluster) -> None:
        """All that comes before the stop."""
        settings, loop = self._settings, asyncio.get_running_loop()
        flags = [node_flags(settings, number) for number in range(1, settings.nodes + 1)]
        try:
            async with self._patience.phase() as phase:
                begun_s = loop.time()
                self._tell(f"starting central and {settings.nodes} nodes")
                await cluster.start(central_flags(settings), flags)
                self._tell(
                    f"central is at {cluster.central.url}, the token in {settings.data}/token; "
                    f"{settings.nodes} nodes ready in {loop.time() - begun_s:.1f} s"
                )
                if settings.seconds is not None:
                    phase.reschedule(loop.time() + settings.seconds)
                async with workbench(cluster, self._token) as address:
                    await self._look_on(cluster, address)
        except StartFailed as failed:
            self._fail(str(failed))
        if settings.verify and cluster.ready:
            async with self._patience.phase():
                await asyncio.gather(*(self._make_equal(cluster, node) for node in cluster.nodes))

    async def _look_on(self, cluster: Cluster, address: str) -> None:
        """What the person sees of it; `address`: where members can be broken meanwhile."""
        env = cluster.env | {"TIDEHOLD_CONSOLE_WORKBENCH": address}
        if self._settings.web:
            await self._in_browser(cluster, env)
        elif self._is_headless():
            token = f'-H "Authorization: Bearer $(cat {self._settings.data}/token)"'
            self._tell(f"break it: curl -X POST {token} {address}/v1/members/node-1/kill")
            await self._states(cluster)
        else:
            await self._console(cluster, env)

    async def _stop(self, cluster: Cluster) -> None:
        begun_s = asyncio.get_running_loop().time()
        await cluster.stop()
        took_s = asyncio.get_running_loop().time() - begun_s
        self._tell(f"stopped in {took_s:.1f} s; everything is kept in {self._settings.data}")

    def _is_headless(self) -> bool:
        """Whether lines are wanted, or there is no terminal, or this runs in its background."""
        terminal = all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
        in_front = terminal and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
        return self._settings.headless or not in_front

    async def _console(self, cluster: Cluster, env: dict[str, str]) -> None:
        """The console has the terminal until the person leaves it, or its time is up."""
        argv = [sys.executable, "-m", "console", f"--central={cluster.central.url}"]
        console = Child("console", argv, env=env, foreground=True)
        self._console_open = True
        try:
            with terminal_kept(console):
                await console.run()
        finally:
            self._console_open = False
            for line in self._kept_back:
                self._fail(line)
        if console.last_exit:
            self._fail(f"the console ended with {how_ended(console)}")

    async def _in_browser(self, cluster: Cluster, env: dict[str, str]) -> None:
        """The console is at an address; from then on, only what goes wrong is told here."""
        log = self._folder / "logs" / "web.out"
        await serve_console(cluster.central.url, env, log, self._announce)

    def _announce(self, address: str) -> None:
        self._tell(f"\nThe console is at {address}")
        self._tell("Open it in a browser on this machine; Ctrl-C here stops the cluster.\n")

    async def _states(self, cluster: Cluster) -> None:
        """A line for each node, again and again."""
        while True:
            clock = time.strftime("%H:%M:%S")
            try:
                ask = Nothing()
                found = await cluster.central.peer.call(protocol.NODES, ask, timeout_s=ASK_S)
                views = sorted(found.nodes, key=lambda view: (len(view.name), view.name))
                self._tell("\n".join(state_line(clock, view) for view in views))
            except PeerFailed as failed:
                self._tell(f"{clock} central does not answer: {failed.detail}")
            await asyncio.sleep(STATES_EVERY_S)

    async def _make_equal(self, cluster: Cluster, node: Member) -> None:
        try:
            await make_equal(cluster.central.peer, node.peer, node.name)
        except NotEqual as why:
            self._fail(str(why))

    def _verify(self, cluster: Cluster) -> None:
        """Compare the files of both sides, a line for each node."""
        from tests.invariants import check  # not a part of the installed package

        if not cluster.ready:
            self._fail("nothing was compared, as not all were up")
            return
        central_file = self._folder / "central" / "central.db"
        for name in (node.name for node in cluster.nodes):
            try:
                verdict = check(name, self._folder / name / "node.db", central_file)
            except sqlite3.Error as error:
                self._fail(f"{name} cannot be compared: {error}")
            else:
                self._tell(verdict.line())
                self._code = self._code if verdict.equal else FAILED

    def _given_up(self, name: str, why: str) -> None:
        """Somebody cannot be kept alive. Without a node the others go on; not without central."""
        self._fail(why)
        if name == "central":
            self._patience.end_phase()

    def _fail(self, line: str) -> None:
        """Say what went wrong, as soon as no console is in the way."""
        self._code = FAILED
        if self._console_open:
            self._kept_back.append(line)
        else:
            print(f"cluster: {line}", file=sys.stderr, flush=True)

    def _tell(self, line: str) -> None:
        try:
            print(line, flush=True)
        except BrokenPipeError:  # nobody reads the lines any more
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self._patience.end_phase()


def state_line(clock: str, view: NodeView) -> str:
    """One node at one moment; what is not known is `?`."""
    records, drift_ms = view.records, view.clock.drift_ms if view.clock else None
    lacks = f"  lacks {records.missing_at_node}" if records.missing_at_node else ""
    return (
        f"{clock} {view.name:8} {view.live:8} {view.data:8} "
        f"node {shown(records.node):>7} central {records.central:>7} "
        f"missing {shown(records.missing_at_central):>6}  "
        f"drift {shown(drift_ms, '+.1f'):>8} ms apart {shown(view.apart_ms, '+.1f'):>6} ms{lacks}"
    )


def shown(number: float | None, form: str = "") -> str:
    return "?" if number is None else format(number, form)


@contextmanager
def terminal_kept(console: Child) -> Iterator[None]:
    """The terminal as it was before, even when the console could not clear up behind itself."""
    before = termios.tcgetattr(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSANOW, before)
        if console.last_exit != OK:
            print(SANE, end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
