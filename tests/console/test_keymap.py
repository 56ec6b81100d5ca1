"""Every command once, and no key twice in one place."""

from collections import Counter
from typing import get_args

import pytest

from console.app import ConsoleApp
from console.desk import Desk
from console.keymap import COMMANDS, Place, at, bar
from console.screens.fleet import FleetScreen
from console.screens.help import help_lines
from console.screens.journal import JournalScreen
from console.screens.node import NodeScreen
from console.screens.runs import RunsScreen
from console.screens.view import View
from console.screens.workbench import WorkbenchScreen

SCREENS: dict[Place, type[View]] = {
    "fleet": FleetScreen,
    "node": NodeScreen,
    "runs": RunsScreen,
    "journal": JournalScreen,
    "workbench": WorkbenchScreen,
}
#: Keys that terminal multiplexers take for themselves.
TAKEN = {"ctrl+a", "ctrl+b", "ctrl+g", "ctrl+o"}


@pytest.mark.parametrize("place", get_args(Place))
def test_a_key_means_one_thing_in_one_place(place: Place) -> None:
    keys = Counter(key for command in at(place) for key in command.keys)

    assert max(keys.values()) == 1
    assert not TAKEN & keys.keys()


@pytest.mark.parametrize("place", get_args(Place))
def test_every_command_of_a_place_can_be_done_there(place: Place) -> None:
    for command in at(place):
        doers = (SCREENS[place], ConsoleApp, Desk)
        assert any(hasattr(doer, f"do_{command.name}") for doer in doers), command.name


@pytest.mark.parametrize("place", get_args(Place))
def test_every_button_is_a_command_of_its_place(place: Place) -> None:
    names = {command.name for command in at(place)}

    assert names.issuperset(SCREENS[place].BUTTONS)
    assert {command.name for command in bar(place)} <= names


@pytest.mark.parametrize("place", get_args(Place))
def test_the_help_names_every_key_and_fits_on_the_smallest_screen(place: Place) -> None:
    lines = ["".join(text for text, _ in line) for line in help_lines(place)]

    assert max(map(len, lines)) <= 74
    for command in at(place):
        assert any(f"{command.shown} " in line for line in lines), command.name
        assert any(command.does in line for line in lines), command.does


def test_names_are_unique_in_each_place() -> None:
    for place in get_args(Place):
        names = Counter(command.name for command in at(place))
        assert max(names.values()) == 1
    assert all(command.does and command.label for command in COMMANDS)


#: What an operator can do to the fleet: by key, by button and from the palette.
DEEDS = (
    *("pull", "push", "pull_all", "push_all", "cancel", "retry", "again", "auto"),
    *("source", "rate", "sync", "add", "edit", "remove"),
    *("kill", "freeze", "wipe", "skew", "restart"),
)


@pytest.mark.parametrize("name", DEEDS)
def test_every_deed_has_a_key_and_something_to_click_on(name: str) -> None:
    shown = {one for screen in SCREENS.values() for one in screen.BUTTONS}
    hinted = {command.name for place in get_args(Place) for command in bar(place)}

    assert name in shown | hinted
    assert any(command.keys for command in COMMANDS if command.name == name)
