"""A node's pulse: whether it is up, as far as polls can tell, and told in the journal.

A single miss is not worth a line: most are over at the next poll, and when central itself is cut
off all nodes have one. Two in a row make `node-suspect`, three `node-down`. A node that flaps
gets one line, and another when it is steady again.
"""

from dataclasses import replace

from central import flapping
from central.context import Context
from central.flapping import Flaps
from central.isolation import SILENCE
from central.liveness import ANSWERED, Liveness, missed
from cluster.peer import PeerFailed
from cluster.protocol.views import Level

TOLD_AFTER = 2  # misses in a row


class Pulse:
    """One node's. `near`: it is on this machine, so its silence is not the network's."""

    def __init__(self, context: Context, name: str, *, near: bool) -> None:
        self.near = near
        self.known = Liveness()
        self._flaps = Flaps()
        self._context = context
        self._name = name

    @property
    def flapping(self) -> bool:
        return self._flaps.flapping

    def answered(self) -> None:
        self._heard()
        self._become(ANSWERED)

    def missed(self, failure: PeerFailed) -> None:
        """A poll failed. It changes nothing when that was our own fault, or our line's."""
        if failure.reason == "internal":
            self.known = missed(self.known, failure)
        elif failure.reason not in SILENCE:
            self._heard()
            self._become(missed(self.known, failure))
        elif self._is_cut_off():
            detail = f"{failure.detail}; central may be cut off"
            if self.known.live != "down":
                self._acquit()
            self.known = replace(self.known, reason=failure.reason, detail=detail)
        else:
            self._become(missed(self.known, failure))

    def _is_cut_off(self) -> bool:
        """Whether this miss is one of central's own."""
        if self.near:
            return False
        isolation = self._context.isolation
        if isolation.miss(self._name):
            text = "no node answers any more: central may be cut off; no node is marked down by it"
            self._context.journal.write("error", "central-isolated", text)
        return isolation.isolated

    def _acquit(self) -> None:
        """The misses that led here were not the node's."""
        before = self.known
        self.known = Liveness("up" if before.live == "suspect" else before.live)
        if before.live == "suspect" and before.failures >= TOLD_AFTER and not self.flapping:
            self._tell("info", "up", "is suspected no longer: central may be cut off")

    def _heard(self) -> None:
        if not self.near and self._context.isolation.hear(self._name):
            text = "is heard again: central is cut off no longer"
            self._context.journal.write("info", "central-back", text, self._name)

    def _become(self, now: Liveness) -> None:
        before, self.known = self.known, now
        flapped = self.flapping
        self._flaps = flapping.after(self._flaps, now.live == "up")
        if self.flapping or flapped:
            self._tell_flapping(flapped)
        elif now.live == "up" and before.live != "up":
            self._tell_up(before)
        elif now.live == "suspect" and now.failures == TOLD_AFTER:
            self._tell("warning", "suspect", f"missed {TOLD_AFTER} polls: {now.detail}")
        elif now.live == "down" and before.live != "down":
            text = f"is down after {now.failures} misses: {now.detail}; waited for"
            self._tell("warning", "down", text)

    def _tell_up(self, before: Liveness) -> None:
        if before.live == "new":
            self._tell("info", "up", "is up")
        elif before.failures >= TOLD_AFTER:
            self._tell("info", "up", f"is up again after {before.failures} misses")

    def _tell_flapping(self, before: bool) -> None:
        if self.flapping == before:
            return
        if self.flapping:
            self._tell("warning", "flapping", "comes and goes; told again when it is steady")
        elif self.known.live == "up":
            self._tell("info", "steady", "is steady again: up")
        else:
            text = f"is steady again: {self.known.live}, {self.known.detail}"
            self._tell("warning", "steady", text)

    def _tell(self, level: Level, kind: str, text: str) -> None:
        self._context.journal.write(level, f"node-{kind}", text, self._name)
