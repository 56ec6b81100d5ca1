"""Whether it is central that is cut off: what all nodes' polls say together.

When nothing but silence comes from the network, from more than half of the nodes that were up
and from at least three of them, one cause is likelier than many: central's own line. No node is
then marked down by it, until any of them gives a sign of life. A refused or broken connection is
one: some machine answered.
"""

from cluster.peer import Reason

#: What a poll comes to when nothing at all comes back.
SILENCE: tuple[Reason, ...] = ("unreachable", "dns", "timeout")
SILENT_MIN = 3


class Isolation:
    """All nodes that only the network leads to, by name."""

    def __init__(self) -> None:
        self.isolated = False
        self._heard: set[str] = set()  # at their last poll
        self._silent: set[str] = set()  # heard before, and nobody was since

    def hear(self, name: str) -> bool:
        """Something came back. True when central is isolated no longer."""
        self._heard.add(name)
        self._silent.clear()
        ended, self.isolated = self.isolated, False
        return ended

    def miss(self, name: str) -> bool:
        """Only silence came back. True when that makes central isolated."""
        if name in self._heard:
            self._heard.remove(name)
            self._silent.add(name)
        before, silent = self.isolated, len(self._silent)
        self.isolated = before or (silent >= SILENT_MIN and silent > len(self._heard))
        return self.isolated and not before

    def forget(self, name: str) -> None:
        """The node is polled no more."""
        self._heard.discard(name)
        self._silent.discard(name)
