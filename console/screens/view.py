"""What all screens share: the top bar, the banner, the key bar, and how a command is given.

A view draws from the store when the app tells it what has changed, and all of it when it comes
back into sight. Keys, buttons and the palette all end in `action_act`.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import ClassVar, cast

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.css.query import NoMatches
from textual.screen import Screen

from console.changes import Changes
from console.desk import Desk
from console.keymap import BY_NAME, Command, Place, bar
from console.store import Store
from console.widgets.hint import CommandButton, Hint, KeyBar
from console.widgets.rows import Rows
from console.widgets.top_bar import Banner, TopBar


class View(Screen[None]):
    """One of the places of the console."""

    PLACE: ClassVar[Place] = "fleet"
    TAB: ClassVar[Place] = "fleet"  # which tab of the top bar is lit
    BUTTONS: ClassVar[Sequence[str]] = ()

    def __init__(self) -> None:
        super().__init__()
        self._hints: list[Hint] = []

    @property
    def desk(self) -> Desk:
        return cast("Desk", self.app)

    @property
    def store(self) -> Store:
        return self.desk.store

    def compose(self) -> ComposeResult:
        breakable = self.desk.workbench is not None
        yield TopBar(self.TAB, env=self.desk.settings.env, breakable=breakable)
        yield Banner(classes="banner")
        yield from self.body()
        if self.BUTTONS:
            with Horizontal(classes="buttons"):
                for name in self.BUTTONS:
                    yield CommandButton(BY_NAME[name])
                yield from self.beside_buttons()
        yield KeyBar(bar(self.PLACE))

    def body(self) -> ComposeResult:
        """The widgets between the banner and the buttons."""
        raise NotImplementedError

    def beside_buttons(self) -> ComposeResult:
        """What stands at the right of the buttons."""
        return ()

    def draw(self, changes: Changes) -> None:
        """Show what the store holds now."""
        raise NotImplementedError

    def show(self, changes: Changes) -> None:
        """Draw the frame and the body; called by the app, several times a second."""
        # A screen that is being put up or taken down lacks some of its widgets.
        if self.is_mounted:
            with suppress(NoMatches):
                self._show(changes)

    def _show(self, changes: Changes) -> None:
        desk = self.desk
        self.query_one(TopBar).show(desk.store, desk.feed)
        self.query_one(Banner).show(desk.store, desk.feed, desk.token_from)
        if changes.everything:
            self.set_class(self.store.stale, "-stale")
        self.draw(changes)
        self._grey_out()

    def _grey_out(self) -> None:
        """What cannot be done now looks so."""
        if not self._hints:  # they stay the same for the screen's life
            self._hints = [hint for hint in self.query(Hint) if hint.command is not None]
        for hint in self._hints:
            if hint.command is not None:
                hint.set_class(self.why_not(hint.command) is not None, "-off")

    def on_screen_resume(self) -> None:
        self.call_after_refresh(self.show, Changes(everything=True))

    def on_resize(self) -> None:
        self.call_after_refresh(self.show, Changes(everything=True))

    def begin(self) -> None:
        """Somebody has come here by a key, not by closing what lay over it."""
        for rows in self.query(Rows):
            rows.begin()

    def why_not(self, command: Command) -> str | None:
        """Why a command cannot be given here and now, in words for a person."""
        return self.desk.why_not(command)

    def on_try_again(self) -> None:
        self.desk.reconnect()

    def action_act(self, name: str) -> None:
        """Do what a command says, or say why it cannot be done."""
        if (why := self.why_not(BY_NAME[name])) is not None:
            self.desk.say(why, severity="warning")
            return
        actor = self if hasattr(self, f"do_{name}") else self.desk
        getattr(actor, f"do_{name}")()

    def do_back(self) -> None:
        """Nothing lies under this one."""
