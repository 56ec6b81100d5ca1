"""The plots of a node: its drift, and how many records came into being and to central."""

from math import log10

from cluster.protocol.views import NodeView
from console import format as fmt
from console.history import History
from console.model import Line, Piece
from console.plot import Point, chart, scale_of
from console.store import Store

#: Scales of the drift, ms: fixed, so that noise stays small. That of rates is always the same,
#: and logarithmic: a node makes a few records a second, a pull brings thousands.
DRIFT_SCALES = (10.0, 100.0, 1e3, 1e4, 6e4, 3.6e6, 8.64e7)
RATE_MAX = 10_000.0
SPANS_S = (60, 240, 3_600, 86_400)
SPAN_NAMES = {60: "1m", 240: "4m", 3_600: "1h", 86_400: "24h"}
NO_PAST = History()


def drift_chart(view: NodeView, store: Store, size: tuple[int, int], span_s: int) -> list[Line]:
    """System clock minus cluster clock, with zero in the middle."""
    end = store.now_us()
    begin = end - span_s * fmt.SECOND_US
    past = store.histories.get(view.name, NO_PAST)
    points = past.drift_ms(begin)
    scale = scale_of((value for _, value in points), DRIFT_SCALES)
    about = f"  ±{_ms(scale)}"
    missed = past.missed(begin)[1]
    said = f" · {missed:,} missed" if missed else ""
    title: Line = (("drift", "plain"), _now(view), (about, "muted"), (said, "warning"))
    return chart(
        title,
        [(points, "primary")],
        size=size,
        span_us=(begin, end),
        low=-scale,
        high=scale,
        says=_signed_ms,
        began=f"-{SPAN_NAMES[span_s]}",
    )


def rate_chart(view: NodeView, store: Store, size: tuple[int, int], span_s: int) -> list[Line]:
    """Records a second: made at the node, and come to central."""
    end = store.now_us()
    begin = end - span_s * fmt.SECOND_US
    past = store.histories.get(view.name, NO_PAST)
    made, kept = past.made_per_s(begin), past.kept_per_s(begin)
    title: Line = (
        ("records/s ", "plain"),
        ("at node", "primary"),
        (" ", "plain"),
        ("to central", "success"),
        ("  log", "muted"),
    )
    return chart(
        title,
        [(_logarithms(made), "primary"), (_logarithms(kept), "success")],
        size=size,
        span_us=(begin, end),
        low=0.0,
        high=log10(1 + RATE_MAX),
        says=lambda power: fmt.brief(10**power) if power else "0",
        began=f"-{SPAN_NAMES[span_s]}",
    )


def _logarithms(points: list[Point]) -> list[Point]:
    """Of one more than the value, so that zero is zero."""
    return [(ts, None if value is None else log10(1 + value)) for ts, value in points]


def _now(view: NodeView) -> Piece:
    if view.clock is None or view.live not in ("up", "suspect"):
        return f" {fmt.NO_VALUE}", "muted"
    around = fmt.around(view.clock.bound_ms)
    return f" {fmt.drift(view.clock.drift_ms)} {around}".rstrip(), "plain"


def _signed_ms(ms: float) -> str:
    return "0" if ms == 0 else f"{'+' if ms > 0 else '-'}{_ms(abs(ms))}"


def _ms(ms: float) -> str:
    """10ms, 1s, 1m, 1h, 1d."""
    for unit, size in (("d", 8.64e7), ("h", 3.6e6), ("m", 6e4), ("s", 1e3)):
        if ms >= size:
            return f"{ms / size:g}{unit}"
    return f"{ms:g}ms"
