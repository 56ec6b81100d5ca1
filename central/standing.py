"""Standing: what central remembers of a node's set between polls, and what a poll tells with it.

A tidemark says up to which position central holds the node's records. A comparison says exactly
how the two sets differed at a position: the difference of the digests and what it consists of.
As positions only grow, both stay useful when the node goes on: what came later is the tail.
Pure: no database, no network.
"""

from dataclasses import dataclass

from cluster.digest import EMPTY, Digest
from cluster.protocol.shared import COUNT_MAX, RecordCounts
from cluster.protocol.views import Agreement, NodeRecords


@dataclass(frozen=True, slots=True)
class Tidemark:
    """Central holds, or has set aside, all that the node stored up to `position`."""

    epoch: str
    position: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """How the node's set up to `position` differs from central's.

    `difference` is the node's digest minus central's; the counts say what it is made of:
    `conflicts` are ids with another content on each side, `rejected` rows central cannot take.
    """

    epoch: str
    position: int
    difference: Digest = EMPTY
    missing_at_central: int = 0
    missing_at_node: int = 0
    conflicts: int = 0
    rejected: int = 0

    @property
    def damaged(self) -> bool:
        """True when neither pull nor push can make the sets equal."""
        return bool(self.conflicts or self.rejected)


@dataclass(frozen=True, slots=True)
class Standing:
    """What is remembered of one node."""

    tidemark: Tidemark | None = None
    comparison: Comparison | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a poll tells: `explained` is False when only a comparison can say more."""

    data: Agreement
    records: NodeRecords
    explained: bool = True
    conflicts: int = 0


def judge(epoch: str, counts: RecordCounts, own: Digest, standing: Standing) -> Judgement:
    """Compare a poll's counts with central's own digest of that node.

    Equal digests are a proof. Unequal ones are explained when the known difference and the tail
    account for every record, by count where there is a tail; then the numbers are shown, and a
    pull or push will prove them. Otherwise they are not known.
    """
    difference = counts.as_digest() - own
    if difference == EMPTY:
        return Judgement("in_sync", NodeRecords(counts.count, own.count, 0, 0))
    known = standing.comparison or Comparison(epoch, 0)
    tail = counts.last_position - known.position
    if known.epoch != epoch or tail < 0 or not _accounts_for(known, tail, difference):
        return Judgement("unknown", NodeRecords(counts.count, own.count), False, known.conflicts)
    missing = min(known.missing_at_central + tail, COUNT_MAX)
    numbers = NodeRecords(counts.count, own.count, missing, known.missing_at_node)
    return Judgement(
        "diverged" if known.damaged or not (missing or known.missing_at_node) else "behind",
        numbers,
        True,
        known.conflicts,
    )


def _accounts_for(known: Comparison, tail: int, difference: Digest) -> bool:
    if tail == 0:
        return difference == known.difference
    return difference.count == known.difference.count + tail
