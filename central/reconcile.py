"""Reconcile: find exactly what each side lacks by comparing digests of windows.

Both sides cut their sets by hex digits of the id. Equal digests end a branch; a window in which
the node holds few records is compared by its (id, hash) list. UUIDv7 ids begin with the time, so
one outage is one window. The idea is range-based set reconciliation (A. Meyer, 2023) on fixed
boundaries. Only records up to `upto` count at the node, so a busy node can be compared exactly.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from central.link import Link
from central.store import CentralStore
from cluster.digest import EMPTY, ID_DIGITS, Digest, bounds, children
from cluster.peer import PeerFailed
from cluster.protocol.node import NodeStatus, WindowView
from cluster.record import RowError, id_text, next_id, parse_id

WINDOWS_AT_ONCE = 32
ELEMENTS_AT_ONCE = 5_000


@dataclass(slots=True)
class Difference:
    """What differs in a part of the set: ids, with the node's hash where the node has them."""

    missing_at_central: list[bytes] = field(default_factory=list)
    missing_at_node: list[bytes] = field(default_factory=list)
    conflicts: list[bytes] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.missing_at_central) + len(self.missing_at_node) + len(self.conflicts)


async def differences(
    link: Link, store: CentralStore, status: NodeStatus
) -> AsyncIterator[Difference]:
    """The differences between a node at the moment of `status` and central, part by part."""
    upto = status.records.last_position
    frontier: list[tuple[str, Digest | None]] = [(await _start(link, store, status), None)]
    while frontier:
        # The last ones first: deep before wide, so that the frontier stays short.
        asked, frontier = frontier[-WINDOWS_AT_ONCE:], frontier[:-WINDOWS_AT_ONCE]
        reply = await link.digest([window for window, _ in asked], upto)
        if reply.epoch != status.epoch:
            raise PeerFailed("epoch_changed", f"the epoch is {reply.epoch} now")
        for view, (_, claimed) in zip(reply.windows, asked, strict=True):
            _check(view, claimed)
            if view.children is not None:
                frontier += await _differing(link.name, store, view)
            else:
                async for part in _compare_lists(link.name, store, view):
                    yield part


def _check(view: WindowView, claimed: Digest | None) -> None:
    """PeerFailed unless a window is what was claimed, and the sum of its parts.

    Otherwise a lie could go on for ever. An honest node whose rows are deleted meanwhile fails
    too; the next attempt begins with a new status. Nothing is claimed of the first window: where
    a failing disk has changed a hash, the rows are no longer what the status says, and all that
    is whole must be found nevertheless.
    """
    if view.children is not None and len(view.window) < ID_DIGITS:
        parts = [Digest.parse(child.count, child.digest) for child in view.children]
        inside = {child.window for child in view.children} <= set(children(view.window))
    else:
        parts = [Digest(1, int(value, 16)) for _, value in view.elements or ()]
        low, high = (id_text(edge) for edge in bounds(view.window))
        inside = view.children is None and all(
            low <= text.lower() <= high for text, _ in view.elements or ()
        )
    whole = Digest.parse(view.count, view.digest)
    if not inside or whole != sum(parts, EMPTY) or claimed not in (None, whole):
        raise PeerFailed("bad_schema", f"window {view.window!r} is not what it was said to be")


async def _start(link: Link, store: CentralStore, status: NodeStatus) -> str:
    """The smallest window that holds both sets.

    Usually the one that holds central's; the whole where the node has ids outside of it.
    """
    span = await store.span(link.name)
    if not span:
        return ""
    reply = await link.digest([span], status.records.last_position)
    return span if reply.windows[0].count == status.records.count else ""


async def _differing(
    name: str, store: CentralStore, view: WindowView
) -> list[tuple[str, Digest | None]]:
    """The children of a window whose digests are not the same on both sides, with the node's."""
    own = await store.child_digests(name, view.window)
    theirs = {
        child.window: Digest.parse(child.count, child.digest) for child in view.children or ()
    }
    return [
        (child, theirs.get(child, EMPTY))
        for child in children(view.window)
        if own.get(child, EMPTY) != theirs.get(child, EMPTY)
    ]


async def _compare_lists(
    name: str, store: CentralStore, view: WindowView
) -> AsyncIterator[Difference]:
    """The node's short list against central's own, which may be long: in pieces."""
    theirs = _listed(view)
    first: bytes | None = b""
    while first is not None:
        own = await store.elements(name, view.window, first, ELEMENTS_AT_ONCE)
        part = Difference()
        for record_id, value in own.items():
            their_value = theirs.pop(record_id, None)
            if their_value is None:
                part.missing_at_node.append(record_id)
            elif their_value != value:
                part.conflicts.append(record_id)
        first = next_id(max(own)) if len(own) == ELEMENTS_AT_ONCE else None
        if first is None:
            part.missing_at_central = sorted(theirs)
        yield part


def _listed(view: WindowView) -> dict[bytes, int]:
    try:
        return {parse_id(text): int(value, 16) for text, value in view.elements or ()}
    except RowError as error:
        raise PeerFailed("bad_schema", str(error)) from None
