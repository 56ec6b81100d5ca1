"""A line to type into. What is pasted there may come from anywhere, so it is made safe as well."""

from textual.widgets import Input

from console import format as fmt


class Entry(Input):
    """An input in one line of the screen, without a border."""

    def __init__(self, value: str = "", *, id: str, hint: str = "", password: bool = False) -> None:
        super().__init__(
            value,
            id=id,
            placeholder=hint,
            password=password,
            compact=True,
            select_on_focus=False,
            max_length=300,
        )

    def validate_value(self, value: str) -> str:
        """Textual draws as it is what stands in an input: also an escape sequence."""
        return fmt.safe(value)
