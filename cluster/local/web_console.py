"""The console in a browser, as a child of run_cluster.py.

The key that opens it is made here and goes down by the environment, like the token. So the child
never writes it into its log, and one that died takes the same key again: an open page need only
be loaded anew.
"""

import asyncio
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

import psutil

from cluster.local.child import Child
from cluster.local.members import StartFailed, how_ended
from cluster.local.ports import HOST, Ports
from cluster.settings import KEY_VARIABLE

PORT = 8180
LOOK_EVERY_S = 0.1


async def serve_console(
    central: str, env: Mapping[str, str], log: Path, announce: Callable[[str], None]
) -> NoReturn:
    """Keep the console of `central` at an address, which `announce` hears when it can be opened.

    StartFailed when it cannot be kept.
    """
    key = secrets.token_urlsafe(32)
    try:
        port = Ports().take(PORT, "tcp")
        child = _child(central, port, {**env, KEY_VARIABLE: key}, log)
        address = f"http://{HOST}:{port}/?key={key}"
        announcing = asyncio.create_task(_announce(child, port, address, announce))
        try:
            await child.run()
        finally:
            announcing.cancel()
    except OSError as error:
        raise StartFailed(f"the console cannot be served: {error}") from None
    raise StartFailed(f"the console cannot be served ({how_ended(child)}): {child.last_line}")


def _child(central: str, port: int, env: Mapping[str, str], log: Path) -> Child:
    log.write_bytes(b"")  # last words must be this run's
    flags = f"--central={central}", f"--port={port}"
    return Child("web", [sys.executable, "-m", "console.web", *flags], log=log, env=env)


async def _announce(child: Child, port: int, address: str, announce: Callable[[str], None]) -> None:
    while True:
        if await asyncio.to_thread(_listens, child.pid, port):
            announce(address)
            return
        await asyncio.sleep(LOOK_EVERY_S)


def _listens(pid: int | None, port: int) -> bool:
    """Whether this very process has the port: nobody else may be sent the key."""
    try:
        sockets = psutil.Process(pid).net_connections("tcp") if pid is not None else []
    except (psutil.Error, OSError):
        return False
    return any(one.status == psutil.CONN_LISTEN and one.laddr == (HOST, port) for one in sockets)
