"""`nodes`: list them, add one after a test of its address, remove one."""

from cluster.peer import PeerFailed
from cluster.protocol.central import NodeFound
from console import format as fmt
from console.commands import Commands
from console.plain.keyboard import Unwanted, typed
from console.plain.page import Page
from console.plain.table import Column, Row, Table
from console.store import Store

COLUMNS = (Column("NODE", 64), Column("LIVE", 7), Column("ADDRESS", 300))


def show(fleet: Store, page: Page) -> None:
    """Name, whether it is up, and its address."""
    views = sorted(fleet.nodes.values(), key=lambda view: fmt.natural(view.name))
    rows: list[Row] = [
        ((fmt.safe(view.name), "plain"), (view.live, "plain"), (fmt.safe(view.url), "plain"))
        for view in views
    ]
    table = Table(COLUMNS, page.columns)
    table.fit(rows)
    for row in rows:
        page.write(*table.line(row))


async def add(commands: Commands, page: Page, name: str, url: str, *, untested: bool) -> None:
    """Poll a node from now on. Unwanted when another one answers there."""
    if not untested:
        found = await _test(commands, page, url)
        page.say(_says(found))
        if found.name != name:
            raise Unwanted(f"that is {found.name}, not {name}; nothing was added")
    answer = await commands.add(name, url)
    page.say(answer.text)


async def _test(commands: Commands, page: Page, url: str) -> NodeFound:
    try:
        return await commands.test(url)
    except PeerFailed as failed:
        if failed.problem is not None and failed.problem.code == "node_unreachable":
            page.warn("nobody was added; --untested adds a node that is away just now")
        raise


def _says(found: NodeFound) -> str:
    """Who answered, in a sentence."""
    drift = f"{fmt.drift(found.drift_ms)} {fmt.around(found.bound_ms)}".rstrip()
    clock = f", its clock is {found.clock_word}" if found.clock_word not in (None, "OK") else ""
    known = f"; in the fleet as {found.known_as} already" if found.known_as else ""
    return (
        f"{found.name} answers there in {found.rtt_ms:.0f} ms: version {found.version}, "
        f"{found.records:,} records, drift {drift}{clock}{known}"
    )


async def remove(commands: Commands, page: Page, name: str, *, yes: bool) -> bool:
    """Poll it no more, if that is wanted. Unwanted where nobody can be asked."""
    if not yes:
        question = f"Its records stay at central. Type {name} to remove it:"
        unasked = "nobody can be asked here: give --yes to remove it"
        if await typed(question, page, unasked=unasked) != name:
            page.say("nothing was removed")
            return False
    answer = await commands.remove(name)
    page.say(answer.text)
    return True
