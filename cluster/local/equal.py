"""Makes a node and central equal, as an operator would: no new records, then pull and push.

Used at the end of a run, before the files of both sides are compared. It goes on for as long as
something moves, however much there is to move.
"""

import asyncio

from cluster.exchange import AskT, Exchange, ReplyT
from cluster.peer import Peer, PeerFailed
from cluster.protocol.central import POLL, PULL, PUSH, RUN, Named, PullAsk, PushAsk, RunId
from cluster.protocol.node import SOURCE, SourceChange
from cluster.protocol.views import Run

ASK_S = 5.0
ASK_AGAIN_S = 0.2
QUIET_S = 15.0  # nothing has moved for so long: it will not come to an end
ROUNDS = 3


class NotEqual(Exception):
    """Central has no proof that both sides are equal; the text says why."""


async def make_equal(central: Peer, node: Peer, name: str) -> None:
    """Stop the node's source, then pull and push until central has proof. NotEqual if not."""
    try:
        async with asyncio.timeout(QUIET_S) as quiet:
            await _insist(node, SOURCE, SourceChange(running=False))
            for _ in range(ROUNDS):
                await _ended(central, await _insist(central, PULL, PullAsk(name)), quiet)
                view = await _insist(central, POLL, Named(name))
                if view.data == "in_sync":
                    return
                await _ended(central, await _insist(central, PUSH, PushAsk(name)), quiet)
        raise NotEqual(f"{name} is {view.data} still, after {ROUNDS} pulls and pushes")
    except TimeoutError:
        raise NotEqual(f"{name}: nothing has moved for {QUIET_S:.0f} s") from None
    except PeerFailed as failed:
        raise NotEqual(f"{name}: {failed}") from None


async def _insist(peer: Peer, exchange: Exchange[AskT, ReplyT], ask: AskT) -> ReplyT:
    """Ask until there is an answer. PeerFailed when it is no."""
    while True:
        try:
            return await peer.call(exchange, ask, timeout_s=ASK_S)
        except PeerFailed as failed:
            if failed.definite:
                raise
            await asyncio.sleep(ASK_AGAIN_S)


async def _ended(central: Peer, run: Run, quiet: asyncio.Timeout) -> None:
    """Wait for a run's end; `quiet` begins anew whenever something has moved."""
    while not run.ended_already:
        await asyncio.sleep(ASK_AGAIN_S)
        before, run = run, await _insist(central, RUN, RunId(run.id))
        if run != before:
            quiet.reschedule(asyncio.get_running_loop().time() + QUIET_S)
