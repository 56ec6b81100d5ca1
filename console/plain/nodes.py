"""`nodes`: list them, add one after a test of its address, remove one."""

import sys

from cluster.exchange import Nothing
from cluster.peer import Peer
from cluster.protocol import central
from console import format as fmt
from console.commands import Commands
from console.plain.moves import Unwanted
from console.plain.page import Page

ASK_S = 10.0


async def show(peer: Peer, page: Page) -> None:
    """Name, address, and whether it is up."""
    found = await peer.call(central.NODES, Nothing(), timeout_s=ASK_S)
    for view in sorted(found.nodes, key=lambda view: fmt.natural(view.name)):
        page.say(f"{view.name} {view.url} {view.live}")


async def add(commands: Commands, page: Page, name: str, url: str, *, untested: bool) -> None:
    """Poll a node from now on. Unwanted when another one answers there."""
    if not untested:
        found = await commands.test(url)
        page.say(
            f"{found.name} answers there in {found.rtt_ms:.0f} ms: version {found.version}, "
            f"{found.records:,} records, drift {fmt.drift(found.drift_ms)}"
        )
        if found.name != name:
            raise Unwanted(f"that is {fmt.safe(found.name)}, not {fmt.safe(name)}")
    answer = await commands.add(name, url)
    page.say(answer.text)


async def remove(commands: Commands, page: Page, name: str, *, yes: bool) -> None:
    """Poll it no more. Unwanted where nobody can be asked, or nobody wants it."""
    if not yes:
        if not (sys.stdin.isatty() and page.terminal):
            raise Unwanted("nobody can be asked here: give --yes to remove it")
        page.say(f"Its records stay at central. Type {name} to remove it:")
        if sys.stdin.readline().strip() != name:
            raise Unwanted("nothing was removed")
    answer = await commands.remove(name)
    page.say(answer.text)
