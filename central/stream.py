"""The stream: a snapshot of everything, then what changes, as server-sent events.

Each console gets its deltas at its own pace from a watcher of the board, so a slow one costs
constant memory and skips the states in between.
"""

import asyncio
from contextlib import suppress

import msgspec
from aiohttp import web

from central.board import Board, Watcher
from central.parts import PARTS, Parts
from cluster.exchange import Role
from cluster.problem import Refusal
from cluster.protocol import central as protocol
from cluster.protocol.views import CentralStatus, Delta, Snapshot
from cluster.trust.gate import role_of

STATUS_S = 5.0  # between two of central's own states, and the longest silence
FLUSH_S = 0.25  # between two deltas to the same console


async def stream(request: web.Request, ask: protocol.StreamAsk) -> web.StreamResponse:
    """Events until the console leaves, falls too far behind, or central stops."""
    parts, now_s = request.app[PARTS], asyncio.get_running_loop().time
    since = ask.since if ask.since is not None else _last_event(request)
    board, role = parts.context.board, role_of(request)
    # What this refuses can be answered only before the events begin.
    status, told_s = await parts.status(role), now_s()
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
    )
    await response.prepare(request)
    try:
        with board.watch() as watcher:
            await response.write(_event("snapshot", _snapshot(parts, since, status), board))
            while not watcher.ended:
                await _change(watcher, told_s + STATUS_S)
                news = None
                if now_s() - told_s >= STATUS_S:
                    news, told_s = await _status(parts, role), now_s()
                await response.write(_event("delta", _delta(parts, watcher, news), board))
                await asyncio.sleep(FLUSH_S)
    except ConnectionError:
        pass  # the console has gone or reads no more; there is nobody to tell
    return response


async def _change(watcher: Watcher, due_s: float) -> None:
    """Until something changed, or central's own state is due, by the event loop's time."""
    with suppress(TimeoutError):
        async with asyncio.timeout_at(due_s):
            await watcher.wait()


async def _status(parts: Parts, role: Role) -> CentralStatus | None:
    """None while our own database cannot tell it: what changed is told all the same."""
    with suppress(Refusal):
        return await parts.status(role)
    return None


def _last_event(request: web.Request) -> int:
    text = request.headers.get("Last-Event-ID", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def _snapshot(parts: Parts, since: int, status: CentralStatus) -> Snapshot:
    board = parts.context.board
    return Snapshot(
        now=parts.context.clock.now_us(),
        role=status.role,
        status=status,
        nodes=list(board.nodes.values()),
        runs=list(board.runs.values()),
        journal=[line for line in board.lines if line.seq > since],
    )


def _delta(parts: Parts, watcher: Watcher, status: CentralStatus | None) -> Delta:
    board = parts.context.board
    delta = Delta(
        now=parts.context.clock.now_us(),
        nodes=[board.nodes[name] for name in sorted(watcher.nodes) if name in board.nodes],
        runs=[run for _, run in sorted(watcher.runs.items())],
        journal=watcher.lines,
        gone=sorted(watcher.gone),
        status=status,
    )
    watcher.clear()
    return delta


def _event(name: str, message: msgspec.Struct, board: Board) -> bytes:
    """One server-sent event; its id is the last journal line that the console has now."""
    seq = board.lines[-1].seq if board.lines else 0
    return b"event: %b\nid: %d\ndata: %b\n\n" % (name.encode(), seq, msgspec.json.encode(message))
