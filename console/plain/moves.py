"""`pull` and `push`: the numbers first, then the runs, followed to their end."""

import asyncio
import shutil
import sys
from collections.abc import Sequence

from cluster.exchange import Nothing
from cluster.peer import Peer
from cluster.protocol import central
from cluster.protocol.views import NodeView, Run, RunKind
from console import format as fmt
from console.commands import Commands
from console.model import percent, result_of, wait_text
from console.plain.lines import run_line
from console.plain.listener import Listener
from console.plain.page import Page
from console.questions import Question, ask_many
from console.store import Store

ASK_S = 10.0
STEP = 10  # percent between two lines where nothing can be drawn anew


class Unwanted(Exception):
    """The command makes no sense so: one line says why."""


async def asked_for(
    peer: Peer, kind: RunKind, names: Sequence[str], *, all_nodes: bool
) -> tuple[Store, list[NodeView]]:
    """What is known now, and the nodes that are meant. Unwanted for a name that is none."""
    if bool(names) == all_nodes:
        raise Unwanted(f"which nodes? {kind} NODE ... or {kind} --all")
    store = Store()
    status, found = await asyncio.gather(
        peer.call(central.STATUS, Nothing(), timeout_s=ASK_S),
        peer.call(central.NODES, Nothing(), timeout_s=ASK_S),
    )
    store.know(status, found.nodes)
    if unknown := [name for name in names if name not in store.nodes]:
        raise Unwanted(f"no node {unknown[0]}; `nodes` lists them")
    views = list(store.nodes.values()) if all_nodes else [store.nodes[name] for name in names]
    if not views:
        raise Unwanted("there are no nodes yet")
    return store, views


def show_question(kind: RunKind, views: list[NodeView], store: Store, page: Page) -> Question:
    """The numbers, as the screen shows them before."""
    question = ask_many(kind, views, store)
    for line in question.lines[:-2]:
        page.write(*line)
    return question


def is_wanted(question: Question, page: Page, *, yes: bool) -> bool:
    """Whether all nodes are really meant. Unwanted where nobody can be asked."""
    if yes:
        return True
    if not (sys.stdin.isatty() and page.terminal):
        raise Unwanted("nobody can be asked here: give --yes to do it for all nodes")
    phrase = question.phrase or ""
    page.say(f"Type {phrase} to go on:")
    return sys.stdin.readline().strip().casefold() == phrase.casefold()


async def start(
    commands: Commands, kind: RunKind, views: list[NodeView], *, all_nodes: bool
) -> frozenset[int]:
    """Ask for the runs; their numbers."""
    answer = await (commands.start_all(kind) if all_nodes else commands.start(kind, views))
    return answer.runs


async def follow(listener: Listener, runs: frozenset[int], page: Page, commands: Commands) -> bool:
    """Until all of them have ended; whether all went well and left nothing out."""
    open_runs, good, told = set(runs), True, dict[int, str]()
    was_away, store = "", listener.store
    async for changes, away in listener.changes():
        if away != was_away:
            text = f"central is away ({away}); it goes on there" if away else "central is back"
            page.say(text, "warning")
        was_away = away
        if changes.everything and not away:
            await _catch_up(commands, store, open_runs)
        for run_id in sorted(open_runs):
            run = store.runs.get(run_id)
            if run is not None and run.ended_already:
                open_runs.discard(run_id)
                good &= _tell_end(run, page)
        if not open_runs:
            return good
        _tell_progress(sorted(open_runs), store, page, told)
    return good


async def _catch_up(commands: Commands, store: Store, run_ids: set[int]) -> None:
    """Runs that ended before the stream began, or while central was away."""
    for run_id in run_ids - store.runs.keys():
        store.add_runs([await commands.run(run_id)])


def _tell_end(run: Run, page: Page) -> bool:
    said, tone = result_of(run)
    took = ""
    if run.started is not None and run.ended is not None:
        took = f" in {fmt.took((run.ended - run.started) / fmt.SECOND_US)}"
    counts = f"{run.received:,} received, {run.inserted:,} new, {run.duplicate:,} duplicate"
    head = f"run {run.id}: {run.kind} {fmt.safe(run.node)}: "
    page.write((head, "plain"), (said, tone), (f"{took}; {counts}, {fmt.size(run.bytes)}", "plain"))
    return tone == "success"


def _tell_progress(run_ids: list[int], store: Store, page: Page, told: dict[int, str]) -> None:
    """Bars on a terminal; elsewhere a line when a run begins, waits, or is 10 % further."""
    known = [run_id for run_id in run_ids if run_id in store.runs]
    if page.terminal:
        columns, rows = shutil.get_terminal_size()
        page.draw([run_line(run_id, store) for run_id in known[: rows - 2]], columns)
        return
    for run_id in known:
        run = store.runs[run_id]
        said = wait_text(run, None, store.now_us())
        if run.state == "running":
            done = percent(run)
            said = f"{done // STEP * STEP}%" if done is not None else "running"
        if told.get(run_id) != said:
            told[run_id] = said
            page.say(f"run {run_id}: {run.kind} {run.node}: {said}")
