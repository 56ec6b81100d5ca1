"""Dialogs with something to fill in, and those that ask for one number.

What is wrong is said below the field, and nothing typed is lost.
"""

from typing import ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Input, Label

from cluster.protocol.views import NodeView
from console import format as fmt
from console.desk import Desk
from console.dialog import AnswerT, Dialog
from console.model import Line
from console.widgets.entry import Entry
from console.widgets.lines import Lines

RATE_MAX = 10_000.0
SKEW_S_MAX = 3_600.0


class Form(Dialog[AnswerT]):
    """Fields under one another, a line for what is wrong, and buttons."""

    TITLE_TEXT: ClassVar[str] = ""
    START: ClassVar[str] = ""

    @property
    def desk(self) -> Desk:
        return cast("Desk", self.app)

    def compose(self) -> ComposeResult:
        with Vertical(classes="box") as box:
            box.border_title = self.TITLE_TEXT
            yield from self.fields()
            yield Lines(id="wrong")
            with Horizontal(classes="answers"):
                yield from self.more_buttons()
                yield Button("Cancel (Esc)", id="no", compact=True)
                yield Button(self.START, id="yes", compact=True, variant="warning")

    def fields(self) -> ComposeResult:
        """Lines and inputs."""
        raise NotImplementedError

    def more_buttons(self) -> ComposeResult:
        """Buttons before Cancel."""
        return ()

    def submit(self) -> None:
        """Somebody is done with it."""
        raise NotImplementedError

    def value(self, field: str) -> str:
        return self.query_one(f"#{field}", Input).value.strip()

    def tell(self, *lines: Line) -> None:
        """Say something below the fields."""
        self.query_one("#wrong", Lines).show_lines(*lines)

    def on_mount(self) -> None:
        self.query(Input).first().focus()

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.submit()

    @on(Button.Pressed, "#yes")
    def _pressed(self) -> None:
        self.submit()

    @on(Button.Pressed, "#no")
    def _left(self) -> None:
        self.dismiss(None)


def field(label: str, id: str, value: str = "", hint: str = "") -> Horizontal:
    """A label and an input beside it."""
    entry = Entry(value, id=id, hint=hint)
    return Horizontal(Label(label, classes="label", markup=False), entry, classes="field")


class NumberForm(Form[float]):
    """One number within limits."""

    START = "Set"

    def __init__(self, about: tuple[Line, ...], label: str, value: str, limit: float) -> None:
        super().__init__()
        self._about, self._label, self._value, self._limit = about, label, value, limit

    def fields(self) -> ComposeResult:
        yield Lines(*self._about, ())
        yield field(self._label, "number", self._value)

    def submit(self) -> None:
        try:
            number = float(self.value("number").replace(",", ""))
            if not self.least <= number <= self._limit:
                raise ValueError
        except ValueError:
            said = f"A number from {self.least:g} to {self._limit:g} is needed."
            self.tell(((said, "warning"),))
        else:
            self.dismiss(number)

    @property
    def least(self) -> float:
        return 0.0


class RateOfSource(NumberForm):
    """How many records a second a node's source is to make."""

    TITLE_TEXT = "RATE OF THE SOURCE"

    def __init__(self, view: NodeView) -> None:
        rate = view.source.rate if view.source is not None else 0.0
        name = fmt.cut(fmt.safe(view.name), 30)
        about: Line = ((f"How many records a second is {name} to make?", "plain"),)
        super().__init__((about,), "Records/s", f"{rate:g}", RATE_MAX)


class SkewOfClock(NumberForm):
    """How wrong a local node's system clock is to be."""

    TITLE_TEXT = "SKEW THE CLOCK"

    def __init__(self, name: str, skew_ms: float) -> None:
        about: tuple[Line, ...] = (
            ((f"How many seconds fast is the clock of {fmt.safe(name)} to be?", "plain"),),
            (("Negative: slow. 0: right again. The node is restarted for it.", "muted"),),
        )
        super().__init__(about, "Seconds", f"{skew_ms / 1000 or 1.2:g}", SKEW_S_MAX)

    @property
    def least(self) -> float:
        return -SKEW_S_MAX
