"""What widgets tell the screens above them."""

from textual.message import Message


class CursorMoved(Message):
    """The cursor of a list stands on another row."""


class TryAgain(Message):
    """Somebody wants central to be asked now, not after the wait."""


class RowChosen(Message):
    """Enter, or a second click on the row under the cursor."""

    def __init__(self, key: str | int) -> None:
        super().__init__()
        self.key = key
