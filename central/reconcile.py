"""Reconcile: find exactly what each side lacks by comparing digests of windows.

Both sides open the same windows; equal digests end a branch, a window that is empty on one side is
named as a whole, and small ones are compared by their (id, hash) lists. UUIDv7 ids begin with the
time, so one outage is one window. The idea is range-based set reconciliation (A. Meyer, 2023) on
fixed boundaries. Only records up to the status's position count at the node, so a busy node can
be compared exactly.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from central.link import Link
from central.standing import Part
from central.store import CentralStore
from cluster.digest import EMPTY, Digest, children
from cluster.inside import Inside, digest_of, group
from cluster.peer import PeerFailed
from cluster.protocol.node import WINDOWS_MAX, NodeStatus
from cluster.protocol.shared import PAGE_FILE_RECORDS_MAX
from cluster.record import next_id
from cluster.windows import SPLIT_ABOVE

SEARCH_MAX = 65_536  # windows opened to tell what the node has dropped from what it has


@dataclass(slots=True)
class Difference:
    """What differs in some windows.

    `conflicts`: records with another content on each side. `gone`: records of windows that the
    node has dropped, and that central nevertheless does not hold alike.
    """

    at_node: list[Part] = field(default_factory=list)
    at_central: list[Part] = field(default_factory=list)
    conflicts: int = 0
    gone: int = 0

    @property
    def is_none(self) -> bool:
        return not (self.at_node or self.at_central or self.conflicts or self.gone)

    @property
    def missing_at_central(self) -> int:
        return sum(part.size for part in self.at_node)

    @property
    def missing_at_node(self) -> int:
        return sum(part.size for part in self.at_central)


Frontier = list[tuple[str, Digest | None]]  # windows to be opened, with what the node claims


async def differences(
    link: Link, store: CentralStore, status: NodeStatus
) -> AsyncIterator[Difference]:
    """The differences between a node at the moment of `status` and central, part by part."""
    upto, hidden = status.records.last_position, _Hidden(status.retention.dropped)
    start, alike = await _start(link, store, status), True
    frontier: Frontier = [(start, None)]
    while frontier:
        # The last ones first: deep before wide, so that the frontier stays short.
        asked, frontier = sorted(frontier[-WINDOWS_MAX:]), frontier[:-WINDOWS_MAX]
        names = [window for window, _ in asked]
        opened, own = await _open_both(
            link.digest(status.epoch, names, upto), store.records.open(link.name, names)
        )
        found, lone, dropped = Difference(), list[_Lone](), list[_Dropped]()
        for theirs, ours, (_, claimed) in zip(opened, own, asked, strict=True):
            if claimed not in (None, theirs.digest):
                raise PeerFailed(
                    "bad_schema", f"window {theirs.window!r} is not what it was said to be"
                )
            if theirs.dropped:
                dropped.append(_Dropped(theirs.window, theirs.digest, ours.digest))
            hidden.note(theirs, ours)
            frontier += _compare(theirs, ours, hidden, found, lone)
        frontier += await _find_lone(store, link.name, lone, found)
        await _compare_dropped(link, store, status, dropped, found)
        alike = alike and found.is_none
        yield found
    if alike and start:
        # And yet the sets differ: what is kept of a window above is wrong, and heals when opened.
        above = [start[:end] for end in range(len(start) + 1)]
        await _open_both(
            link.digest(status.epoch, above, upto), store.records.open(link.name, above)
        )


async def _open_both(
    theirs: Coroutine[Any, Any, list[Inside]], ours: Coroutine[Any, Any, list[Inside]]
) -> tuple[list[Inside], list[Inside]]:
    """The same windows on both sides, at the same time."""
    own = asyncio.ensure_future(ours)
    try:
        return await theirs, await own
    finally:
        own.cancel()
        await asyncio.wait([own])
        if not own.cancelled():
            own.exception()  # when theirs has failed, nobody asks for ours any more


async def _start(link: Link, store: CentralStore, status: NodeStatus) -> str:
    """The smallest window that holds both sets.

    Usually the one that holds central's; the whole where the node has ids outside of it.
    """
    span = await store.records.span(link.name)
    if not span:
        return ""
    (opened,) = await link.digest(status.epoch, [span], status.records.last_position)
    return span if opened.digest.count == status.records.count else ""


class _Lone(NamedTuple):
    """A window in which central seems to have one record more: digests subtract to its hash."""

    window: str
    theirs: Digest
    hash: int


@dataclass(slots=True)
class _Hidden:
    """How many dropped records may still be inside of what looks as if the node had it."""

    records: int
    opened: int = 0

    def note(self, theirs: Inside, ours: Inside) -> None:
        self.records -= theirs.digest.count if theirs.dropped else 0
        self.opened += ours.digest == EMPTY

    @property
    def any(self) -> bool:
        return self.records > 0 and self.opened < SEARCH_MAX


def _compare(
    theirs: Inside, ours: Inside, hidden: _Hidden, found: Difference, lone: list[_Lone]
) -> Frontier:
    """Note what differs in one window; the windows below it that have to be opened too."""
    if theirs.dropped:
        return []
    if theirs.elements is not None and ours.elements is not None:
        _compare_lists(theirs.window, theirs.elements, ours.elements, found)
        return []
    deeper: Frontier = []
    their_parts, our_parts = _parts(theirs), _parts(ours)
    for child in children(theirs.window):
        there, here = their_parts.get(child, EMPTY), our_parts.get(child, EMPTY)
        if there == here:
            continue
        if here == EMPTY and not hidden.any:
            found.at_node.append(Part(child, there.count))
        elif there == EMPTY:
            found.at_central.append(Part(child, here.count))
        elif here.count - there.count == 1 and not hidden.any and here.count <= SPLIT_ABOVE:
            lone.append(_Lone(child, there, (here - there).sum))
        else:
            deeper.append((child, there))
    return deeper


def _parts(inside: Inside) -> dict[str, Digest]:
    """The digests of a window's children, also where it came as a list."""
    if inside.children is not None:
        return inside.children
    return group(inside.elements or {}, len(inside.window) + 1)


def _compare_lists(
    window: str, theirs: dict[bytes, int], ours: dict[bytes, int], found: Difference
) -> None:
    if theirs and not ours:
        found.at_node.append(Part(window, len(theirs)))
        return
    found.at_node += [Part(one.hex(), 1) for one in theirs.keys() - ours.keys()]
    found.at_central += [Part(one.hex(), 1) for one in ours.keys() - theirs.keys()]
    found.conflicts += sum(theirs[one] != ours[one] for one in theirs.keys() & ours.keys())


class _Dropped(NamedTuple):
    """A window that the node has dropped, and that central does not hold alike."""

    window: str
    theirs: Digest
    ours: Digest


async def _compare_dropped(
    link: Link,
    store: CentralStore,
    status: NodeStatus,
    dropped: Sequence[_Dropped],
    found: Difference,
) -> None:
    """Records that came into dropped windows since are at the node; what else differs is gone."""
    live = await _live(link, status, [one.window for one in dropped]) if dropped else {}
    touched = [one for one in dropped if any(key.hex().startswith(one.window) for key in live)]
    lists = await store.lists(link.name, [one.window for one in touched]) if touched else []
    held = {key for listed in lists for key in listed}
    for window, theirs, ours in dropped:
        new = [key for key in live.keys() - held if key.hex().startswith(window)]
        found.at_node += [Part(key.hex(), 1) for key in new]
        left = theirs - ours - digest_of({key: live[key] for key in new})
        if left != EMPTY:
            found.gone += max(1, abs(left.count))


async def _live(link: Link, status: NodeStatus, windows: list[str]) -> dict[bytes, int]:
    """The (id, hash) list of what is in dropped windows all the same: hardly ever anything."""
    found: dict[bytes, int] = {}
    first: bytes | None = b"\0" * 16
    while first is not None and len(found) < SEARCH_MAX:
        arrived = await link.fetch(
            status.epoch, windows, first, PAGE_FILE_RECORDS_MAX, status.records.last_position
        )
        found |= {record.id: record.hash for record in arrived.page.good_rows()}
        first = next_id(arrived.page.max_id) if arrived.more else None
    return found


async def _find_lone(
    store: CentralStore, name: str, lone: list[_Lone], found: Difference
) -> Frontier:
    """Name the records that subtraction has given away; the windows where it was mistaken."""
    deeper: Frontier = []
    lists = await store.lists(name, [one.window for one in lone]) if lone else []
    for (window, theirs, value), listed in zip(lone, lists, strict=True):
        ids = [record_id for record_id, held in listed.items() if held == value]
        if len(ids) == 1:
            found.at_central.append(Part(ids[0].hex(), 1))
        else:
            deeper.append((window, theirs))
    return deeper
