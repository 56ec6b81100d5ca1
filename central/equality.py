"""Whether central and one node hold the same, judged by the digests at each poll.

What is to be proven, looked into or pulled is the runner's work; here it is only asked for.
"""

import asyncio
from contextlib import suppress
from dataclasses import replace

from central.context import Context
from central.lineage import Lineage
from central.link import Link
from central.runner import Runner
from central.standing import Judgement, Standing, Tidemark, judge
from cluster.digest import Digest
from cluster.problem import Refusal
from cluster.protocol.node import NodeStatus
from cluster.protocol.views import NodeRecords

LOOK_EVERY_S = 5.0  # at most, while the sets differ in a way that is not explained


class Equality:
    """One node's. `pull_every_s`: how often to pull without being asked; 0: never."""

    def __init__(self, context: Context, name: str, runner: Runner) -> None:
        self.judgement = Judgement("unknown", NodeRecords())
        self.standing = Standing()
        self.lineage = Lineage(context, name)
        self.proven: int | None = None  # when; microseconds of central's clock
        self.pull_every_s = context.pull_every_s
        self._context = context
        self._name = name
        self._runner = runner
        self._proof: tuple[Digest, Standing] | None = None  # what the node was last equal to
        self._looked_s = float("-inf")
        self._pulled_s = float("-inf")

    def doubt(self) -> None:
        """The last poll could not be judged."""
        self.judgement = replace(self.judgement, data="unknown")
        self._proof = None

    def is_still_proven(self, status: NodeStatus, sent_us: int, seen_us: int) -> bool:
        """Whether neither side has changed since they were equal, and nothing is to be done."""
        if (
            self._proof is None
            or self._proof is not self._context.store.standing_kept(self._name)
            or status.retention.due
            or status.retention.dropped != self.judgement.records.dropped
            or not self.lineage.is_as_stored(status, sent_us)
        ):
            return False
        self.proven = seen_us
        return True

    async def judge(self, status: NodeStatus, link: Link, sent_us: int, seen_us: int) -> None:
        """Judge a status that was asked for and seen at these moments of central's clock.

        Refusal from our own database, which tells nothing about the node.
        """
        await self.lineage.meet(status, link)
        self._proof = None
        found = await self._context.store.standing(self._name)
        own, self.standing = found
        self.judgement = judge(
            status.epoch, status.records, own, self.standing, status.retention.dropped
        )
        missing = self.judgement.records.missing_at_central
        await self.lineage.note(status, missing, own.count, sent_us)
        if self.judgement.data == "in_sync":
            self.proven = seen_us
            if self.standing.tidemark != Tidemark(status.epoch, status.records.last_position):
                self._runner.look()
            elif status.retention.due:
                self._runner.release()
            else:
                self._proof = found
        elif self._is_pull_due(missing):
            with suppress(Refusal):  # our own database; it is due again in its time
                await self._context.runs.ask(self._name, "pull", "incremental", scheduled=True)
            self._runner.run_asked()
        elif not self.judgement.explained and self._may_look():
            self._runner.look()

    def _is_pull_due(self, missing: int | None) -> bool:
        """Whether central is to pull without being asked."""
        now_s = asyncio.get_running_loop().time()
        due = self.pull_every_s and now_s - self._pulled_s >= self.pull_every_s
        if not due or missing == 0 or self._context.runs.open_of(self._name):
            return False
        self._pulled_s = now_s
        return True

    def _may_look(self) -> bool:
        now_s = asyncio.get_running_loop().time()
        if now_s - self._looked_s < LOOK_EVERY_S:
            return False
        self._looked_s = now_s
        return True
