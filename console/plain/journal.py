"""`journal`: the latest lines, and what is new."""

import asyncio
from argparse import Namespace
from collections.abc import Callable
from itertools import chain

import msgspec
from msgspec.structs import replace

from cluster.peer import PeerFailed
from cluster.protocol.central import JournalAsk
from cluster.protocol.views import JournalLine
from cluster.shape import wording
from console.commands import Commands
from console.plain.keyboard import Unwanted
from console.plain.lines import journal_line
from console.plain.listener import Listener
from console.plain.page import Page
from console.query import LineQuery

PAGE_LINES = 1_000


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
    answers = await asyncio.gather(*map(commands.journal, asks))
    lines = _in_order([*chain.from_iterable(answers)])[-given.limit :]
    for line in lines:
        tell(line, page, json=given.json)
    return lines[-1].seq if lines else 0


async def follow(
    commands: Commands, listener: Listener, page: Page, query: LineQuery, after: int, *, json: bool
) -> None:
    """Print what is wanted of what comes after this line, for ever."""
    store, warn = listener.store, page.aside if json else page.warn
    epoch, heard = "", False  # whether `after` is the last line of all, not only of the wanted ones
    async for _ in listener.changes(warn):
        last = store.last_seq
        if store.status is None or last is None:
            continue
        if last < after or epoch not in ("", store.status.epoch):
            after, heard = 0, False  # central has another database, and numbers anew
        epoch = store.status.epoch
        new = [line for line in store.journal if line.seq > after]
        if heard and new and new[0].seq > after + 1:
            new = [*await _between(commands, query, after, new[0].seq, warn), *new]
        for line in new:
            if query.holds(line):
                tell(line, page, json=json)
        after, heard = last, True


async def _between(
    commands: Commands, query: LineQuery, after: int, before: int, warn: Callable[[str], None]
) -> list[JournalLine]:
    """What was written while nobody listened: the stream itself tells of the last lines only."""
    asks = [replace(ask, after=after) for ask in query.asks(limit=PAGE_LINES, before=before)]
    lines: list[JournalLine] = []
    try:
        for ask in asks:
            while page := await commands.journal(ask):
                lines += page
                ask = replace(ask, after=page[-1].seq)
    except PeerFailed as failed:
        warn(f"not all lines from {after + 1} to {before - 1} are here: {failed}")
    return _in_order(lines)


def _in_order(lines: list[JournalLine]) -> list[JournalLine]:
    """Each level was asked for by itself."""
    return sorted(lines, key=lambda line: line.seq)


def tell(line: JournalLine, page: Page, *, json: bool) -> None:
    if json:
        page.raw(msgspec.json.encode(line))
    else:
        page.write(*journal_line(line))
