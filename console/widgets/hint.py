"""Commands to be read or to be clicked: the key bar's hints, and buttons.

The keys themselves are bound by the screens; a click ends in the same action.
"""

from collections.abc import Sequence

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from console.keymap import Command

GAP = 2
ALWAYS = 2  # help and quit stand at the end and always have room


class Hint(Static):
    """A key and what it does. Without a command: `action` is run as it is."""

    ALLOW_SELECT = False

    def __init__(
        self,
        key: str,
        label: str,
        action: str,
        *,
        command: Command | None = None,
        id: str | None = None,
        classes: str = "",
    ) -> None:
        parts = [(f"{key} ", "$text-accent")] if key else []
        super().__init__(
            Content.assemble(*parts, label), id=id, classes=f"hint {classes}", markup=False
        )
        self.command = command
        self.cells = cell_len(f"{key} {label}" if key else label)
        self._action = action

    async def on_click(self) -> None:
        await self.screen.run_action(self._action)


class CommandButton(Hint):
    """A command as a button. Textual's own Button has a style that goes by that name."""

    def __init__(self, command: Command) -> None:
        super().__init__(
            "", command.label, f"act('{command.name}')", command=command, classes="button"
        )


class KeyBar(Horizontal):
    """The last line of a screen: as many hints as there is room for."""

    def __init__(self, commands: Sequence[Command]) -> None:
        super().__init__(classes="hints")
        self._commands = commands

    def compose(self) -> ComposeResult:
        for command in self._commands:
            yield Hint(command.shown, command.word, f"act('{command.name}')", command=command)

    def on_resize(self) -> None:
        hints = list(self.query(Hint))
        first, last = hints[:-ALWAYS], hints[-ALWAYS:]
        room = self.size.width - sum(hint.cells + GAP for hint in last)
        for hint in first:
            room -= hint.cells + GAP
            hint.display = room >= 0
