"""The text of the help: the keys of the place, then what states and glyphs mean."""

from console import format as fmt
from console.keymap import Place, at
from console.model import Line, Tone

KEY, DOES, MEANING = 8, 26, 15
MEANS = KEY + DOES - MEANING
MOVE = (("↑↓ j k", "row"), ("g G PgUp", "first, last, page"))
STATES: tuple[tuple[str, str, Tone], ...] = (
    ("≠ DIVERGED", "one id, two records", "error"),
    ("○ DOWN", "waits, tries again", "error"),
    ("◷ CLOCK-BAD", "off beyond doubt", "warning"),
    ("◐ SUSPECT", "missed a poll", "warning"),
    ("⇣ PULL ⇡ PUSH", "a run is open", "primary"),
    ("● UP", "answers polls", "success"),
    ("· NEW", "never answered", "muted"),
    ("in sync, proven", "digests were equal", "muted"),
    ("missing ⇣", "central lacks: pull", "warning"),
    ("missing ⇡", "node lacks: push", "warning"),
    ("~n  ?", "old, unknown: away", "muted"),
    ("-  --", "zero, no value", "muted"),
    ("drift", "system vs. cluster", "plain"),
    ("⟳", "pulled by itself", "muted"),
)


def help_lines(place: Place, *, workbench: bool = True) -> tuple[Line, ...]:
    """Keys in two columns, then what words and glyphs mean."""
    commands = [one for one in at(place) if workbench or one.name != "workbench"]
    keys: list[Line] = [
        ((fmt.left(shown, KEY) + " ", "primary"), (fmt.left(does, DOES) + " ", "plain"))
        for shown, does in (*MOVE, *((command.shown, command.does) for command in commands))
    ]
    states: list[Line] = [
        (
            (fmt.left(word, MEANING) + " ", tone),
            (fmt.left(means, DOES + KEY - MEANING) + " ", "plain"),
        )
        for word, means, tone in STATES
    ]
    return (*_two_columns(keys), (), *_two_columns(states))


def _two_columns(lines: list[Line]) -> list[Line]:
    """The first half at the left."""
    rows = (len(lines) + 1) // 2
    right = [*lines[rows:], ()][:rows]
    return [(*one, *other) for one, other in zip(lines[:rows], right, strict=True)]


def not_let_in_lines(address: str, reason: str, token_from: str) -> tuple[Line, ...]:
    """The token was refused: where it came from and how to give another."""
    return (
        ((fmt.cut(f"{fmt.safe(address)} said {fmt.safe(reason)}.", 58), "error"),),
        (),
        (("token came from   ", "muted"), (fmt.cut(fmt.safe(token_from), 38), "plain")),
        (("next try          ", "muted"), ("none by itself; r tries again", "plain")),
        (),
        (("It is the token that central was started with. For good,", "muted"),),
        (("set TIDEHOLD_TOKEN or give --token-file FILE; for now:", "muted"),),
    )
