"""The words of `python -m console WORD ...`: what each takes, and its help."""

import math
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from cluster.protocol.central import RunId, Url
from cluster.record import NodeName
from cluster.shape import explain

EXITS = """exit codes:
  0    as asked; `status`: every node is up, proven in sync, and its clock is not bad
  1    not so: a run failed, was cancelled or left something out; a node is not well;
       somebody was asked and did not want it
  2    wrong use: a flag, a name, a token that is missing
  3    central cannot be reached, or refuses the token
  130  Ctrl-C; what central was asked to do goes on there
"""


@dataclass(frozen=True, slots=True)
class Word:
    """One command. `add` declares what it takes besides the settings of the console."""

    about: str
    examples: str
    add: Callable[[ArgumentParser], None]

    def fill(self, parser: ArgumentParser) -> None:
        """Make the parser that of this word."""
        self.add(parser)
        parser.description = self.about
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = f"examples:\n{self.examples}\n{EXITS}"


def _seconds(text: str) -> float:
    """ArgumentTypeError for what nobody can wait."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ArgumentTypeError(f"expected seconds above zero, got {text!r:.40}")
    return seconds


def _text(kind: Any) -> Callable[[str], str]:
    """Reads text of this shape. ArgumentTypeError says what would be right."""
    return lambda text: str(_fitting(text, kind))


def _run_id(text: str) -> int:
    return int(_fitting({"id": text}, RunId).id)


def _fitting(given: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ArgumentTypeError(explain(error, kind)[1]) from None


def _status(parser: ArgumentParser) -> None:
    parser.add_argument("--watch", action="store_true", help="go on with a line for each change")
    parser.add_argument(
        "--json",
        action="store_true",
        help="central's own words as JSON; with --watch a node a line",
    )


def _move(parser: ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NODE", help="which nodes")
    parser.add_argument("--all", action="store_true", help="every node")
    parser.add_argument("--yes", action="store_true", help="do not ask before all of them")
    parser.add_argument("--no-wait", action="store_true", help="do not follow the runs")
    parser.add_argument(
        "--timeout", type=_seconds, metavar="S", help="follow for so many seconds at most"
    )


def _cancel(parser: ArgumentParser) -> None:
    parser.add_argument("run", type=_run_id, metavar="RUN", help="the number of the run")


def _nodes(parser: ArgumentParser) -> None:
    parser.add_argument("verb", nargs="?", choices=("list", "add", "remove"), default="list")
    parser.add_argument("name", nargs="?", type=_text(NodeName), metavar="NAME", help="the node")
    parser.add_argument(
        "url",
        nargs="?",
        type=_text(Url),
        metavar="URL",
        help="where it listens: http://HOST:PORT",
    )
    parser.add_argument("--untested", action="store_true", help="add it even if nobody answers")
    parser.add_argument("--yes", action="store_true", help="do not ask before it is removed")


def _journal(parser: ArgumentParser) -> None:
    parser.add_argument("--follow", action="store_true", help="go on with what is new")
    parser.add_argument("--level", choices=("info", "warning", "error"), help="this and worse")
    parser.add_argument("--node", metavar="NAME", help="of this node only")
    parser.add_argument("--kind", metavar="KIND", help="of this kind only")
    parser.add_argument("--text", metavar="TEXT", help="with this in it")
    parser.add_argument("--limit", type=int, default=50, metavar="N", help="so many lines [50]")
    parser.add_argument("--json", action="store_true", help="a JSON object a line")


WORDS = {
    "status": Word(
        "Every node in a line, the worst first. TO PULL: records that central lacks; TO PUSH:\n"
        "that the node lacks; DRIFT: its system clock, give or take; SEEN: how long ago it\n"
        "answered.",
        "  python -m console status\n"
        "  python -m console status --watch\n"
        "  python -m console status --json | jq -r '.nodes[] | select(.live != \"up\") | .name'\n",
        _status,
    ),
    "pull": Word(
        "Pull from nodes: central inserts what it lacks. Follows the runs to their end.",
        "  python -m console pull shop-7\n"
        "  python -m console pull --all --yes\n"
        "  python -m console pull shop-7 shop-8 --timeout 60\n",
        _move,
    ),
    "push": Word(
        "Push to nodes: each inserts what it lacks. Follows the runs to their end.",
        "  python -m console push shop-7\n  python -m console push --all --yes\n",
        _move,
    ),
    "cancel": Word(
        "Cancel a run. What it has moved stays.", "  python -m console cancel 881\n", _cancel
    ),
    "nodes": Word(
        "List, add or remove nodes. An address is tested before it is taken.",
        "  python -m console nodes\n"
        "  python -m console nodes add shop-7 http://10.0.7.2:8101\n"
        "  python -m console nodes remove shop-7 --yes\n",
        _nodes,
    ),
    "journal": Word(
        "The latest lines of the journal, the newest last.",
        "  python -m console journal --level warning\n"
        "  python -m console journal --follow --node shop-7\n",
        _journal,
    ),
}
