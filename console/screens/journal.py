"""Journal: the last lines of what the services did, newest at the bottom."""

from textual.app import ComposeResult

from console.screens.view import View
from console.store import JOURNAL_LINES, Changes
from console.widgets.journal_pane import JournalPane
from console.widgets.lines import Lines


class JournalScreen(View):
    """Key 3."""

    PLACE = "journal"
    HINTS = (
        ("↑↓", "Scroll", "screen.page_pane(-1)"),
        ("G", "Follow", "screen.page_pane(1)"),
        ("1", "Fleet", "app.place('fleet')"),
        ("?", "Help", "app.help"),
        ("q", "Quit", "app.leave"),
    )

    def body(self) -> ComposeResult:
        yield Lines(id="journal-head")
        yield JournalPane(self.store, id="journal")

    def on_mount(self) -> None:
        pane = self.query_one(JournalPane)
        pane.reload()
        pane.focus()

    def action_page_pane(self, step: int) -> None:
        """What a click on the key bar does: a page up, or to the end."""
        pane = self.query_one(JournalPane)
        if step < 0:
            pane.action_page(step)
        else:
            pane.action_end(step)

    def draw(self, changes: Changes) -> None:
        pane = self.query_one(JournalPane)
        if changes.journal or changes.everything:
            pane.reload()
        pane.follow()
        pane.repaint()
        following = "following" if pane.follows else "held here, G follows again"
        said = f" {len(pane.keys):,} lines of the last {JOURNAL_LINES:,} · {following}"
        self.query_one("#journal-head", Lines).show_lines(((said, "muted"),))
