"""`pull` and `push`: which nodes, the numbers first, and the start of the runs."""

from collections.abc import Sequence

from cluster.peer import Peer
from cluster.protocol.views import NodeView, RunKind
from console.commands import Commands
from console.plain.fleet import ask_fleet
from console.plain.keyboard import Unwanted, typed
from console.plain.page import Page
from console.questions import Question, ask_many
from console.store import Store


async def asked_for(
    peer: Peer, kind: RunKind, names: Sequence[str], *, all_nodes: bool
) -> tuple[Store, list[NodeView]]:
    """What is known now, and the nodes that are meant. Unwanted for a name that is none."""
    if bool(names) == all_nodes:
        raise Unwanted(f"which nodes? {kind} NODE ... or {kind} --all")
    store = await ask_fleet(peer)
    wanted = store.nodes if all_nodes else dict.fromkeys(names)  # each once
    if unknown := [name for name in wanted if name not in store.nodes]:
        raise Unwanted(f"no node {unknown[0]}; `nodes` lists them")
    if not wanted:
        raise Unwanted("there are no nodes yet")
    return store, [store.nodes[name] for name in wanted]


def show_question(kind: RunKind, views: list[NodeView], store: Store, page: Page) -> Question:
    """The numbers, as the screen shows them before."""
    question = ask_many(kind, views, store)
    for line in question.lines[:-2]:
        page.write(*line)
    return question


async def is_wanted(question: Question, page: Page, *, yes: bool) -> bool:
    """Whether all nodes are really meant. Unwanted where nobody can be asked."""
    if yes:
        return True
    phrase = question.phrase or ""
    unasked = "nobody can be asked here: give --yes to do it for all nodes"
    answer = await typed(f"Type {phrase} to go on:", page, unasked=unasked)
    return answer.casefold() == phrase.casefold()


async def start(
    commands: Commands, kind: RunKind, views: list[NodeView], *, all_nodes: bool
) -> frozenset[int]:
    """Ask for the runs; their numbers."""
    answer = await (commands.start_all(kind) if all_nodes else commands.start(kind, views))
    return answer.runs
