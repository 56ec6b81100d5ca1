"""A node, a run and a journal line, each as one line of text.

A line is to be heard as well as seen: whatever a glyph says, a word says too, and what each side
lacks has a column of its own.
"""

from datetime import UTC, datetime

from cluster.protocol.views import JournalLine, NodeView, Run
from console import format as fmt
from console.model import (
    KIND_GLYPH,
    LEVEL_TONE,
    Line,
    Piece,
    at_node_cell,
    bar,
    beside_of,
    drift_cell,
    missing_cell,
    percent,
    run_says,
    state_of,
    time_left_s,
)
from console.plain.page import Page
from console.plain.table import Column, Row, Table
from console.store import Store

NAME_LEAST, NAME_MAX = 6, 64
SAID_LEAST, SAID_MAX = 10, 24
NUMBER = 7
BAR, BAR_NAME = 20, 20
AFTER_NAME = (
    Column("STATE", 11),
    Column("SAYS", SAID_MAX, least=SAID_LEAST),
    Column("AT NODE", NUMBER, number=True),
    Column("CENTRAL", NUMBER, number=True),
    Column("TO PULL", NUMBER, number=True),
    Column("TO PUSH", NUMBER, number=True),
    Column("DRIFT", 17, number=True),
    Column("SEEN", 5, number=True),
)


def node_table(page: Page, before: int = 0) -> Table:
    """For lines of nodes that have so many cells before them.

    A script must find each node by its name, so that is cut for a terminal only.
    """
    name = Column("NODE", NAME_MAX, least=NAME_LEAST if page.terminal else None)
    return Table((name, *AFTER_NAME), page.columns - before)


def node_row(view: NodeView, store: Store) -> Row:
    """The same words and numbers as on the screen."""
    state, now_us = state_of(view), store.now_us()
    return (
        (fmt.safe(view.name), "plain"),
        (f"{state.glyph} {state.word}", state.tone),
        beside_of(view, now_us, store.rate_of(view.run)),
        at_node_cell(view, NUMBER),
        (fmt.fit(view.records.central, NUMBER), "plain"),
        missing_cell(view, "central", NUMBER),
        missing_cell(view, "node", NUMBER),
        _drift(view),
        _seen(view, now_us),
    )


def _drift(view: NodeView) -> Piece:
    """With how far it may be off."""
    text, tone = drift_cell(view)
    if text == fmt.NO_VALUE or view.clock is None or view.clock.bound_ms is None:
        return text, tone
    return f"{text} {fmt.around(view.clock.bound_ms)}", tone


def _seen(view: NodeView, now_us: int) -> Piece:
    """How long ago the node answered last."""
    if view.last_seen is None:
        return fmt.NO_VALUE, "muted"
    return fmt.age((now_us - view.last_seen) / fmt.SECOND_US), "muted"


def summary(store: Store) -> tuple[str, str]:
    """The fleet in two sentences: how it is, and what is missing."""
    fleet = store.overview
    parts = [f"{number:,} {live}" for live, number in sorted(fleet.lives.items()) if number]
    in_sync = sum(view.live == "up" and view.data == "in_sync" for view in store.nodes.values())
    parts += [f"{in_sync:,} in sync"] if in_sync else []
    parts += [f"{fleet.diverged:,} diverged"] if fleet.diverged else []
    parts += [f"{fleet.clock_bad:,} with a bad clock"] if fleet.clock_bad else []
    nodes = "1 node" if len(store.nodes) == 1 else f"{len(store.nodes):,} nodes"
    missing = f"missing: {fleet.at_central:,} at central, {fleet.at_node:,} at nodes"
    unsure = ", more is not known" if fleet.unsure else ""
    return f"{nodes}: {', '.join(parts) or 'none'}", missing + unsure


def run_line(run: Run, store: Store) -> Line:
    """A bar for an open run, with how far it is and how long still."""
    per_s, known = store.rate_of(run), percent(run)
    left_s = time_left_s(run, per_s)
    said = run_says(run, store.nodes.get(run.node), store.now_us(), per_s)
    if known is not None and left_s is not None:
        moved = f"{fmt.short(run.received)}/{fmt.short(run.expected or 0)}"
        said = f"{known}% {moved} {fmt.rate(per_s)} {fmt.span(left_s)} left"
    head = f"{KIND_GLYPH[run.kind]} {run.kind} {fmt.left(fmt.safe(run.node), BAR_NAME)} "
    return (head, "plain"), *bar(run, BAR), (f" {said}", "plain")


def journal_line(line: JournalLine) -> Line:
    """Time, level, kind, node (`-`: of none) and text."""
    tone = LEVEL_TONE.get(line.level, "plain")
    node = fmt.safe(line.node) if line.node else fmt.ZERO
    return (
        (f"{_moment(line.ts)} ", "muted"),
        (f"{fmt.left(fmt.safe(line.level), 8)}", tone),
        (f"{fmt.safe(line.kind)} {node} ", "plain"),
        (fmt.safe(line.text), "plain" if tone == "muted" else tone),
    )


def _moment(us: int) -> str:
    """Day and time in this machine's time zone: a journal goes back for weeks."""
    try:
        return f"{datetime.fromtimestamp(us / fmt.SECOND_US, tz=UTC).astimezone():%F %T}"
    except (OverflowError, OSError, ValueError):
        return fmt.NO_VALUE
