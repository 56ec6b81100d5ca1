"""Whether a node is up: a pure function of what was and of the outcome of one poll.

new -> up at the first answer; one miss: suspect; three in a row: down; one answer: up again. A
failure of central's own (`internal`) tells nothing about the node and changes nothing.
"""

from dataclasses import dataclass, replace

from cluster.peer import PeerFailed
from cluster.protocol.views import DOWN_AFTER, Live


@dataclass(frozen=True, slots=True)
class Liveness:
    """`failures` counts the misses in a row; `reason` and `detail` are the last one's."""

    live: Live = "new"
    failures: int = 0
    reason: str | None = None
    detail: str | None = None


#: After a good answer.
ANSWERED = Liveness("up")


def missed(before: Liveness, failure: PeerFailed) -> Liveness:
    """After a poll that failed."""
    if failure.reason == "internal":
        return replace(before, reason=failure.reason, detail=failure.detail)
    failures = before.failures + 1
    live: Live = before.live
    if failures >= DOWN_AFTER:
        live = "down"
    elif before.live == "up":
        live = "suspect"
    return Liveness(live, failures, failure.reason, failure.detail)
