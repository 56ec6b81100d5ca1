"""Lineage: is a node's database still the one that it was, and what is lost if it is not?

Central remembers what each node announced last. When the node's process is another one, it asks
for the digest of all up to that position: the same set at the same positions is the same
database. Otherwise it is another one (a new epoch), an old backup (fewer positions), or one that
went its own way from a copy (the same positions, other records).
"""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

import msgspec

from central.context import Context
from central.link import Link
from central.standing import Announced, Standing
from cluster.digest import Digest
from cluster.peer import PeerFailed
from cluster.problem import Refusal
from cluster.protocol.node import NodeStatus
from cluster.protocol.views import Level, Loss

STORE_EVERY_S = 5.0  # announcements that are older than this after a crash of central are no harm


class Lineage:
    """What one node announced last, and what it has lost."""

    def __init__(self, context: Context, name: str) -> None:
        self.loss: Loss | None = None
        self._context = context
        self._name = name
        self._known: Announced | None = None
        self._stored: Announced | None = None
        self._loaded = False
        self._met = True
        self._stored_s = float("-inf")

    async def meet(self, status: NodeStatus, link: Link) -> None:
        """Tell when a node is no longer the one that it was. Refusal when we cannot store now."""
        if not self._loaded:
            self._known, self.loss = await self._context.store.announced(self._name)
            self._loaded = True
        known, self._met = self._known, True
        if known is None or (known.boot == status.boot and known.epoch == status.epoch):
            return
        if known.epoch != status.epoch:
            await self._tell_new_epoch(known, status)
        else:
            await self._recognise(known, status, link)
        self._stored_s = float("-inf")

    def is_as_stored(self, status: NodeStatus, sent_us: int) -> bool:
        """Whether it announces what it did, and that is stored; then it holds from now on."""
        stored, records = self._stored, status.records
        if (
            stored is None
            or stored is not self._known
            or not self._met
            or (stored.boot, stored.epoch) != (status.boot, status.epoch)
            or (stored.position, stored.count) != (records.last_position, records.count)
            or stored.digest != records.digest
        ):
            return False
        self._known = self._stored = msgspec.structs.replace(stored, seen=sent_us)
        return True

    async def _recognise(self, known: Announced, status: NodeStatus, link: Link) -> None:
        """Another process with the same epoch: is what it had at each position still there?"""
        own, standing = await self._context.store.standing(self._name)
        promises = _promises(known, own, standing)
        position, there = max(promises), status.records.last_position
        if there < position:
            await self._forget(
                "rolled-back",
                f"its database is older than it was: {position} positions were announced, "
                f"{there} are there; a pull and a push heal both sides",
            )
        elif await self._is_forked(promises, status.epoch, link):
            await self._forget(
                "forked",
                f"other records are at the first {position} positions than before: a copy of "
                "its database went another way; a pull and a push heal both sides",
            )

    async def note(self, status: NodeStatus, missing: int | None, held: int, seen_us: int) -> None:
        """Remember what a poll told, and how many of the node's records central held then."""
        if not self._met:
            return
        records = status.records
        known = Announced(
            status.epoch,
            status.boot,
            records.last_position,
            records.count,
            records.digest,
            missing,
            seen_us,
            held,
        )
        self._known, stored = known, self._stored
        now_s = asyncio.get_running_loop().time()
        if stored is not None and msgspec.structs.replace(stored, seen=seen_us) == known:
            self._stored = known
        elif now_s - self._stored_s >= STORE_EVERY_S:
            with suppress(Refusal):  # what was stored before is true as well, only older
                await self._context.store.announce(self._name, known, self.loss)
                self._stored, self._stored_s = known, now_s

    async def _is_forked(self, promises: dict[int, Digest], epoch: str, link: Link) -> bool:
        """Whether as many records as before are others; fewer were deleted, and digests tell."""
        try:
            for position, before in promises.items():
                (opened,) = await link.digest(epoch, [""], position)
                if opened.digest.count == before.count and opened.digest != before:
                    return True
        except PeerFailed as failure:
            # Too much came since, and digests will tell; or it is gone again, and asked again.
            old = failure.problem is not None and failure.problem.code == "status_old"
            self._met = failure.definite or old
        return False

    async def _forget(self, kind: str, text: str) -> None:
        """Positions no longer mean what they meant; only digests tell what differs."""
        self._tell("warning", kind, text)
        await self._context.store.settle(self._name, Standing())

    async def _tell_new_epoch(self, known: Announced, status: NodeStatus) -> None:
        own, standing = await self._context.store.standing(self._name)
        lost = _lost(known, own.count)
        text = f"came back with another database, which holds {status.records.count} records"
        if own.count:
            text += f"; central holds {own.count}, a push restores what it lacks of them"
        if lost:
            # With a head, what was lost may be older than the newest that is here.
            since = await self._context.store.newest(self._name) if not standing.head else None
            self.loss = Loss(lost, own.count, since, known.seen)
            born = f"after {_moment(since)} and " if since is not None else ""
            text += (
                f"; at least {lost} of the {known.count} that it had announced were never pulled "
                f"and are lost with the disk, born {born}before {_moment(known.seen)}"
            )
        self._tell("error" if lost else "warning", "new-epoch", text)
        await self._context.store.announce(self._name, known, self.loss)

    def _tell(self, level: Level, kind: str, text: str) -> None:
        self._context.journal.write(level, kind, text, self._name)


def _promises(known: Announced, own: Digest, standing: Standing) -> dict[int, Digest]:
    """What the node's digest was up to some positions.

    A pull may have gone further than the announcement that was stored last.
    """
    promises = {known.position: Digest.parse(known.count, known.digest)}
    mark, compared = standing.tidemark, standing.comparison
    if (
        standing.head is None
        and mark is not None
        and compared is not None
        and (mark.epoch, mark.position) == (compared.epoch, compared.position)
        and mark.epoch == known.epoch
        and mark.position > known.position
    ):
        promises[mark.position] = own + compared.difference
    return promises


def _lost(known: Announced, held: int) -> int:
    """How many records that were announced central never got; it may have got some since."""
    if known.missing is None or known.held is None:
        return max(0, known.count - held)
    return max(0, known.missing - max(0, held - known.held))


def _moment(us: int) -> str:
    return datetime.fromtimestamp(us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
