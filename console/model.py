"""What a node or a run looks like: one word for its state, the worst of all that is known.

A glyph, a word and a tone, because colour alone is not enough. Severity orders the fleet; a tone
is a role, which the style sheet turns into a colour of the theme.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len

from cluster.protocol.views import DOWN_AFTER, NodeView, Run
from console import format as fmt

Tone = Literal["plain", "muted", "error", "warning", "primary", "success"]
Piece = tuple[str, Tone]
Line = tuple[Piece, ...]

DRIFT_WARN_MS = 100.0
FRESH_S = 5.0
LEVEL_TONE: dict[str, Tone] = {"info": "muted", "warning": "warning", "error": "error"}
KIND_GLYPH = {"pull": "⇣", "push": "⇡"}
BAR_FULL, BAR_EMPTY, BAR_UNKNOWN = "━", "─", "·"


def cut_line(line: Line, width: int) -> Line:
    """At most `width` cells of it."""
    pieces: list[Piece] = []
    for text, tone in line:
        pieces.append((fmt.cut(text, width), tone))
        width = max(0, width - cell_len(text))
    return tuple(pieces)


@dataclass(frozen=True, slots=True)
class State:
    """How bad it is (0 is the worst), and how that looks."""

    severity: int
    glyph: str
    word: str
    tone: Tone


#: The states of a node with their look, the worst first.
DIVERGED = State(0, "≠", "DIVERGED", "error")
DOWN = State(1, "○", "DOWN", "error")
CLOCK_BAD = State(2, "◷", "CLOCK-BAD", "warning")
SUSPECT = State(3, "◐", "SUSPECT", "warning")
FLAPS = State(3, "◐", "FLAPS", "warning")
RUNS = {"pull": State(4, "⇣", "PULL", "primary"), "push": State(4, "⇡", "PUSH", "primary")}
BEHIND = State(5, "●", "UP", "success")
IN_SYNC = State(6, "●", "UP", "success")
NEW = State(7, "·", "NEW", "muted")


def state_of(view: NodeView) -> State:
    """The worst that is known of a node."""
    if view.data == "diverged":
        return DIVERGED
    if view.live == "down":
        return DOWN
    if view.clock_word == "BAD":
        return CLOCK_BAD
    if view.flapping:
        return FLAPS
    if view.live == "suspect":
        return SUSPECT
    if view.run is not None and not view.run.ended_already:
        return RUNS[view.run.kind]
    if view.live == "new":
        return NEW
    return IN_SYNC if view.data == "in_sync" else BEHIND


def beside_of(view: NodeView, now_us: int, per_s: float | None = None) -> Piece:
    """What is said beside the state; `per_s` is the rate of the node's run."""
    state = state_of(view)
    if state is IN_SYNC:
        return proven_text(view, now_us), "muted"
    if state is NEW:
        return away_text(view, now_us), "muted"
    if state is BEHIND:
        return ("behind" if view.data == "behind" else "not compared"), "warning"
    if view.run is not None and state in RUNS.values():
        return run_says(view.run, view, now_us, per_s), "plain"
    return _run_mark(view.run) + _trouble(view, state, now_us), "plain"


def proven_text(view: NodeView, now_us: int) -> str:
    """That the digests of both sides were equal, and when, unless it is but a moment ago."""
    if view.proven is None:
        return "in sync"
    age_s = (now_us - view.proven) / fmt.SECOND_US
    if age_s < FRESH_S:
        return "in sync, proven"
    # In steps of ten seconds: else every row would be drawn anew every second.
    return f"in sync {fmt.age(max(FRESH_S, age_s - age_s % 10))} ago"


def _trouble(view: NodeView, state: State, now_us: int) -> str:
    if state is DIVERGED:
        away = "" if view.live == "up" else f" · {view.live}"
        return (f"{view.conflicts:,} conflict" if view.conflicts else "sets differ") + away
    if state is CLOCK_BAD and view.live == "up":  # the drift has a column of its own
        return {"in_sync": proven_text(view, now_us), "behind": "behind"}.get(
            view.data, "not compared"
        )
    return away_text(view, now_us)


def away_text(view: NodeView, now_us: int) -> str:
    """How it stands with a node that is not up."""
    if view.live == "down":
        return retry_text(view, now_us)
    if view.live == "new":
        return "never answered"
    if view.flapping:
        return "comes and goes"
    return f"{view.failures}/{DOWN_AFTER} missed"


def retry_text(view: NodeView, now_us: int) -> str:
    """`retry 0:24 #7`, counted on central's clock; `trying #7` when that is over."""
    if view.next_try is None:
        return f"tried #{view.failures}"
    left_s = (view.next_try - now_us) / fmt.SECOND_US
    if left_s <= 0:
        return f"trying #{view.failures}"
    return f"retry {fmt.span(left_s + 0.999)} #{view.failures}"


def _run_mark(run: Run | None) -> str:
    """A run of a node whose word is about something worse, where it is not cut off: `⇣43% `."""
    if run is None or run.ended_already:
        return ""
    known = percent(run)
    return KIND_GLYPH[run.kind] + (f"{known}% " if known is not None else " ")


def counts_hold(view: NodeView) -> bool:
    """Whether its numbers still count: one missed poll does not make them worthless."""
    return view.live in ("up", "suspect")


def measured(view: NodeView, text: str, tone: Tone = "plain") -> Piece:
    """What only an answer tells: muted after a missed poll, no value of a node that is away."""
    return (text, _if_up(view, tone)) if counts_hold(view) else (fmt.NO_VALUE, "muted")


def _if_up(view: NodeView, tone: Tone) -> Tone:
    return tone if view.live == "up" else "muted"


def drift_cell(view: NodeView) -> Piece:
    """The drift and how loud it is said."""
    ms = view.clock.drift_ms if view.clock is not None else None
    if ms is None:
        return fmt.NO_VALUE, "muted"
    return measured(view, fmt.drift(ms), "warning" if abs(ms) > DRIFT_WARN_MS else "plain")


def at_node_cell(view: NodeView, width: int) -> Piece:
    """The records at the node; `~` when the node is away and the count is old."""
    if view.records.node is None:
        return fmt.NO_VALUE, "muted"
    mark = "" if counts_hold(view) else "~"
    return fmt.fit(view.records.node, width, mark), _if_up(view, "plain")


def missing_cell(view: NodeView, side: Literal["central", "node"], width: int) -> Piece:
    """The records that one side lacks; `?` while the node is away."""
    missing = view.records.missing_at_central
    if side == "node":
        missing = view.records.missing_at_node
    if not counts_hold(view):
        return fmt.UNKNOWN, "muted"
    if not missing:
        return fmt.count(missing), "muted"
    return fmt.fit(missing, width), _if_up(view, "warning")


def missing_both_cell(view: NodeView, width: int) -> Piece:
    """One column for both: `⇣39 ⇡4k`, or the larger alone where that is too wide."""
    at_central, at_node = view.records.missing_at_central or 0, view.records.missing_at_node or 0
    if not at_node or not counts_hold(view):
        return missing_cell(view, "central", width)
    tone = _if_up(view, "warning")
    if at_central:
        for shown in (fmt.count, fmt.brief):
            both = f"⇣{shown(at_central)} ⇡{shown(at_node)}"
            if len(both) <= width:
                return both, tone
    larger = ("⇣", at_central) if at_central > at_node else ("⇡", at_node)
    return fmt.fit(larger[1], width, larger[0]), tone


def percent(run: Run) -> int | None:
    """How much of a run is done, when it is known how much there is."""
    if run.state != "running" or not run.expected:
        return None
    return min(100, run.received * 100 // run.expected)


def run_says(run: Run, view: NodeView | None, now_us: int, per_s: float | None) -> str:
    """What to say of an open run in a few words."""
    if run.state != "running":
        return wait_text(run, view, now_us)
    known = percent(run)
    done = f"{known}%" if known is not None else fmt.short(run.received)
    return f"{done} {fmt.rate(per_s)}" if per_s else done


def wait_text(run: Run, view: NodeView | None, now_us: int) -> str:
    """What a run waits for: its node, which counts down, or what central says."""
    if run.state == "waiting" and view is not None and view.live != "up":
        return f"waits for node: {away_text(view, now_us)}"
    verb = "waits" if run.state == "waiting" else run.state
    if run.reason is None or run.reason.startswith(verb):
        return fmt.safe(run.reason or run.state)
    return f"{verb}: {fmt.safe(run.reason)}"


def time_left_s(run: Run, per_s: float | None) -> float | None:
    """Seconds to go at this rate, when both the rate and the end are known."""
    if not per_s or not run.expected:
        return None
    return max(0, run.expected - run.received) / per_s


def bar(run: Run, width: int) -> Line:
    """A progress bar of exactly `width` cells; dots when nothing can be said."""
    known = percent(run)
    if known is None:
        return ((BAR_UNKNOWN * width, "muted"),)
    full = width * known // 100
    return (BAR_FULL * full, "primary"), (BAR_EMPTY * (width - full), "muted")


def result_of(run: Run) -> Piece:
    """How a run ended, with what a reader must know of it."""
    if run.state == "cancelled":
        return "cancelled", "muted"
    if run.state == "failed":
        said = run.error or run.reason
        return f"failed: {fmt.safe(said)}" if said else "failed", "error"
    odd = [
        f"{fmt.count(number)} {word}"
        for number, word in ((run.conflict, "conflict"), (run.rejected, "rejected"))
        if number
    ]
    if odd:
        return f"ok, but {', '.join(odd)}", "warning"
    return (f"ok, {fmt.count(run.inserted)} new" if run.inserted else "ok, nothing new"), "success"


def results_of(runs: Sequence[Run]) -> tuple[str, bool]:
    """How runs ended that somebody waited for, in one sentence, and whether any ended badly."""
    if len(runs) == 1:
        (run,) = runs
        text, tone = result_of(run)
        took = ""
        if run.started is not None and run.ended is not None:
            took = f" in {fmt.took((run.ended - run.started) / fmt.SECOND_US)}"
        return f"{run.kind} {run.node}: {text}{took}", tone in ("error", "warning")
    good = sum(run.state == "succeeded" for run in runs)
    new = sum(run.inserted for run in runs)
    text = f"{good} of {len(runs)} runs ok, {fmt.count(new)} new"
    return text, good < len(runs) or any(run.conflict or run.rejected for run in runs)
