"""A node, a run and a journal line, each as one line of text."""

from collections.abc import Sequence

from rich.cells import cell_len

from cluster.protocol.views import JournalLine, NodeView
from console import format as fmt
from console.model import (
    KIND_GLYPH,
    Line,
    at_node_cell,
    bar,
    beside_of,
    drift_cell,
    missing_both_cell,
    percent,
    run_says,
    state_of,
    time_left_s,
)
from console.store import Store
from console.widgets.journal_pane import LEVEL_TONE

NAME_MAX, SAYS, NUMBER, DRIFT = 20, 19, 9, 8
BAR = 20


def name_width(names: Sequence[str]) -> int:
    return min(NAME_MAX, max([4, *(cell_len(fmt.safe(name)) for name in names)]))


def header(width: int) -> Line:
    cells = (
        fmt.left("NODE", width),
        fmt.left("STATE", 11),
        fmt.left("SAYS", SAYS),
        fmt.right("AT NODE", NUMBER),
        fmt.right("CENTRAL", NUMBER),
        fmt.right("MISSING", NUMBER),
        fmt.right("DRIFT", DRIFT),
    )
    return ((" ".join(cells), "muted"),)


def node_line(view: NodeView, store: Store, width: int) -> Line:
    """The same words and numbers as on the screen."""
    state, now_us = state_of(view), store.now_us()
    says, tone = beside_of(view, now_us, store.rate_of(view.run))
    at_node, at_node_tone = at_node_cell(view, NUMBER)
    missing, missing_tone = missing_both_cell(view, NUMBER)
    drift, drift_tone = drift_cell(view)
    return (
        (f"{fmt.left(fmt.safe(view.name), width)} ", "plain"),
        (f"{fmt.left(f'{state.glyph} {state.word}', 11)} ", state.tone),
        (f"{fmt.left(says, SAYS)} ", tone),
        (f"{fmt.right(at_node, NUMBER)} ", at_node_tone),
        (f"{fmt.right(fmt.fit(view.records.central, NUMBER), NUMBER)} ", "plain"),
        (f"{fmt.right(missing, NUMBER)} ", missing_tone),
        (fmt.right(drift, DRIFT), drift_tone),
    )


def summary(store: Store) -> str:
    """The fleet in a sentence."""
    fleet = store.overview
    parts = [f"{number:,} {live}" for live, number in sorted(fleet.lives.items()) if number]
    parts += [f"{fleet.diverged:,} diverged"] if fleet.diverged else []
    parts += [f"{fleet.clock_bad:,} with a bad clock"] if fleet.clock_bad else []
    missing = f"missing: {fleet.at_central:,} at central, {fleet.at_node:,} at nodes"
    unsure = ", more is not known" if fleet.unsure else ""
    return f"{len(store.nodes):,} nodes: {', '.join(parts) or 'none'}; {missing}{unsure}"


def run_line(run_id: int, store: Store) -> Line:
    """A bar for an open run, with how far it is and how long still."""
    run = store.runs[run_id]
    per_s, known = store.rate_of(run), percent(run)
    left_s = time_left_s(run, per_s)
    said = run_says(run, store.nodes.get(run.node), store.now_us(), per_s)
    if known is not None and left_s is not None:
        moved = f"{fmt.short(run.received)}/{fmt.short(run.expected or 0)}"
        said = f"{known}% {moved} {fmt.rate(per_s)} {fmt.span(left_s)} left"
    head = f"{KIND_GLYPH[run.kind]} {run.kind} {fmt.left(fmt.safe(run.node), NAME_MAX)} "
    return (head, "plain"), *bar(run, BAR), (f" {said}", "plain")


def journal_line(line: JournalLine) -> Line:
    """Time, level, node and text."""
    tone = LEVEL_TONE.get(line.level, "plain")
    node = f"{fmt.safe(line.node)} " if line.node else ""
    return (
        (f"{fmt.clock_time(line.ts)} ", "muted"),
        (f"{fmt.left(fmt.safe(line.level), 8)}", tone),
        (node + fmt.safe(line.text), "plain" if tone == "muted" else tone),
    )
