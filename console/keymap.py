"""Every command of the console, once: its keys, its words, and where it is at hand.

Bindings, key bars, buttons, the help, the palette and the key table of docs/console.md are made
of this list, so none of them can say something else.
"""

from dataclasses import dataclass
from typing import Literal

from textual.binding import Binding, BindingType

Place = Literal["fleet", "node", "runs", "journal", "workbench"]
Group = Literal["Go", "Look", "Replicate", "Node", "Break"]

FLEET: tuple[Place, ...] = ("fleet",)
NODE: tuple[Place, ...] = ("node",)
RUNS: tuple[Place, ...] = ("runs",)
JOURNAL: tuple[Place, ...] = ("journal",)
BREAK: tuple[Place, ...] = ("workbench",)
NODES: tuple[Place, ...] = ("fleet", "node", "runs")
ALL: tuple[Place, ...] = ("fleet", "node", "runs", "journal", "workbench")


@dataclass(frozen=True, slots=True)
class Command:
    """`name` is that of the action. `keys` are Textual's, `shown` is how a person writes them.

    `bar`: the places whose key bar has it. `asks`: it changes something at central, so central
    must listen and the token must be an operator's.
    """

    name: str
    keys: tuple[str, ...]
    shown: str
    label: str
    does: str
    group: Group
    places: tuple[Place, ...]
    bar: tuple[Place, ...] = ()
    asks: bool = False

    @property
    def word(self) -> str:
        """The label without its glyph."""
        return self.label.lstrip("⇣⇡↻✕⟳▶◷✚✎✖✝❄ ")


COMMANDS = (
    Command("fleet", ("1",), "1", "Fleet", "the fleet, worst first", "Go", ALL, ("workbench",)),
    Command("runs", ("2",), "2", "Runs", "pulls and pushes", "Go", ALL),
    Command("journal", ("3",), "3", "Journal", "what the services did", "Go", ALL),
    Command("workbench", ("b", "4"), "b 4", "Break it", "hurt members on purpose", "Go", ALL),
    Command("details", ("enter",), "⏎", "Details", "the node in detail", "Go",
            ("fleet", "runs", "journal"), ("fleet", "runs", "journal")),
    Command("back", ("escape",), "esc", "Back", "back; marks, filters off", "Go", ALL, NODE),
    Command("previous", ("left_square_bracket",), "[", "Previous", "the node above", "Go", NODE),
    Command("following", ("right_square_bracket",), "]", "Next", "the node below", "Go", NODE),

    Command("pull", ("p",), "p", "⇣ Pull", "central gets what it lacks", "Replicate",
            NODES, NODES, asks=True),
    Command("push", ("u",), "u", "⇡ Push", "node gets what it lacks", "Replicate",
            NODES, NODES, asks=True),
    Command("pull_all", ("P",), "P", "⇣⇣ Pull all", "pull every node", "Replicate",
            ("fleet", "runs"), ("fleet", "runs"), asks=True),
    Command("push_all", ("U",), "U", "⇡⇡ Push all", "push to every node", "Replicate",
            ("fleet", "runs"), ("fleet", "runs"), asks=True),
    Command("cancel", ("x",), "x", "✕ Cancel", "cancel the open run", "Replicate",
            NODES, ("runs", "node"), asks=True),
    Command("retry", ("R",), "R", "↻ Retry", "the ended run once more", "Replicate",
            ("runs", "node"), RUNS, asks=True),
    Command("auto", ("A",), "A", "⟳ Auto", "automatic pull on, off", "Replicate",
            ("fleet", "node"), asks=True),

    Command("again", ("r",), "r", "↻ Poll", "poll now; reconnect", "Node",
            NODES, ("fleet", "node")),
    Command("source", ("o",), "o", "▶ Source", "start or stop its source", "Node",
            ("fleet", "node"), asks=True),
    Command("rate", ("O",), "O", "Rate", "records/s of its source", "Node",
            ("fleet", "node"), asks=True),
    Command("sync", ("c",), "c", "◷ Sync", "correct its clock now", "Node",
            ("fleet", "node"), asks=True),
    Command("add", ("a",), "a", "✚ Add", "add a node (tested first)", "Node",
            FLEET, FLEET, asks=True),
    Command("edit", ("e",), "e", "✎ Edit", "address, automatic pull", "Node",
            ("fleet", "node"), asks=True),
    Command("remove", ("delete",), "Del", "✖ Remove", "poll no more; records stay", "Node",
            ("fleet", "node"), asks=True),

    Command("filter", ("slash",), "/", "Filter", "name, state, missing>100", "Look",
            FLEET, FLEET),
    Command("faults", ("f",), "f", "Faults", "only what is not well", "Look", FLEET),
    Command("sort", ("s",), "s", "Sort", "by the next column", "Look", FLEET),
    Command("reverse", ("S",), "S", "Reverse", "the other way round", "Look", FLEET),
    Command("mark", ("space",), "space", "Mark", "p u r A act on all marked", "Look", FLEET),
    Command("mark_all", ("asterisk",), "*", "Mark all", "all that are shown", "Look", FLEET),
    Command("search", ("slash",), "/", "Search", "words in the journal", "Look", JOURNAL, JOURNAL),
    Command("follow", ("f",), "f", "Follow", "the newest line", "Look", JOURNAL, JOURNAL),
    Command("level", ("l",), "l", "Level", "all, warnings, errors", "Look", JOURNAL, JOURNAL),
    Command("only_node", ("n",), "n", "Node", "only this line's node", "Look", JOURNAL, JOURNAL),
    Command("only_kind", ("v",), "v", "Kind", "only this line's kind", "Look", JOURNAL, JOURNAL),
    Command("older", ("B",), "B", "Older", "lines before the oldest", "Look", JOURNAL),
    Command("longer", ("plus",), "+", "Longer", "more time in the plots", "Look", NODE),
    Command("shorter", ("minus",), "-", "Shorter", "less time in the plots", "Look", NODE),
    Command("pause", ("z",), "z", "Pause", "stand still; feed goes on", "Look", ALL),
    Command("theme", ("t",), "t", "Theme", "the next theme", "Look", ALL),
    Command("shoot", ("ctrl+s",), "^s", "Picture", "save the screen as SVG", "Look", ALL),
    Command("palette", ("ctrl+p", "colon"), "^p :", "Commands", "all commands by name", "Look",
            ALL),

    Command("kill", ("K",), "K", "✝ Kill", "kill -9; it comes back", "Break", BREAK, BREAK),
    Command("freeze", ("F",), "F", "❄ Freeze", "stop where it is; go on", "Break",
            BREAK, BREAK),
    Command("wipe", ("W",), "W", "✖ Wipe", "kill; delete its disk", "Break", BREAK, BREAK),
    Command("skew", ("D",), "D", "◷ Skew", "a wrong system clock", "Break", BREAK, BREAK),
    Command("restart", ("R",), "R", "↻ Restart", "stop in order, start again", "Break",
            BREAK, BREAK),

    Command("help", ("question_mark", "f1"), "?", "Help", "keys and states", "Go", ALL, ALL),
    Command("leave", ("q", "ctrl+q"), "q", "Quit", "runs go on at central", "Go", ALL, ALL),
)  # fmt: skip

BY_NAME = {command.name: command for command in COMMANDS}


def at(place: Place) -> tuple[Command, ...]:
    """What can be done there."""
    return tuple(command for command in COMMANDS if place in command.places)


def bar(place: Place) -> tuple[Command, ...]:
    """What the key bar there shows, the most wanted first: replication, looking, then the rest."""
    shown = [command for command in COMMANDS if place in command.bar]
    last = ("help", "leave")
    return tuple(sorted(shown, key=lambda one: (one.name in last, one.group == "Node")))


def bindings(place: Place) -> list[BindingType]:
    """The keys of a screen. `ctrl+q` is the app's, so that it works everywhere."""
    keys: list[BindingType] = [
        Binding(",".join(command.keys), f"act('{command.name}')", command.label)
        for command in at(place)
        if command.name not in ("palette", "details")
    ]
    return [*keys, Binding("colon", "act('palette')", "Commands")]
