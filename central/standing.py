"""Standing: what central remembers of a node's set between polls, and what a poll tells with it.

A tidemark says up to which position central holds the node's records. A comparison says exactly
how the two sets differed at a position: the difference of the digests and what it consists of.
As positions only grow, both stay useful when the node goes on: what came later is the tail.
Pure: no database, no network.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import msgspec

from cluster.digest import EMPTY, Digest
from cluster.protocol.shared import COUNT_MAX, RecordCounts
from cluster.protocol.views import Agreement, NodeRecords


@dataclass(frozen=True, slots=True)
class Tidemark:
    """Central holds, or has set aside, all that the node stored up to `position`."""

    epoch: str
    position: int


class Part(NamedTuple):
    """A window that only one side has; with 32 digits it is one record."""

    window: str
    size: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """How the node's set up to `position` differs from central's.

    `difference` is the node's digest minus central's; the counts say what it is made of:
    `conflicts` are ids with another content on each side, `rejected` rows central cannot take,
    `gone` records that the node has dropped and central does not hold alike. `at_node` and
    `at_central` name the windows that only that side has; None when they are too many to remember.
    """

    epoch: str
    position: int
    difference: Digest = EMPTY
    missing_at_central: int = 0
    missing_at_node: int = 0
    conflicts: int = 0
    rejected: int = 0
    gone: int = 0
    at_node: tuple[Part, ...] | None = ()
    at_central: tuple[Part, ...] | None = ()

    def without_list(self) -> "Comparison":
        """The same, when what it is made of fills no short list."""
        return replace(self, at_node=None, at_central=None)

    @property
    def damaged(self) -> bool:
        """True when neither pull nor push can make the sets equal."""
        return bool(self.conflicts or self.rejected or self.gone)


@dataclass(frozen=True, slots=True)
class Head:
    """Central holds all that the node stored after `first` and up to `last`, beyond the tidemark.

    So records that are born while a backlog is pulled need not wait for its end.
    """

    epoch: str
    first: int
    last: int


class Announced(msgspec.Struct, frozen=True):
    """What a node said of itself last; `missing`: what central lacked of it then, if known."""

    epoch: str
    boot: str
    position: int
    count: int
    digest: str
    missing: int | None
    seen: int  # microseconds of central's clock
    held: int | None = None  # how many of the node's records central had then


@dataclass(frozen=True, slots=True)
class Standing:
    """What is remembered of one node."""

    tidemark: Tidemark | None = None
    comparison: Comparison | None = None
    head: Head | None = None

    def moved(self, tidemark: Tidemark) -> "Standing":
        """The tidemark moves; a comparison made at the old one holds at the new one as well."""
        old, comparison, head = self.tidemark, self.comparison, self.head
        if old is not None and old.epoch == tidemark.epoch and old.position > tidemark.position:
            return self  # a full pull begins anew; what was held before is held still
        if head is not None and (head.epoch != tidemark.epoch or head.last <= tidemark.position):
            head = None
        if head is not None and head.first < tidemark.position:
            head = replace(head, first=tidemark.position)
        if comparison is not None and old == Tidemark(comparison.epoch, comparison.position):
            comparison = replace(comparison, epoch=tidemark.epoch, position=tidemark.position)
        return Standing(tidemark, comparison, head)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a poll tells: `explained` is False when only a comparison can say more."""

    data: Agreement
    records: NodeRecords
    explained: bool = True
    conflicts: int = 0


def judge(
    epoch: str, counts: RecordCounts, own: Digest, standing: Standing, dropped: int = 0
) -> Judgement:
    """Compare a poll's counts with central's own digest of that node.

    Equal digests are a proof. Unequal ones are explained when the known difference and the tail
    account for every record, by count where there is a tail; then the numbers are shown, and a
    pull or push will prove them. Otherwise they are not known. `dropped`: how many of the records
    that the node counts are not there any more.
    """
    difference = counts.as_digest() - own
    if difference == EMPTY:
        return Judgement("in_sync", NodeRecords(counts.count, own.count, 0, 0, dropped))
    known = standing.comparison or Comparison(epoch, 0)
    tail = counts.last_position - known.position - _held(standing.head, known, counts)
    hides = dropped and not known.position  # what is dropped may be counted in the tail
    if known.epoch != epoch or tail < 0 or hides or not _accounts_for(known, tail, difference):
        numbers = NodeRecords(counts.count, own.count, dropped=dropped)
        return Judgement("unknown", numbers, False, known.conflicts)
    missing = min(known.missing_at_central + tail, COUNT_MAX)
    numbers = NodeRecords(counts.count, own.count, missing, known.missing_at_node, dropped)
    return Judgement(
        "diverged" if known.damaged or not (missing or known.missing_at_node) else "behind",
        numbers,
        True,
        known.conflicts,
    )


def _held(head: Head | None, known: Comparison, counts: RecordCounts) -> int:
    """How much of the tail after the comparison central holds already.

    Nothing, where the node has gone back behind the head: an old copy of its file is there again.
    """
    if head is None or head.epoch != known.epoch or counts.last_position < head.last:
        return 0
    return max(0, head.last - max(head.first, known.position))


def _accounts_for(known: Comparison, tail: int, difference: Digest) -> bool:
    if tail == 0:
        return difference == known.difference
    return difference.count == known.difference.count + tail
