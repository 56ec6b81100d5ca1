"""Dialogs in which a node is added or edited.

A node's address is tested before it is taken: who answers there, how fast, and whether it is the
node that it was taken for.
"""

from collections.abc import Callable

import msgspec
from textual import on
from textual.app import ComposeResult
from textual.widgets import Button, Input

from cluster.peer import PeerFailed
from cluster.protocol.central import Hello, NodeChange, NodeFound
from cluster.protocol.views import NodeView
from cluster.shape import wording
from console import format as fmt
from console.commands import explain
from console.model import Line
from console.screens.forms import Form, field
from console.widgets.lines import Lines


class NodeForm(Form[None]):
    """What adding and editing a node share: the address, and its test."""

    def __init__(self) -> None:
        super().__init__()
        self._tested: str | None = None  # the address for which `submit` need not ask again

    def more_buttons(self) -> ComposeResult:
        yield Button("Test", id="test", compact=True)

    def url(self) -> str:
        """The address as typed; without a scheme it is plain HTTP."""
        typed = self.value("url")
        return typed if "://" in typed or not typed else f"http://{typed}"

    @on(Button.Pressed, "#test")
    def _test_only(self) -> None:
        self.desk.work(self.test(lambda: None))

    async def test(self, then: Callable[[], None]) -> None:
        """Ask central who is there; `then` follows when it is the right node."""
        url = self.url()
        self.tell((("Testing the address…", "muted"),))
        try:
            found = await self.desk.commands.test(url)
        except PeerFailed as failure:
            _, text = explain(failure)
            if self.is_mounted:
                self._tested = url  # whoever goes on nevertheless may
                again = f"{self.START} again takes it untested: the node may be down now."
                self.tell(((f"✗ {fmt.safe(text)}", "error"),), ((again, "muted"),))
            return
        if not self.is_mounted:
            return
        wrong = self.objection(found)
        self.tell(*found_lines(found), *(((wrong, "warning"),) for wrong in wrong))
        if not wrong:
            self._tested = url
            then()

    def objection(self, found: NodeFound) -> list[str]:
        """Why the node that answers is not the one that is meant."""
        raise NotImplementedError

    def checked(self, kind: type[Hello] | type[NodeChange], **values: object) -> bool:
        """Whether central would take these values; says what is wrong with them."""
        try:
            msgspec.convert(values, kind)
        except msgspec.ValidationError as error:
            self.tell(((fmt.safe(wording(error, kind)), "warning"),))
            return False
        return True


class AddNode(NodeForm):
    """A node that does not say hello by itself."""

    TITLE_TEXT, START = "ADD NODE", "Add"

    def fields(self) -> ComposeResult:
        yield field("Address", "url", hint="http://HOST:PORT")
        yield field("Name", "name", hint="as the node calls itself; empty: take its word")

    def submit(self) -> None:
        name = self.value("name") or "unknown-yet"
        if not self.checked(Hello, name=name, url=self.url()):
            return
        if self._tested == self.url() and self.value("name"):
            self._add()
        else:
            self.desk.work(self.test(self._add))

    def objection(self, found: NodeFound) -> list[str]:
        name = self.value("name")
        if found.known_as is not None:
            return [f"It is in the fleet already, as {fmt.safe(found.known_as)}."]
        if name and name != found.name:
            return [f"That is {fmt.safe(found.name)}, not {fmt.safe(name)}."]
        self.query_one("#name", Input).value = found.name
        return []

    def _add(self) -> None:
        order = self.desk.orders.add(self.value("name"), self.url())
        self.dismiss(None)
        self.desk.give(order)


class EditNode(NodeForm):
    """Another address, or how often central pulls by itself."""

    TITLE_TEXT, START = "EDIT NODE", "Save"

    def __init__(self, view: NodeView) -> None:
        super().__init__()
        self._view = view
        self._tested = view.url

    def fields(self) -> ComposeResult:
        yield Lines(((fmt.cut(fmt.safe(self._view.name), 58), "plain"),), ())
        yield field("Address", "url", self._view.url)
        yield field("Pull every", "every", f"{self._view.pull_every or 0:g}")
        yield Lines((("           seconds; 0: only when somebody asks", "muted"),))

    def submit(self) -> None:
        try:
            every = float(self.value("every") or 0)
        except ValueError:
            self.tell((("Pull every: a number of seconds is needed.", "warning"),))
            return
        name = self._view.name
        if not self.checked(NodeChange, name=name, url=self.url(), pull_every=every):
            return
        if self._tested == self.url():
            self._save(every)
        else:
            self.desk.work(self.test(lambda: self._save(every)))

    def objection(self, found: NodeFound) -> list[str]:
        if found.name != self._view.name:
            return [f"That is {fmt.safe(found.name)}, not {fmt.safe(self._view.name)}."]
        return []

    def _save(self, every: float) -> None:
        order = self.desk.orders.change(self._view.name, self.url(), every)
        self.dismiss(None)
        self.desk.give(order)


def found_lines(found: NodeFound) -> list[Line]:
    """What a test of an address has found."""
    drift = f"drift {fmt.drift(found.drift_ms)} {fmt.around(found.bound_ms)}".rstrip()
    name, version = fmt.safe(found.name), fmt.safe(found.version)
    return [
        ((f"✓ {fmt.cut(name, 30)}", "success"), (f" reached in {found.rtt_ms:.0f} ms", "plain")),
        ((f"  version {version} · {found.records:,} records · {drift}", "muted"),),
    ]
