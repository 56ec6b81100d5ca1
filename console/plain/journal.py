"""`journal`: the latest lines, and what is new."""

from argparse import Namespace

import msgspec

from cluster.protocol.central import JournalAsk
from cluster.protocol.views import JournalLine
from cluster.shape import wording
from console.commands import Commands
from console.plain.keyboard import Unwanted
from console.plain.lines import journal_line
from console.plain.listener import Listener
from console.plain.page import Page
from console.query import LineQuery


def query_of(given: Namespace) -> LineQuery:
    """Which lines are wanted."""
    words = (given.text.casefold(),) if given.text else ()
    return LineQuery(given.level, given.node, given.kind, words)


async def past(commands: Commands, page: Page, given: Namespace) -> int:
    """Print the latest lines that are wanted; the number of the last one, 0 without any."""
    try:
        asks = query_of(given).asks(limit=given.limit)
    except msgspec.ValidationError as error:
        raise Unwanted(wording(error, JournalAsk)) from None
    lines: list[JournalLine] = []
    for ask in asks:
        lines += await commands.journal(ask)
    lines = sorted(lines, key=lambda line: line.seq)[-given.limit :]
    for line in lines:
        tell(line, page, json=given.json)
    return lines[-1].seq if lines else 0


async def follow(
    listener: Listener, page: Page, query: LineQuery, after: int, *, json: bool
) -> None:
    """Print what is wanted of what comes, for ever."""
    store = listener.store
    async for _ in listener.changes(page.aside if json else page.warn):
        if store.last_seq is not None and store.last_seq < after:
            after = 0  # central has another database, and numbers anew
        new = [line for line in store.journal if line.seq > after]
        for line in new:
            if query.holds(line):
                tell(line, page, json=json)
        after = new[-1].seq if new else after


def tell(line: JournalLine, page: Page, *, json: bool) -> None:
    if json:
        page.raw(msgspec.json.encode(line))
    else:
        page.write(*journal_line(line))
