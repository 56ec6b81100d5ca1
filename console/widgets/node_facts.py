"""Everything known of one node, as lines: for the side panel and for the node's own screen."""

from rich.cells import cell_len

from cluster.clock.state import ClockSummary
from cluster.protocol.views import NodeView
from console import format as fmt
from console.model import (
    KIND_GLYPH,
    Line,
    Piece,
    at_node_cell,
    beside_of,
    measured,
    missing_cell,
    result_of,
    retry_text,
    state_of,
)
from console.store import Store

LABEL, NUMBER = 9, 10
GAP: Piece = (" ", "plain")
Fact = tuple[str, Piece]


def title_lines(view: NodeView, store: Store, width: int) -> list[Line]:
    """The name with the address, and the state."""
    name = fmt.cut(fmt.safe(view.name), max(8, width // 2))
    state = state_of(view)
    said, tone = beside_of(view, store.now_us(), store.rate_of(view.run))
    url = fmt.cut(fmt.safe(view.url), max(0, width - len(name) - 3))
    return [
        ((name, "plain"), (f"  {url}", "muted")),
        (
            (f"{state.glyph} {state.word}", state.tone),
            (f"  {fmt.cut(said, width - 14)}", tone),
        ),
    ]


def record_facts(view: NodeView) -> list[Fact]:
    """The counts at both sides and what each lacks."""
    return [
        ("at node", at_node_cell(view, NUMBER)),
        ("central", (fmt.fit(view.records.central, NUMBER), "plain")),
        ("missing⇣", missing_cell(view, "central", NUMBER)),
        ("missing⇡", missing_cell(view, "node", NUMBER)),
        ("conflict", (fmt.fit(view.conflicts, NUMBER), "error" if view.conflicts else "muted")),
    ]


def link_facts(view: NodeView, store: Store) -> list[Fact]:
    """When it was seen, how far away it is, when it is asked next."""
    now_us = store.now_us()
    rtt = fmt.NO_VALUE if view.rtt_ms is None else f"{view.rtt_ms:.1f}ms"
    polled = f"every {store.status.poll_interval_s:g}s" if store.status else fmt.NO_VALUE
    again = ("polled", polled)
    if view.live == "down":
        again = ("next try", retry_text(view, now_us).removeprefix("retry "))
    return [
        ("seen", (_when(view.last_seen, store), "plain")),
        (again[0], (again[1], "plain")),
        ("rtt", measured(view, rtt)),
        ("apart", measured(view, fmt.drift(view.apart_ms))),
        ("proven", (_when(view.proven, store), "plain")),
    ]


def _when(moment_us: int | None, store: Store) -> str:
    """How long ago; while central is away the time, as an age that stands still would be a lie."""
    if moment_us is None or store.stale:
        return fmt.clock_time(moment_us)
    return f"{fmt.age((store.now_us() - moment_us) / fmt.SECOND_US)} ago"


def clock_facts(view: NodeView) -> list[Fact]:
    """The node's clock, as it says itself."""
    clock = view.clock or ClockSummary(status="UNSYNC")
    drift = f"{fmt.drift(clock.drift_ms)} {fmt.around(clock.bound_ms)}".rstrip()
    freq = fmt.NO_VALUE if clock.freq_ppm is None else f"{clock.freq_ppm:+.2f}ppm"
    delay = fmt.NO_VALUE if clock.delay_ms is None else f"{clock.delay_ms:.1f}ms"
    age = fmt.NO_VALUE if clock.last_sync_age_s is None else f"{fmt.age(clock.last_sync_age_s)} old"
    status = clock.status if view.clock is not None else fmt.NO_VALUE
    stratum = "" if clock.stratum is None else f" st {clock.stratum}"
    return [
        ("drift", measured(view, drift)),
        ("clock", measured(view, status + stratum, "plain" if status == "SYNC" else "warning")),
        ("freq", measured(view, freq)),
        ("delay", measured(view, delay)),
        ("sample", measured(view, age)),
    ]


def member_facts(view: NodeView) -> list[Fact]:
    """Version, database, source, and whose time it follows."""
    source = fmt.NO_VALUE
    reference = view.clock.reference if view.clock is not None else None
    if view.source is not None:
        going = f"{view.source.rate:g}/s" if view.source.running else "stopped"
        source = f"{going} {view.source.kind}"
    tidemark = fmt.NO_VALUE if view.tidemark is None else f"{view.tidemark:,}"
    return [
        ("version", (fmt.safe(view.version or fmt.NO_VALUE), "plain")),
        ("epoch", (fmt.safe(view.epoch or fmt.NO_VALUE), "muted")),
        ("tidemark", (tidemark, "plain")),
        ("source", measured(view, source)),
        ("time of", measured(view, fmt.safe(reference or fmt.NO_VALUE))),
    ]


def column(facts: list[Fact], value: int) -> list[Line]:
    """Facts under one another, each exactly as wide."""
    return [
        ((fmt.left(label, LABEL), "muted"), (fmt.left(text, value), tone))
        for label, (text, tone) in facts
    ]


def numbers(facts: list[Fact], value: int) -> list[Line]:
    """The same for counts: they end at the same place."""
    return column(
        [(label, (fmt.right(text, min(value, NUMBER)), tone)) for label, (text, tone) in facts],
        value,
    )


def beside(*columns: list[Line]) -> list[Line]:
    """Columns next to one another, with a gap between them; shorter ones end in blank lines."""
    blanks = [((" " * sum(cell_len(text) for text, _ in one[0]), "plain"),) for one in columns]
    rows = max(len(one) for one in columns)
    full = [one + [blank] * (rows - len(one)) for one, blank in zip(columns, blanks, strict=True)]
    return [
        tuple(piece for line in row for piece in (GAP, *line))[1:]
        for row in zip(*full, strict=True)
    ]


def trouble_line(view: NodeView, width: int) -> Line:
    """Why the last poll failed, in the node's or central's words."""
    said = ": ".join(fmt.safe(part) for part in (view.reason, view.detail) if part)
    return ((fmt.cut(said, width), "warning"),) if said else ()


def detail_lines(view: NodeView, store: Store, width: int) -> list[Line]:
    """The node's own screen: in two rows of columns, or in one where there is room."""
    lines = title_lines(view, store, width)
    records, clock = numbers(record_facts(view), 13), column(clock_facts(view), 15)
    link, member = column(link_facts(view, store), 19), member_facts(view)
    if width >= 110:
        lines += [(), *beside(records, clock, link, column(member, width - 4 * 9 - 3 - 47))]
    else:
        lines += beside(records, clock, link)
        wide = width - LABEL - 1
        lines += [_flowed(member, wide)]
    return [*lines, *loss_lines(view, width), trouble_line(view, width)]


def _flowed(facts: list[Fact], width: int) -> Line:
    """Facts beside one another, as many as fit."""
    pieces: list[Piece] = []
    for label, (text, tone) in facts:
        gap = "  " if pieces else ""
        width -= cell_len(gap + label + text) + 1
        if width < 0:
            break
        pieces += [(f"{gap}{label} ", "muted"), (text, tone)]
    return tuple(pieces)


def loss_lines(view: NodeView, width: int) -> list[Line]:
    """What went with the node's disk, until it has been given back."""
    lines: list[Line] = []
    if (loss := view.loss) is not None:
        lost = f"lost with its disk: {loss.records:,} that were never pulled"
        lines.append(((fmt.cut(lost, width), "warning"),))
        if view.records.missing_at_node:
            back = f"central holds {loss.restorable:,} of it: u gives them back"
            lines.append(((fmt.cut(back, width), "warning"),))
    if view.records.dropped:
        given = f"{view.records.dropped:,} records given up there, proven to be at central"
        lines.append(((fmt.cut(given, width), "muted"),))
    return lines


def side_lines(view: NodeView, store: Store, width: int, chart: list[Line]) -> list[Line]:
    """The side panel: the numbers, the drift, then the last runs."""
    lines = title_lines(view, store, width)
    half = (width - 1) // 2 - LABEL
    records, link = numbers(record_facts(view), half), column(link_facts(view, store), half)
    lines += [(), *beside(records, link), ()]
    clock, member = clock_facts(view), member_facts(view)
    for facts in (clock[:2], clock[2:], member[:2], member[3:]):
        lines.append(_flowed(facts, width))
    lines += [
        *loss_lines(view, width),
        trouble_line(view, width),
        *chart,
        (),
    ]
    lines.append((("last runs", "muted"),))
    runs = [run for run in store.runs_of(view.name) if run.ended_already][:6]
    for run in runs:
        said, tone = result_of(run)
        head = f"{fmt.clock_time(run.ended)} {KIND_GLYPH[run.kind]} {run.kind} "
        head += f"{fmt.right(fmt.fit(run.received, 9), 9)}  "
        lines.append(((head, "plain"), (fmt.cut(said, max(0, width - len(head))), tone)))
    return lines if runs else [*lines, (("none yet", "muted"),)]
