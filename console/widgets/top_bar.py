"""The first lines of every screen: where one can go, the fleet in one line, and the link."""

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.containers import Horizontal

from console import format as fmt
from console.feed import Feed
from console.keymap import BY_NAME, Place
from console.messages import TryAgain
from console.model import Line, Piece, Tone
from console.overview import Overview
from console.store import Store
from console.widgets.hint import Hint
from console.widgets.lines import Lines

PLACES: tuple[Place, ...] = ("fleet", "runs", "journal")
WIDE = 120


class TopBar(Horizontal):
    """Tabs at the left, the overview at the right."""

    def __init__(self, place: Place, *, env: str | None, breakable: bool) -> None:
        super().__init__()
        self._place, self._env, self._breakable = place, env, breakable
        self._taken = 1  # cells, by what stands at the left

    def compose(self) -> ComposeResult:
        if self._env is not None:
            env = fmt.safe(self._env)
            self._taken += cell_len(env) + 3
            yield Lines(((f" {env} ", "plain"),), classes="env")
        for place in PLACES:
            yield self._tab(place, place[0].upper() + place[1:])
        if self._breakable:
            yield self._tab("workbench", "Break it", "danger")
        yield Lines(id="overview")

    def show(self, store: Store, feed: Feed) -> None:
        room = self.app.size.width - self._taken
        line = status_line(store.overview, store, feed, room)
        self.query_one("#overview", Lines).show_lines(line)

    def _tab(self, place: Place, label: str, more: str = "") -> Hint:
        chosen = "-chosen" if place == self._place else ""
        key = BY_NAME[place].shown.partition(" ")[0]
        hint = Hint(key, label, f"act('{place}')", classes=f"tab {chosen} {more}")
        self._taken += hint.cells + 2
        return hint


def status_line(fleet: Overview, store: Store, feed: Feed, room: int) -> Line:
    """As much of the overview as there is room for; the link is always there."""
    link = link_pieces(store, feed, room)
    counts, missing = count_pieces(fleet), missing_pieces(fleet)
    if store.stale:
        counts, missing = _muted(counts), _muted(missing)
    gap: Piece = ("  ", "plain")
    for pieces in (
        [*counts, *missing, gap, *link],
        [*counts, (" ", "plain"), *missing[1:], gap, *link],
        [*counts, gap, *link],
        link,
    ):
        if sum(cell_len(text) for text, _ in pieces) <= room:
            return tuple(pieces)
    return ()


def _muted(pieces: list[Piece]) -> list[Piece]:
    return [(text, "muted") for text, _ in pieces]


def count_pieces(fleet: Overview) -> list[Piece]:
    """How many are up, then those that are not, then what else is the matter."""
    up = fleet.lives.get("up", 0)
    marks: tuple[tuple[str, int, Tone], ...] = (
        ("·", fleet.lives.get("new", 0), "muted"),
        ("◐", fleet.lives.get("suspect", 0), "warning"),
        ("○", fleet.lives.get("down", 0), "error"),
        ("≠", fleet.diverged, "error"),
        ("◷", fleet.clock_bad, "warning"),
        ("⇅", fleet.running, "primary"),
    )
    shown: list[Piece] = [(f" {glyph}{number}", tone) for glyph, number, tone in marks if number]
    return [(f"{up} up", "success" if up else "muted"), *shown]


def missing_pieces(fleet: Overview) -> list[Piece]:
    """What a pull and a push of all would move; `?` for what is not known now."""
    sides = (("⇣", fleet.at_central), ("⇡", fleet.at_node))
    known: list[Piece] = [(f" {glyph}{fmt.count(n)}", "warning") for glyph, n in sides if n]
    unsure: list[Piece] = [(" +?" if known else " ?", "muted")] if fleet.unsure else []
    return [("  missing", "muted"), *known, *unsure] if known or unsure else []


def link_pieces(store: Store, feed: Feed, room: int) -> list[Piece]:
    """How well central is heard, and its time."""
    now = fmt.clock_time(store.now_us() if store.heard_us is not None else None)
    wide = f" {fmt.cut(fmt.safe(feed.address), 24)}" if room >= WIDE - 30 else ""
    if store.paused:
        return [("‖ PAUSED", "warning"), (f"{wide} {now}", "plain")]
    if feed.link == "live":
        return [("●", "success"), (f"{' LIVE' if wide else ''}{wide} {now}", "plain")]
    if feed.link == "late":
        return [(f"◐ LATE {fmt.age(feed.silent_s())}", "warning"), (f"{wide} {now}", "plain")]
    if feed.link == "connecting":
        return [(f"◌ connecting{wide}", "muted")]
    word = "✕ NOT LET IN" if feed.link == "refused" else "○ LOST"
    return [(word, "error"), (wide, "plain")]


class Banner(Lines):
    """Says that what is shown is old, since when, and what happens next, or that central's is."""

    def show(self, store: Store, feed: Feed, token_from: str) -> None:
        self.display = store.stale or store.cut_off
        if self.display:
            width = self.app.size.width - 2
            text = fmt.cut(banner_text(store, feed, token_from), width)
            self.show_lines(((text, "error"),))

    def on_click(self) -> None:
        self.post_message(TryAgain())


def banner_text(store: Store, feed: Feed, token_from: str) -> str:
    """One line: the beginning is what matters when it must be cut."""
    if not store.stale:
        return "CENTRAL HEARS NO NODE · it may be cut off, so it marks none down · states are old"
    if feed.link == "connecting":
        return f"Trying {fmt.safe(feed.address)} again"
    if feed.link == "refused":
        return f"NOT LET IN · token from {token_from} · r tries again · {fmt.safe(feed.reason)}"
    shown = "nothing yet"
    if store.heard_us is not None:
        shown = f"{fmt.clock_time(store.heard_us)} ({fmt.age(store.silent_s())} ago)"
    retry = f"retry in {feed.retry_in_s() + 0.5:.0f}s · r now"
    if feed.retry_in_s() == 0:
        retry = "trying"
    return f"CENTRAL UNREACHABLE · shown: {shown} · {retry} · {fmt.safe(feed.reason)}"
