"""A key and what it does, to be read or to be clicked."""

from textual.content import Content
from textual.widgets import Static


class Hint(Static):
    """Runs an action of the app on a click; the key itself is bound elsewhere."""

    ALLOW_SELECT = False

    def __init__(
        self, key: str, label: str, action: str, *, id: str | None = None, classes: str = ""
    ) -> None:
        parts = [(f"{key} ", "$text-accent")] if key else []
        super().__init__(
            Content.assemble(*parts, label), id=id, classes=f"hint {classes}", markup=False
        )
        self._action = action

    async def on_click(self) -> None:
        await self.app.run_action(self._action)
