"""What is asked before something is started or stopped: always with the numbers.

One node is confirmed with a key; all of them with a phrase that holds their number, so that
nobody moves every record of a fleet out of habit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.protocol.views import NodeView, Run, RunKind
from console import format as fmt
from console.model import Line
from console.store import Store

LABEL, NAMES_WIDTH = 20, 36


@dataclass(frozen=True)
class Question:
    """`phrase`: what must be typed; None when one key is enough."""

    title: str
    lines: tuple[Line, ...]
    start: str
    phrase: str | None = None


def ask_move(kind: RunKind, views: Sequence[NodeView], store: Store) -> Question:
    """Pull from or push to these nodes; more than one is asked like all."""
    if len(views) == 1:
        return _ask_one(kind, views[0], store)
    return ask_many(kind, views, store, whole=False)


def _ask_one(kind: RunKind, view: NodeView, store: Store) -> Question:
    name = fmt.cut(fmt.safe(view.name), 30)
    missing = _missing(kind, view)
    pull = kind == "pull"
    lines: list[Line] = [
        (
            (
                f"Pull from {name} into central?" if pull else f"Push to {name} from central?",
                "plain",
            ),
        ),
        (),
        _fact(f"missing at {'central' if pull else 'node'}", _records(missing, view, store)),
        _fact("conflicts", fmt.count(view.conflicts) if view.conflicts else "none seen"),
        _fact("about", _about(missing, store.last_rate(view.name, kind))),
    ]
    lines += [_fact("state", said) for said in _cautions(view)]
    side = "central" if pull else "the node"
    lines += [(), ((f"Safe to repeat: what {side} has is skipped.", "muted"),)]
    return Question(kind.upper(), tuple(lines), "Start (y)")


def ask_many(
    kind: RunKind, views: Sequence[NodeView], store: Store, *, whole: bool = True
) -> Question:
    """Pull from or push to every node, or to the marked ones."""
    up = [view for view in views if view.live == "up"]
    away = [view for view in views if view.live != "up"]
    known = [missing for view in up if (missing := _missing(kind, view)) is not None]
    to_do = sum(1 for missing in known if missing)
    pull, nodes = kind == "pull", f"{len(views):,} {'node' if len(views) == 1 else 'nodes'}"
    way = "Pull from" if pull else "Push central's records to"
    lines: list[Line] = [
        ((f"{way} {nodes}.", "plain"),),
        (),
        _fact("will move", f"{sum(known):,} records of {to_do:,} {_plural('node', to_do)}"),
        _fact("about", _about_many(kind, up, store)),
        _fact("nothing to do", f"{len(known) - to_do:,} of {nodes}"),
    ]
    if len(known) < len(up):
        lines.append(_fact("not known yet", f"{len(up) - len(known):,} of {nodes}"))
    for label, some in (
        ("not up, will wait", away),
        ("diverged", [view for view in views if view.data == "diverged"]),
        ("clock is BAD", [view for view in up if view.clock_word == "BAD"]),
    ):
        if some:
            lines.append(_fact(label, _names(some)))
    phrase = f"{kind.upper()} {len(views)}"
    lines += [(), ((f"Type {phrase} to go on:", "plain"),)]
    title = f"{kind.upper()} ALL" if whole else f"{kind.upper()} MARKED"
    return Question(title, tuple(lines), "Start", phrase)


def ask_cancel(run: Run) -> Question:
    """Cancel a run that is open."""
    moved = fmt.count(run.received) if run.received else "nothing yet"
    return Question(
        "CANCEL RUN",
        (
            ((f"Cancel run {run.id}: {run.kind} {fmt.cut(fmt.safe(run.node), 30)}?", "plain"),),
            (),
            _fact("state", fmt.cut(fmt.safe(run.reason or run.state), NAMES_WIDTH)),
            _fact("moved so far", moved),
            (),
            (("What has been moved stays; the next run goes on from there.", "muted"),),
        ),
        "Cancel run (y)",
    )


def ask_retry(run: Run) -> Question:
    """Do once more what an ended run did."""
    said = run.error or run.reason or run.state
    return Question(
        "RETRY RUN",
        (
            ((f"Once more: {run.kind} {fmt.cut(fmt.safe(run.node), 30)} ({run.mode})?", "plain"),),
            (),
            _fact("run", f"{run.id}, {run.state}"),
            _fact("said", fmt.safe(said)),
            _fact("moved then", fmt.count(run.received)),
            (),
            (("Safe to repeat: what is there already is skipped.", "muted"),),
        ),
        "Start (y)",
    )


def ask_remove(view: NodeView) -> Question:
    """Poll a node no more."""
    return Question(
        "REMOVE NODE",
        (
            ((f"Poll {fmt.cut(fmt.safe(view.name), 30)} no more?", "plain"),),
            (),
            _fact("address", fmt.safe(view.url)),
            _fact("records at central", f"{view.records.central:,}, all of them stay"),
            _fact("missing at central", _shown(view.records.missing_at_central)),
            (),
            (("It comes back only when an operator adds it again.", "muted"),),
        ),
        "Remove (y)",
    )


def ask_wipe(name: str) -> Question:
    """Delete a local node's disk, to see what becomes of it."""
    return Question(
        "WIPE",
        (
            ((f"Kill {fmt.cut(fmt.safe(name), 30)} and delete its database?", "plain"),),
            (),
            (("What central has not pulled yet is lost for ever.", "warning"),),
            (("A push then gives it back what central holds.", "muted"),),
        ),
        "Wipe (y)",
    )


def _missing(kind: RunKind, view: NodeView) -> int | None:
    return view.records.missing_at_central if kind == "pull" else view.records.missing_at_node


def _records(missing: int | None, view: NodeView, store: Store) -> str:
    if missing is None:
        return "not known"
    old = "" if view.live == "up" else " when it was last seen"
    return f"{missing:,} {_plural('record', missing)}{_size(missing, store)}{old}"


def _size(records: int, store: Store) -> str:
    """What so many records take in central's database."""
    status = store.status
    if not records or status is None or not status.records:
        return ""
    return f", {fmt.size(records * status.disk.database_bytes / status.records)}"


def _shown(number: int | None) -> str:
    return "not known" if number is None else f"{number:,}"


def _about(missing: int | None, per_s: float | None) -> str:
    if missing == 0:
        return "nothing to do"
    if per_s is None or missing is None:
        return "no rate known yet"
    return f"{fmt.span(missing / per_s + 0.999)} at {fmt.rate(per_s)}"


def _about_many(kind: RunKind, up: Sequence[NodeView], store: Store) -> str:
    """How long it will take, by the latest rates, with so many at a time as central allows."""
    to_do = [(view, missing) for view in up if (missing := _missing(kind, view))]
    if not to_do:
        return "nothing to do"
    rates = [store.last_rate(view.name, kind) for view, _ in to_do]
    known = [rate for rate in rates if rate]
    if not known:
        return _size(sum(missing for _, missing in to_do), store).lstrip(", ") or "not known"
    usual = sum(known) / len(known)
    each_s = [missing / (rate or usual) for (_, missing), rate in zip(to_do, rates, strict=True)]
    slots = store.status.runs_at_once if store.status is not None else 1
    took_s = max(max(each_s), sum(each_s) / slots)
    size = _size(sum(missing for _, missing in to_do), store)
    return f"{fmt.span(took_s + 0.999)} at {slots} at a time{size}"


def _cautions(view: NodeView) -> list[str]:
    """What is odd about the node, in words."""
    said = []
    if view.live != "up":
        said.append(f"{view.live}: waits until it is up")
    if view.data == "diverged":
        said.append("diverged: conflicts are kept out")
    if view.clock_word == "BAD":
        said.append(_clock_caution(view))
    if view.run is not None and not view.run.ended_already:
        said.append(f"run {view.run.id} ({view.run.kind}) is {view.run.state}")
    return said


def _clock_caution(view: NodeView) -> str:
    """Why the clock is BAD."""
    if view.clock is None or view.clock.drift_ms is None:
        return "its clock was never set: no time server"
    around = f"{fmt.drift(view.clock.drift_ms)} {fmt.around(view.clock.bound_ms)}".rstrip()
    return f"its system clock is off by {around}"


def _fact(label: str, said: str) -> Line:
    return (f"   {fmt.left(label, LABEL)} ", "muted"), (fmt.cut(said, NAMES_WIDTH), "plain")


def _names(views: Sequence[NodeView]) -> str:
    names = sorted((view.name for view in views), key=fmt.natural)
    return f"{len(names)}: " + ", ".join(fmt.safe(name) for name in names[:20])


def _plural(word: str, number: int) -> str:
    return word if number == 1 else f"{word}s"
