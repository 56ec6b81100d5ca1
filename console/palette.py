"""The palette: every command of the screen by its name, and every node."""

from collections.abc import Iterator
from functools import partial
from typing import cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from console import format as fmt
from console.desk import Desk
from console.keymap import Command, Group, at
from console.screens.view import View

DESCRIBED = 0.5  # how well a command fits whose description has the words
GROUPS: tuple[Group, ...] = ("Break", "Replicate", "Node", "Look", "Go")


class Palette(Provider):
    """Finds commands of the screen under the palette, and nodes to be opened."""

    async def discover(self) -> Hits:
        for name, does, give in self._commands():
            yield DiscoveryHit(Content(name), give, text=name, help=does)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for name, does, give in self._commands():
            # A description is long enough to have any few letters somewhere, in that order.
            described = query.casefold() in does.casefold()
            if (score := matcher.match(name) or described * DESCRIBED) > 0:
                yield Hit(score, Content(name), give, text=name, help=does)
        desk = cast("Desk", self.app)
        for node in list(desk.store.nodes):
            if (score := matcher.match(node)) > 0:
                text = f"Node {fmt.safe(node)}"
                yield Hit(score, Content(text), partial(desk.open_node, node), text=text)

    def _commands(self) -> Iterator[tuple[str, str, partial[None]]]:
        view = self.screen
        if not isinstance(view, View):
            return
        for command in sorted(at(view.PLACE), key=lambda one: GROUPS.index(one.group)):
            if command.name != "palette" and _is_there(command, view):
                why = view.why_not(command)
                does = f"{command.does} ({command.shown})"
                if why is not None:
                    does = f"not now: {why}"
                yield command.label, does, partial(view.action_act, command.name)


def _is_there(command: Command, view: View) -> bool:
    """Breaking things is not even named where there is nothing to break."""
    breaks = command.name == "workbench" or command.group == "Break"
    return not breaks or view.desk.workbench is not None
