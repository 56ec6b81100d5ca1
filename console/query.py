"""What somebody types to see fewer rows: words, and comparisons of numbers.

All terms must hold. `lis` is in the name, the state or what is said beside it; `!down` is not;
`missing>100`, `drift>=50`, `rtt<20` and `records=0` compare (drift without its sign, both in ms).
In the journal `node:lis1`, `kind:pull` and `level:error` pick, other words are in the text.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import eq, ge, gt, le, lt

import msgspec

from cluster.protocol.central import JournalAsk
from cluster.protocol.views import JournalLine, NodeView
from console.model import state_of

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": ge,
    "<=": le,
    ">": gt,
    "<": lt,
    "=": eq,
}
_COMPARISON = re.compile(r"([a-z]+)(>=|<=|>|<|=)([0-9][0-9_,]*(?:\.[0-9]+)?)")


def _missing(view: NodeView) -> float | None:
    known = (view.records.missing_at_central, view.records.missing_at_node)
    return None if known == (None, None) else max(one or 0 for one in known)


def _drift(view: NodeView) -> float | None:
    ms = view.clock.drift_ms if view.clock is not None else None
    return None if ms is None else abs(ms)


FIELDS: dict[str, Callable[[NodeView], float | None]] = {
    "missing": _missing,
    "drift": _drift,
    "rtt": lambda view: view.rtt_ms,
    "records": lambda view: view.records.node,
    "central": lambda view: view.records.central,
    "conflicts": lambda view: view.conflicts,
}

NodeTerm = Callable[[NodeView], bool]


@dataclass(frozen=True, slots=True)
class NodeQuery:
    """Which nodes are wanted. `wrong`: what was not understood, in words."""

    text: str = ""
    terms: tuple[NodeTerm, ...] = ()
    wrong: str = ""

    @classmethod
    def parse(cls, text: str) -> "NodeQuery":
        terms, wrong = [], ""
        for word in text.casefold().split():
            compared = _COMPARISON.fullmatch(word)
            if compared is None:
                terms.append(partial(_says, word))
            elif (field := FIELDS.get(compared[1])) is None:
                wrong = f"no number {compared[1]!r:.20}; there are {', '.join(FIELDS)}"
            else:
                number = float(compared[3].replace(",", "").replace("_", ""))
                terms.append(partial(_compares, field, OPERATORS[compared[2]], number))
        return cls(text, tuple(terms), wrong)

    def holds(self, view: NodeView) -> bool:
        return all(term(view) for term in self.terms)


def _says(word: str, view: NodeView) -> bool:
    wanted = not word.startswith("!")
    state = state_of(view)
    data, live = view.data.replace("_", " "), view.live
    text = f"{view.name}\n{state.word}\n{live}\n{data}\n{view.reason or ''}\n{view.url}"
    return (word.lstrip("!") in text.casefold()) is wanted


def _compares(
    field: Callable[[NodeView], float | None],
    operator: Callable[[float, float], bool],
    number: float,
    view: NodeView,
) -> bool:
    value = field(view)
    return value is not None and operator(value, number)


@dataclass(frozen=True, slots=True)
class LineQuery:
    """Which journal lines are wanted. `level` means this one and worse."""

    level: str | None = None
    node: str | None = None
    kind: str | None = None
    words: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "LineQuery":
        picked: dict[str, str] = {}
        words = []
        for word in text.casefold().split():
            field, colon, value = word.partition(":")
            if colon and value and field in ("level", "node", "kind"):
                picked[field] = value
            else:
                words.append(word)
        return cls(words=tuple(words), **picked)

    @property
    def text(self) -> str:
        """As it would be typed."""
        fields = (("level", self.level), ("node", self.node), ("kind", self.kind))
        return " ".join([*(f"{name}:{value}" for name, value in fields if value), *self.words])

    def holds(self, line: JournalLine) -> bool:
        return (
            (self.level is None or line.level in worse_than(self.level))
            and (self.node is None or (line.node or "").casefold() == self.node.casefold())
            and (self.kind is None or line.kind.casefold() == self.kind.casefold())
            and all(word in f"{line.node or ''} {line.text}".casefold() for word in self.words)
        )

    def asks(self, *, limit: int, before: int | None = None) -> list[JournalAsk]:
        """How central is asked for such lines: once for each level, as it knows no "and worse".

        It looks for the first word only. ValidationError for what no node or kind can be called.
        """
        every = self.level not in LEVELS[1:]
        values = {
            "before": before,
            "node": self.node,
            "kind": self.kind,
            "text": self.words[0] if self.words else None,
            "limit": limit,
        }
        levels = (None,) if every else worse_than(self.level or "")
        return [msgspec.convert({**values, "level": level}, JournalAsk) for level in levels]


LEVELS = ("info", "warning", "error")


def worse_than(level: str) -> Sequence[str]:
    """This level and the worse ones; all for a word that is none."""
    return LEVELS[LEVELS.index(level) :] if level in LEVELS else LEVELS
