"""Dialogs: a question with numbers, the help, and the news that the token is not good.

A dialog that has just opened takes no key for a moment: it may have come under the fingers of
somebody who was typing something else.
"""

import time
from typing import ClassVar, Generic, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input

from cluster.settings import SettingsWrong
from cluster.trust.tokens import check_token
from console import format as fmt
from console.model import Line
from console.questions import Question
from console.widgets.entry import Entry
from console.widgets.lines import Lines

AnswerT = TypeVar("AnswerT")


class Dialog(ModalScreen[AnswerT], Generic[AnswerT]):
    """Closes with an answer, or with none when it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "leave", "Close")]

    def __init__(self) -> None:
        super().__init__()
        self._opened_at = time.monotonic()

    def is_younger_than(self, seconds: float) -> bool:
        return time.monotonic() - self._opened_at < seconds

    def action_leave(self) -> None:
        self.dismiss(None)


class Confirm(Dialog[bool]):
    """Asks; Cancel has the focus, so Enter does nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [("y", "yes", "Start")]

    def __init__(self, question: Question) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = self._question.title
            yield Lines(*self._question.lines)
            if self._question.phrase is not None:
                yield Entry(id="phrase")
                yield Lines(id="wrong")
            with Horizontal(classes="answers"):
                yield Button("Cancel (Esc)", id="no", compact=True)
                yield Button(
                    self._question.start,
                    id="yes",
                    compact=True,
                    variant="warning",
                    disabled=self._question.phrase is not None,
                )

    def on_mount(self) -> None:
        first = "#no" if self._question.phrase is None else "#phrase"
        self.query_one(first).focus()

    def action_yes(self) -> None:
        if self._question.phrase is None:
            self.dismiss(True)

    @on(Input.Changed)
    def _compare(self, event: Input.Changed) -> None:
        self.query_one("#yes", Button).disabled = not self._matches(event.value)
        self.query_one("#wrong", Lines).show_lines()

    @on(Input.Submitted)
    def _submit(self, event: Input.Submitted) -> None:
        if self._matches(event.value):
            self.dismiss(True)
        else:
            wrong = f"That is not it: type {self._question.phrase}, or Esc to leave it."
            self.query_one("#wrong", Lines).show_lines(((wrong, "warning"),))

    @on(Button.Pressed)
    def _answer(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

    def _matches(self, typed: str) -> bool:
        phrase = self._question.phrase
        return phrase is not None and typed.strip().casefold() == phrase.casefold()


class Note(Dialog[bool]):
    """Something to read; any of Esc, Enter and q closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("q,enter,question_mark,f1", "leave", "Close"),
        ("down,j", "roll(1)"),
        ("up,k", "roll(-1)"),
        ("pagedown", "roll(10)"),
        ("pageup", "roll(-10)"),
    ]

    def __init__(self, title: str, lines: tuple[Line, ...], wide: bool = False) -> None:
        super().__init__()
        self._title, self._lines, self._wide = title, lines, wide

    def compose(self) -> ComposeResult:
        with Vertical(classes="box -wide" if self._wide else "box") as box:
            box.border_title = self._title
            yield Lines(*self._lines)

    def on_mount(self) -> None:
        self.call_after_refresh(self._say_how)

    def _say_how(self) -> None:
        """How to close it, and how to see the rest where there is more than fits."""
        box = self.query_one(".box")
        more = "↑↓ for the rest · " if box.max_scroll_y else ""
        box.border_subtitle = f"{more}Esc closes"

    def action_roll(self, rows: int) -> None:
        box = self.query_one(".box")
        box.scroll_to(y=box.scroll_offset.y + rows, animate=False)


class NotLetIn(Dialog[str]):
    """Central refused the token; nothing is tried again until somebody asks.

    Answers with another token, or with "" to try the same one again.
    """

    AUTO_FOCUS = "#no"  # else the field would take the r
    BINDINGS: ClassVar[list[BindingType]] = [("r", "again", "Try again"), ("q", "leave", "Close")]

    def __init__(self, title: str, lines: tuple[Line, ...]) -> None:
        super().__init__()
        self._title, self._lines = title, lines

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = self._title
            yield Lines(*self._lines)
            yield Entry(id="token", hint="another token: not shown, not kept", password=True)
            yield Lines(id="wrong")
            with Horizontal(classes="answers"):
                yield Button("Close (Esc)", id="no", compact=True)
                yield Button("Try again (r)", id="yes", compact=True, variant="warning")

    def action_again(self) -> None:
        self.dismiss("")

    @on(Input.Submitted)
    def _given(self, event: Input.Submitted) -> None:
        self._try(event.value.strip())

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "no":
            self.dismiss(None)
        else:
            self._try(self.query_one("#token", Entry).value.strip())

    def _try(self, token: str) -> None:
        try:
            self.dismiss(check_token(token, "another token") if token else "")
        except SettingsWrong as wrong:
            self.query_one("#wrong", Lines).show_lines(((fmt.cut(str(wrong), 58), "warning"),))
