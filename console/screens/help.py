"""The text of the help: keys at the left, what the states mean at the right."""

from console import format as fmt
from console.model import Line, Tone

KEYS = (
    ("Move", ""),
    ("↑↓ j k", "row"),
    ("PgUp PgDn g G", "page, first, last"),
    ("1 2 3", "Fleet, Runs, Journal"),
    ("Enter Esc", "details, back"),
    ("", ""),
    ("Act", ""),
    ("p pull", "node → central (asks)"),
    ("u push", "central → node (asks)"),
    ("P U", "all nodes (asks)"),
    ("x", "cancel the run (asks)"),
    ("r", "poll now; reconnect"),
    ("? F1", "this help"),
    ("q ctrl+q", "quit"),
)
STATES: tuple[tuple[str, str, Tone], ...] = (
    ("States, worst first", "", "plain"),
    ("≠ DIVERGED", "same id, other content", "error"),
    ("○ DOWN", "waits, tries again", "error"),
    ("◷ CLOCK-BAD", "system clock off >0.5s", "warning"),
    ("◐ SUSPECT", "missed a poll", "warning"),
    ("⇣ PULL ⇡ PUSH", "a run is open", "primary"),
    ("● UP", "answers polls", "success"),
    ("· NEW", "never answered", "muted"),
    ("Numbers", "", "plain"),
    ("missing⇣", "central lacks: pull", "plain"),
    ("missing⇡", "node lacks: push", "plain"),
    ("~n ?", "old, unknown: away", "plain"),
    ("- --", "zero, no value", "plain"),
    ("drift", "system - cluster clock", "plain"),
)


def help_lines() -> tuple[Line, ...]:
    """Both columns, line by line."""
    lines: list[Line] = []
    for (key, does), (state, means, tone) in zip(KEYS, STATES, strict=True):
        lines.append(
            (
                (fmt.left(key, 14), "plain" if not does else "primary"),
                (fmt.left(does, 22), "plain"),
                (fmt.left(state, 14 if means else 36), tone),
                (means, "plain"),
            )
        )
    return tuple(lines)


def not_let_in_lines(address: str, reason: str, token_from: str) -> tuple[Line, ...]:
    """The token was refused: where it came from and how to give another."""
    return (
        ((fmt.cut(f"{fmt.safe(address)} said {fmt.safe(reason)}.", 58), "error"),),
        (),
        (("token came from   ", "muted"), (fmt.cut(fmt.safe(token_from), 38), "plain")),
        (("next try          ", "muted"), ("none by itself; r tries again", "plain")),
        (),
        (("To give another one, quit (ctrl+q), then either", "plain"),),
        (("  set TIDEHOLD_TOKEN in the environment", "plain"),),
        (("  or start with --token-file FILE", "plain"),),
        (("It is the token that central was started with.", "muted"),),
    )
