"""What an operator can ask of central: each a POST or DELETE, answered with one sentence.

PeerFailed comes out as it is; `explain` turns it into a title and a text to be shown.
"""

from cluster.peer import Peer, PeerFailed
from cluster.protocol import central
from cluster.protocol.views import NodeView, Run, RunKind

ASK_S = 10.0
POLL_S = 20.0
#: Failures after which it is certain that central was never asked.
NOT_REACHED = ("refused", "unreachable", "dns", "tls")


class Commands:
    """Central, as somebody to be asked."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def start(self, kind: RunKind, view: NodeView) -> str:
        """Pull from or push to one node."""
        if kind == "pull":
            pull = central.PullAsk(view.name)
            run = await self._peer.call(central.PULL, pull, timeout_s=ASK_S)
        else:
            push = central.PushAsk(view.name)
            run = await self._peer.call(central.PUSH, push, timeout_s=ASK_S)
        state = run.state if view.live == "up" else "waits until the node is up"
        return f"run {run.id}: {run.kind} {run.node} {state}"

    async def start_all(self, kind: RunKind) -> str:
        """Pull from or push to every node."""
        if kind == "pull":
            pull = central.PullAllAsk()
            answer = await self._peer.call(central.PULL_ALL, pull, timeout_s=ASK_S)
        else:
            push = central.PushAllAsk()
            answer = await self._peer.call(central.PUSH_ALL, push, timeout_s=ASK_S)
        return f"{kind} all: {len(answer.runs)} runs asked for"

    async def cancel(self, run_id: int) -> str:
        run = await self._peer.call(central.CANCEL, central.RunId(run_id), timeout_s=ASK_S)
        return f"run {run.id}: {run.kind} {run.node} {run.state}"

    async def poll(self, name: str) -> str:
        view = await self._peer.call(central.POLL, central.Named(name), timeout_s=POLL_S)
        said = view.detail or view.reason or view.data.replace("_", " ")
        return f"{view.name} is {view.live}: {said}"

    async def runs_of(self, name: str) -> list[Run]:
        """The node's latest runs."""
        answer = await self._peer.call(central.RUNS, central.RunsAsk(node=name), timeout_s=ASK_S)
        return answer.runs


def explain(failure: PeerFailed) -> tuple[str, str]:
    """A title and a text: central's own words where it said any."""
    if failure.problem is not None and failure.problem.title:
        return failure.problem.title, failure.problem.detail or failure.problem.code
    if failure.definite or failure.reason in NOT_REACHED:
        return "Central did not do it", f"{failure.reason}: {failure.detail}"
    return "No answer from central", "it may have been done: see Runs (2)"
